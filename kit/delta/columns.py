"""Columns: the values of many documents, sorted by where they stand.

All values that stand at one path, of one type, in the order of the documents, next to each other. What is alike comes
together that way, and so does what is derived: a list that was copied from another place of the same documents is one
long repetition. Laws: what is put is what is taken, in that order; a column's bytes depend on the values alone.

A string stands as its text and NUL, its length implied; values of fixed size as they are; others behind their length.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from kit.delta.varint import Reader, unsigned
from kit.documents.kinds import FIXED
from kit.errors import ArchiveError

STRING: Final = 2
RAW = 0x21
"""Whole documents that are not walked, behind their lengths."""
Place: TypeAlias = tuple[bytes, int]
"""Path and type of a column."""
Table: TypeAlias = dict[Place, bytearray]


class Node:
    """One path: the columns that stand there and the paths below. ``#`` is any member of an array."""

    __slots__ = ("children", "columns", "heads", "path", "table", "texts")

    def __init__(self, path: bytes, table: Table) -> None:
        """Stand for ``path`` in ``table``, which all nodes of a tree share."""
        self.path = path
        self.table = table
        self.children: dict[bytes, Node] = {}
        self.columns: dict[int, bytearray] = {}
        self.heads: dict[bytes, Node] = {}
        """Children by how an element begins: type, name and NUL; found again in one look."""
        self.texts: dict[bytes, bytearray] = {}
        """Columns of children's strings, likewise."""

    def child(self, name: bytes) -> Node:
        """Give the node below."""
        found = self.children.get(name)
        if found is None:
            # Two paths that are spelled alike share columns: both sides do the same, so nothing is lost by it.
            found = self.children[name] = Node(self.path + b"." + name, self.table)
        return found

    def column(self, kind: int) -> bytearray:
        """Give the column of this type, to append to."""
        found = self.columns.get(kind)
        if found is None:
            found = self.columns[kind] = self.table.setdefault((self.path, kind), bytearray())
        return found


def root() -> Node:
    """Make the node of whole documents, of an empty table."""
    return Node(b"", {})


def headers(table: Table) -> bytes:
    """Say which columns there are and how long, in the order of :func:`joined`."""
    parts = [unsigned(len(table))]
    for (path, kind), column in sorted(table.items()):
        parts += unsigned(len(path)), path, bytes((kind,)), unsigned(len(column))
    return b"".join(parts)


def joined(table: Table) -> bytes:
    """Join all columns, sorted by path and type."""
    return b"".join(column for _, column in sorted(table.items()))


class TakingNode:
    """The same tree for taking values; ``tables`` maps path and type to what is left of a column."""

    __slots__ = ("children", "columns", "path", "table")

    def __init__(self, path: bytes, table: dict[Place, Column]) -> None:
        """Stand for ``path`` in ``table``, which all nodes of a tree share."""
        self.path = path
        self.table = table
        self.children: dict[bytes, TakingNode] = {}
        self.columns: dict[int, Column] = {}

    def child(self, name: bytes) -> TakingNode:
        """Give the node below."""
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = TakingNode(self.path + b"." + name, self.table)
        return found

    def take(self, kind: int) -> bytes:
        """Take the next value of this type here, as it stands in a document.

        Raises:
            ArchiveError: There is none, or it is cut.
        """
        found = self.columns.get(kind)
        if found is None:
            found = self.table.get((self.path, kind))
            if found is None:
                raise ArchiveError(f"there is no column of type {kind} for {self.path.decode('utf-8', 'replace')!r}")
            self.columns[kind] = found
        return found.take()


class Column:
    """What is left of one column."""

    __slots__ = ("_at", "_data", "_kind")

    def __init__(self, data: bytes, kind: int) -> None:
        """Take values of type ``kind`` from ``data``."""
        self._data = data
        self._at = 0
        self._kind = kind

    def take(self) -> bytes:
        """Take one value; errors as :meth:`TakingNode.take`."""
        data, at, kind = self._data, self._at, self._kind
        if kind == STRING:
            end = data.find(0, at) + 1
            if not end:
                raise ArchiveError("a column of strings is cut")
            self._at = end
            return (end - at).to_bytes(4, "little") + data[at:end]
        size = FIXED[kind]
        if size < 0:
            reader = Reader(data[at : at + 9], "a column")
            size = reader.unsigned()
            at += len(unsigned(size))
        end = at + size
        if end > len(data):
            raise ArchiveError("a column is cut")
        self._at = end
        return data[at:end]

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)


def taking(header: Reader, data: bytes) -> dict[Place, Column]:
    """Cut joined columns apart.

    Raises:
        ArchiveError: The headers do not fit the data.
    """
    table: dict[Place, Column] = {}
    at = 0
    for _ in range(header.bounded(len(data), "number of columns")):
        path = header.take(header.unsigned())
        kind = header.take(1)[0]
        end = at + header.unsigned()
        if end > len(data) or (path, kind) in table:
            raise header.fault("has columns that do not fit what they are cut from")
        table[path, kind] = Column(data[at:end], kind)
        at = end
    if at != len(data):
        raise header.fault("has columns that leave something over")
    return table
