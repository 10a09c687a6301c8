"""The types of BSON and where a value of each ends (https://bsonspec.org/spec.html, grammar of ``element``).

The content of a value is checked by :mod:`kit.documents.validation`. Law: an end that is returned is within the
enclosing document, and at or after the value's start, so that a walk from end to end always advances or stops.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping

from kit.errors import BsonError

INT32 = struct.Struct("<i")
"""Every length in BSON: signed, 32 bits, little-endian."""


class Kind(enum.IntEnum):
    """The type byte of an element, the deprecated ones included."""

    DOUBLE = 1
    STRING = 2
    DOCUMENT = 3
    ARRAY = 4
    BINARY = 5
    UNDEFINED = 6
    OBJECT_ID = 7
    BOOLEAN = 8
    DATETIME = 9
    NULL = 10
    REGEX = 11
    DB_POINTER = 12
    CODE = 13
    SYMBOL = 14
    CODE_WITH_SCOPE = 15
    INT32 = 16
    TIMESTAMP = 17
    INT64 = 18
    DECIMAL128 = 19
    MAX_KEY = 127
    MIN_KEY = 255


KINDS = frozenset(int(kind) for kind in Kind)
NESTING = frozenset({int(Kind.DOCUMENT), int(Kind.ARRAY), int(Kind.CODE_WITH_SCOPE)})
"""The types whose values contain elements."""

_OTHERWISE = -1


def _table(sizes: Mapping[Kind, int]) -> tuple[int, ...]:
    # A tuple of all 256 type bytes: indexing one is the cheapest look-up CPython has, and needs no bounds check here.
    return tuple(sizes.get(Kind(byte), _OTHERWISE) if byte in KINDS else _OTHERWISE for byte in range(256))


FIXED = _table(
    {
        Kind.DOUBLE: 8,
        Kind.UNDEFINED: 0,
        Kind.OBJECT_ID: 12,
        Kind.BOOLEAN: 1,
        Kind.DATETIME: 8,
        Kind.NULL: 0,
        Kind.INT32: 4,
        Kind.TIMESTAMP: 8,
        Kind.INT64: 8,
        Kind.DECIMAL128: 16,
        Kind.MIN_KEY: 0,
        Kind.MAX_KEY: 0,
    }
)
"""Size of the value by type byte; negative where the size is not fixed."""

COUNTED = _table(
    {
        Kind.STRING: 4,  # the count covers the bytes and their NUL, so it is at least 1
        Kind.CODE: 4,
        Kind.SYMBOL: 4,
        Kind.DOCUMENT: 0,  # the count covers itself, the elements and their NUL, so it is at least 5
        Kind.ARRAY: 0,
        Kind.BINARY: 5,  # the count covers only the payload after itself and the subtype, so it may be 0
    }
)
"""What to add to the leading count to get the value's size, by type byte; negative where there is no such count."""

LEAST_COUNTED = 5
"""The least size of a counted value: 4 + 1 for strings, 5 + 0 for documents, 0 + 5 for binary."""


def value_end(buffer: bytes, kind: int, value: int, last: int) -> int:
    """Return the offset after the value of type ``kind`` that starts at ``value``.

    Args:
        buffer: Bytes with the enclosing document.
        kind: The type byte, 0 to 255.
        value: Offset of the value in ``buffer``.
        last: Offset of the enclosing document's final NUL, which the value must not reach into.

    Raises:
        BsonError: The type is unknown, a length is below its minimum, or the value does not end by ``last``.
    """
    if FIXED[kind] >= 0:
        end = value + FIXED[kind]
    elif COUNTED[kind] >= 0:
        end = value + COUNTED[kind] + _count(buffer, value, last, least=LEAST_COUNTED - COUNTED[kind])
    elif kind == Kind.REGEX:
        end = _cstring_end(buffer, _cstring_end(buffer, value, last), last)
    elif kind == Kind.DB_POINTER:  # a string, then an object id
        end = value + 4 + _count(buffer, value, last, least=1) + 12
    elif kind == Kind.CODE_WITH_SCOPE:  # the count covers itself, a string and a document: 4 + (4 + 1) + 5
        end = value + _count(buffer, value, last, least=14)
    else:
        raise BsonError(f"unknown element type 0x{kind:02x}", where=f"byte {value}")
    if end > last:
        raise BsonError(f"value ends {end - last:,} bytes after its document does", where=f"byte {value}")
    return end


def first_nested(buffer: bytes, kind: int, value: int, end: int) -> int:
    """Return the offset of the first element nested in the value ``buffer[value:end]``, at most ``end``."""
    scope = value
    if kind == Kind.CODE_WITH_SCOPE:  # a length, a string, a document
        scope += 8 + max(INT32.unpack_from(buffer, value + 4)[0], 0)
    return min(scope + 4, end)


def _count(buffer: bytes, at: int, last: int, *, least: int) -> int:
    if at + 4 > last:
        raise BsonError("document ends inside a length", where=f"byte {at}")
    (count,) = INT32.unpack_from(buffer, at)
    if count < least:
        raise BsonError(f"length {count} is below {least}, the least possible", where=f"byte {at}")
    return int(count)


def _cstring_end(buffer: bytes, at: int, last: int) -> int:
    nul = buffer.find(0, at, last)
    if nul < 0:
        raise BsonError("string without terminating NUL", where=f"byte {at}")
    return nul + 1
