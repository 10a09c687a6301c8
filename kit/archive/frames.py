"""Compressed output as independent frames: zstd frames (RFC 8878) or gzip members (RFC 1952), one call each.

Every frame decodes by itself. So any number of workers can make frames in parallel, frames can be copied without being
opened, and stock ``zstd`` and ``gzip`` read them back as one stream.

Laws: ``encode`` is a function of its arguments alone; which library and level make the bytes is pinned in
pyproject.toml and argued in docs/design/gzip-codec.md. Every frame that :func:`encode` makes has the form that
:func:`is_own` recognises. A frame does not have it if it has a dictionary, a larger window, no checksum, no content
size, names, times or comments, or more bytes than its content can account for.
Stops at the form: decoders find whether the content is intact, and nothing shows which level made it.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import deflate
import zstandard
from isal import isal_zlib

from kit.values import Codec

FRAME_BYTES = 4 * 1024 * 1024
"""Bodies are cut into frames of this many bytes; each member begins a new one."""

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One encoded frame and the number of bytes it decodes to."""

    encoded: bytes
    length: int
    sha256: bytes = b""
    """Digest of ``encoded``, if it was proven to decode to its source (:mod:`kit.archive.read.proven`)."""


class _Compressors(threading.local):
    """One zstd context per thread: it is not thread-safe, and making one costs more than compressing a small frame."""

    def __init__(self) -> None:
        self.zstd = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True, write_content_size=True)


_compressors = _Compressors()


