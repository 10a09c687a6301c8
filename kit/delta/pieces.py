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
    source = iter(chunks)
    held = b""
    while True:
        size, held = _size(source, held)
        if not size:
            if held or any(source):
                raise ArchiveError("a payload goes on after its end")
            return
        if size > MOST_BYTES:
            raise ArchiveError(f"a payload has a piece of {size:,} bytes; at most {MOST_BYTES:,} can be")
        parts = [held]
        missing = size - len(held)
        while missing > 0:
            parts.append(_more(source))
            missing -= len(parts[-1])
        data = b"".join(parts)
        yield data[:size]
        held = data[size:]


def _size(source: Iterator[bytes], held: bytes) -> tuple[int, bytes]:
    value = shift = 0
    while True:
        while not held:
            held = _more(source)
        byte, held = held[0], held[1:]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, held
        shift += 7
        if shift > 28:
            raise ArchiveError("a payload has a piece of no possible size")


def _more(source: Iterator[bytes]) -> bytes:
    chunk = next(source, None)
    if chunk is None:
        raise ArchiveError("a payload is cut")
    return chunk
