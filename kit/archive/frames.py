"""Compressed output as independent frames: zstd frames (RFC 8878) or gzip members (RFC 1952), one call each.

Every frame stands alone, so frames can be made in parallel by any number of workers, copied without being opened, and
read back by stock ``zstd`` and ``gzip`` as one stream. Law: ``encode`` is a function of its arguments alone; which
library and level make the bytes is pinned in pyproject.toml and argued in docs/design/gzip-codec.md.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import deflate
import zstandard

from kit.values import Codec

FRAME_BYTES = 4 * 1024 * 1024
"""Bodies are cut into frames of this many bytes, starting anew at each member."""

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One encoded frame and the number of bytes it decodes to."""

    encoded: bytes
    length: int
    sha256: bytes = b""
    """Digest of ``encoded``, if it is proven that this holds what it was made of (:mod:`kit.archive.proven`)."""


class _Compressors(threading.local):
    """A zstd context is not thread-safe and costs more to make than a small frame to compress."""

    def __init__(self) -> None:
        self.zstd = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True, write_content_size=True)


_compressors = _Compressors()


def encode(codec: Codec, data: bytes) -> bytes:
    """Encode ``data`` as one frame; ``Codec.NONE`` gives it back unchanged.

    Raises:
        MemoryError: There is not enough for it.
    """
    if codec is Codec.ZSTD:
        try:
            return _compressors.zstd.compress(data)
        except zstandard.ZstdError as error:
            if "not enough memory" in str(error):
                raise MemoryError from error
            raise
    if codec is Codec.GZIP:
        return bytes(deflate.gzip_compress(data, _GZIP_LEVEL))
    return data


def encode_frame(codec: Codec, data: bytes) -> Frame:
    """Encode ``data`` and remember how long it was."""
    return Frame(encoded=encode(codec, data), length=len(data))


_SEEK_TABLE_MAGIC = 0x184D2A5E
_SEEK_FOOTER_MAGIC = 0x8F92EAB1
_MAX_SEEKABLE_FRAMES = 0x8000000


def seek_table(frames: Sequence[tuple[int, int]]) -> bytes:
    """Build the skippable frame that lists all frames: (encoded size, decoded size), in file order.

    Source: contrib/seekable_format/zstd_seekable_compression_format.md of zstd, without per-frame checksums (every
    frame carries its own). More frames than the format can list give an empty table, which is simply left out.
    """
    if len(frames) > _MAX_SEEKABLE_FRAMES:
        return b""
    entries = b"".join(struct.pack("<II", encoded, decoded) for encoded, decoded in frames)
    footer = struct.pack("<IBI", len(frames), 0, _SEEK_FOOTER_MAGIC)
    return struct.pack("<II", _SEEK_TABLE_MAGIC, len(entries) + len(footer)) + entries + footer
