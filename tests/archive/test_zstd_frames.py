"""zstd frames: what libzstd's streaming interfaces let through is refused, what ``zstd`` writes is read."""

from __future__ import annotations

import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from kit.archive.read.codecs import decode
from kit.archive.read.zstd import BATCH_BLOCKS, BLOCK_BYTES, MAGIC
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError, LimitError
from kit.values import Codec, Limits
from tests.archive.building import LIMITS, chunked
from tests.tiers import slow

TEXT = b"".join(b"advisory %d\n" % i for i in range(60_000))
SKIPPABLE = b"\x5e\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"table"
ONE_BLOCK = MAGIC + b"\x00\x00"
"""The magic, a descriptor without flags, and a window of 1 KiB."""


def frame(data: bytes = TEXT, *, write_checksum: bool = False, write_content_size: bool = True) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=write_checksum, write_content_size=write_content_size)
    return compressor.compress(data)


def unpack(data: bytes, *, limits: Limits = LIMITS, chunk: int = 1 << 20) -> bytes:
    return b"".join(decode(Codec.ZSTD, ChunkReader(chunked(data, chunk), where="k.zst"), limits, where="k.zst"))


def streamed(data: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(data) + compressor.flush()


def block(kind: int, size: int, content: bytes, *, last: bool = True) -> bytes:
    return (size << 3 | kind << 1 | int(last)).to_bytes(3, "little") + content


NOTHING = block(0, 0, b"", last=False)
SOUND = {
    "with content size, without checksum": (frame(), TEXT),
    "with checksum": (frame(write_checksum=True), TEXT),
    "without content size": (frame(write_content_size=False), TEXT),
    "small, in a single segment": (frame(b"x"), b"x"),
    "of 300 bytes, a two-byte content size": (frame(b"x" * 300), b"x" * 300),
    "empty content": (frame(b""), b""),
    "empty content, streamed": (streamed(b""), b""),
    "several frames": (frame(b"one") + streamed(b"two") + frame(b"", write_checksum=True), b"onetwo"),
    "skippable frames around": (SKIPPABLE + frame(b"one") + SKIPPABLE + frame(b"two") + SKIPPABLE, b"onetwo"),
    "an empty skippable frame": (b"\x50\x2a\x4d\x18" + bytes(4) + frame(b"one"), b"one"),
    "a dictionary id of zero": (MAGIC + b"\x01\x00\x00" + block(0, 1, b"x"), b"x"),
    "raw and run-length blocks": (
        ONE_BLOCK + block(0, 3, b"abc", last=False) + block(1, 1024, b"z"),
        b"abc" + b"z" * 1024,
    ),
    "what is declared, in more blocks than are decoded at once": (
        MAGIC + b"\x20\x04" + block(0, 4, b"four", last=False) + NOTHING * BATCH_BLOCKS + block(0, 0, b""),
        b"four",
    ),
    "the unused bit set": (MAGIC + b"\x10\x00" + block(0, 1, b"x"), b"x"),
}


@pytest.mark.parametrize(("data", "content"), SOUND.values(), ids=SOUND)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_sound_frames_are_read(data: bytes, content: bytes, chunk: int) -> None:
    assert unpack(data, chunk=chunk) == content


CUT_OR_HOSTILE = {
    "empty input": (b"", r"no zstd data frame \(byte 0\)"),
    "only a skippable frame": (SKIPPABLE, r"no zstd data frame \(byte 13\)"),
    "another format": (b"BZh9xxxx", r"no zstd frame \(byte 0\)"),
    "a legacy frame": (b"\x27\xb5\x2f\xfd" + frame()[4:], r"no zstd frame"),
    "trailing garbage": (frame(b"one") + b"garbage", r"after the last zstd frame \(byte"),
    "trailing zeros": (frame(b"one") + bytes(512), r"after the last zstd frame"),
    "a trailing byte": (frame(b"one") + b"\x28", r"cut: .*the magic of a zstd frame"),
    "cut inside the header": (frame()[:6], r"cut: it ends at byte 6, inside a zstd frame header"),
    "cut inside a block": (frame()[:-1], r"inside a zstd block from byte"),
    "cut before the last block": (ONE_BLOCK + block(0, 1, b"x", last=False), r"inside the header of a zstd block"),
    "cut inside the checksum": (frame(write_checksum=True)[:-1], r"inside the checksum of a zstd frame"),
    "cut inside a skippable frame": (frame(b"x") + SKIPPABLE[:-1], r"inside a skippable frame from byte 10"),
    "cut inside the size of a skippable frame": (SKIPPABLE[:6], r"the size of a skippable frame"),
    "a reserved header bit": (MAGIC + b"\x08\x00" + block(0, 1, b"x"), r"reserved bit"),
    "a dictionary": (MAGIC + b"\x01\x00\x07" + block(0, 1, b"x"), r"needs a dictionary \(byte 0\)"),
    "a reserved block type": (ONE_BLOCK + block(3, 1, b"x"), r"reserved type \(byte 6\)"),
    "a run longer than the window": (ONE_BLOCK + block(1, 1025, b"x"), r"declares 1025 bytes, more than the 1024"),
    "a raw block longer than the window": (ONE_BLOCK + block(0, 1025, b"x" * 1025), r"declares 1025 bytes"),
    "a corrupt block": (ONE_BLOCK + block(2, 9, b"\xff" * 9), r"between byte 6 and byte 18 is corrupt"),
    "a wrong checksum": (frame(write_checksum=True)[:-4] + b"\0\0\0\0", r"is corrupt: .*checksum"),
    "less content than declared": (MAGIC + b"\x20\x05" + block(0, 4, b"four"), r"is corrupt"),
    "less content than declared, in more blocks than are decoded at once": (
        MAGIC + b"\x20\x05" + block(0, 4, b"four", last=False) + NOTHING * BATCH_BLOCKS + block(0, 0, b""),
        r"a zstd frame declares 5 bytes and has 4 \(byte 0\)",
    ),
    "no content where some is declared, the same way": (
        MAGIC + b"\x60\x00\x27" + NOTHING * BATCH_BLOCKS + block(0, 0, b""),
        r"a zstd frame declares 10240 bytes and has 0 \(byte 0\)",
    ),
    "more content than declared": (
        MAGIC + b"\x20\x02" + block(0, 2, b"ab", last=False) + block(1, 2, b"c"),
        r"corrupt",
    ),
    "a window larger than the library takes": (
        MAGIC + b"\x00\xff" + block(0, 1, b"x"),
        r"over the limit window_bytes",
    ),
}


@pytest.mark.parametrize(("data", "message"), CUT_OR_HOSTILE.values(), ids=CUT_OR_HOSTILE)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_a_cut_or_hostile_stream_is_refused(data: bytes, message: str, chunk: int) -> None:
    with pytest.raises(ArchiveError, match=message):
        unpack(data, chunk=chunk)


def test_a_window_over_the_limit_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(LimitError, match=r"k\.zst: zstd frame at byte 0: .* window_bytes = 2,048"):
        unpack(streamed(b"x" * 5000), limits=replace(LIMITS, window_bytes=2048))


def test_a_single_segment_is_its_own_window() -> None:
    with pytest.raises(LimitError, match="window_bytes"):
        unpack(MAGIC + b"\xe0" + (1 << 40).to_bytes(8, "little") + block(0, 1, b"x"))


def test_a_window_beyond_libzstd_is_refused_when_the_limit_lets_it_pass() -> None:
    with pytest.raises(ArchiveError, match="is corrupt"):
        unpack(MAGIC + b"\x00\xff" + block(0, 1, b"x"), limits=replace(LIMITS, window_bytes=1 << 50))


def test_a_bomb_stops_at_the_ratio_with_bounded_memory() -> None:
    # 4 bytes make 128 KiB: 16,384 of these blocks are 2 GiB.
    runs = MAGIC + b"\x00\x38" + block(1, BLOCK_BYTES, b"\0", last=False) * 16_384
    limits = replace(LIMITS, ratio=100, ratio_floor_bytes=8 << 20)
    tracemalloc.start()
    try:
        chunks = decode(Codec.ZSTD, ChunkReader([runs], where="k"), limits, where="k")
        assert max(len(next(chunks)) for _ in range(8)) <= BATCH_BLOCKS * BLOCK_BYTES
        with pytest.raises(LimitError, match="ratio = 100") as caught:
            next(chunks)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert "--max ratio=" in caught.value.hint


def test_repetitive_content_below_the_floor_is_no_bomb() -> None:
    assert len(unpack(frame(bytes(1 << 20)), limits=replace(LIMITS, ratio=2))) == 1 << 20


@pytest.mark.parametrize(
    "options", [["-1"], ["--long=27"], ["--no-check"], ["-T2", "-B65536"], *slow(["-19"])], ids=str
)
@pytest.mark.parametrize("piped", [False, True], ids=["from a file", "from a pipe"])
def test_what_the_zstd_program_writes_is_read(tmp_path: Path, options: list[str], *, piped: bool) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(TEXT)
    source = plain.open("rb")
    with source:
        arguments = ["zstd", "-qc", *options] + ([] if piped else [str(plain)])
        packed = subprocess.run(arguments, stdin=source, capture_output=True, check=True).stdout
    assert unpack(packed + packed, limits=replace(LIMITS, window_bytes=128 << 20)) == TEXT + TEXT


def test_every_changed_bit_of_a_checked_frame_is_refused_or_harmless() -> None:
    data = frame(TEXT[:2000], write_checksum=True)
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            try:
                content = unpack(bytes(changed))
            except ArchiveError:
                continue
            assert content == TEXT[:2000]