def encode(codec: Codec, data: bytes) -> bytes:
    """Return ``data`` encoded as one frame; with ``Codec.NONE``, unchanged.

    Raises:
        MemoryError: There is not enough memory.
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
    """Return ``data`` as one frame with its decoded length."""
    return Frame(encoded=encode(codec, data), length=len(data))


_SEEK_TABLE_MAGIC = 0x184D2A5E
_SEEK_FOOTER_MAGIC = 0x8F92EAB1
_MAX_SEEKABLE_FRAMES = 0x8000000


def seek_table(frames: Sequence[tuple[int, int]]) -> bytes:
    """Return the skippable frame that lists all frames: (encoded size, decoded size), in file order.

    Source: contrib/seekable_format/zstd_seekable_compression_format.md of zstd, without per-frame checksums (every
    frame carries its own). Empty if there are more frames than the format can list.
    """
    if len(frames) > _MAX_SEEKABLE_FRAMES:
        return b""
    entries = b"".join(struct.pack("<II", encoded, decoded) for encoded, decoded in frames)
    footer = struct.pack("<IBI", len(frames), 0, _SEEK_FOOTER_MAGIC)
    return struct.pack("<II", _SEEK_TABLE_MAGIC, len(entries) + len(footer)) + entries + footer


MAX_FRAME_BYTES = 32 * 1024 * 1024
"""Decoded bytes. This writer cuts at a document's end or at 4 MiB, so a longer frame holds a giant document or is not
ours."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_WINDOW_LOG = 21
"""The window of zstd at level 3, for any size; content that fits into the window makes a single segment."""
_WINDOW = bytes([(_WINDOW_LOG - 10) << 3])
_SINGLE_SEGMENT, _CHECKSUM = 0x20, 0x04
_GZIP_HEADER = encode(Codec.GZIP, b"")[:10]
_STEP_BYTES = 256 * 1024
_INPUT_BYTES = 16 * 1024
"""Stored bytes of about one step of content (measured: 2.4 ms for 4 MiB of documents; 2.3 ms for all at once)."""
_GZIP_WINDOW = 16 + 15
"""Argument of isal_zlib, as of zlib: a gzip header and the largest window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """A data frame that was decoded to its end."""

    header: bytes
    """As stored, up to the first block."""
    size: int
    """Stored bytes, header and trailer included."""
    length: int
    """Decoded bytes."""


def is_own(codec: Codec, frame: DecodedFrame) -> bool:
    """Return whether a frame has the form of those that this program makes."""
    # Incompressible content costs 3 bytes more for each block, of 64 KiB at least, and the header and trailer.
    if not 0 < frame.length <= MAX_FRAME_BYTES or frame.size > frame.length + frame.length // 256 + 128:
        return False
    if codec is Codec.ZSTD:
        return frame.header == zstd_header(frame.length)
    return codec is Codec.GZIP and frame.header == _GZIP_HEADER


def may_be_own(codec: Codec, head: bytes, tail: bytes) -> bool:
    """Return whether an archive that begins and ends with these bytes may have the form of those that this one makes.

    Of zstd it ends with a seek table, whose magic is last; of gzip it begins with our header. Others have both rarely.
    """
    if codec is Codec.ZSTD:
        return tail == struct.pack("<I", _SEEK_FOOTER_MAGIC)
    return codec is Codec.NONE or head.startswith(_GZIP_HEADER)


def window_of(length: int) -> int:
    """Return the largest window that a frame of our form with ``length`` bytes of content needs."""
    return min(length, 1 << _WINDOW_LOG)


def zstd_header(length: int) -> bytes:
    """Return the header of a frame with checksum and content size (RFC 8878 3.1.1.1), as libzstd writes it."""
    if length <= 1 << _WINDOW_LOG:
        descriptor, window = _SINGLE_SEGMENT | _CHECKSUM, b""
    else:
        descriptor, window = _CHECKSUM, _WINDOW
    if length < 256:
        # 3.1.1.1.4: without a flag, only a single segment has the one byte; this is one.
        flag, size = 0, length.to_bytes(1, "little")
    elif length < 65_536 + 256:
        flag, size = 1, (length - 256).to_bytes(2, "little")
    else:
        flag, size = 2, length.to_bytes(4, "little")
    return _ZSTD_MAGIC + bytes([flag << 6 | descriptor]) + window + size


def encode_again(codec: Codec, data: bytes, kept: bytes) -> bytes:
    """Return ``data`` as one frame: ``kept`` if it is a frame of our form with exactly this content, else a new one.

    Decoding is several times faster than encoding, so a frame of an earlier process is checked and not made again.
    ``encode`` would return other bytes than ``kept`` only if another level made ``kept``.
    """
    return kept if kept and is_frame_of(codec, kept, data) else encode(codec, data)


def encode_frame_again(codec: Codec, data: bytes, kept: bytes) -> Frame:
    """Return the result of :func:`encode_again` with its decoded length."""
    return Frame(encoded=encode_again(codec, data, kept), length=len(data))


def is_frame_of(codec: Codec, encoded: bytes, data: bytes) -> bool:
    """Return whether ``encoded`` is exactly one frame of our form that holds ``data``.

    It is decoded in steps, and each is compared while it is in the cache. So the data is not held twice.
    """
    try:
        if codec is Codec.ZSTD:
            if not encoded.startswith(zstd_header(len(data))):
                return False
            decoder = zstandard.ZstdDecompressor().decompressobj(write_size=_STEP_BYTES)
            steps = range(0, len(encoded), _INPUT_BYTES)
            end = _end_of(data, (decoder.decompress(encoded[step : step + _INPUT_BYTES]) for step in steps))
            return end == len(data) and decoder.eof and not decoder.unused_data
        if codec is Codec.GZIP:
            if not encoded.startswith(_GZIP_HEADER):
                return False
            inflater = isal_zlib.decompressobj(_GZIP_WINDOW)
            first = inflater.decompress(encoded, _STEP_BYTES)
            rest = iter(lambda: inflater.decompress(inflater.unconsumed_tail, _STEP_BYTES), b"")
            end = _end_of(data, chain((first,), rest))
            return end == len(data) and inflater.eof and not inflater.unused_data
    except (zstandard.ZstdError, isal_zlib.IsalError) as error:  # type: ignore[misc]  # its stub declares an instance
        if "not enough memory" in str(error):
            raise MemoryError from error
        return False
    return encoded == data


def _end_of(data: bytes, steps: Iterable[bytes]) -> int:
    """Return where in ``data`` the last of ``steps`` ends; -1 if ``data`` does not begin with them."""
    at = 0
    for step in steps:
        if not data.startswith(step, at):
            return -1
        at += len(step)
    return at


def content_of(codec: Codec, kept: bytes, *, most: int = MAX_FRAME_BYTES) -> bytes | None:
    """Return the content of one frame of our form; None if it is no such frame, or holds more than ``most`` bytes."""
    try:
        if codec is Codec.ZSTD:
            length = zstandard.frame_content_size(kept)
            if not 0 < length <= most or not kept.startswith(zstd_header(length)):
                return None
            # The header declares the content size, so it cannot decode to more than this.
            return zstandard.ZstdDecompressor().decompress(kept, allow_extra_data=False)
        if codec is Codec.GZIP:
            inflater = isal_zlib.decompressobj(_GZIP_WINDOW)
            data = inflater.decompress(kept, most + 1) if kept.startswith(_GZIP_HEADER) else b""
            return bytes(data) if inflater.eof and not inflater.unused_data and len(data) <= most else None
    except (zstandard.ZstdError, isal_zlib.IsalError):  # type: ignore[misc]  # its stub declares an instance
        return None
    return kept
