"""Decodes a sequence of zstd frames (RFC 8878), with the frame structure parsed here, not by the library.

The library's streaming interfaces return what they have when their input ends, so a cut frame looks like a complete
one. Here every frame header, block header and checksum is located before its bytes go to the decompressor. Laws:
the end of a frame is exact; truncation anywhere, trailing bytes, reserved bits and a window over the limit are
refused with an offset; at most ``BATCH_BLOCKS`` blocks (1 MiB) are regenerated per step, whatever the input claims;
the last batch of a frame is yielded only after its checksum and content size were found right. Entropy coding and match
execution stay with libzstd, which also verifies the checksum. The content size is checked here, too: libzstd 1.5.7
checks it after every last block but an empty one, unless it was given room for the entire frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zstandard

from kit.archive.frames import DecodedFrame
from kit.archive.source import ChunkReader, check_ratio
from kit.errors import ArchiveError
from kit.values import Limits, Price

MAGIC = b"\x28\xb5\x2f\xfd"
BLOCK_BYTES = 128 * 1024
BATCH_BLOCKS = 8
_SKIP_STEP = 256 * 1024
_RESERVED = 3
_RLE = 1
# RFC 8878 3.1.1.1.1: sizes of the two optional fields by their flag.
_DICTIONARY_SIZES = (0, 1, 2, 4)
_CONTENT_SIZES = (0, 2, 4, 8)


def is_skippable(magic: bytes) -> bool:
    """Return whether four bytes begin a skippable frame (RFC 8878 3.1.2): 0x184D2A50 to 0x184D2A5F, little-endian."""
    return len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50


def decode(
    reader: ChunkReader,
    limits: Limits,
    *,
    where: str,
    ended: Callable[[DecodedFrame], None] | None = None,
    produced: int = 0,
) -> Iterator[bytes]:
    """Yield the content of all frames up to the end of ``reader``, in chunks of at most 1 MiB.

    Args:
        reader: The stream.
        limits: Limits that are enforced.
        where: Name of the stream in errors.
        ended: Called with each data frame after its last chunk was taken.
        produced: Decoded bytes of the stream before this part of it.

    Raises:
        ArchiveError: Not a sequence of whole, well-formed frames with at least one data frame; names the offset.
        LimitError: A frame demands a larger window than ``limits.window_bytes``, or the stream expands too far.
    """
    # libzstd takes 1 KiB to 2 GiB; the exact bound is checked at each frame header.
    bound = min(max(limits.window_bytes, 1 << 10), 1 << 31)
    decompressor = zstandard.ZstdDecompressor(max_window_size=bound)
    data_frames = 0
    while not reader.at_end():
        start = reader.offset
        magic = reader.read_exactly(4, "the magic of a zstd frame")
        if is_skippable(magic):
            limits.spend(Price.SKIPPED, where=where)
            _skip(reader, start)
            continue
        if magic != MAGIC:
            what = "data after the last zstd frame" if data_frames else "no zstd frame"
            raise reader.fault(what, start)
        limits.spend(Price.FRAME, where=where)
        header = _read_header(reader, start, magic, limits, where)
        data_frames += 1
        before = produced
        # Of the codec of a member; that of the container has its own bound, and both windows are held at once.
        limits.hold(header.window, where=where, passing=True)
        for chunk in _decode_blocks(reader, header, decompressor, limits):
            produced += len(chunk)
            check_ratio(reader, produced, limits)
            yield chunk
        limits.hold(-header.window, passing=True)
        if ended is not None:
            ended(DecodedFrame(header=header.verbatim, size=reader.offset - start, length=produced - before))
    if not data_frames:
        raise reader.fault("holds no zstd data frame", reader.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FrameHeader:
    start: int
    verbatim: bytes
    content_size: int | None
    window: int
    block_maximum: int
    has_checksum: bool


def _skip(reader: ChunkReader, start: int) -> None:
    left = int.from_bytes(reader.read_exactly(4, "the size of a skippable frame"), "little")
    while left:
        # Bounded steps: the declared size of up to 4 GiB is not a reason to hold that much.
        data = reader.read_some(min(left, _SKIP_STEP))
        if not data:
            raise reader.cut("a skippable frame", start)
        left -= len(data)


def _read_header(reader: ChunkReader, start: int, magic: bytes, limits: Limits, where: str) -> _FrameHeader:
    """Parse the frame header (RFC 8878 3.1.1.1)."""
    descriptor_byte = reader.read_exactly(1, "a zstd frame header")
    descriptor = descriptor_byte[0]
    if descriptor & 0x08:
        raise reader.fault("a zstd frame header has its reserved bit set", start)
    single_segment = bool(descriptor & 0x20)
    window_length = 0 if single_segment else 1
    dictionary_length = _DICTIONARY_SIZES[descriptor & 3]
    content_length = _CONTENT_SIZES[descriptor >> 6] or int(single_segment)
    rest = reader.read_exactly(window_length + dictionary_length + content_length, "a zstd frame header")
    if any(rest[window_length : window_length + dictionary_length]):
        raise reader.fault("a zstd frame needs a dictionary", start)
    content_size = None
    if content_length:
        # 3.1.1.1.4: the two-byte form counts from 256.
        content_size = int.from_bytes(rest[-content_length:], "little") + (256 if content_length == 2 else 0)
    if single_segment:
        window = content_size or 0
    else:
        # 3.1.1.1.2: exponent in the upper five bits, eighths in the lower three.
        base = 1 << (10 + (rest[0] >> 3))
        window = base + (base >> 3) * (rest[0] & 7)
    limits.check("window_bytes", window, where=f"{where}: zstd frame at byte {start}")
    return _FrameHeader(
        start=start,
        verbatim=magic + descriptor_byte + rest,
        content_size=content_size,
        window=window,
        block_maximum=min(window, BLOCK_BYTES),
        has_checksum=bool(descriptor & 0x04),
    )


def _decode_blocks(
    reader: ChunkReader, header: _FrameHeader, decompressor: zstandard.ZstdDecompressor, limits: Limits
) -> Iterator[bytes]:
    """Yield a frame's content, a batch of whole blocks at a time."""
    output = min(header.content_size or BATCH_BLOCKS * BLOCK_BYTES, BATCH_BLOCKS * BLOCK_BYTES)
    frame = decompressor.decompressobj(write_size=max(output, 1))
    batch = [header.verbatim]
    last = False
    size = 0
    while not last:
        batch_start = reader.offset
        last = any(_take_block(reader, batch, header.block_maximum) for _ in range(BATCH_BLOCKS))
        coded = reader.offset - batch_start
        limits.spend(Price.BLOCK * (len(batch) // 2) + Price.CODED_BYTE * coded, where=reader.where)
        if last and header.has_checksum:
            batch.append(reader.read_exactly(4, "the checksum of a zstd frame"))
        try:
            content = frame.decompress(b"".join(batch))
        except zstandard.ZstdError as error:
            if "not enough memory" in str(error):
                raise MemoryError from error
            place = f"a zstd block between byte {batch_start} and byte {reader.offset} is corrupt"
            raise ArchiveError(f"{place}: {error}", where=reader.where) from error
        size += len(content)
        if header.content_size is not None and (size > header.content_size or (last and size < header.content_size)):
            raise reader.fault(f"a zstd frame declares {header.content_size} bytes and has {size}", header.start)
        if content:
            yield content
        batch = []
    if not frame.eof:
        raise reader.fault("a zstd frame does not end with its last block", header.start)


def _take_block(reader: ChunkReader, batch: list[bytes], block_maximum: int) -> bool:
    """Append one block, header included, to ``batch``; returns whether it is the frame's last (RFC 8878 3.1.1.2)."""
    start = reader.offset
    head = reader.read_exactly(3, "the header of a zstd block")
    word = int.from_bytes(head, "little")
    kind, size = (word >> 1) & 3, word >> 3
    if kind == _RESERVED:
        raise reader.fault("a zstd block is of the reserved type", start)
    if size > block_maximum:
        raise reader.fault(f"a zstd block declares {size} bytes, more than the {block_maximum} of its frame", start)
    batch.append(head)
    # 3.1.1.2.3: an RLE block stores one byte, its size counts the copies.
    batch.append(reader.read_exactly(1 if kind == _RLE else size, "a zstd block"))
    return bool(word & 1)
