"""Frames and the seek table, against stock ``zstd`` and ``gzip``, the published layout, and the strict reader."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from kit.archive.frames import encode, encode_frame, seek_table
from kit.archive.read.codecs import decode
from kit.archive.source import ChunkReader
from kit.values import Codec, Limits

CODECS = (Codec.ZSTD, Codec.GZIP)
DATA = st.lists(st.binary(max_size=300) | st.integers(0, 70_000).map(bytes), min_size=1, max_size=5)


def ours(codec: Codec, data: bytes) -> bytes:
    return b"".join(decode(codec, ChunkReader([data], where="it"), Limits(), where="it"))


def theirs(codec: Codec, data: bytes) -> bytes:
    if codec is Codec.GZIP:
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


def need(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


@pytest.mark.parametrize("codec", CODECS)
@settings(deadline=None)
@given(pieces=DATA)
def test_every_frame_reads_alone_and_all_of_them_read_as_one_stream(codec: Codec, pieces: list[bytes]) -> None:
    frames = [encode_frame(codec, piece) for piece in pieces]
    assert [frame.length for frame in frames] == [len(piece) for piece in pieces]
    assert [ours(codec, frame.encoded) for frame in frames] == pieces
    assert [theirs(codec, frame.encoded) for frame in frames] == pieces
    joined = b"".join(frame.encoded for frame in frames)
    assert ours(codec, joined) == theirs(codec, joined) == b"".join(pieces)
    assert [encode(codec, piece) for piece in pieces] == [frame.encoded for frame in frames]


def test_without_a_codec_bytes_stay_as_they_are() -> None:
    assert encode_frame(Codec.NONE, b"as it is").encoded == b"as it is"


@pytest.mark.parametrize("codec", CODECS)
def test_stock_tools_test_a_stream_of_frames(codec: Codec, tmp_path: Path) -> None:
    pieces = [b"", b"a" * 100_000, bytes(range(256)) * 999]
    path = tmp_path / f"stream{codec.value}"
    path.write_bytes(b"".join(encode(codec, piece) for piece in pieces))
    tool = need("zstd" if codec is Codec.ZSTD else "gzip")
    subprocess.run([tool, "-t", str(path)], check=True, capture_output=True)
    unpacked = subprocess.run([tool, "-dc", str(path)], check=True, capture_output=True).stdout
    assert unpacked == b"".join(pieces)


def test_gzip_members_hold_no_time_and_no_name() -> None:
    header = encode(Codec.GZIP, b"x")[:10]
    assert header[3] == 0
    assert header[4:8] == bytes(4)


def test_zstd_frames_state_their_size_and_carry_a_checksum() -> None:
    parameters = zstandard.get_frame_parameters(encode(Codec.ZSTD, b"x" * 5000))
    assert parameters.content_size == 5000
    assert parameters.has_checksum


@given(frames=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=20))
def test_the_seek_table_parses_by_the_published_format(frames: list[tuple[int, int]]) -> None:
    """contrib/seekable_format/zstd_seekable_compression_format.md: skippable frame, entries, nine bytes of footer."""
    table = seek_table(frames)
    magic, size = struct.unpack_from("<II", table)
    assert magic == 0x184D2A5E
    assert size == len(table) - 8
    count, descriptor, footer = struct.unpack_from("<IBI", table, len(table) - 9)
    assert (count, descriptor, footer) == (len(frames), 0, 0x8F92EAB1)
    entries = [struct.unpack_from("<II", table, 8 + 8 * number) for number in range(count)]
    assert entries == frames
    assert 8 + 8 * count + 9 == len(table)


def test_a_stream_with_a_seek_table_passes_zstd_and_is_listed_with_its_size(tmp_path: Path) -> None:
    frames = [encode_frame(Codec.ZSTD, piece) for piece in (b"one" * 1000, b"two" * 2000)]
    path = tmp_path / "stream.zst"
    table = seek_table([(len(frame.encoded), frame.length) for frame in frames])
    path.write_bytes(b"".join(frame.encoded for frame in frames) + table)
    subprocess.run([need("zstd"), "-t", str(path)], check=True, capture_output=True)
    listed = subprocess.run([need("zstd"), "-lv", str(path)], check=True, capture_output=True, text=True).stdout
    assert "9000 B" in listed
    assert ours(Codec.ZSTD, path.read_bytes()) == b"one" * 1000 + b"two" * 2000
