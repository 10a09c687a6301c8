"""A pull reader over an iterator of chunks: the one interface below decoders and the tar reader.

A container comes from a file, a member's own codec from the body of another stream; both are iterators of chunks.
Laws: what is read does not depend on how the chunks were cut; ``offset`` is the count of bytes taken so far; a
chunk that is wanted whole is handed on as it is, never copied; bytes that are known and not there (:class:`Passed`) are
passed over by who knows them, and are never read as anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import ArchiveError, LimitError
from kit.values import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Stands in a stream for bytes that need not be read, since it is known what they are."""

    length: int


class ChunkReader:
    """Takes bytes from ``chunks`` (empty chunks are allowed); ``where`` names the stream in errors.

    The stream may be a part of another that begins at its byte ``start``; offsets are then those of the other.
    """

    __slots__ = ("_at", "_before", "_chunk", "_chunks", "_passed", "where")

    def __init__(self, chunks: Iterable[bytes | Passed], *, where: str, start: int = 0) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self._before = start
        self._passed = 0
        """Bytes that come next, and are not there."""
        self.where = where

    @property
    def offset(self) -> int:
        """Bytes taken since the start."""
        return self._before + self._at

    def at_end(self) -> bool:
        """Whether no byte is left; asks for the next chunk when it must."""
        while self._at == len(self._chunk) and not self._passed:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._before += len(self._chunk)
            self._at = 0
            if isinstance(chunk, Passed):
                self._chunk, self._passed = b"", chunk.length
            else:
                self._chunk = chunk
        return False

    def pass_over(self, size: int) -> int:
        """Take up to ``size`` bytes that are not there, and return how many; 0 where the next ones are to be read."""
        if self.at_end():
            return 0
        taken = min(self._passed, size)
        self._passed -= taken
        self._before += taken
        return taken

    def read_some(self, size: int) -> bytes:
        """Take between 1 and ``size`` bytes, without joining chunks; ``b""`` at the end or for size 0."""
        if not size or self.at_end():
            return b""
        if self._passed:
            raise self.fault("another entry begins here than the one that was written", self.offset)
        start = self._at
        chunk = self._chunk
        self._at = min(start + size, len(chunk))
        return chunk[start : self._at]  # CPython hands the same object on when the slice is the whole

    def unread(self, size: int) -> None:
        """Give back the last ``size`` bytes of the latest :meth:`read_some`."""
        self._at -= size

    def read_up_to(self, size: int) -> bytes:
        """Take ``size`` bytes, or all that is left."""
        data = self.read_some(size)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (part := self.read_some(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read_exactly(self, size: int, inside: str) -> bytes:
        """Take ``size`` bytes.

        Raises:
            ArchiveError: The stream ends before; the message names ``inside`` and both offsets.
        """
        start = self.offset
        data = self.read_up_to(size)
        if len(data) != size:
            raise self.cut(inside, start)
        return data

    def cut(self, inside: str, start: int) -> ArchiveError:
        """The error for a stream that ends inside something that began at byte ``start``."""
        return ArchiveError(
            f"is cut: it ends at byte {self.offset}, inside {inside} from byte {start}", where=self.where
        )

    def fault(self, what: str, at: int) -> ArchiveError:
        """The error for something wrong at byte ``at``."""
        return ArchiveError(f"{what} (byte {at})", where=self.where)


def check_ratio(reader: ChunkReader, produced: int, limits: Limits) -> None:
    """Refuse a stream that expands more than ``limits.ratio`` times, once past ``limits.ratio_floor_bytes``.

    A decompression bomb costs its maker nothing and the host everything; the floor keeps small, sound, very
    repetitive streams out of the rule.

    Raises:
        LimitError: ``produced`` bytes came out of the bytes ``reader`` has given so far.
    """
    taken = max(reader.offset, 1)
    if produced > limits.ratio_floor_bytes and produced > limits.ratio * taken:
        met = -(-produced // taken)
        raise LimitError(
            f"expands {met} times by byte {taken} ({produced} bytes so far), over the limit ratio = {limits.ratio}",
            where=reader.where,
            hint=f"if this kit is known to be sound, raise it: --max ratio={met}",
        )
