"""Payloads: pieces, each length-prefixed, and a length of 0 at the end; one piece is held at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kit.delta.varint import unsigned
from kit.errors import ArchiveError

MAX_PIECE_BYTES = 256 * 1024 * 1024
"""This program makes pieces of a few MiB, or of one document."""
END = unsigned(0)


def frame_piece(data: bytes) -> bytes:
    """Return a piece behind its length; not of an empty one, which would be the end."""
    return unsigned(len(data)) + data


def read_pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a payload.

    Raises:
        ArchiveError: It is truncated, a piece is too large, or something follows the end.
    """
    source = _Source(chunks)
    while size := source.size():
        if size > MAX_PIECE_BYTES:
            raise ArchiveError(f"a payload has a piece of {size:,} bytes; the maximum is {MAX_PIECE_BYTES:,}")
        yield source.take(size)
    if not source.at_end():
        raise ArchiveError("a payload continues after its end")


class _Source:
    """Reads bytes from chunks; each is copied once, however many pieces it holds."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0

    def size(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise ArchiveError("a payload has a piece of an impossible size")

    def take(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            if self.at_end():
                raise ArchiveError("a payload is truncated")
            part = self._chunk[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def at_end(self) -> bool:
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._chunk, self._at = chunk, 0
        return False
