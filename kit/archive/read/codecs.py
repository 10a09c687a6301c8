"""Which codec a stream is in, told by its content, and one way to decode it.

The same decoders serve containers (``.tar.zst``) and members (``.bson.gz``); names are never believed for a
container, while a member's codec follows its name, as ``mongodump`` and ``mongorestore`` have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

from kit.archive import gzip_members, zstd_frames
from kit.archive.chunks import ChunkReader
from kit.archive.frame_form import FrameMet
from kit.values import Codec, Limits

_STEP_BYTES = 1024 * 1024


def detect(first_bytes: bytes) -> Codec:
    """Recognise a codec by the first four bytes of a stream; NONE when they are no codec's."""
    magic = first_bytes[:4]
    if magic == zstd_frames.MAGIC or zstd_frames.is_skippable(magic):
        return Codec.ZSTD
    if magic.startswith(gzip_members.MAGIC):
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
            yield from zstd_frames.decode(reader, limits, where=where, ended=ended, produced=produced)
        case Codec.GZIP:
            yield from gzip_members.decode(reader, limits, where=where, ended=ended, produced=produced)
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
