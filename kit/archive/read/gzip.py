"""Decodes concatenated gzip members (RFC 1952), with header and trailer parsed here.

The library only inflates. ISA-L (``isal``) is used rather than ``zlib``: it inflates more than twice as fast on
collections of advisories (1.9 against 0.8 GB/s) and is as strict about deflate itself. But its gzip mode ignores
reserved flag bits, and neither mode distinguishes a cut stream from one that waits for more. So the wrapper is ours,
and CRC32, ISIZE and the header's own CRC16 are compared here. Laws: truncation anywhere, reserved flags, and anything
after the last member (zero padding included) are refused with an offset; a step yields at most ``STEP_BYTES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isal import isal_zlib

from kit.archive.frames import DecodedFrame
from kit.archive.source import ChunkReader, check_ratio
from kit.errors import ArchiveError
from kit.values import Limits, Price

MAGIC = b"\x1f\x8b"
STEP_BYTES = 256 * 1024
_INPUT_BYTES = 64 * 1024
_TEXT_BYTES = 1024
_RAW_DEFLATE = -15
# RFC 1952 2.3.1
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT, _FLAGS_RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_DEFLATE = 8


def decode(
    reader: ChunkReader,
    limits: Limits,
    *,
    where: str,
    ended: Callable[[DecodedFrame], None] | None = None,
    produced: int = 0,
) -> Iterator[bytes]:
    """Yield the content of all members up to the end of ``reader``, in chunks of at most 256 KiB.

    Args:
        reader: The stream.
        limits: Limits that are enforced.
        where: Name of the stream in errors.
        ended: Called with each member after its last chunk was taken.
        produced: Decoded bytes of the stream before this part of it.

    Raises:
        ArchiveError: Not a sequence of at least one whole, well-formed member; names the offset.
        LimitError: The stream expands too far, or a header is over ``limits.header_bytes``.
    """
    members = 0
    while not members or not reader.at_end():
        start = reader.offset
        header = _read_header(reader, start, limits, where, first=not members)
        members += 1
        limits.spend(Price.FRAME + Price.CODED_BYTE * (reader.offset - start), where=where)
        checksum = size = 0
        for chunk in _inflate(reader, start, limits):
            checksum = isal_zlib.crc32(chunk, checksum)
            size += len(chunk)
            produced += len(chunk)
            check_ratio(reader, produced, limits)
            yield chunk
        _check_trailer(reader, checksum, size)
        if ended is not None:
            ended(DecodedFrame(header=header, size=reader.offset - start, length=size))


def _read_header(reader: ChunkReader, start: int, limits: Limits, where: str, *, first: bool) -> bytes:
    """Take and check a member header (RFC 1952 2.3); nothing in it is needed to decode."""
    header = bytearray(reader.read_up_to(10))
    if header[:2] != MAGIC[: max(len(header), 1)]:
        raise reader.fault("no gzip member" if first else "data after the last gzip member", start)
    if len(header) < 10:
        raise reader.cut("a gzip header", start)
    flags = header[3]
    if header[2] != _DEFLATE:
        raise reader.fault(f"a gzip member is compressed by the unknown method {header[2]}", start)
    if flags & _FLAGS_RESERVED:
        # 2.3.1.2: "must give an error indication if any reserved bit is non-zero".
        raise reader.fault("a gzip header has reserved flags set", start)
    if flags & _FEXTRA:
        length = reader.read_exactly(2, "a gzip header")
        header += length + reader.read_exactly(int.from_bytes(length, "little"), "a gzip header")
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            _take_text(reader, header, start, limits, where)
    if flags & _FHCRC:
        stored = int.from_bytes(reader.read_exactly(2, "a gzip header"), "little")
        if stored != isal_zlib.crc32(header) & 0xFFFF:
            raise reader.fault("a gzip header does not match its own checksum", start)
    return bytes(header)


def _take_text(reader: ChunkReader, header: bytearray, start: int, limits: Limits, where: str) -> None:
    """Append a zero-terminated text; its length is declared nowhere, so it is bounded here."""
    while True:
        data = reader.read_some(_TEXT_BYTES)
        if not data:
            raise reader.cut("a gzip header", start)
        text, end, rest = data.partition(b"\0")
        header += text + end
        if end:
            reader.unread(len(rest))
            return
        limits.check("header_bytes", len(header), where=f"{where}: gzip header at byte {start}")


def _inflate(reader: ChunkReader, start: int, limits: Limits) -> Iterator[bytes]:
    """Yield one member's content and leave ``reader`` at the first byte after its deflate stream."""
    inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
    pending, taken = True, 0
    while pending:
        if reader.at_end():
            raise reader.cut("a gzip member", start)
        limits.spend(Price.CODED_BYTE * taken, where=reader.where)
        step_start = reader.offset
        data = reader.read_some(_INPUT_BYTES)
        taken = len(data)
        while True:
            try:
                content = inflater.decompress(data, STEP_BYTES)
            except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub declares an instance
                place = f"a gzip member is corrupt between byte {step_start} and byte {reader.offset}"
                raise ArchiveError(f"{place}: {error}", where=reader.where) from error
            if content:
                yield content
            data = inflater.unconsumed_tail
            # A full step may have left output inside the inflater even when it took all its input.
            pending = not inflater.eof
            if not pending or (len(content) < STEP_BYTES and not data):
                break
    limits.spend(Price.CODED_BYTE * (taken - len(inflater.unused_data)), where=reader.where)
    reader.unread(len(inflater.unused_data))


def _check_trailer(reader: ChunkReader, checksum: int, size: int) -> None:
    """Compare CRC32 and ISIZE (RFC 1952 2.3.1), which is the size modulo 2**32."""
    start = reader.offset
    trailer = reader.read_exactly(8, "a gzip trailer")
    if int.from_bytes(trailer[:4], "little") != checksum:
        raise reader.fault("a gzip member does not match its CRC32", start)
    if int.from_bytes(trailer[4:], "little") != size & 0xFFFFFFFF:
        raise reader.fault("a gzip member does not have the size its trailer declares", start)
