"""Columns: the values of many documents, grouped by path and type.

A column holds all values of one path and one type, in the order of the documents. Similar values become neighbours, and
derived ones compress well: a list copied from another place of the same documents is one long repetition. Laws: values
are read in the order they were written; a column's bytes depend on the values alone.

Encoding: a string as its text and NUL, its length implied; values of fixed size as they are; others length-prefixed.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from kit.delta.packing import Reader, unsigned
from kit.documents.kinds import FIXED
from kit.errors import ArchiveError

STRING: Final = 2
RAW = 0x21
"""Whole documents that are not walked, length-prefixed."""
Place: TypeAlias = tuple[bytes, int]
"""Path and type of a column."""
Table: TypeAlias = dict[Place, bytearray]


class Node:
    """Writes the columns of one path and of the paths below. ``#`` is any member of an array."""

    __slots__ = ("children", "columns", "heads", "path", "table", "texts")

    def __init__(self, path: bytes, table: Table) -> None:
        """Create the node of ``path`` in ``table``, which all nodes of a tree share."""
        self.path = path
        self.table = table
        self.children: dict[bytes, Node] = {}
        self.columns: dict[int, bytearray] = {}
        self.heads: dict[bytes, Node] = {}
        """Children by the first bytes of an element (type, name and NUL), for one look-up."""
        self.texts: dict[bytes, bytearray] = {}
        """Columns of children's strings, likewise."""

    def child(self, name: bytes) -> Node:
        """Return the child of this name."""
        found = self.children.get(name)
        if found is None:
            # Two paths that are spelled alike share columns: both sides do the same, so nothing is lost by it.
            found = self.children[name] = Node(self.path + b"." + name, self.table)
        return found

    def column(self, kind: int) -> bytearray:
        """Return the column of this type, to append to."""
        found = self.columns.get(kind)
        if found is None:
            found = self.columns[kind] = self.table.setdefault((self.path, kind), bytearray())
        return found


def root() -> Node:
    """Return the node of whole documents, over an empty table."""
    return Node(b"", {})


def encode_headers(table: Table) -> bytes:
    """Return paths, types and lengths of all columns, in the order of :func:`join_columns`."""
    parts = [unsigned(len(table))]
    for (path, kind), column in sorted(table.items()):
        parts += unsigned(len(path)), path, bytes((kind,)), unsigned(len(column))
    return b"".join(parts)


def join_columns(table: Table) -> bytes:
    """Return all columns joined, sorted by path and type."""
    return b"".join(column for _, column in sorted(table.items()))


class NodeReader:
    """The same tree for reading; ``table`` maps path and type to what is left of a column."""

    __slots__ = ("children", "columns", "path", "table")

    def __init__(self, path: bytes, table: dict[Place, Column]) -> None:
        """Create the node of ``path`` in ``table``, which all nodes of a tree share."""
        self.path = path
        self.table = table
        self.children: dict[bytes, NodeReader] = {}
        self.columns: dict[int, Column] = {}

    def child(self, name: bytes) -> NodeReader:
        """Return the child of this name."""
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = NodeReader(self.path + b"." + name, self.table)
        return found

    def take(self, kind: int) -> bytes:
        """Return the next value of this type, as the bytes that a document has for it.

        Raises:
            ArchiveError: There is none, or it is truncated.
        """
        found = self.columns.get(kind)
        if found is None:
            found = self.table.get((self.path, kind))
            if found is None:
                raise ArchiveError(f"there is no column of type {kind} for {self.path.decode('utf-8', 'replace')!r}")
            self.columns[kind] = found
        return found.take()


class Column:
    """The unread part of one column."""

    __slots__ = ("_at", "_data", "_kind")

    def __init__(self, data: bytes, kind: int) -> None:
        """Read values of type ``kind`` from ``data``."""
        self._data = data
        self._at = 0
        self._kind = kind

    def take(self) -> bytes:
        """Return the next value; errors as :meth:`NodeReader.take`."""
        data, at, kind = self._data, self._at, self._kind
        if kind == STRING:
            end = data.find(0, at) + 1
            if not end:
                raise ArchiveError("a column of strings is truncated")
            self._at = end
            return (end - at).to_bytes(4, "little") + data[at:end]
        size = FIXED[kind]
        if size < 0:
            reader = Reader(data[at : at + 9], "a column")
            size = reader.unsigned()
            at += len(unsigned(size))
        end = at + size
        if end > len(data):
            raise ArchiveError("a column is truncated")
        self._at = end
        return data[at:end]

    def at_end(self) -> bool:
        """Return whether everything is read."""
        return self._at == len(self._data)


def cut_columns(header: Reader, data: bytes) -> dict[Place, Column]:
    """Return the columns of joined ones, by path and type.

    Raises:
        ArchiveError: The headers do not match the data.
    """
    table: dict[Place, Column] = {}
    at = 0
    for _ in range(header.bounded(len(data), "number of columns")):
        path = header.take(header.unsigned())
        kind = header.take(1)[0]
        end = at + header.unsigned()
        if end > len(data) or (path, kind) in table:
            raise header.fault("has column headers that do not match the data")
        table[path, kind] = Column(data[at:end], kind)
        at = end
    if at != len(data):
        raise header.fault("has columns that end before the data does")
    return table
