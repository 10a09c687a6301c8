"""BSON as bytes: a stream is cut into whole documents, a document is walked, searched, spliced, checked.

Laws of the package:

1. A document is never decoded and encoded again. Whatever is not asked to change keeps its bytes, since only lengths
   around a splice are ever rewritten.
2. No length is believed before it is compared with its minimum and with the end of what encloses it.
3. Whatever the bytes are, the outcome is a result or a ``BsonError`` (``LimitError`` where a limit is met) that says
   where, in linear time, without recursion.
4. Results depend on the bytes alone, never on how they arrived.

``runs`` looks at frames, ``index``/``elements``/``find`` at one level of a document, ``validate`` at everything.
"""

from kit.documents.depth import is_deeper
from kit.documents.elements import Element, Kind, Place, elements, find, index, string_at
from kit.documents.framing import RUN_BYTES, runs
from kit.documents.identity import KEY_BYTES, document_id, document_name, keys_of
from kit.documents.prune import OTHERS, Wanted, prune
from kit.documents.run import Run
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
from kit.documents.width import count_elements, narrow_bytes

__all__ = [
    "KEY_BYTES",
    "OTHERS",
    "RUN_BYTES",
    "Element",
    "Kind",
    "Place",
    "Replacement",
    "Run",
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
    "without_last",
]
