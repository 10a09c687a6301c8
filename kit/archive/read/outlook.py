"""What is known of a compressed archive before it is read to its end.

Two questions, for work that may need the rest: whether this program may have written it, which the bytes at its ends
show, and whether much follows an entry, whose end its header has. Neither answer is certain: the first is only "maybe",
and the second takes the archive to be compressed evenly. Laws: an archive of this program's form
always may be its own; nothing but time depends on the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kit.archive.frames import may_be_own
from kit.archive.source import ByteSource, ChunkReader, source_chunks
from kit.values import Codec

_HEAD_BYTES = 16
_TAIL_BYTES = 4
_LITTLE = 16
"""One part in so many of an archive is little."""
_LITTLE_BYTES = 64 * 1024
"""So many stored bytes are, too."""


def may_be_ours(source: ByteSource, codec: Codec) -> bool:
    """Return whether this program may have written the archive; not while another thread reads ``source``.

    Raises:
        UnreadableError: The medium failed.
    """
    size = source.size
    if size is None:
        return True
    head = next(source_chunks(source, name=""), b"")[:_HEAD_BYTES]
    tail = b"".join(source_chunks(source, name="", start=max(0, size - _TAIL_BYTES)))
    return may_be_own(codec, head, tail)


@dataclass(slots=True)
class Outlook:
    """How far the latest pass has decoded an archive of ``stored`` bytes; None where the size is not known."""

    stored: int | None
    _reached: tuple[int, int] = (0, 0)
    """Stored and decoded bytes; one object, since another thread decodes."""

    def watch(self, chunks: Iterator[bytes], taken: ChunkReader) -> Iterator[bytes]:
        """Pass on the decoded ``chunks`` of what was taken from ``taken``."""
        decoded = 0
        for chunk in chunks:
            decoded += len(chunk)
            self._reached = taken.offset, decoded
            yield chunk

    def is_near_end(self, offset: int) -> bool:
        """Return whether little of the archive seems to follow its decoded byte ``offset``."""
        stored, decoded = self._reached
        if self.stored is None or not decoded:
            return False
        return self.stored - offset * stored // decoded <= max(self.stored // _LITTLE, _LITTLE_BYTES)
