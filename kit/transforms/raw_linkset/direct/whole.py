"""A whole run of observations at once: of a document nothing is made but the bytes it gains.

What ``RawLinkset.apply`` does with one document after the other, in objects for each, is done here at offsets into the
run. Any document that is not plainly an observation with one source of its ``rawLinkset`` is handed back, alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from kit.documents.elements import index
from kit.documents.loops import last_of
from kit.errors import KitError
from kit.transforms.change import Change, Rewritten, Summed
from kit.transforms.projections import is_linkset, is_shape_v1
from kit.transforms.raw_linkset import outcomes, shape
from kit.transforms.raw_linkset.direct.agreement import agrees
from kit.transforms.raw_linkset.direct.keyed import Keyed, split
from kit.transforms.raw_linkset.direct.levels import Level
from kit.transforms.raw_linkset.direct.scanning import DOCUMENT, STRING, Doubt, opened, text
from kit.transforms.raw_linkset.keys import NONE_SKIPPED, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_extensions import i64

    from kit.transforms.raw_linkset.direct.asked import Asked, Direct

_HEAD: Final = 1 + len(shape.RAW_LINKSET) + 1
"""Bytes of an element before its value."""
_INT32_MAX: Final = 2**31 - 1


_content_name, _in_content = split(shape.OBSERVATION.format, shape.OBSERVATION.raw)
_, _at_top = split(shape.OBSERVATION.linkset)
_keyed: Final = Keyed(shape.OBSERVATION, [*_at_top, _content_name, shape.RAW_LINKSET.encode()])
_top: Final = _keyed.top
_inner: Final = Level(_in_content)
_tenant: Final = _top.marks[0]
_linkset: Final = _top.marks[1]
_content: Final = _top.marks[2]
_present: Final = _top.marks[3]
_format: Final = _inner.marks[0]
_raw: Final = _inner.marks[1]


@final
class _Tenant:
    """Documents of one tenant, by what became of them."""

    def __init__(self, name: str, *, selected: bool) -> None:
        self.name = name
        self.selected = selected
        self.from_snapshot: i64 = 0
        self.from_cache: i64 = 0
        self.from_content: i64 = 0
        self.present: i64 = 0
        self.not_selected: i64 = 0

    def gained(self, kind: bytes) -> None:
        """Count one more document, by the kind of its source."""
        if not kind:
            self.from_content += 1
        elif kind == SNAPSHOT:
            self.from_snapshot += 1
        else:
            self.from_cache += 1


@final
class _Tenants:
    """The tenants of a run by the bytes of their names."""

    def __init__(self, selected: frozenset[str] | None) -> None:
        self._selected = selected
        self._latest = b""
        self.none = self._new("")
        self._met = {b"": self.none}
        self._of_latest = self.none

    def of(self, buffer: bytes) -> _Tenant:
        """Give the tenant of the document just walked.

        Raises:
            Doubt: The string is malformed.
            UnicodeDecodeError: It is not UTF-8.
        """
        if _tenant.kind != STRING:
            return self.none
        name = buffer[_tenant.start + 4 : _tenant.end - 1]
        if name == self._latest and not buffer[_tenant.end - 1]:
            return self._of_latest
        text(buffer, _tenant.kind, _tenant.start, _tenant.end)
        found = self._met.get(name)
        if found is None:
            found = self._met[name] = self._new(name.decode())
        self._latest, self._of_latest = name, found
        return found

    def summed(self, others: Sequence[Change]) -> Summed:
        """Add up what was counted here and what ``others`` came to."""
        summed = Summed(others)
        for tenant in self._met.values():
            for outcome, documents in (
                (outcomes.FROM_SNAPSHOT, tenant.from_snapshot),
                (outcomes.FROM_CACHE, tenant.from_cache),
                (outcomes.FROM_CONTENT, tenant.from_content),
                (outcomes.PRESENT, tenant.present),
                (outcomes.NOT_SELECTED, tenant.not_selected),
            ):
                if documents:
                    key = tenant.name, outcome
                    summed.outcomes[key] = summed.outcomes.get(key, 0) + documents
        return summed

    def _new(self, name: str) -> _Tenant:
        return _Tenant(name, selected=self._selected is None or name in self._selected)


@final
class _Sources:
    """What may give an observation its ``rawLinkset``.

    Attributes:
        latest: The kind of what gave the latest; empty for its own content.
    """

    def __init__(self, asked: Asked, tenants: _Tenants, data: bytes, ends: Sequence[int]) -> None:
        """Look up what the kit has for all documents of a run at once."""
        self.latest = b""
        self._reader_of = asked.reader_of
        self._readers: dict[bytes, Direct | None] = {}
        self._kinds = list(asked.kinds)
        self._keys: list[bytes | None] = []
        self._found: Mapping[bytes, Sequence[bytes]] = {}
        if self._kinds:
            self._keys = _keys(data, ends, tenants, asked.database)
            self._found = asked.lookup.find([kind + key for kind in self._kinds for key in self._keys if key])

    def element(self, data: bytes, number: int) -> bytes:
        """Give what the document just walked, of that number, gains.

        Raises:
            Doubt: There is nothing plain, or more than one thing.
            KitError: A level on the way is malformed.
        """
        if self._kinds:
            key = self._keys[number]
            if key is None:
                raise Doubt
            for kind in self._kinds if key else ():
                values = self._found.get(kind + key)
                if values is not None:
                    value = values[0]
                    if len(values) > 1 or not value.startswith(NONE_SKIPPED):
                        raise Doubt
                    self.latest = kind
                    return value[len(NONE_SKIPPED) :]
        self.latest = b""
        return self._of_content(data)

    def _of_content(self, data: bytes) -> bytes:
        if _content.kind != DOCUMENT:
            raise Doubt
        _inner.walk(data, _content.start, opened(data, _content.kind, _content.start, _content.end, DOCUMENT))
        if _raw.kind != DOCUMENT or _format.kind != STRING:
            raise Doubt
        name = data[_format.start : _format.end]
        if name not in self._readers:
            text(data, _format.kind, _format.start, _format.end)
            self._readers[name] = self._reader_of(name[4:-1].decode())
        read = self._readers[name]
        element = read(data, index(data, _raw.start)) if read is not None else None
        if element is None:
            raise Doubt
        return element


def _keys(data: bytes, ends: Sequence[int], tenants: _Tenants, database: bytes) -> list[bytes | None]:
    """Give by what each document is looked up; empty where it is not, None in doubt."""
    keys: list[bytes | None] = []
    start: i64 = 0
    for end in ends:
        keys.append(_key(data, start, end, tenants, database))
        start = end
    return keys


def _key(data: bytes, start: i64, end: i64, tenants: _Tenants, database: bytes) -> bytes | None:
    try:
        if last_of(data, start, end) != end - 1:
            return None
        _top.walk(data, start, end - 1)
        return _keyed.key(data, database) if not _present.kind and tenants.of(data).selected else b""
    except (Doubt, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def rewrite(data: bytes, ends: Sequence[int], asked: Asked) -> Rewritten:
    """Give every observation of a run its ``rawLinkset``, as ``RawLinkset.apply`` does.

    Args:
        data: The documents, back to back.
        ends: Offset after each.
        asked: What else is needed.

    Raises:
        KitError: Of ``asked.alone`` or of its lookup.
    """
    tenants = _Tenants(asked.tenants)
    sources = _Sources(asked, tenants, data, ends)
    parts: list[bytes] = []
    touched = [False] * len(ends)
    others: list[Change] = []
    start: i64 = 0
    kept: i64 = 0  # everything before this is in parts
    for number, end in enumerate(ends):
        element = _element(data, start, end, number, tenants, sources)
        if element is None:
            change = asked.alone(data[start:end], number)
            others.append(change)
            new = change.document
            if new is not None:
                parts.append(data[kept:start])
                parts.append(new)
                kept = end
                touched[number] = True
        elif element:
            if kept < start:
                parts.append(data[kept:start])
            size: int = end - start + len(element)
            parts.append(size.to_bytes(4, "little"))
            parts.append(data[start + 4 : end - 1])
            parts.append(element)
            parts.append(b"\0")
            kept = end
            touched[number] = True
        start = end
    body = b"".join([*parts, data[kept:]]) if kept else data
    return Rewritten(body, touched, tenants.summed(others))


def _element(  # noqa: PLR0917  called for every document of a kit
    data: bytes, start: i64, end: i64, number: int, tenants: _Tenants, sources: _Sources
) -> bytes | None:
    """Give the element that the document ``[start, end)`` gains; empty if it gains none, None in doubt."""
    try:
        return _gained(data, start, end, number, tenants, sources)
    except (Doubt, KitError, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def _gained(  # noqa: PLR0917
    data: bytes, start: i64, end: i64, number: int, tenants: _Tenants, sources: _Sources
) -> bytes:
    if last_of(data, start, end) != end - 1:
        raise Doubt
    _top.walk(data, start, end - 1)
    tenant = tenants.of(data)
    if _present.kind:
        # Whatever is no projection is named, document by document.
        if _present.kind != DOCUMENT or not is_linkset(data, _linkset.kind, _linkset.start):
            raise Doubt
        if not is_shape_v1(data, _present.start, _present.end):
            raise Doubt
        tenant.present += 1
        return b""
    if not tenant.selected:
        tenant.not_selected += 1
        return b""
    element = sources.element(data, number)
    # What is appended is one whole document by its own length, and a length can say what comes of it.
    if last_of(element, _HEAD, len(element)) != len(element) - 1 or end - start + len(element) > _INT32_MAX:
        raise Doubt
    if not is_linkset(data, _linkset.kind, _linkset.start) or not agrees(element, data, _linkset.start):
        raise Doubt
    tenant.gained(sources.latest)
    return element
