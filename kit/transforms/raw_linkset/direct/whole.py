"""A whole run of observations at once: of a document nothing is made but the bytes it gains.

What ``RawLinkset.apply`` does with one document after the other, in objects for each, is done here at offsets into the
run. Any document that is not plainly an observation whose own content gives its ``rawLinkset`` is handed back, alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from kit.documents.elements import index
from kit.documents.loops import last_of
from kit.errors import KitError
from kit.transforms.change import Change, Rewritten, Summed
from kit.transforms.raw_linkset import outcomes, shape
from kit.transforms.raw_linkset.direct.agreement import agrees
from kit.transforms.raw_linkset.direct.levels import Level
from kit.transforms.raw_linkset.direct.scanning import DOCUMENT, STRING, Doubt, opened, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_extensions import i64

    from kit.transforms.raw_linkset.direct import Direct

_NULL: Final = 10
_HEAD: Final = 1 + len(shape.RAW_LINKSET) + 1
"""Bytes of an element before its value."""
_INT32_MAX: Final = 2**31 - 1


def _within(*places: shape.Place) -> tuple[bytes, list[bytes]]:
    """Give the document that all of these stand in, and their names there."""
    (parent,) = {path[:-1] for place in places for path in place.paths}
    return ".".join(parent).encode(), [leaf.encode() for place in places for *_, leaf in place.paths]


_CONTENT, _IN_CONTENT = _within(shape.OBSERVATION.format, shape.OBSERVATION.raw)
_, _AT_TOP = _within(shape.OBSERVATION.tenant, shape.OBSERVATION.linkset)
_top: Final = Level([*_AT_TOP, _CONTENT, shape.RAW_LINKSET.encode()])
_inner: Final = Level(_IN_CONTENT)
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
        self.changed: i64 = 0
        self.present: i64 = 0
        self.null: i64 = 0
        self.not_selected: i64 = 0


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
                (outcomes.FROM_CONTENT, tenant.changed),
                (outcomes.PRESENT, tenant.present),
                (outcomes.NULL, tenant.null),
                (outcomes.NOT_SELECTED, tenant.not_selected),
            ):
                if documents:
                    key = tenant.name, outcome
                    summed.outcomes[key] = summed.outcomes.get(key, 0) + documents
        return summed

    def _new(self, name: str) -> _Tenant:
        return _Tenant(name, selected=self._selected is None or name in self._selected)


def rewrite(
    data: bytes,
    ends: Sequence[int],
    tenants: frozenset[str] | None,
    reader_of: Callable[[str], Direct | None],
    alone: Callable[[bytes, int], Change],
) -> Rewritten:
    """Give every observation of a run its ``rawLinkset``, as ``RawLinkset.apply`` does where there is no lookup.

    Args:
        data: The documents, back to back.
        ends: Offset after each.
        tenants: Only observations of these; None for all.
        reader_of: Gives how documents of a format are read directly, if they can be.
        alone: Decides about a document, of that number in the run, as ``apply`` would.

    Raises:
        KitError: Of ``alone``.
    """
    met = _Tenants(tenants)
    readers: dict[bytes, Direct | None] = {}
    parts: list[bytes] = []
    touched = [False] * len(ends)
    others: list[Change] = []
    start: i64 = 0
    kept: i64 = 0  # everything before this is in parts
    for number, end in enumerate(ends):
        element = _element(data, start, end, met, readers, reader_of)
        if element is None:
            document = data[start:end]
            change = alone(document, number)
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
    return Rewritten(body, touched, met.summed(others))


def _element(  # noqa: PLR0917  called for every document of a kit
    data: bytes,
    start: i64,
    end: i64,
    tenants: _Tenants,
    readers: dict[bytes, Direct | None],
    reader_of: Callable[[str], Direct | None],
) -> bytes | None:
    """Give the element that the document ``[start, end)`` gains; empty if it gains none, None in doubt."""
    try:
        return _gained(data, start, end, tenants, readers, reader_of)
    except (Doubt, KitError, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def _gained(  # noqa: PLR0917
    data: bytes,
    start: i64,
    end: i64,
    tenants: _Tenants,
    readers: dict[bytes, Direct | None],
    reader_of: Callable[[str], Direct | None],
) -> bytes:
    if last_of(data, start, end) != end - 1:
        raise Doubt
    _top.walk(data, start, end - 1)
    tenant = tenants.of(data)
    if _present.kind:
        if _present.kind == _NULL:
            tenant.null += 1
        else:
            tenant.present += 1
        return b""
    if not tenant.selected:
        tenant.not_selected += 1
        return b""
    element = _of_content(data, readers, reader_of)
    # What is appended is one whole document by its own length, and a length can say what comes of it.
    if last_of(element, _HEAD, len(element)) != len(element) - 1 or end - start + len(element) > _INT32_MAX:
        raise Doubt
    if _linkset.kind == DOCUMENT and not agrees(element, data, _linkset.start):
        raise Doubt
    tenant.changed += 1
    return element


def _of_content(data: bytes, readers: dict[bytes, Direct | None], reader_of: Callable[[str], Direct | None]) -> bytes:
    if _content.kind != DOCUMENT:
        raise Doubt
    _inner.walk(data, _content.start, opened(data, _content.kind, _content.start, _content.end, DOCUMENT))
    if _raw.kind != DOCUMENT or _format.kind != STRING:
        raise Doubt
    name = data[_format.start : _format.end]
    if name not in readers:
        text(data, _format.kind, _format.start, _format.end)
        readers[name] = reader_of(name[4:-1].decode())
    read = readers[name]
    element = read(data, index(data, _raw.start)) if read is not None else None
    if element is None:
        raise Doubt
    return element
