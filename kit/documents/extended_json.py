"""The type names of MongoDB Extended JSON v2, canonical and relaxed, and the values that they name.

https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md. An object that has one of
these names is of that type in exactly the shape of the specification, or an error: a reader that took it for a plain
object would show something else than a database that imports it. ``$ref`` and ``$id`` of a DBRef are plain names, as in
BSON, and so is every other name with a dollar: upstream documents have some (``$schema``).
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from kit.documents.elements import index
from kit.documents.kinds import INT32, Kind
from kit.errors import BsonError

Typed: TypeAlias = tuple[int, bytes]
Given: TypeAlias = Mapping[bytes, tuple[int, bytes, bool]]
"""Name → kind, value bytes, and whether an object with a type name has the value."""

_HEX_ID: Final = re.compile(rb"[0-9a-fA-F]{24}")
_SUBTYPE: Final = re.compile(rb"[0-9a-fA-F]{1,2}")
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WHOLE: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_DOUBLE: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DECIMAL: Final = re.compile(rb"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[Ii]nf(?:inity)?|NaN)")
_SPECIAL: Final = {
    b"Infinity": b"\0\0\0\0\0\0\xf0\x7f",
    b"-Infinity": b"\0\0\0\0\0\0\xf0\xff",
    b"NaN": b"\0\0\0\0\0\0\xf8\x7f",
}
_MOMENT: Final = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,3})[0-9]*)?"
    rb"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))"
)
_OLD_BINARY = 2
_MAX_TIMESTAMP = 2**32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def typed(given: Given, at: int) -> Typed:
    """Return kind and value bytes of an object that has a type name.

    Args:
        given: Its members.
        at: Where it begins, for messages.

    Raises:
        BsonError: It is not of the shape of that type.
    """
    named = [name for name in given if name in TYPE_NAMES]
    read = _READERS.get(b" ".join(sorted(given)))
    found = read(given) if read is not None else None
    if found is None:
        name = named[0].decode()
        raise BsonError(f"is not a {name} as Extended JSON has it", where=f"byte {at}")
    return found


def _text(given: Given, name: bytes) -> bytes | None:
    kind, data, is_typed = given[name]
    return data[4:-1] if kind == Kind.STRING and not is_typed else None


def _matching(given: Given, name: bytes, pattern: re.Pattern[bytes]) -> bytes | None:
    text = _text(given, name)
    return text if text is not None and pattern.fullmatch(text) else None


def _object_id(given: Given) -> Typed | None:
    text = _matching(given, b"$oid", _HEX_ID)
    return (Kind.OBJECT_ID, bytes.fromhex(text.decode())) if text is not None else None


def _int32(given: Given) -> Typed | None:
    text = _matching(given, b"$numberInt", _WHOLE)
    fits = text is not None and -(2**31) <= int(text) < 2**31
    return (Kind.INT32, INT32.pack(int(text))) if text is not None and fits else None


def _int64(given: Given) -> Typed | None:
    text = _matching(given, b"$numberLong", _WHOLE)
    fits = text is not None and -(2**63) <= int(text) < 2**63
    return (Kind.INT64, struct.pack("<q", int(text))) if text is not None and fits else None


def _double(given: Given) -> Typed | None:
    text = _text(given, b"$numberDouble")
    if text in _SPECIAL:
        return Kind.DOUBLE, _SPECIAL[text]
    if text is None or not _DOUBLE.fullmatch(text):
        return None
    data = struct.pack("<d", float(text))
    return (Kind.DOUBLE, data) if data not in _SPECIAL.values() else None


def _decimal(given: Given) -> Typed | None:
    text = _matching(given, b"$numberDecimal", _DECIMAL)
    if text is None:
        return None
    from decimal import DecimalException  # noqa: PLC0415  rare

    from bson.decimal128 import Decimal128  # noqa: PLC0415

    try:
        return Kind.DECIMAL128, Decimal128(text.decode()).bid
    except (DecimalException, ValueError):
        return None


def _string_of(kind: Kind, name: bytes) -> Callable[[Given], Typed | None]:
    def read(given: Given) -> Typed | None:
        found, data, is_typed = given[name]
        return (kind, data) if found == Kind.STRING and not is_typed else None

    return read


def _inner(given: Given, name: bytes, *names: bytes) -> Given | None:
    """Return the members of a plain object that must have exactly these names."""
    kind, data, is_typed = given[name]
    if kind != Kind.DOCUMENT or is_typed:
        return None
    # An int64 that is not typed is a number beyond 32 bits.
    found = {inner: (kind, data[at:end], False) for inner, (kind, at, end) in index(data).items()}
    return found if set(found) == set(names) else None


def _binary(given: Given) -> Typed | None:
    inner = _inner(given, b"$binary", b"base64", b"subType")
    if inner is None:
        return None
    text, subtype = _text(inner, b"base64"), _matching(inner, b"subType", _SUBTYPE)
    if text is None or subtype is None:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return Kind.BINARY, _binary_value(int(subtype, 16), data)


def _binary_value(subtype: int, data: bytes) -> bytes:
    content = INT32.pack(len(data)) + data if subtype == _OLD_BINARY else data
    return INT32.pack(len(content)) + bytes((subtype,)) + content


def _uuid(given: Given) -> Typed | None:
    text = _matching(given, b"$uuid", _UUID)
    return (Kind.BINARY, _binary_value(4, bytes.fromhex(text.decode().replace("-", "")))) if text else None


def _code(given: Given) -> Typed | None:
    kind, code, is_typed = given[b"$code"]
    if kind != Kind.STRING or is_typed:
        return None
    if b"$scope" not in given:
        return Kind.CODE, code
    kind, scope, is_typed = given[b"$scope"]
    if kind != Kind.DOCUMENT or is_typed:
        return None
    return Kind.CODE_WITH_SCOPE, INT32.pack(4 + len(code) + len(scope)) + code + scope


def _timestamp(given: Given) -> Typed | None:
    inner = _inner(given, b"$timestamp", b"t", b"i")
    if inner is None:
        return None
    numbers = []
    for name in (b"i", b"t"):
        kind, data, _ = inner[name]
        number = int.from_bytes(data, "little", signed=True) if kind in {Kind.INT32, Kind.INT64} else -1
        if not 0 <= number < _MAX_TIMESTAMP:
            return None
        numbers.append(number)
    return Kind.TIMESTAMP, struct.pack("<II", *numbers)


def _regex(given: Given) -> Typed | None:
    inner = _inner(given, b"$regularExpression", b"pattern", b"options")
    if inner is None:
        return None
    pattern, options = _text(inner, b"pattern"), _text(inner, b"options")
    if pattern is None or options is None or b"\0" in pattern + options:
        return None
    return Kind.REGEX, b"%b\0%b\0" % (pattern, bytes(sorted(options)))


def _pointer(given: Given) -> Typed | None:
    kind, data, is_typed = given[b"$dbPointer"]
    if kind != Kind.DOCUMENT or is_typed:
        return None
    places = index(data)
    if set(places) != {b"$ref", b"$id"}:
        return None
    (of, at, end), (id_kind, id_at, id_end) = places[b"$ref"], places[b"$id"]
    return (Kind.DB_POINTER, data[at:end] + data[id_at:id_end]) if (of, id_kind) == (Kind.STRING, 7) else None


def _date(given: Given) -> Typed | None:
    kind, data, is_typed = given[b"$date"]
    if kind == Kind.INT64 and is_typed:
        return Kind.DATETIME, data
    found = _MOMENT.fullmatch(data[4:-1]) if kind == Kind.STRING and not is_typed else None
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[number]) for number in range(1, 7))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    shift = (int(found[9]) * 60 + int(found[10])) * (-1 if found[8] == b"-" else 1) if found[8] else 0
    milliseconds = int((found[7] or b"0").ljust(3, b"0"))
    since = moment - _EPOCH
    return Kind.DATETIME, struct.pack("<q", (since.days * 86_400 + since.seconds - shift * 60) * 1000 + milliseconds)


def _constant(kind: Kind, name: bytes, due: Typed) -> Callable[[Given], Typed | None]:
    return lambda given: (kind, b"") if given[name] == (*due, False) else None


_ONE: Final = (Kind.INT32, INT32.pack(1))
_READERS: Final[Mapping[bytes, Callable[[Given], Typed | None]]] = {
    b"$oid": _object_id,
    b"$symbol": _string_of(Kind.SYMBOL, b"$symbol"),
    b"$numberInt": _int32,
    b"$numberLong": _int64,
    b"$numberDouble": _double,
    b"$numberDecimal": _decimal,
    b"$binary": _binary,
    b"$uuid": _uuid,
    b"$code": _code,
    b"$code $scope": _code,
    b"$timestamp": _timestamp,
    b"$regularExpression": _regex,
    b"$dbPointer": _pointer,
    b"$date": _date,
    b"$minKey": _constant(Kind.MIN_KEY, b"$minKey", _ONE),
    b"$maxKey": _constant(Kind.MAX_KEY, b"$maxKey", _ONE),
    b"$undefined": _constant(Kind.UNDEFINED, b"$undefined", (Kind.BOOLEAN, b"\1")),
}
TYPE_NAMES: Final = frozenset(name for names in _READERS for name in names.split())
"""The names that make an object a value of another type."""
