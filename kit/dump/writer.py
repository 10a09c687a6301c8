"""Writes a dump: bytes to append, made of headers and documents as they come.

Law: whatever order the calls come in, what is written reads back as the documents of each collection, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kit.dump.prelude import TERMINATOR, Prelude
from kit.dump.reader import BlockHeader, Part, Piece, checksum
from kit.values import CollectionName

__all__ = ["DumpWriter", "write_dump"]


class DumpWriter:
    """The state of one dump: which block is open, and the checksum of each collection."""

    def __init__(self, prelude: Prelude) -> None:
        """Prepare to write the collections of ``prelude``."""
        self._prelude = prelude
        self._block: CollectionName | None = None
        self._crcs: dict[CollectionName, int] = {}

    def begin(self) -> bytes:
        """Return what comes first."""
        return self._prelude.to_bytes()

    def add(self, name: CollectionName, documents: bytes) -> bytes:
        """Return documents with what must be in front of them; a collection has as many blocks as it is returned to."""
        self._crcs[name] = checksum(documents, self._crcs.get(name, 0))
        if name == self._block:
            return documents
        ended = self._end_block()
        self._block = name
        return ended + BlockHeader(name=name).to_bytes() + documents

    def close(self, name: CollectionName) -> bytes:
        """Return the end of a collection, which every described one needs."""
        ended = self._end_block()
        closing = BlockHeader(name=name, closes=True, crc=self._crcs.pop(name, 0))
        return ended + closing.to_bytes() + TERMINATOR

    def _end_block(self) -> bytes:
        ended = TERMINATOR if self._block is not None else b""
        self._block = None
        return ended


def write_dump(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Yield the bytes of a dump that was read, with the checksums of the documents that are there now.

    Blocks stay as they were cut; what has not changed keeps its bytes.
    """
    crcs: dict[CollectionName, int] = {}
    is_open = False
    for piece in pieces:
        if isinstance(piece, Part):
            crcs[piece.name] = checksum(piece.run.data, crcs.get(piece.name, 0))
            yield piece.run.data
            continue
        if is_open:
            yield TERMINATOR
        if isinstance(piece, Prelude):
            yield piece.stored or piece.to_bytes()
            is_open = False
            continue
        is_open = True
        crc = crcs.get(piece.name, 0)
        yield piece.stored if piece.stored and piece.crc == (crc if piece.closes else 0) else _again(piece, crc)
    if is_open:
        yield TERMINATOR


def _again(header: BlockHeader, crc: int) -> bytes:
    return BlockHeader(name=header.name, closes=header.closes, crc=crc if header.closes else 0).to_bytes()
