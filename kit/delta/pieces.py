"""A payload is a row of pieces, each behind its size, with a size of 0 at the end; one piece is held at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kit.delta.varint import unsigned
from kit.errors import ArchiveError

MOST_BYTES = 256 * 1024 * 1024
"""Of one piece; this program makes them of a few MiB, or of one document."""
END = unsigned(0)


def piece(data: bytes) -> bytes:
    """Put a piece behind its size; an empty one would be the end, and is never needed."""
    return unsigned(len(data)) + data


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the pieces of a payload.

    Raises:
        ArchiveError: It is cut, a piece is too large, or something follows the end.
    """
    source = _Source(chunks)
    while size := source.size():
        if size > MOST_BYTES:
            raise ArchiveError(f"a payload has a piece of {size:,} bytes; at most {MOST_BYTES:,} can be")
        yield source.take(size)
    if not source.at_end():
        raise ArchiveError("a payload goes on after its end")


class _Source:
    """Takes bytes from chunks, each copied once, however many pieces are in it."""

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
                raise ArchiveError("a payload has a piece of no possible size")

    def take(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            if self.at_end():
                raise ArchiveError("a payload is cut")
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
