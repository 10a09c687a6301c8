"""Which frames have the form of this program's own: all it makes, and none that carries more than content."""

from __future__ import annotations

import gzip
import random
import subprocess
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, strategies as st

from kit.archive.frames import MAX_FRAME_BYTES, DecodedFrame, encode, is_frame_of, is_own
from kit.archive.read.codecs import decode
from kit.archive.source import ChunkReader
from kit.values import Codec, Limits

NOISE = random.Random(1).randbytes(5 << 20)  # noqa: S311  no secret
TEXT = b"every advisory is a fact " * 200_000
EDGES = (1, 255, 256, 257, 65_791, 65_792, (1 << 21) - 1, 1 << 21, (1 << 21) + 1, 1 << 22)


def met(codec: Codec, stored: bytes) -> list[DecodedFrame]:
    frames: list[DecodedFrame] = []
    for _ in decode(codec, ChunkReader([stored], where=""), Limits(), where="", ended=frames.append):
        pass
    return frames


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.GZIP], ids=lambda codec: codec.name.lower())
@given(length=st.sampled_from(EDGES) | st.integers(1, 300_000), source=st.sampled_from([NOISE, TEXT]))
def test_what_this_program_makes_is_its_own(codec: Codec, length: int, source: bytes) -> None:
    stored = encode(codec, source[:length])
    (frame,) = met(codec, stored)
    assert (frame.size, frame.length) == (len(stored), length)
    assert is_own(codec, frame)


def compressed(data: bytes, **options: object) -> bytes:
    facts = {"level": 3, "write_checksum": True, "write_content_size": True} | options
    return zstandard.ZstdCompressor(**facts).compress(data)  # type: ignore[arg-type]


def long_window(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, source_size=len(data), window_log=23, write_checksum=True, write_content_size=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def streamed(data: bytes) -> bytes:
    """Leave the content size out, as whoever does not know it must."""
    return subprocess.run(["zstd", "-3", "-q", "-c"], input=data, capture_output=True, check=True).stdout


def stretched(data: bytes) -> bytes:
    """Put empty raw blocks first, which decode to nothing and are more bytes than the content."""
    whole = compressed(data)
    header = 4 + 1 + 2
    return whole[:header] + bytes(3) * 30_000 + whole[header:]


@pytest.mark.parametrize(
    "make",
    [
        lambda data: compressed(data, write_checksum=False),
        lambda data: compressed(data, write_content_size=False),
        lambda data: compressed(data * 100, level=19),
        lambda data: long_window(data * 100),
        streamed,
        stretched,
    ],
    ids=["no checksum", "no size", "the window of another level", "a long window", "streamed", "empty blocks"],
)
def test_other_zstd_frames_are_not(make: Callable[[bytes], bytes]) -> None:
    frames = met(Codec.ZSTD, make(TEXT[:60_000]))
    assert not any(is_own(Codec.ZSTD, frame) for frame in frames)


@pytest.mark.parametrize(
    "stored",
    [
        gzip.compress(TEXT, mtime=1),
        gzip.compress(TEXT, 9, mtime=0),
        subprocess.run(["gzip", "-1", "-c"], input=TEXT, capture_output=True, check=True).stdout,
        b"\x1f\x8b\x08\x08" + encode(Codec.GZIP, TEXT)[4:10] + b"name\0" + encode(Codec.GZIP, TEXT)[10:],
        encode(Codec.GZIP, TEXT)[:10] + zlib.compress(NOISE, 0, -15) + encode(Codec.GZIP, NOISE)[-8:],
    ],
    ids=["with a time", "of another level", "of gzip", "with a name", "stored in small blocks"],
)
def test_other_gzip_members_are_not_unless_nothing_but_content_is_in_them(stored: bytes) -> None:
    (frame,) = met(Codec.GZIP, stored)
    assert is_own(Codec.GZIP, frame) is (frame.header == encode(Codec.GZIP, b"")[:10])


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.GZIP], ids=lambda codec: codec.name.lower())
@pytest.mark.parametrize("data", [NOISE[:70_000], NOISE, TEXT, bytes(5 << 20), b"x"], ids=len)
def test_a_frame_is_of_the_data_that_it_was_made_of_and_of_no_other(codec: Codec, data: bytes) -> None:
    stored = encode(codec, data)
    assert is_frame_of(codec, stored, data)
    middle = len(data) // 2
    altered = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for other in (data[:-1], data + b"\0", altered, data[:-1] + bytes([data[-1] ^ 1]), b""):
        assert not is_frame_of(codec, stored, other)


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.GZIP], ids=lambda codec: codec.name.lower())
@pytest.mark.parametrize("data", [NOISE[:70_000], TEXT], ids=len)
def test_a_frame_that_is_cut_damaged_or_followed_is_of_no_data(codec: Codec, data: bytes) -> None:
    stored = encode(codec, data)
    for end in (0, 3, 9, len(stored) // 2, len(stored) - 4, len(stored) - 1):
        assert not is_frame_of(codec, stored[:end], data)
    for more in (b"\0", stored):
        assert not is_frame_of(codec, stored + more, data)
    # In front of the header's end as behind it; of gzip the trailer is asked, and of zstd the checksum.
    for at in (0, 4, 9, len(stored) // 2, len(stored) - 5, len(stored) - 1):
        assert not is_frame_of(codec, stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :], data)


def test_frames_that_are_empty_or_of_a_giant_document_are_not() -> None:
    for length in (0, MAX_FRAME_BYTES + 1):
        data = bytes(length)
        (frame,) = met(Codec.ZSTD, encode(Codec.ZSTD, data))
        assert not is_own(Codec.ZSTD, frame)
