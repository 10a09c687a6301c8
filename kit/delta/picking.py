"""Takes some columns out of documents: what stands at chosen paths, and nothing else.

A segment that changes many documents says little of each, and what it says repeats few of their columns. Walking only
the levels on the way to those costs a tenth of taking everything apart. Laws: a column that is picked is the one that
:mod:`kit.delta.shred` makes of the same documents; a document that cannot be walked on the way gives nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from kit.delta.columns import STRING, Place
from kit.delta.shred import DEPTH, MEMBER, index_name
from kit.delta.varint import Reader, unsigned
from kit.documents.kinds import FIXED, INT32, Kind, value_end
from kit.errors import BsonError

MOST_PLACES, MOST_PATH_BYTES = 256, 1024
"""Chosen by a builder, and believed by a reader: what leads to so many places is a few MiB at most."""
_DOCUMENT, _ARRAY = int(Kind.DOCUMENT), int(Kind.ARRAY)


class _Sought:
    """One path that is wanted or leads to one that is."""

    __slots__ = ("column", "heads", "is_way", "path")

    def __init__(self, path: bytes, column: bytearray | None, *, is_way: bool) -> None:
        self.path = path
        self.column = column
        self.is_way = is_way
        self.heads: dict[bytes, _Sought | None] = {}
        """What is below, by how an element begins, as far as it was met; None where nothing is wanted."""


class Picker:
    """Columns being gathered."""

    def __init__(self, places: Iterable[Place]) -> None:
        """Gather the columns that stand at ``places``."""
        self.table: dict[Place, bytearray] = {place: bytearray() for place in places}
        # Every path on the way to a place, so that a level is entered only where it leads somewhere.
        self._ways: set[bytes] = {path[:dot] for path, _ in self.table for dot in _dots(path)}
        self._root = _Sought(b"", None, is_way=bool(self.table))

    def add(self, document: bytes) -> None:
        """Take from one document; nothing, where it cannot be walked."""
        marks = [len(column) for column in self.table.values()]
        try:
            if len(document) < 5 or INT32.unpack_from(document)[0] != len(document):
                return
            self._level(document, 0, len(document), self._root, DEPTH)
        except (BsonError, struct.error, RecursionError, IndexError):
            for column, mark in zip(self.table.values(), marks, strict=True):
                del column[mark:]

    def _level(self, buffer: bytes, start: int, end: int, sought: _Sought, depth: int) -> None:
        last = _checked(buffer, start, end, depth)
        find, heads = buffer.find, sought.heads
        at = start + 4
        while at < last:
            value = find(0, at + 1, last) + 1
            if not value:
                raise BsonError("element name without terminating NUL", where=f"byte {at + 1}")
            head = buffer[at:value]
            kind = buffer[at]
            at = value_end(buffer, kind, value, last)
            if head in heads:
                below = heads[head]
            else:
                below = heads[head] = self._below(sought, head[1:-1], kind)
            if below is not None:
                self._take(buffer, kind, value, at, below, depth)

    def _array(self, buffer: bytes, start: int, end: int, sought: _Sought, depth: int) -> None:
        if end - start > 5 and buffer[start + 5 : start + 7] != b"0\0":
            self._level(buffer, start, end, sought, depth)
            return
        last = _checked(buffer, start, end, depth)
        heads = sought.heads
        at, number = start + 4, 0
        while at < last:
            # A member is found by where its name must end; an array with other names is not walked.
            name = index_name(number)
            value = at + 2 + len(name)
            if buffer[at + 1 : value] != name + b"\0":
                raise BsonError("an array with odd names", where=f"byte {at + 1}")
            kind = buffer[at]
            head = buffer[at : at + 1]
            at = value_end(buffer, kind, value, last)
            if head in heads:
                below = heads[head]
            else:
                below = heads[head] = self._below(sought, MEMBER, kind)
            if below is not None:
                self._take(buffer, kind, value, at, below, depth)
            number += 1

    def _below(self, sought: _Sought, name: bytes, kind: int) -> _Sought | None:
        path = sought.path + b"." + name
        if kind in {_DOCUMENT, _ARRAY}:
            return _Sought(path, None, is_way=True) if path in self._ways else None
        column = self.table.get((path, kind))
        return _Sought(path, column, is_way=False) if column is not None else None

    def _take(  # noqa: PLR0917  once a value: what would gather them costs more than the work
        self, buffer: bytes, kind: int, value: int, end: int, below: _Sought, depth: int
    ) -> None:
        column = below.column
        if column is None:
            if kind == _ARRAY:
                self._array(buffer, value, end, below, depth - 1)
            else:
                self._level(buffer, value, end, below, depth - 1)
        elif kind == STRING:
            if buffer.find(0, value + 4, end) != end - 1:
                raise BsonError("a string with a NUL inside", where=f"byte {value}")
            column += buffer[value + 4 : end]
        else:
            if FIXED[kind] < 0:
                column += unsigned(end - value)
            column += buffer[value:end]


def print_places(places: Sequence[Place]) -> bytes:
    """Print places: how many; for each its path, behind its size, and its type."""
    parts = [unsigned(len(places))]
    for path, kind in places:
        parts += unsigned(len(path)), path, bytes((kind,))
    return b"".join(parts)


def parse_places(reader: Reader) -> tuple[Place, ...]:
    """Read places.

    Raises:
        ArchiveError: They are cut, too many, or not in order.
    """
    places: list[Place] = []
    for _ in range(reader.bounded(MOST_PLACES, "number of columns")):
        path = reader.take(reader.bounded(MOST_PATH_BYTES, "path's size"))
        places.append((path, reader.take(1)[0]))
    if places != sorted(set(places)):
        raise reader.fault("names columns that are not in order")
    return tuple(places)


def _dots(path: bytes) -> Sequence[int]:
    """Give where the names of a path begin, but for the first: what stands before is the path of a level."""
    return [at for at in range(1, len(path)) if path[at] == 0x2E]


def _checked(buffer: bytes, start: int, end: int, depth: int) -> int:
    if depth <= 0:
        raise BsonError("nested too deep to be walked", where=f"byte {start}")
    if start + 5 > end or INT32.unpack_from(buffer, start)[0] != end - start or buffer[end - 1]:
        raise BsonError("a document within is not as long as it says", where=f"byte {start}")
    return end - 1
