"""Which fields of a document changed, and how.

Elements are matched by name, and repeated names in order. Members of equally long lists are matched by position; those
of other lists are compared as bags. A path has ``*`` for the position in a list, so that the same change in many
documents, or many members, is one path. The walk keeps its own stack, so depth costs no Python stack. Equal parts are
skipped as bytes. Only differing levels are walked and checked: five times as fast as checking everything, measured on
observations that gained ``rawLinkset``.

A value is rendered as text short enough for one cell of a table. Laws: the text has at most :data:`MAX_LENGTH`
characters, whatever the value is; the plaintext of an encrypted value is never shown, neither before encryption nor
after decryption; documents are counted, never shown, since a report must not disclose what one holds, plaintext
included, only because it is small.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias

from kit.documents import Kind, elements, string_at
from kit.documents.elements import spell_path
from kit.encryption.envelope import looks_like
from kit.transforms.raw_linkset import shape

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


ANY = b"*"
_DOCUMENT, _ARRAY = int(Kind.DOCUMENT), int(Kind.ARRAY)
_NUMBERS = {int(Kind.INT32), int(Kind.INT64), int(Kind.DOUBLE)}
_SHOWN_MEMBERS = 3
RAW_LINKSET_FIELD = shape.RAW_LINKSET

_Value: TypeAlias = tuple[int, bytes]
"""Type byte and value bytes."""


class How(enum.Enum):
    """How a field changed, from the first document to the second."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REORDERED = "reordered"
    """The same members or elements in another order."""
    ENCRYPTED = "encrypted"
    DECRYPTED = "decrypted"

    @property
    def mirrored(self) -> How:
        """The same change, from the second document to the first."""
        return _MIRRORED.get(self, self)


