"""Which codec a stream is in, told by its content, and one way to decode it.

The same decoders serve containers (``.tar.zst``) and members (``.bson.gz``); names are never believed for a
container, while a member's codec follows its name, as ``mongodump`` and ``mongorestore`` have it.

Can compressed bytes be made again from what they hold? Only by asking the encoder.

A delta carries what a compressed stream holds, not its bytes; that is only possible where this program's own encoder,
told where the frames are cut, gives the very same bytes. Laws: a :class:`Framing` is given only for a stream that was
made again and met; what it costs is one decoding and one encoding, and the memory of a few frames; the first frame that
is another's ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import assert_never

from kit.archive.frames import MOST_FRAME_BYTES, Frame, FrameMet, encode_frame, seek_table
from kit.archive.read import gzip, zstd
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError, KitError
from kit.values import Codec, Limits
from kit.waiting import SteadyThreads

_STEP_BYTES = 1024 * 1024


def detect(first_bytes: bytes) -> Codec:
    """Recognise a codec by the first four bytes of a stream; NONE when they are no codec's."""
    magic = first_bytes[:4]
    if magic == zstd.MAGIC or zstd.is_skippable(magic):
        return Codec.ZSTD
    if magic.startswith(gzip.MAGIC):
        return Codec.GZIP
    return Codec.NONE


def decode(
    codec: Codec,
    reader: ChunkReader,
    limits: Limits,
    *,
    where: str,
    ended: Callable[[FrameMet], None] | None = None,
    produced: int = 0,
) -> Iterator[bytes]:
    """Yield the decoded bytes of everything ``reader`` has left.

    Args:
        codec: What it is encoded in.
        reader: The stream, or a part of one.
        limits: What it is held to.
        where: What it is called in errors.
        ended: Gets each frame at its end.
        produced: Decoded bytes of the stream before this part.

    Raises:
        ArchiveError: The stream is not whole and well-formed in that codec.
        LimitError: It expands too far or demands too large a window.
    """
    match codec:
        case Codec.ZSTD:
            yield from zstd.decode(reader, limits, where=where, ended=ended, produced=produced)
        case Codec.GZIP:
            yield from gzip.decode(reader, limits, where=where, ended=ended, produced=produced)
        case Codec.NONE:
            while data := reader.read_some(_STEP_BYTES):
                yield data
        case _ as never:
            assert_never(never)


def decoded(body: Iterator[bytes], codec: Codec, limits: Limits, where: str) -> Iterator[bytes]:
    """Yield the content of a collection member whose stored bytes are ``body``; ``where`` names the member.

    Raises:
        ArchiveError: As :func:`decode`.
        LimitError: As :func:`decode`, or the content is over ``limits.expanded_bytes``.
    """
    expanded = 0
    for chunk in decode(codec, ChunkReader(body, where=where), limits, where=where):
        expanded += len(chunk)
        limits.check("expanded_bytes", expanded, where=where)
        yield chunk


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
