"""By which key a document is known to those it belongs with, as :mod:`kit.transforms.raw_linkset.keys` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from kit.documents.loops import last_of
from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.direct.levels import Level, Mark
from kit.transforms.raw_linkset.direct.linkset import linkset_element
from kit.transforms.raw_linkset.direct.scanning import DOCUMENT, NULL, STRING, Doubt, opened
from kit.transforms.raw_linkset.keys import NONE_SKIPPED, SNAPSHOT, advisory_digest, revision_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_extensions import i64


def split(*places: shape.Place) -> tuple[bytes, list[bytes]]:
    """Give the name of the one document of the uppermost level that all of these stand in, and their names in it.

    The name is empty where they stand in the uppermost level itself.
    """
    (parent,) = {path[:-1] for place in places for path in place.paths}
    return ".".join(parent).encode(), [path[-1].encode() for place in places for path in place.paths]


@final
class Keyed:
    """Documents of one shape: the levels that their keys are in, and what else is wanted of the uppermost.

    Attributes:
        top: The uppermost level; its marks begin with those of the tenant and of ``others``. Walked by the caller.
    """

    def __init__(self, where: shape.DocumentShape, others: Sequence[bytes]) -> None:
        """Look for keys where ``where`` says."""
        _, tenant = split(where.tenant)
        source, vendor = split(where.vendor)
        upstream, names = split(where.upstream_id, where.content_hash)
        self.top = Level([*tenant, *others, source, upstream])
        self._source = self.top.marks[-2]
        self._upstream = self.top.marks[-1]
        self._in_source = Level(vendor)
        self._in_upstream = Level(names)
        self._tenant = self.top.marks[:1]
        self._vendor = self._in_source.marks
        self._upstream_id = self._in_upstream.marks[: len(where.upstream_id.paths)]
        self._content_hash = self._in_upstream.marks[len(where.upstream_id.paths) :]

    def key(self, buffer: bytes, database: bytes) -> bytes:
        """Give the key of the document whose uppermost level was walked, its kind apart; empty if a part is missing.

        Raises:
            Doubt: A level on the way is odd.
        """
        _enter(buffer, self._source, self._in_source)
        _enter(buffer, self._upstream, self._in_upstream)
        tenant, vendor = _text(buffer, self._tenant), _text(buffer, self._vendor)
        upstream_id, content_hash = _text(buffer, self._upstream_id), _text(buffer, self._content_hash)
        if not tenant or not vendor or not upstream_id or not content_hash:
            return b""
        return advisory_digest(database, tenant, vendor, upstream_id) + revision_digest(content_hash)


def _enter(buffer: bytes, mark: Mark, level: Level) -> None:
    if mark.kind == DOCUMENT:
        level.walk(buffer, mark.start, opened(buffer, mark.kind, mark.start, mark.end, DOCUMENT))
    else:
        level.clear()


def _text(buffer: bytes, marks: list[Mark]) -> bytes:
    """Give the bytes of the first that is there and not null, if it is a string; else nothing."""
    for mark in marks:
        if mark.kind and mark.kind != NULL:
            return buffer[mark.start + 4 : mark.end - 1] if mark.kind == STRING else b""
    return b""


_, _LINKSET = split(shape.ADVISORY_RAW.linkset)
_, _IDENTIFIERS = split(shape.ADVISORY_RAW.identifiers)
_snapshot: Final = Keyed(shape.ADVISORY_RAW, [*_LINKSET, *_IDENTIFIERS])
_linkset: Final = _snapshot.top.marks[1]
_identifiers: Final = _snapshot.top.marks[2]


def snapshot_pair(document: bytes, database: bytes) -> tuple[bytes, bytes] | None:
    """Give what a snapshot is found by and what is found then, as ``RawLinkset.gather`` does; None in doubt."""
    try:
        return _pair(document, database)
    except (Doubt, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def _pair(document: bytes, database: bytes) -> tuple[bytes, bytes] | None:
    size: i64 = len(document)
    if last_of(document, 0, size) != size - 1:
        return None
    _snapshot.top.walk(document, 0, size - 1)
    if _linkset.kind != DOCUMENT:
        return None
    key = _snapshot.key(document, database)
    beside = None
    if _identifiers.kind == DOCUMENT:
        beside = (DOCUMENT, int(_identifiers.start), int(_identifiers.end))
    element = linkset_element(document, _linkset.start, beside) if key else None
    return (SNAPSHOT + key, NONE_SKIPPED + element) if element is not None else None