_MIRRORED = {
    How.ADDED: How.REMOVED,
    How.REMOVED: How.ADDED,
    How.ENCRYPTED: How.DECRYPTED,
    How.DECRYPTED: How.ENCRYPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One path of one document. Law: ``change.mirrored().mirrored() == change``."""

    path: str
    how: How
    times: int = 1
    """Number of list members that changed in this way."""
    before: str | None = None
    """The value, shortened; None if there is none, it must not be shown, or ``times`` is not 1."""
    after: str | None = None

    def mirrored(self) -> Self:
        """Return the reverse change."""
        return type(self)(path=self.path, how=self.how.mirrored, times=self.times, before=self.after, after=self.before)


def compare(before: bytes, after: bytes) -> list[FieldChange]:
    """Return the changes, sorted by path; empty exactly if the documents are the same bytes.

    Raises:
        BsonError: One of them is malformed where it differs from the other.
    """
    found: dict[tuple[str, How], FieldChange] = {}
    for change in _walk(before, after):
        key = (change.path, change.how)
        known = found.get(key)
        found[key] = change if known is None else FieldChange(path=change.path, how=change.how, times=known.times + 1)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1].value))]


def is_migration(changes: list[FieldChange]) -> bool:
    """Return whether ``kit patch`` or its reverse explains all: rawLinkset came or went, fields were sealed."""
    return bool(changes) and all(
        change.how in {How.ENCRYPTED, How.DECRYPTED}
        or (change.path == RAW_LINKSET_FIELD and change.how in {How.ADDED, How.REMOVED})
        for change in changes
    )


def _walk(before: bytes, after: bytes) -> Iterator[FieldChange]:
    # A path is a chain of (parent, name), so that a step costs the same at any depth; it is spelled only where needed.
    waiting: list[tuple[_Path, _Value, _Value]] = [(None, (_DOCUMENT, before), (_DOCUMENT, after))]
    while waiting:
        path, old, new = waiting.pop()
        if old == new:
            continue
        if old[0] == new[0] == _DOCUMENT or (old[0] == new[0] == _ARRAY and not _are_lists(old[1], new[1])):
            yield from _documents(path, old[1], new[1], waiting)
        elif old[0] == new[0] == _ARRAY:
            yield from _lists(path, old[1], new[1], waiting)
        else:
            yield _leaf(path, old, new)


_Path: TypeAlias = "tuple[_Path, bytes] | None"


def _spell(path: _Path) -> str:
    names: list[bytes] = []
    while path is not None:
        path, name = path
        names.append(name)
    return spell_path(names[::-1]) or "(document)"


def _documents(
    path: _Path, before: bytes, after: bytes, waiting: list[tuple[_Path, _Value, _Value]]
) -> Iterator[FieldChange]:
    old, new = _elements(before), _elements(after)
    if path is not None and _is_envelope(old) != _is_envelope(new):
        yield FieldChange(path=_spell(path), how=How.DECRYPTED if _is_envelope(old) else How.ENCRYPTED)
        return
    if path is not None and _is_envelope(old):
        yield FieldChange(path=_spell(path), how=How.CHANGED, before="an envelope", after="an envelope")
        return
    for key in old.keys() - new.keys():
        yield _single(path, key[0], How.REMOVED, old[key])
    for key in new.keys() - old.keys():
        yield _single(path, key[0], How.ADDED, new[key])
    common = [key for key in old if key in new]
    if common != [key for key in new if key in old]:
        yield FieldChange(path=_spell(path), how=How.REORDERED)
    waiting.extend(((path, key[0]), old[key], new[key]) for key in common if old[key] != new[key])


def _elements(document: bytes) -> dict[tuple[bytes, int], _Value]:
    """Return the elements by (name, number of earlier elements of that name)."""
    found: dict[tuple[bytes, int], _Value] = {}
    seen: Counter[bytes] = Counter()
    for element in elements(document):
        found[element.name, seen[element.name]] = (element.kind, document[element.value : element.end])
        seen[element.name] += 1
    return found


def _is_envelope(found: Mapping[tuple[bytes, int], object]) -> bool:
    return looks_like({name for name, _ in found})


def _are_lists(before: bytes, after: bytes) -> bool:
    """Return whether both arrays are numbered from 0; others are compared as documents, so that no name is missed."""
    return all(
        element.name == b"%d" % number for array in (before, after) for number, element in enumerate(elements(array))
    )


def _members(array: bytes) -> list[_Value]:
    return [(element.kind, array[element.value : element.end]) for element in elements(array)]


def _lists(
    path: _Path, before: bytes, after: bytes, waiting: list[tuple[_Path, _Value, _Value]]
) -> Iterator[FieldChange]:
    old, new = _members(before), _members(after)
    lost, gained = Counter(old), Counter(new)
    if lost == gained:
        yield FieldChange(path=_spell(path), how=How.REORDERED)
    elif len(old) == len(new):
        waiting.extend(((path, ANY), one, two) for one, two in zip(old, new, strict=True) if one != two)
    else:
        yield FieldChange(
            path=_spell(path),
            how=How.CHANGED,
            before=_summarize(len(old), lost - gained),
            after=_summarize(len(new), gained - lost),
        )


def _summarize(length: int, only: Counter[_Value]) -> str:
    """Return the length of a list, and the members that only it has if they are few."""
    members = sorted(only.elements())
    if len(members) > _SHOWN_MEMBERS or any(kind in {_DOCUMENT, _ARRAY} for kind, _ in members):
        members = []
    only_here = f"; only here: {', '.join(render_value(*member) for member in members)}" if members else ""
    return f"{length:,} {'member' if length == 1 else 'members'}{only_here}"


def _single(path: _Path, name: bytes, how: How, value: _Value) -> FieldChange:
    text = "an envelope" if value[0] == _DOCUMENT and _is_envelope(_elements(value[1])) else render_value(*value)
    was, became = (text, None) if how is How.REMOVED else (None, text)
    return FieldChange(path=_spell((path, name)), how=how, before=was, after=became)


def _leaf(path: _Path, old: _Value, new: _Value) -> FieldChange:
    for value, how in ((new, How.ENCRYPTED), (old, How.DECRYPTED)):
        if value[0] == _DOCUMENT and _is_envelope(_elements(value[1])):
            return FieldChange(path=_spell(path), how=how)
    if old[0] == new[0]:
        before, after = render_pair(old[0], old[1], new[1])
    elif {old[0], new[0]} <= _NUMBERS:
        before, after = (f"{render_value(*value)} ({kind_name(value[0])})" for value in (old, new))
    else:
        before, after = render_value(*old), render_value(*new)
    return FieldChange(path=_spell(path), how=How.CHANGED, before=before, after=after)
