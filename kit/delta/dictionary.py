"""The zstd dictionary of a segment: what its packed streams may repeat of the base.

It is made of references and of the earlier versions of changed documents, split into columns like the documents that
are encoded. A segment that changes many documents encodes little of each, and repeats few of their columns. So these
columns are chosen from a sample and named in the segment, and a :class:`Picker` extracts only them. It walks only the
levels on the way to them, which costs a tenth of shredding everything.

Laws: builder and reader make the same bytes of the same documents and places; a choice depends on the documents alone,
and decides only how small a segment gets; a picked column is the one that :mod:`kit.delta.shred` makes of the same
documents; a document that cannot be walked on the way contributes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from kit.delta.columns import STRING, Place, join_columns
from kit.delta.edits import StreamBuilder
from kit.delta.packing import Reader, unsigned
from kit.delta.shred import DEPTH, MEMBER, end_of_text, end_of_value, index_name, level_last
from kit.documents import core
from kit.documents.kinds import FIXED, INT32
from kit.errors import BsonError

MAX_PLACES, MAX_PATH_BYTES = 256, 1024
"""Limits for builder and reader: the paths to so many places are a few MiB at most."""
_DOCUMENT: Final = 3
_ARRAY: Final = 4


class _Wanted:
    """One path that is wanted, or leads to one."""

    __slots__ = ("column", "heads", "kind", "path")

    def __init__(self, path: bytes, kind: int, column: bytearray | None) -> None:
        self.path = path
        self.kind = kind
        self.column = column
        """None for a level on the way."""
        self.heads: dict[bytes, _Wanted] = {}
        """Children found so far, by the first bytes of an element."""


_UNWANTED: Final = _Wanted(b"", 0, None)


class Picker:
    """Collects columns."""

    def __init__(self, places: Iterable[Place]) -> None:
        """Collect the columns at ``places``."""
        self.table: dict[Place, bytearray] = {place: bytearray() for place in places}
        # Every path on the way to a place, so that a level is entered only if it leads to one.
        self._ways: set[bytes] = {path[:dot] for path, _ in self.table for dot in _dots(path)}
        self._root = _Wanted(b"", _DOCUMENT, None)

    def add(self, document: bytes) -> None:
        """Add the values of one document; none if it cannot be walked."""
        marks = [len(column) for column in self.table.values()]
        try:
            if len(document) < 5 or INT32.unpack_from(document)[0] != len(document):
                return
            self._level(document, 0, len(document), self._root, DEPTH)
        except (BsonError, struct.error, RecursionError, IndexError):
            for column, mark in zip(self.table.values(), marks, strict=True):
                del column[mark:]

    def _level(self, buffer: bytes, start: int, end: int, wanted: _Wanted, depth: int) -> None:
        last = level_last(buffer, start, end, depth)
        heads, find = wanted.heads, buffer.find
        at = start + 4
        while at < last:
            value = find(0, at + 1, last) + 1
            if not value:
                raise BsonError("element name without terminating NUL", where=f"byte {at + 1}")
            head = buffer[at:value]
            below = heads.get(head)
            if below is None:
                below = heads[head] = self._below(wanted, head[1:-1], buffer[at])
            at = end_of_value(buffer, buffer[at], value, last)
            if below is not _UNWANTED:
                self._take(buffer, value, at, below, depth)

    def _array(self, buffer: bytes, start: int, end: int, wanted: _Wanted, depth: int) -> None:
        if end - start > 5 and buffer[start + 5 : start + 7] != b"0\0":
            self._level(buffer, start, end, wanted, depth)
            return
        last = level_last(buffer, start, end, depth)
        heads = wanted.heads
        at = start + 4
        number = 0
        while at < last:
            # A member's value is where its name must end; an array with other names is not walked.
            name = index_name(number)
            value = at + 2 + len(name)
            if buffer[at + 1 : value] != name + b"\0":
                raise BsonError("an array whose names are not 0, 1, 2 …", where=f"byte {at + 1}")
            head = buffer[at : at + 1]
            below = heads.get(head)
            if below is None:
                below = heads[head] = self._below(wanted, MEMBER, buffer[at])
            at = end_of_value(buffer, buffer[at], value, last)
            if below is not _UNWANTED:
                self._take(buffer, value, at, below, depth)
            number += 1

    def _below(self, wanted: _Wanted, name: bytes, kind: int) -> _Wanted:
        path = wanted.path + b"." + name
        if kind in {_DOCUMENT, _ARRAY}:
            return _Wanted(path, kind, None) if path in self._ways else _UNWANTED
        column = self.table.get((path, kind))
        return _Wanted(path, kind, column) if column is not None else _UNWANTED

    def _take(self, buffer: bytes, value: int, end: int, below: _Wanted, depth: int) -> None:
        column, kind = below.column, below.kind
        if column is None:
            if kind == _ARRAY:
                self._array(buffer, value, end, below, depth - 1)
            else:
                self._level(buffer, value, end, below, depth - 1)
        elif kind == STRING:
            if end_of_text(buffer, value, end) != end:
                raise BsonError("a malformed string", where=f"byte {value}")
            column += buffer[value + 4 : end]
        else:
            if FIXED[kind] < 0:
                column += unsigned(end - value)
            column += buffer[value:end]


def encode_places(places: Sequence[Place]) -> bytes:
    """Return the encoded places: their number; of each its path, length-prefixed, and its type."""
    parts = [unsigned(len(places))]
    for path, kind in places:
        parts += unsigned(len(path)), path, bytes((kind,))
    return b"".join(parts)


def parse_places(reader: Reader) -> tuple[Place, ...]:
    """Return the places that ``reader`` holds.

    Raises:
        ArchiveError: They are truncated, too many, or not in order.
    """
    places: list[Place] = []
    for _ in range(reader.bounded(MAX_PLACES, "number of columns")):
        path = reader.take(reader.bounded(MAX_PATH_BYTES, "path's size"))
        places.append((path, reader.take(1)[0]))
    if places != sorted(set(places)):
        raise reader.fault("names columns that are not in order")
    return tuple(places)


def _dots(path: bytes) -> Sequence[int]:
    """Return the offsets of all dots but the first: what precedes one is the path of a level."""
    return [at for at in range(1, len(path)) if path[at] == 0x2E]


_SCRIPT_BYTES = 128 * 1024
_SAMPLE = 16
_MIN_TEXT = 3
"""Shorter texts occur everywhere."""
_WORTH_IT = 20
"""A column is chosen if it holds one in so many of the texts of an encoded column."""


class Dictionary:
    """The dictionary of one segment."""

    def __init__(self, references: Sequence[bytes], olds: Sequence[bytes], *, picking: bool) -> None:
        """Use all of ``references``; of ``olds`` only picked columns with ``picking``, else everything."""
        self._references = references
        self._olds = olds
        self._picking = picking
        self._builder: StreamBuilder | None = None
        self._script: bytes | None = None
        self._columns: dict[tuple[Place, ...], bytes] = {}

    @property
    def script(self) -> bytes:
        """The dictionary of scripts."""
        if self._script is None:
            self.columns(())
        return self._script or b""

    def columns(self, places: tuple[Place, ...]) -> bytes:
        """Return the dictionary of columns; with ``picking``, only columns at ``places`` are taken of ``olds``."""
        found = self._columns.get(places)
        if found is None:
            script, found = self._by_core(places) or self._by_reference(places)
            self._columns[places] = found
            self._script = script[-_SCRIPT_BYTES:]
        return found

    def _by_core(self, places: tuple[Place, ...]) -> tuple[bytes, bytes] | None:
        if core.delta_dictionary is None:
            return None
        # Without places the earlier versions are not read.
        olds = self._olds if places or not self._picking else ()
        return core.delta_dictionary(self._references, olds, places if self._picking else None)

    def _by_reference(self, places: tuple[Place, ...]) -> tuple[bytes, bytes]:
        if self._builder is None:
            self._builder = StreamBuilder.of(self._references if self._picking else (*self._references, *self._olds))
        builder = self._builder
        table = builder.node.table
        if self._picking:
            picker = Picker(places)
            for old in self._olds if places else ():
                picker.add(old)
            picked = {place: table.get(place, bytearray()) + column for place, column in picker.table.items()}
            table = {**table, **picked}
        return bytes(builder.script), join_columns(table)


def choose(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Return the columns of ``olds`` worth repeating in ``documents``, their later versions; sorted."""
    step = max(1, len(olds) // _SAMPLE)
    olds, documents = olds[::step], documents[::step]
    if core.delta_choose is not None:
        found = core.delta_choose(olds, documents, MAX_PLACES, MAX_PATH_BYTES)
        if found is not None:
            return tuple(found)
    return choose_by_reference(olds, documents)


def choose_by_reference(olds: Sequence[bytes], documents: Sequence[bytes]) -> tuple[Place, ...]:
    """Return what :func:`choose` does, from all pairs."""
    earlier, later = StreamBuilder(), StreamBuilder()
    for old, document in zip(olds, documents, strict=True):
        if earlier.try_add(old, None):
            later.try_add(document, old)
    table = {place: column for place, column in earlier.node.table.items() if len(place[0]) <= MAX_PATH_BYTES}
    offered = {place: texts for place, column in table.items() if (texts := _texts(place, column))}
    chosen = {place for place in later.node.table if place in table}
    for place, column in sorted(later.node.table.items()):
        _cover(_texts(place, column), offered, chosen)
    return tuple(sorted(chosen)[:MAX_PLACES])


def _cover(wanted: set[bytes], offered: dict[Place, set[bytes]], chosen: set[Place]) -> None:
    """Choose columns greedily, most wanted texts first, until no column has more than a few of those left."""
    few = len(wanted) / _WORTH_IT
    while wanted and offered:
        best = max(offered, key=lambda place: (len(wanted & offered[place]), place in chosen, place))
        covered = wanted & offered[best]
        if len(covered) <= few:
            return
        chosen.add(best)
        wanted -= covered


def _texts(place: Place, column: bytearray) -> set[bytes]:
    if place[1] != STRING:
        return set()
    return {text for text in bytes(column).split(b"\0") if len(text) >= _MIN_TEXT}
