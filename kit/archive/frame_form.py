"""What a frame looks like from outside, and whether it has the form that this program's encoder gives.

Law: a frame made by :func:`kit.archive.encoding.encode` has that form; one that has a dictionary, a larger window, no
checksum, no content size, names, times or comments, or more bytes than its content can account for, has not. Stops at
the form: that the content is whole is for the decoders to find, and which level of compression made it cannot be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.archive.encoding import encode
from kit.values import Codec

MOST_FRAME_BYTES = 32 * 1024 * 1024
"""Decoded; this writer cuts at a document's end or at 4 MiB, so a longer one is of a giant document or not ours."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_WINDOW_LOG = 21
"""Of zstd at level 3, whatever the size; content that fits into the window makes a single segment."""
_WINDOW = bytes([(_WINDOW_LOG - 10) << 3])
_SINGLE_SEGMENT, _CHECKSUM = 0x20, 0x04
_GZIP_HEADER = encode(Codec.GZIP, b"")[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMet:
    """A data frame that a decoder came to the end of."""

    header: bytes
    """As stored, up to the first block."""
    size: int
    """Stored bytes, header and trailer included."""
    length: int
    """Decoded bytes."""


def is_own(codec: Codec, met: FrameMet) -> bool:
    """Whether a frame has the form of those that this program makes."""
    # What is not compressible takes 3 bytes more for each block, of 64 KiB at least, and what is around it.
    if not 0 < met.length <= MOST_FRAME_BYTES or met.size > met.length + met.length // 256 + 128:
        return False
    if codec is Codec.ZSTD:
        return met.header == zstd_header(met.length)
    return codec is Codec.GZIP and met.header == _GZIP_HEADER


def zstd_header(length: int) -> bytes:
    """Give the header of a frame with checksum and content size (RFC 8878 3.1.1.1), as libzstd writes it."""
    if length <= 1 << _WINDOW_LOG:
        descriptor, window = _SINGLE_SEGMENT | _CHECKSUM, b""
    else:
        descriptor, window = _CHECKSUM, _WINDOW
    if length < 256:
        # 3.1.1.1.4: without a flag, the one byte is there in a single segment only, as this is.
        flag, size = 0, length.to_bytes(1, "little")
    elif length < 65_536 + 256:
        flag, size = 1, (length - 256).to_bytes(2, "little")
    else:
        flag, size = 2, length.to_bytes(4, "little")
    return _ZSTD_MAGIC + bytes([flag << 6 | descriptor]) + window + size
