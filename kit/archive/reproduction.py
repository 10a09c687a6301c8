"""Can compressed bytes be made again from what they hold? Only by asking the encoder.

A delta carries what a compressed stream holds, not its bytes; that is only possible where this program's own encoder,
told where the frames are cut, gives the very same bytes. Laws: a :class:`Framing` is given only for a stream that was
made again and met; what it costs is one decoding and one encoding, and the memory of one frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kit.archive.chunks import ChunkReader
from kit.archive.codecs import decode
from kit.archive.encoding import encode_frame, seek_table
from kit.archive.frame_form import MOST_FRAME_BYTES
from kit.errors import KitError
from kit.values import Codec, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a stream is cut into frames of this program's encoder."""

    lengths: tuple[int, ...]
    """Decoded bytes of each frame."""


def framing_of(
    stored: Iterable[bytes], codec: Codec, limits: Limits, *, table: bool, content: hashlib._Hash | None = None
) -> Framing | None:
    """Find how ``stored`` is cut, or that it cannot be made again.

    Args:
        stored: The compressed bytes.
        codec: What they are compressed by; nothing is to be found for ``Codec.NONE``.
        limits: For decoding.
        table: A zstd stream ends in a seek table, as archives do and members do not.
        content: Is fed what the stream holds.
    """
    if codec is Codec.NONE:
        return None
    met = hashlib.sha256()
    made = hashlib.sha256()
    sizes: list[tuple[int, int]] = []
    for data in _frames(_hashed(stored, met), codec, limits):
        if data is None:
            return None
        if content is not None:
            content.update(data)
        frame = encode_frame(codec, data)
        made.update(frame.encoded)
        sizes.append((len(frame.encoded), frame.length))
    if table and codec is Codec.ZSTD:
        made.update(seek_table(sizes))
    if met.digest() != made.digest():
        return None
    return Framing(lengths=tuple(length for _, length in sizes))


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


def _hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def cut(chunks: Iterable[bytes], lengths: Iterable[int]) -> Iterator[bytes]:
    """Cut a stream into pieces of these lengths; what is left after the last is one more piece."""
    reader = ChunkReader(chunks, where="")
    for length in lengths:
        yield reader.read_up_to(length)
    rest = b"".join(iter(lambda: reader.read_some(MOST_FRAME_BYTES), b""))
    if rest:
        yield rest
