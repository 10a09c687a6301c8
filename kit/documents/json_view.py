"""One JSON text as the BSON document that it represents: what everything that looks into documents is shown.

The text is what is kept, digested and written; the view is only looked at, so it may hold a number less exactly than
the text (schemas/json-collections.md, "The view"). Laws: the view depends on the text alone; two texts that differ in
blanks, escapes and the spelling of numbers alone have equal views; whatever the bytes are, the outcome is a view or an
error that names the byte, in linear time, without recursion.

Strict (RFC 8259, RFC 7493): an object at the top, UTF-8, no name twice in an object, no lone surrogate, no number
beyond a double. Objects with a type name of Extended JSON v2 are that type, or an error.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from kit.documents import core
from kit.documents.elements import index
from kit.documents.extended_json import TYPE_NAMES, typed
from kit.documents.kinds import INT32, Kind
from kit.errors import BsonError, KitError
from kit.values import Limits

_ID, _OTHER_ID = b"_id", b"id"
_BLANKS: Final = re.compile(rb"[ \t\n\r]*+")
# A string without escapes; one with them; a number; a word; a mark. What matches none of them is a fault.
_TOKEN: Final = re.compile(
    rb'"([^"\\\x00-\x1f]*+)"|"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"'
    rb"|(-?(?:0|[1-9][0-9]*+)(?:(\.[0-9]++)?(?:([eE])[+-]?[0-9]++)?))|(true|false|null)|([{}\[\],:])"
)
MARK: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{\[]|[}\]]', re.DOTALL)
"""A string, complete or cut off, or a mark that opens or closes."""
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final = {b"true": (Kind.BOOLEAN, b"\1"), b"false": (Kind.BOOLEAN, b"\0"), b"null": (Kind.NULL, b"")}
_MAX_BOUND: Final = 2**31
_MAX_DIGITS: Final = 20
"""No 64-bit integer is longer, its sign included."""


class Value(NamedTuple):
    """A value of the view."""

    kind: int
    data: bytes
    is_typed: bool = False
    """Whether an object with a type name represents it."""


class _Open:
    """An object or array that is being read."""

    __slots__ = ("at", "has_type", "is_array", "members", "name")

    def __init__(self, at: int, *, is_array: bool) -> None:
        self.at = at
        self.is_array = is_array
        self.members: dict[bytes, Value] = {}
        self.name: bytes | None = None
        self.has_type = False

    def add(self, value: Value) -> None:
        name = b"%d" % len(self.members) if self.name is None else self.name
        self.members[name] = value
        self.name = None

    def close(self) -> Value:
        if self.has_type:
            return Value(*typed(self.members, self.at), is_typed=True)
        return Value(Kind.ARRAY if self.is_array else Kind.DOCUMENT, encode_document(self.members))


def view(text: bytes, *, limits: Limits, start: int = 0) -> bytes:
    """Return the BSON document that a JSON text represents.

    Where the text has no ``_id``, and an ``id``, the view begins with an ``_id`` of the same value.

    Args:
        text: The text of one object, without blanks around it.
        limits: ``document_bytes``, ``document_depth`` and ``document_elements`` apply.
        start: Offset of the text in what it is from, for messages.

    Raises:
        BsonError: It is not one strict JSON object, or an object with a type name is not of that type; or ``_id`` and
            ``id`` are there and differ. Names the byte.
        LimitError: It is over a limit.
    """
    limits.check("document_bytes", len(text), where=f"byte {start}")
    try:
        top = _parse(text, limits)
    except BsonError as error:
        at = int(error.where.removeprefix("byte "))
        raise BsonError(error.what, where=f"byte {start + at}") from error.__cause__
    members = top.members
    if _OTHER_ID in members and _ID not in members:
        members = {_ID: members[_OTHER_ID], **members}
    elif _OTHER_ID in members and members[_OTHER_ID] != members[_ID]:
        raise BsonError("has an _id and an id that differ", where=f"byte {start}")
    found = encode_document(members)
    limits.check("document_bytes", len(found), where=f"byte {start}")
    return found


def views(
    data: bytes, spans: Sequence[tuple[int, int]], *, limits: Limits, start: int = 0, first: int = 0
) -> list[bytes]:
    """Return the views of several texts.

    Args:
        data: What the texts are in.
        spans: Begin and end of each.
        limits: As of :func:`view`.
        start: Offset of the data in what it is from, for messages.
        first: Ordinal of the first text, for messages.

    Raises:
        KitError: As :func:`view`; names the ordinal, too.
    """
    most = (_bounded(limits.document_bytes), _bounded(limits.document_depth), _bounded(limits.document_elements))
    seen = core.json_views(data, spans, most) if core.json_views is not None else None
    if seen is None:
        return [
            _named_view(data[begin:end], limits, start + begin, number)
            for number, (begin, end) in enumerate(spans, first)
        ]
    body, ends, alone = seen
    found = [body[begin:end] for begin, end in zip((0, *ends), ends, strict=False)]
    for number in alone:
        begin, end = spans[number]
        found[number] = _named_view(data[begin:end], limits, start + begin, first + number)
    return found


def value_places(text: bytes, start: int = 0) -> dict[bytes, tuple[int, int]]:
    """Return where the value of each member of an object begins and ends, by name, in their order.

    Args:
        text: A text that :func:`view` has read.
        start: Where the object begins in it.

    Raises:
        BsonError: It is no object.
    """
    found: dict[bytes, tuple[int, int]] = {}
    at = after_blanks(text, start + 1)
    while text[at : at + 1] != b"}":
        name = _TOKEN.match(text, at)
        if name is None or (name[1] is None and name[2] is None):
            raise _fault(text, at)
        begin = after_blanks(text, after_blanks(text, name.end()) + 1)
        end = _end_of_value(text, begin)
        found[_name(name[1], name[2], at)] = begin, end
        at = after_blanks(text, end)
        if text[at : at + 1] == b",":
            at = after_blanks(text, at + 1)
    return found


def _end_of_value(text: bytes, at: int) -> int:
    if text[at : at + 1] not in {b"{", b"["}:
        found = _TOKEN.match(text, at)
        if found is None:
            raise _fault(text, at)
        return found.end()
    depth = 0
    for mark in MARK.finditer(text, at):
        first = mark[0][:1]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
            if not depth:
                return mark.end()
    raise _fault(text, len(text))


def view_value(text: bytes, *, limits: Limits) -> tuple[int, bytes]:
    """Return type and value bytes of what the text of one value represents.

    Raises:
        BsonError: It is not one strict JSON value, without blanks around it.
        LimitError: It is over a limit.
    """
    wrapped = b'{"":%b}' % text
    document = view(wrapped, limits=limits)
    found = index(document)
    if len(found) != 1 or value_places(wrapped)[b""] != (4, 4 + len(text)):
        raise BsonError("is not one JSON value", where="byte 0")
    kind, start, end = found[b""]
    return kind, document[start:end]


def _bounded(limit: int) -> int:
    return min(limit, _MAX_BOUND)


def _named_view(text: bytes, limits: Limits, start: int, ordinal: int) -> bytes:
    try:
        return view(text, limits=limits, start=start)
    except KitError as error:
        raise error.inside(f"document {ordinal}") from error.__cause__


def _parse(text: bytes, limits: Limits) -> _Open:  # noqa: C901, PLR0912, PLR0915  one state machine
    """Return the object at the top; offsets of errors are within the text."""
    if text[:1] != b"{":
        raise BsonError("is no JSON object", where="byte 0")
    token = _TOKEN.match
    current = _Open(0, is_array=False)
    outer: list[_Open] = []
    at, size, count = 1, len(text), 0
    comma = False  # whether the last mark was a comma
    complete = False  # whether the last thing was a value, so that only a comma or the end may follow
    while True:
        at = after_blanks(text, at)
        found = token(text, at)
        if found is None:
            raise _fault(text, at)
        mark = found[7]
        plain, escaped = found[1], found[2]
        if complete:
            if mark == b",":
                complete, comma = False, True
            elif mark == (b"]" if current.is_array else b"}"):
                at = found.end()
                if not outer:
                    if at != size:
                        raise BsonError("something follows the object", where=f"byte {at}")
                    return _checked_top(current)
                value = current.close()
                current = outer.pop()
                current.add(value)
                continue
            else:
                raise _unexpected(text, at)
        elif not current.is_array and current.name is None:
            if plain is None and escaped is None:
                if mark != b"}" or comma or current.members:
                    raise _unexpected(text, at)
                complete = True
                continue
            name = _name(plain, escaped, at)
            if name in current.members:
                raise BsonError("a name is there twice in an object", where=f"byte {at}")
            current.name = name
            current.has_type = current.has_type or name in TYPE_NAMES
            after = after_blanks(text, found.end())
            if text[after : after + 1] != b":":
                raise _unexpected(text, after)
            at, comma = after + 1, False
            continue
        elif mark == b"{" or mark == b"[":  # noqa: PLR1714  half the cost
            count = _counted(count, limits, at)
            limits.check("document_depth", len(outer) + 2, where=f"byte {at}")
            outer.append(current)
            current = _Open(at, is_array=mark == b"[")
            comma = False
        elif mark == b"]" and current.is_array and not comma and not current.members:
            complete = True
            continue
        elif mark:
            raise _unexpected(text, at)
        else:
            count = _counted(count, limits, at)
            current.add(_scalar(found, at))
            complete, comma = True, False
        at = found.end()


def after_blanks(data: bytes, at: int) -> int:
    """Return the offset of the next byte that is no blank, or of the end."""
    found = _BLANKS.match(data, at)
    return found.end() if found is not None else at


def _counted(count: int, limits: Limits, at: int) -> int:
    if count >= limits.document_elements:
        limits.check("document_elements", count + 1, where=f"byte {at}")
    return count + 1


def _checked_top(top: _Open) -> _Open:
    if top.has_type:
        raise BsonError("an object with a type name is no document", where="byte 0")
    return top


def _scalar(found: re.Match[bytes], at: int) -> Value:
    if found[3] is not None:
        return _number(found, at)
    if found[6] is not None:
        return Value(*_WORDS[found[6]])
    text = _string(found[1], found[2], at)
    return Value(Kind.STRING, b"%b%b\0" % (INT32.pack(len(text) + 1), text))


def _number(found: re.Match[bytes], at: int) -> Value:
    digits = found[3]
    if found[4] is None and found[5] is None and len(digits) <= _MAX_DIGITS:
        whole = int(digits)
        if -(2**31) <= whole < 2**31:
            return Value(Kind.INT32, INT32.pack(whole))
        if -(2**63) <= whole < 2**63:
            return Value(Kind.INT64, struct.pack("<q", whole))
    double = float(digits)
    if math.isinf(double):
        raise BsonError("a number is beyond a double", where=f"byte {at}")
    return Value(Kind.DOUBLE, struct.pack("<d", double))


def _name(plain: bytes | None, escaped: bytes | None, at: int) -> bytes:
    name = _string(plain, escaped, at)
    if b"\0" in name:
        raise BsonError("a name contains NUL", where=f"byte {at}")
    return name


def _string(plain: bytes | None, escaped: bytes | None, at: int) -> bytes:
    """Return the text of a string as UTF-8."""
    raw = escaped if plain is None else plain
    if raw is None:
        return b""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BsonError("a string is not UTF-8", where=f"byte {at}") from error
    if plain is not None:
        return plain
    # Each escape is at most one unit of UTF-16, and two halves are one character.
    joined = _ESCAPE.sub(_unescape, text).encode("utf-16-le", "surrogatepass")
    try:
        return joined.decode("utf-16-le").encode()
    except UnicodeDecodeError as error:
        raise BsonError("a string has a lone surrogate", where=f"byte {at}") from error


def _unescape(escape: re.Match[str]) -> str:
    digits, letter = escape[1], escape[2]
    return chr(int(digits, 16)) if digits is not None else _ESCAPES.get(letter, letter)


def _fault(text: bytes, at: int) -> BsonError:
    if at >= len(text):
        return BsonError("ends inside the object", where=f"byte {len(text)}")
    return _unexpected(text, at)


def _unexpected(text: bytes, at: int) -> BsonError:
    if at >= len(text):
        return BsonError("ends inside the object", where=f"byte {len(text)}")
    return BsonError("is no JSON here", where=f"byte {at}")


def encode_document(members: Mapping[bytes, Value]) -> bytes:
    """Return a BSON document of values."""
    body = b"".join([b"%c%b\0%b" % (value.kind, name, value.data) for name, value in members.items()])
    return b"%b%b\0" % (INT32.pack(len(body) + 5), body)
