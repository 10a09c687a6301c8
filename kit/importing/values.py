"""Values of a document with their BSON types, and their order of equality on a server.

A decoder for programs makes one type of several (a symbol becomes a string, ``undefined`` becomes null), and keeps the
last of two elements of one name, where a server finds the first. So documents are decoded here: into ``dict`` and
``list``, with a :class:`Leaf` for every other value.

Law of :func:`canonical`: two values have the same bytes exactly if a server takes them for equal in an index
(https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/): numbers of any type by their value, symbols
as strings, documents by their elements in order.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeAlias

import bson
from bson.decimal128 import Decimal128

from kit.documents import Kind, elements

__all__ = [
    "MISSING",
    "NUMBERS",
    "UNDEFINED",
    "Leaf",
    "Number",
    "Value",
    "canonical",
    "decode",
    "leaf_number",
    "parse_value",
    "text",
]

Value: TypeAlias = Any
"""A ``dict``, a ``list`` or a :class:`Leaf`."""
Number: TypeAlias = "Fraction | float"
"""An exact number; a float only where it is infinite or not a number."""


class Leaf(NamedTuple):
    """A value that is neither a document nor an array."""

    kind: int
    """Its type byte."""
    data: bytes
    """As stored, lengths included."""


NUMBERS: Final = frozenset({Kind.DOUBLE, Kind.INT32, Kind.INT64, Kind.DECIMAL128})
MISSING: Final = Leaf(Kind.NULL, b"")
"""What an index has of a field that is not there; the same as null."""
UNDEFINED: Final = Leaf(Kind.UNDEFINED, b"")
"""What an index has of an empty array."""
_TEXTS: Final = frozenset({Kind.STRING, Kind.SYMBOL})


def decode(document: bytes) -> dict[str, Value]:
    """Return a document that is nested within bounds, as the caller has checked.

    A name that is not UTF-8 has escapes; of two elements of one name the first counts.

    Raises:
        BsonError: It is malformed.
    """
    return _fields(document, 0)


def _fields(buffer: bytes, start: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for one in elements(buffer, start):
        found.setdefault(one.name.decode("utf-8", "surrogateescape"), _value(buffer, one.kind, one.value, one.end))
    return found


def _value(buffer: bytes, kind: int, start: int, end: int) -> Value:
    if kind == Kind.DOCUMENT:
        return _fields(buffer, start)
    if kind == Kind.ARRAY:
        return [_value(buffer, one.kind, one.value, one.end) for one in elements(buffer, start)]
    return Leaf(kind, buffer[start:end])


def parse_value(value: object) -> Value:
    """Return a value that :mod:`bson` can encode, decoded.

    Raises:
        ValueError: It is of no BSON type.
    """
    try:
        return decode(bson.encode({"": value}))[""]
    except (bson.errors.BSONError, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from error


def text(value: Value) -> str | None:
    """Return the text of a string; None of another value."""
    if isinstance(value, Leaf) and value.kind == Kind.STRING:
        return value.data[4:-1].decode("utf-8", "surrogateescape")
    return None


def leaf_number(value: Value) -> Number | None:
    """Return the number that a value is; None of a value of another type."""
    if not isinstance(value, Leaf):
        return None
    match value.kind:
        case Kind.INT32 | Kind.INT64:
            return Fraction(int.from_bytes(value.data, "little", signed=True))
        case Kind.DOUBLE:
            number: float = struct.unpack("<d", value.data)[0]
            return Fraction(number) if math.isfinite(number) else number
        case Kind.DECIMAL128:
            decimal: Decimal = Decimal128.from_bid(value.data).to_decimal()
            return Fraction(decimal) if decimal.is_finite() else float("nan" if decimal.is_nan() else decimal)
        case _:
            return None


def canonical(value: Value) -> bytes:
    """Return bytes that exactly the values have that a server takes for equal."""
    if isinstance(value, dict):
        inside = b"".join(_canonical_name(name) + canonical(one) for name, one in value.items())
        return bytes([Kind.DOCUMENT]) + inside + b"\0"
    if isinstance(value, list):
        return bytes([Kind.ARRAY]) + b"".join(map(canonical, value)) + b"\0"
    number = leaf_number(value)
    if number is not None:
        # In hexadecimal: a decimal may have 6,000 digits, which take long to convert.
        spelled = f"{number.numerator:x}/{number.denominator:x}" if isinstance(number, Fraction) else str(number)
        return b"\1" + spelled.encode() + b"\0"
    kind = int(Kind.STRING if value.kind in _TEXTS else value.kind)
    return bytes([kind]) + bytes(value.data)


def _canonical_name(name: str) -> bytes:
    # No name has a NUL, and no type byte is 1 but that of a number, whose text begins with no control character.
    return b"\xfe" + name.encode("utf-8", "surrogateescape") + b"\0"
