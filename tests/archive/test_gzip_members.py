"""gzip members: header, trailer and end are checked by us, whatever the inflating library overlooks."""

from __future__ import annotations

import gzip
import subprocess
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from kit.archive.read.codecs import decode, decode_member, detect
from kit.archive.read.gzip import STEP_BYTES
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError, LimitError
from kit.values import Codec, Limits
from tests.archive.building import LIMITS, chunked

TEXT = b"".join(b"advisory %d\n" % i for i in range(6_000))
PLAIN = gzip.compress(b"content", mtime=0)
DEFLATED = PLAIN[10:]


def unpack(data: bytes, *, limits: Limits = LIMITS, chunk: int = 1 << 20) -> bytes:
    return b"".join(decode(Codec.GZIP, ChunkReader(chunked(data, chunk), where="k.gz"), limits, where="k.gz"))


def head(flags: int, fields: bytes = b"", *, method: int = 8) -> bytes:
    return b"\x1f\x8b" + bytes((method, flags)) + bytes(6) + fields


def with_own_checksum(header: bytes) -> bytes:
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")


SOUND = {
    "one member": (PLAIN, b"content"),
    "several members": (PLAIN + gzip.compress(b"") + gzip.compress(TEXT, 9), b"content" + TEXT),
    "stored blocks": (gzip.compress(TEXT, 0), TEXT),
    "empty content": (gzip.compress(b""), b""),
    "a name and a comment": (head(0x18, b"name\0comment\0") + DEFLATED, b"content"),
    "extra fields": (head(0x04, b"\x03\0abc") + DEFLATED, b"content"),
    "a header with its own checksum": (with_own_checksum(head(0x0A, b"name\0")) + DEFLATED, b"content"),
    "the text flag": (head(0x01) + DEFLATED, b"content"),
}


@pytest.mark.parametrize(("data", "content"), SOUND.values(), ids=SOUND)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_sound_members_are_read(data: bytes, content: bytes, chunk: int) -> None:
    assert unpack(data, chunk=chunk) == content


CUT_OR_HOSTILE = {
    "empty input": (b"", r"no gzip member \(byte 0\)"),
    "another format": (b"BZh9" + bytes(20), r"no gzip member \(byte 0\)"),
    "another format, one byte long": (b"B", r"no gzip member"),
    "trailing garbage": (PLAIN + b"garbage", r"after the last gzip member \(byte 27\)"),
    "trailing zeros": (PLAIN + bytes(512), r"after the last gzip member"),
    "a second member cut after one byte": (
        PLAIN + b"\x1f",
        r"cut: it ends at byte 28, inside a gzip header from byte 27",
    ),
    "cut inside the header": (PLAIN[:9], r"inside a gzip header"),
    "cut inside extra fields": (head(0x04, b"\x03\0ab"), r"inside a gzip header"),
    "cut inside the name": (head(0x08, b"nam"), r"inside a gzip header"),
    "cut inside the header's checksum": (head(0x02, b"\0"), r"inside a gzip header"),
    "cut before the body": (PLAIN[:10], r"inside a gzip member from byte 0"),
    "cut inside the body": (PLAIN[:12], r"inside a gzip member from byte 0"),
    "cut before the trailer": (PLAIN[:-8], r"inside a gzip trailer from byte 19"),
    "cut inside the trailer": (PLAIN[:-1], r"inside a gzip trailer from byte 19"),
    "a wrong CRC32": (PLAIN[:-8] + b"\0\0\0\0" + PLAIN[-4:], r"does not match its CRC32 \(byte 19\)"),
    "a wrong ISIZE": (PLAIN[:-4] + b"\x08\0\0\0", r"size its trailer declares"),
    "a wrong header checksum": (head(0x02, b"\0\0") + DEFLATED, r"its own checksum"),
    "another method": (head(0, method=7) + DEFLATED, r"unknown method 7"),
    "a corrupt body": (PLAIN[:10] + b"\xff" + PLAIN[11:], r"corrupt between byte 10 and byte 27"),
    **{f"reserved flag {bit:#x}": (head(bit) + DEFLATED, r"reserved flags") for bit in (0x20, 0x40, 0x80)},
}


@pytest.mark.parametrize(("data", "message"), CUT_OR_HOSTILE.values(), ids=CUT_OR_HOSTILE)
def test_a_cut_or_hostile_stream_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        unpack(data)


def test_a_name_without_an_end_stops_at_the_limit() -> None:
    with pytest.raises(LimitError, match="header_bytes"):
        unpack(head(0x08, b"n" * 5000), limits=replace(LIMITS, header_bytes=4096))


def test_a_bomb_stops_at_the_ratio_with_bounded_memory() -> None:
    bomb = gzip.compress(bytes(32 << 20), 9)
    limits = replace(LIMITS, ratio=100, ratio_floor_bytes=4 << 20)
    tracemalloc.start()
    try:
        chunks = decode(Codec.GZIP, ChunkReader([bomb], where="k"), limits, where="k")
        with pytest.raises(LimitError, match="ratio = 100"):
            assert max(map(len, chunks)) <= STEP_BYTES
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_the_gzip_program_writes_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(TEXT)
    packed = subprocess.run(["sh", "-c", "gzip -c a; gzip -9c b"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert unpack(packed) == TEXT + TEXT


def test_every_changed_bit_is_refused_or_harmless() -> None:
    data = gzip.compress(TEXT[:2000], mtime=0)
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            try:
                content = unpack(bytes(changed))
            except ArchiveError:
                continue
            assert content == TEXT[:2000]


def test_a_codec_is_told_by_content() -> None:
    assert detect(PLAIN) is Codec.GZIP
    assert detect(b"\x28\xb5\x2f\xfd") is detect(b"\x50\x2a\x4d\x18") is detect(b"\x5f\x2a\x4d\x18rest") is Codec.ZSTD
    assert {detect(other) for other in (b"", b"\x1f", b"\x28\xb5\x2f", b"\x60\x2a\x4d\x18", b"tar!")} == {Codec.NONE}


@pytest.mark.parametrize("codec", Codec)
def test_a_member_is_decoded_by_the_codec_of_its_name(codec: Codec) -> None:
    zstd = subprocess.run(["zstd", "-qc"], input=TEXT, capture_output=True, check=True).stdout
    stored = {Codec.NONE: TEXT, Codec.GZIP: gzip.compress(TEXT), Codec.ZSTD: zstd}[codec]
    assert b"".join(decode_member(iter(chunked(stored, 1000)), codec, LIMITS, "a.bson")) == TEXT
    with pytest.raises(LimitError, match=r"a\.bson: .* expanded_bytes"):
        list(decode_member(iter([stored]), codec, replace(LIMITS, expanded_bytes=len(TEXT) - 1), "a.bson"))
