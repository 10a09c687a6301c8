"""BSON as bytes: a stream is split into documents; a document is walked, searched, spliced, validated.

Laws of the package:

1. A document is never decoded and encoded again. Only the changed element and the lengths around it get new bytes.
2. No length is trusted before it is compared with its minimum and with the end of the enclosing value.
3. Whatever the bytes are, the outcome is a result or a ``BsonError`` (``LimitError`` for a limit) that names the place,
   in linear time, without recursion.
4. Results depend on the bytes alone, never on how the stream was chunked.

``runs`` reads frames, ``index``/``elements``/``find`` one level of a document, ``validate`` everything.
"""

from kit.documents.elements import OTHERS, Element, Kind, Place, Wanted, elements, find, index, prune, string_at
from kit.documents.framing import RUN_BYTES, Run, Texts, count_elements, is_deeper, narrow_bytes, runs, with_texts
from kit.documents.identity import KEY_BYTES, document_id, document_name, keys_of
from kit.documents.splice import (
    Replacement,
    append,
    element,
    first_other,
    remove,
    replace,
    replace_at,
    replace_value,
    without_last,
)
from kit.documents.validation import validate

__all__ = [
    "KEY_BYTES",
    "OTHERS",
    "RUN_BYTES",
    "Element",
    "Kind",
    "Place",
    "Replacement",
    "Run",
    "Texts",
    "Wanted",
    "append",
    "count_elements",
    "document_id",
    "document_name",
    "element",
    "elements",
    "find",
    "first_other",
    "index",
    "is_deeper",
    "keys_of",
    "narrow_bytes",
    "prune",
    "remove",
    "replace",
    "replace_at",
    "replace_value",
    "runs",
    "select",
    "string_at",
    "validate",
    "with_texts",
    "without_last",
]
