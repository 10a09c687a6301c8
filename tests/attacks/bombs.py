"""Small inputs that would cost their reader much: each a few hundred kilobytes at most, and made of sound parts."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator

import zstandard

from kit.archive.read.zstd import BLOCK_BYTES, MAGIC
from tests.archive.building import END, header, member, pax, record

GIB = 1 << 30
MANIFEST = b"offline-manifest.json"
OBSERVATIONS = b"dump/concelier/advisory_observations.bson"
_WINDOW_128_KIB = b"\x38"


def zstd_block(kind: int, data: bytes, size: int, *, last: bool = False) -> bytes:
    """Give a block of one zstd frame: kind 0 is raw, 1 a run of one byte."""
    return (size << 3 | kind << 1 | int(last)).to_bytes(3, "little") + data


def zstd_runs(head: bytes, zeros: int, tail: bytes = b"") -> bytes:
    """Give one frame of ``head``, that many zeros (a multiple of 128 KiB) and ``tail``: 4 bytes for 128 KiB."""
    runs = zstd_block(1, b"\0", BLOCK_BYTES) * (zeros // BLOCK_BYTES)
    parts = [zstd_block(0, head, len(head)), runs, zstd_block(0, tail, len(tail), last=True)]
    return MAGIC + b"\x00" + _WINDOW_128_KIB + b"".join(parts)


def gzip_zeros(head: bytes, zeros: int) -> bytes:
    """Give one gzip member of ``head`` and zeros: deflate gives at most 1,032 bytes for one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(
        [packer.compress(head), *(packer.compress(bytes(1 << 20)) for _ in range(zeros >> 20)), packer.flush()]
    )


def empty_members(count: int, name: bytes = b"%d") -> Iterator[bytes]:
    """Give headers of as many empty files."""
    for number in range(count):
        yield header(name % number)


def zstd_of(parts: Iterator[bytes]) -> bytes:
    """Compress what is never held whole."""
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def long_names(count: int, length: int) -> Iterator[bytes]:
    """Give empty files, each with a name of so many bytes, in PAX records."""
    for number in range(count):
        name = b"%09d/" % number + (b"n" * 200 + b"/") * (length // 201)
        yield pax(record("path", name + b"x")) + member((name + b"x")[:100])


def deep_names(count: int, depth: int) -> Iterator[bytes]:
    """Give empty files, each below folders of its own."""
    for number in range(count):
        name = b"/".join([b"%x" % number] * depth)
        yield (pax(record("path", name)) if len(name) > 100 else b"") + member(name[:100])


def document(size: int) -> bytes:
    """Give a sound BSON document of exactly that size: one binary value of zeros."""
    inside = size - 4 - 1 - 2 - 4 - 1 - 1
    return struct.pack("<i", size) + b"\x05a\0" + struct.pack("<i", inside) + b"\0" + bytes(inside) + b"\0"


def nested_document(depth: int) -> bytes:
    """Give documents inside of one another, 8 bytes a level."""
    heads = bytearray(b"\0\0\0\0\x03a\0" * depth)
    lengths = struct.pack(f"<{depth}i", *range(5 + 8 * depth, 5, -8))
    for place in range(4):
        heads[place::7] = lengths[place::4]
    return bytes(heads) + b"\x05\0\0\0\0" + bytes(depth)


def packed_documents(members: int) -> bytes:
    """Give gzip members of 64 documents of 1 MiB each: to be put in an archive that is compressed again."""
    return gzip.compress(document(1 << 20) * 64, 9, mtime=0) * members


def zstd_repeated_in(head: bytes, text: bytes, times: int) -> bytes:
    """Give an archive of one member, whose body is a text again and again, in one frame at level 3."""
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    size = len(text) * times
    batch = text * max(1, BLOCK_BYTES // len(text))
    rounds, rest = divmod(size, len(batch))
    parts = [packer.compress(head), *(packer.compress(batch) for _ in range(rounds)), packer.compress(batch[:rest])]
    return b"".join([*parts, packer.compress(bytes(-size % 512) + END), packer.flush()])


def size_field(size: int) -> int | bytes:
    """Give a size as GNU tar writes it: octal where 11 digits hold it, else base 256."""
    return size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")


def global_records(count: int) -> Iterator[bytes]:
    """Give global PAX records of one key, in front of no member."""
    for number in range(count):
        yield pax(record("comment", b"%d" % number), flag=b"g")


def tenant_document(tenant: bytes) -> bytes:
    """Give a document with a tenant."""
    inside = b"\x02tenant\0" + struct.pack("<i", len(tenant) + 1) + tenant + b"\0"
    return struct.pack("<i", len(inside) + 5) + inside + b"\0"


def wide_document(size: int) -> bytes:
    """Give a document of nothing but nulls, each of another name."""
    count = (size - 5) // 8
    inside = b"".join(b"\x0a%06x\0" % number for number in range(count))
    return struct.pack("<i", len(inside) + 5) + inside + b"\0"
