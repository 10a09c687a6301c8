"""A value of a document, short enough for one cell of a table.

Law: whatever the value is, what is shown is at most :data:`LONGEST` characters; a document is never shown but counted,
so that what was put aside in one (plaintext included) does not come out in a report by its size alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections.abc import Callable, Mapping

from kit.documents import Kind, elements, string_at

LONGEST = 60
"""Characters of a value."""
_ALIKE = 30
"""Characters at the beginning of two texts that are left out if both have them; half as many stay."""
_LONGEST_NAME = 160
"""Characters of a name that identifies something (a tenant, an upstream id), before it is cut."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAMES = {kind: kind.name.lower().replace("_", " ") for kind in Kind}


def shown(kind: int, value: bytes) -> str:
    """Show a value of a well-formed document: text quoted and cut, numbers as they are, documents and lists counted."""
    spell = _SPELLED.get(kind)
    return spell(value) if spell is not None else f"{kind_name(kind)} of {len(value):,} bytes"


def shown_both(kind: int, before: bytes, after: bytes) -> tuple[str, str]:
    """Show two values of one type; of long texts that begin alike, from a little before they part."""
    if kind != Kind.STRING:
        return shown(kind, before), shown(kind, after)
    one, two = (string_at(value, (kind, 0, len(value))) for value in (before, after))
    pairs = enumerate(zip(one, two, strict=False))
    alike = next((place for place, (left, right) in pairs if left != right), min(len(one), len(two)))
    if alike <= _ALIKE or max(len(one), len(two)) <= LONGEST - 2:
        return _quoted(one), _quoted(two)
    start = alike - _ALIKE // 2
    return f"…{_quoted(one[start:])}", f"…{_quoted(two[start:])}"


def kind_name(kind: int) -> str:
    """Name a type."""
    return _NAMES[Kind(kind)]


def bounded(text: str) -> str:
    """Give a name back; one that is longer than any sound name is cut and told apart by its digest.

    Law: two names are equal exactly if what is given for them is (but for a meeting of SHA-256 digests).
    """
    if len(text) <= _LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:_LONGEST_NAME]}… (SHA-256 {digest})"


def _quoted(text: str) -> str:
    spelled = repr(text[: LONGEST + 1])[1:-1]
    return f'"{spelled}"' if len(spelled) <= LONGEST - 2 else f'"{spelled[: LONGEST - 3]}…"'


def _moment(milliseconds: int) -> str:
    try:
        moment = _EPOCH + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds") + "Z"


def document_of(count: int) -> str:
    """Show a document of so many elements."""
    return _of("document", count, "elements")


def _of(what: str, count: int, members: str) -> str:
    return f"{what} of {count:,} {members if count != 1 else members.removesuffix('s')}"


def _counted(what: str, members: str) -> Callable[[bytes], str]:
    return lambda value: _of(what, sum(1 for _ in elements(value)), members)


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "little", signed=True)


_SPELLED: Mapping[int, Callable[[bytes], str]] = {
    Kind.STRING: lambda value: _quoted(string_at(value, (Kind.STRING, 0, len(value)))),
    Kind.DOCUMENT: _counted("document", "elements"),
    Kind.ARRAY: _counted("list", "members"),
    Kind.INT32: lambda value: str(_integer(value)),
    Kind.INT64: lambda value: str(_integer(value)),
    Kind.DOUBLE: lambda value: repr(struct.unpack("<d", value)[0]),
    Kind.BOOLEAN: lambda value: "true" if value[0] else "false",
    Kind.NULL: lambda _: "null",
    Kind.OBJECT_ID: lambda value: value.hex(),
    Kind.DATETIME: lambda value: _moment(_integer(value)),
}
