"""Codecs of a stream: detect one, decode it, and find whether this program's encoder would reproduce its bytes.

The same decoders serve containers (``.tar.zst``) and members (``.bson.gz``). The codec of a container is detected from
its content, never from its name. A member's codec follows its name, as in ``mongodump`` and ``mongorestore``.

A delta carries the content of a compressed stream and not its bytes. That is possible only if this program's own
encoder, given the lengths of the frames, makes exactly the same bytes; :func:`find_framing` tries it.
Laws: a :class:`Framing` is returned only for a stream that was encoded again and compared. That costs one decoding, one
encoding and the memory of a few frames; the first frame of another encoder ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import assert_never

from kit.archive.frames import MAX_FRAME_BYTES, DecodedFrame, Frame, encode_frame, seek_table
from kit.archive.read import gzip, zstd
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError, KitError
from kit.values import Codec, Limits
from kit.waiting import SteadyThreads

_STEP_BYTES = 1024 * 1024


def detect(first_bytes: bytes) -> Codec:
    """Return the codec that the first four bytes of a stream begin; NONE if they begin none."""
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
    ended: Callable[[DecodedFrame], None] | None = None,
    produced: int = 0,
) -> Iterator[bytes]:
    """Yield the decoded bytes of everything ``reader`` has left.

    Args:
        codec: Codec of the stream.
        reader: The stream, or a part of one.
        limits: Limits that are enforced.
        where: Name of the stream in errors.
        ended: Called with each frame at its end.
        produced: Decoded bytes of the stream before this part.

    Raises:
        ArchiveError: The stream is cut or malformed in that codec.
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


def decode_member(body: Iterator[bytes], codec: Codec, limits: Limits, where: str) -> Iterator[bytes]:
    """Yield the content of a collection member whose stored bytes are ``body``; ``where`` names the member.

    Raises:
        ArchiveError: As for :func:`decode`.
        LimitError: As for :func:`decode`, or the content is over ``limits.expanded_bytes``.
    """
    expanded = 0
    for chunk in decode(codec, ChunkReader(body, where=where), limits, where=where):
        expanded += len(chunk)
        limits.check("expanded_bytes", expanded, where=where)
        yield chunk


_ENCODERS = 2
"""Number of threads: compressors work without Python's lock."""
_MAX_KEPT_BYTES = (_ENCODERS + 2) * MAX_FRAME_BYTES
"""Most stored bytes of the frames that are being encoded; only the stream of another program has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a stream is cut into frames by this program's encoder."""

    lengths: tuple[int, ...]
    """Decoded bytes of each frame."""


def find_framing(stored: Iterable[bytes], codec: Codec, limits: Limits, *, table: bool) -> Framing | None:
    """Return how ``stored`` is cut into frames; None if this program would not reproduce it.

    Args:
        stored: The compressed bytes.
        codec: Their codec; with ``Codec.NONE`` there is no framing.
        limits: Limits of decoding.
        table: Whether a zstd stream must end in a seek table, as archives do and members do not.
    """
    if codec is Codec.NONE:
        return None
    pending = _Pending(stored)
    sizes: list[tuple[int, int]] = []
    with SteadyThreads(_ENCODERS, name="encoder") as encoders:
        waiting: deque[Future[Frame]] = deque()
        for data in _frames(pending.chunks(), codec, limits):
            if data is None:
                return None
            waiting.append(encoders.submit(encode_frame, codec, data))
            # Waits for the first: no more than one frame of another writer's archive is read.
            if len(waiting) > _ENCODERS or not sizes:
                frame = encoders.result_of(waiting.popleft())
                if not pending.is_next(frame, sizes):
                    return None
        while waiting:
            if not pending.is_next(encoders.result_of(waiting.popleft()), sizes):
                return None
    if not pending.ends_in(seek_table(sizes) if table and codec is Codec.ZSTD else b""):
        return None
    return Framing(lengths=tuple(length for _, length in sizes))


class _Pending:
    """Stored bytes passed to a decoder, kept until the encoder has made the same bytes."""

    def __init__(self, stored: Iterable[bytes]) -> None:
        self._stored = stored
        self._kept = bytearray()

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._stored:
            self._kept += chunk
            if len(self._kept) > _MAX_KEPT_BYTES:
                raise ArchiveError("is not cut as this program cuts")
            yield chunk

    def is_next(self, frame: Frame, sizes: list[tuple[int, int]]) -> bool:
        """Return whether the next bytes are those of a frame; if so, remove them and record its sizes."""
        size = len(frame.encoded)
        if self._kept[:size] != frame.encoded:
            return False
        del self._kept[:size]
        sizes.append((size, frame.length))
        return True

    def ends_in(self, rest: bytes) -> bool:
        """Return whether exactly these bytes are left."""
        return self._kept == rest


def _frames(stored: Iterable[bytes], codec: Codec, limits: Limits) -> Iterator[bytes | None]:
    """Yield each frame's content; None as the last if a frame is too long, or the stream is not in that codec."""
    parts: list[bytes] = []
    ends: list[int] = []
    held = 0
    reader = ChunkReader(stored, where="")
    try:
        for chunk in decode(codec, reader, limits, where="", ended=lambda frame: ends.append(frame.size)):
            # The end of a frame is reported when the next chunk is requested, which is of the next frame.
            if ends:
                ends.clear()
                yield b"".join(parts)
                parts, held = [], 0
            parts.append(chunk)
            held += len(chunk)
            if held > MAX_FRAME_BYTES:
                yield None
                return
    except KitError:
        yield None
        return
    yield b"".join(parts)


def cut(chunks: Iterable[bytes], lengths: Iterable[int]) -> Iterator[bytes]:
    """Yield pieces of these lengths of a stream, and what is left after the last as one more piece."""
    reader = ChunkReader(chunks, where="")
    for length in lengths:
        yield reader.read_up_to(length)
    rest = b"".join(iter(lambda: reader.read_some(MAX_FRAME_BYTES), b""))
    if rest:
        yield rest
