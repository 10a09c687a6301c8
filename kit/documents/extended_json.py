"""Documents as canonical Extended JSON v2, one a line, for people and for tools that read no BSON.

Source: the MongoDB Extended JSON v2 specification, canonical mode; pymongo's ``bson.json_util`` writes it. Law: a line
parsed and encoded gives the exact bytes of the document. A document for which that fails (a name twice, a name that is
read as a type, a NaN with a payload) is refused.

pymongo reads the deprecated types Symbol, Undefined and DBPointer as their successors. Extended JSON has them as
objects of one member. So they are replaced by such documents before pymongo prints, and left as they are when the line
is read back. The numbers must agree, so that a document that only looks like a deprecated value is refused.
"""

from __future__ import annotations

import json
from typing import Any

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions, dumps, loads, object_pairs_hook

from kit.documents.elements import elements
from kit.documents.kinds import INT32, Kind
from kit.errors import BsonError

# Dates stay numbers of milliseconds: a document may have years that Python's datetime cannot represent.
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
_CANONICAL = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)


_DEPRECATED = frozenset({"$symbol", "$undefined", "$dbPointer"})
_OBJECT_ID_BYTES = 12


def extended_json(document: bytes) -> bytes:
    """Return a document as one line of canonical Extended JSON, in ASCII, without the line feed.

    Raises:
        BsonError: It is malformed, or Extended JSON cannot hold it exactly.
    """
    try:
        line = _line(document)
        if bson.encode(loads(line, json_options=_CANONICAL), codec_options=_CODEC) != document:
            line = _line_of_deprecated(document)
    except (BSONError, ValueError, TypeError, OverflowError, RecursionError, KeyError) as error:
        raise BsonError(f"Extended JSON cannot hold this document: {error}", hint=_AS_BSON) from error
    return line.encode("ascii")


_AS_BSON = "extract it as it is: --format bson"


def _line(document: bytes) -> str:
    return dumps(bson.decode(document, _CODEC), json_options=_CANONICAL, separators=(",", ":"))


def _line_of_deprecated(document: bytes) -> str:
    """Return the line of a document that may contain deprecated types.

    Raises:
        BsonError: The line does not give the same bytes either.
    """
    shown, replaced = _replace_deprecated(document, 0)
    line, kept = _line(shown), 0

    def hook(pairs: list[tuple[str, Any]]) -> Any:
        nonlocal kept
        if len(pairs) == 1 and pairs[0][0] in _DEPRECATED:
            kept += 1
            return dict(pairs)
        return object_pairs_hook(pairs, _CANONICAL)

    same = bson.encode(json.loads(line, object_pairs_hook=hook), codec_options=_CODEC) == shown
    if not same or kept != replaced:
        raise BsonError(
            "Extended JSON cannot hold this document exactly (a name twice or read as a type, or a number's bits)",
            hint=_AS_BSON,
        )
    return line


def _replace_deprecated(document: bytes, start: int) -> tuple[bytes, int]:
    """Return the document at ``start`` with deprecated values as Extended JSON has them, and their number.

    Raises:
        BsonError: It is malformed.
    """
    parts: list[bytes] = []
    replaced = 0
    for element in elements(document, start):
        kind, value, inner = element.kind, document[element.value : element.end], 0
        match kind:
            case Kind.SYMBOL:
                kind, value, inner = Kind.DOCUMENT, _document(b"\x02$symbol\0", value), 1
            case Kind.UNDEFINED:
                kind, value, inner = Kind.DOCUMENT, _document(b"\x08$undefined\0\x01"), 1
            case Kind.DB_POINTER:
                name, pointer = value[:-_OBJECT_ID_BYTES], value[-_OBJECT_ID_BYTES:]
                value = _document(b"\x03$dbPointer\0", _document(b"\x02$ref\0", name, b"\x07$id\0", pointer))
                kind, inner = Kind.DOCUMENT, 1
            case Kind.DOCUMENT | Kind.ARRAY:
                value, inner = _replace_deprecated(document, element.value)
            case Kind.CODE_WITH_SCOPE:
                code = value[4 : 8 + INT32.unpack_from(value, 4)[0]]
                scope, inner = _replace_deprecated(document, element.value + 4 + len(code))
                value = INT32.pack(4 + len(code) + len(scope)) + code + scope
            case _:
                pass
        parts += (bytes((kind,)), element.name, b"\0", value)
        replaced += inner
    return _document(*parts), replaced


def _document(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return INT32.pack(len(body) + 5) + body + b"\0"
