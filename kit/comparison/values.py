"""Renders a value of a document, short enough for one cell of a table.

Laws: the text has at most :data:`MAX_LENGTH` characters, whatever the value is. Documents are counted, never shown: a
report must not disclose what one holds, plaintext included, only because it is small.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections.abc import Callable, Mapping

from kit.documents import Kind, elements, string_at

MAX_LENGTH = 60
"""Maximum characters of a value."""
_ALIKE = 30
"""Two long texts are cut if their common prefix is longer; half as many characters of it stay."""
_MAX_NAME = 160
"""Maximum characters of an identifying name (a tenant, an upstream id) before it is cut."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAMES = {kind: kind.name.lower().replace("_", " ") for kind in Kind}


def render_value(kind: int, value: bytes) -> str:
    """Return a value of a well-formed document as text: strings quoted and cut, documents and lists counted."""
    spell = _SPELLED.get(kind)
    return spell(value) if spell is not None else f"{kind_name(kind)} of {len(value):,} bytes"


def render_pair(kind: int, before: bytes, after: bytes) -> tuple[str, str]:
    """Return two values of one type as text; long strings from shortly before their first difference."""
    if kind != Kind.STRING:
        return render_value(kind, before), render_value(kind, after)
    one, two = (string_at(value, (kind, 0, len(value))) for value in (before, after))
    pairs = enumerate(zip(one, two, strict=False))
    alike = next((place for place, (left, right) in pairs if left != right), min(len(one), len(two)))
    if alike <= _ALIKE or max(len(one), len(two)) <= MAX_LENGTH - 2:
        return _quote(one), _quote(two)
    start = alike - _ALIKE // 2
    return f"…{_quote(one[start:])}", f"…{_quote(two[start:])}"


def kind_name(kind: int) -> str:
    """Return the name of a type."""
    return _NAMES[Kind(kind)]


def bound_name(text: str) -> str:
    """Return a name; one longer than any sound name is cut, and its digest appended.

    Law: two names are equal exactly if the results are, except for a SHA-256 collision.
    """
    if len(text) <= _MAX_NAME:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:_MAX_NAME]}… (SHA-256 {digest})"


def _quote(text: str) -> str:
    spelled = repr(text[: MAX_LENGTH + 1])[1:-1]
    return f'"{spelled}"' if len(spelled) <= MAX_LENGTH - 2 else f'"{spelled[: MAX_LENGTH - 3]}…"'


def _moment(milliseconds: int) -> str:
    try:
        moment = _EPOCH + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds") + "Z"


def render_document(count: int) -> str:
    """Return the text for a document of ``count`` elements."""
    return _of("document", count, "elements")


def _of(what: str, count: int, members: str) -> str:
    return f"{what} of {count:,} {members if count != 1 else members.removesuffix('s')}"


def _count_members(what: str, members: str) -> Callable[[bytes], str]:
    return lambda value: _of(what, sum(1 for _ in elements(value)), members)


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "little", signed=True)


_SPELLED: Mapping[int, Callable[[bytes], str]] = {
    Kind.STRING: lambda value: _quote(string_at(value, (Kind.STRING, 0, len(value)))),
    Kind.DOCUMENT: _count_members("document", "elements"),
    Kind.ARRAY: _count_members("list", "members"),
    Kind.INT32: lambda value: str(_integer(value)),
    Kind.INT64: lambda value: str(_integer(value)),
    Kind.DOUBLE: lambda value: repr(struct.unpack("<d", value)[0]),
    Kind.BOOLEAN: lambda value: "true" if value[0] else "false",
    Kind.NULL: lambda _: "null",
    Kind.OBJECT_ID: lambda value: value.hex(),
    Kind.DATETIME: lambda value: _moment(_integer(value)),
}
