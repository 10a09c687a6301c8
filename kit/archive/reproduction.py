"""Can compressed bytes be made again from what they hold? Only by asking the encoder.

A delta carries what a compressed stream holds, not its bytes; that is only possible where this program's own encoder,
told where the frames are cut, gives the very same bytes. Laws: a :class:`Framing` is given only for a stream that was
made again and met; what it costs is one decoding and one encoding, and the memory of a few frames; the first frame that
is another's ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from kit.archive.chunks import ChunkReader
from kit.archive.codecs import decode
from kit.archive.encoding import Frame, encode_frame, seek_table
from kit.archive.frame_form import MOST_FRAME_BYTES
from kit.archive.steady import SteadyThreads
from kit.errors import ArchiveError, KitError
from kit.values import Codec, Limits

_ENCODERS = 2
"""Threads: compressors work without Python's lock."""
_MOST_KEPT = (_ENCODERS + 2) * MOST_FRAME_BYTES
"""Stored bytes that frames being made may have; more stand between two frames only where another put them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a stream is cut into frames of this program's encoder."""

    lengths: tuple[int, ...]
    """Decoded bytes of each frame."""


def framing_of(stored: Iterable[bytes], codec: Codec, limits: Limits, *, table: bool) -> Framing | None:
    """Find how ``stored`` is cut, or that it cannot be made again.

    Args:
        stored: The compressed bytes.
        codec: What they are compressed by; nothing is to be found for ``Codec.NONE``.
        limits: For decoding.
        table: A zstd stream ends in a seek table, as archives do and members do not.
    """
    if codec is Codec.NONE:
        return None
    met = _Met(stored)
    sizes: list[tuple[int, int]] = []
    with SteadyThreads(_ENCODERS, name="encoder") as encoders:
        waiting: deque[Future[Frame]] = deque()
        for data in _frames(met.chunks(), codec, limits):
            if data is None:
                return None
            waiting.append(encoders.submit(encode_frame, codec, data))
            # The first is waited for: of another writer's archive no more is read than that.
            if len(waiting) > _ENCODERS or not sizes:
                frame = encoders.result_of(waiting.popleft())
                if not met.is_next(frame, sizes):
                    return None
        while waiting:
            if not met.is_next(encoders.result_of(waiting.popleft()), sizes):
                return None
    if not met.ends_in(seek_table(sizes) if table and codec is Codec.ZSTD else b""):
        return None
    return Framing(lengths=tuple(length for _, length in sizes))


class _Met:
    """Stored bytes on their way to a decoder, kept until the encoder has made them too."""

    def __init__(self, stored: Iterable[bytes]) -> None:
        self._stored = stored
        self._kept = bytearray()

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._stored:
            self._kept += chunk
            if len(self._kept) > _MOST_KEPT:
                raise ArchiveError("is not cut as this program cuts")
            yield chunk

    def is_next(self, frame: Frame, sizes: list[tuple[int, int]]) -> bool:
        """Whether the next bytes are those of a frame; takes them away, and notes its sizes."""
        size = len(frame.encoded)
        if self._kept[:size] != frame.encoded:
            return False
        del self._kept[:size]
        sizes.append((size, frame.length))
        return True

    def ends_in(self, rest: bytes) -> bool:
        """Whether that is all that is left."""
        return self._kept == rest


def _frames(stored: Iterable[bytes], codec: Codec, limits: Limits) -> Iterator[bytes | None]:
    """Give each frame's content; None and the end where one is too long, or the stream is not in that codec."""
    parts: list[bytes] = []
    ends: list[int] = []
    held = 0
    reader = ChunkReader(stored, where="")
    try:
        for chunk in decode(codec, reader, limits, where="", ended=lambda met: ends.append(met.size)):
            # The end of a frame is told when the next chunk is asked for, which is of the frame after.
            if ends:
                ends.clear()
                yield b"".join(parts)
                parts, held = [], 0
            parts.append(chunk)
            held += len(chunk)
            if held > MOST_FRAME_BYTES:
                yield None
                return
    except KitError:
        yield None
        return
    yield b"".join(parts)


def cut(chunks: Iterable[bytes], lengths: Iterable[int]) -> Iterator[bytes]:
    """Cut a stream into pieces of these lengths; what is left after the last is one more piece."""
    reader = ChunkReader(chunks, where="")
    for length in lengths:
        yield reader.read_up_to(length)
    rest = b"".join(iter(lambda: reader.read_some(MOST_FRAME_BYTES), b""))
    if rest:
        yield rest
