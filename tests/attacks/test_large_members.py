"""Members at the boundaries where other readers lost count: 32 bits of a size, 33 bits of octal digits.

The bodies are zeros that are never stored: one chunk, given out again and again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hardening import large_member
from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError
from tests.archive.building import END, LIMITS, header, member, pax, record
from tests.attacks.bombs import size_field

GIB = 1 << 30
_ZEROS = bytes(1 << 20)


def stream(head: bytes, zeros: int, tail: bytes) -> Iterator[bytes]:
    """Give ``head``, that many zeros and ``tail``, holding no more than a chunk."""
    yield head
    for _ in range(zeros >> 20):
        yield _ZEROS
    yield bytes(zeros & 0xFFFFF)
    yield tail


SIZES = [4 * GIB - 1, 4 * GIB, 4 * GIB + 1, 8 * GIB - 1, 8 * GIB, 8 * GIB + 1]


@pytest.mark.parametrize("size", SIZES)
def test_the_member_behind_a_large_one_is_found_where_it_is(size: int) -> None:
    head = header(b"large", size=size_field(size))
    chunks = stream(head, size + -size % 512, member(b"last", b"end") + END)
    met = [
        (str(one.path), one.size, sum(map(len, body)))
        for one, body in read_tar(ChunkReader(chunks, where="k"), LIMITS, where="k")
    ]
    assert met == [("large", size, size), ("last", 3, 3)]


@pytest.mark.parametrize("size", SIZES[1::3])
def test_a_large_member_one_byte_short_is_cut(size: int) -> None:
    head = header(b"large", size=size_field(size))
    members = read_tar(ChunkReader(stream(head, size - 1, b""), where="k"), LIMITS, where="k")
    _, body = next(members)
    with pytest.raises(ArchiveError, match=f"ends at byte {size + 511}, inside the body of large"):
        for _ in body:
            pass


@pytest.mark.parametrize("size", [4 * GIB, 8 * GIB, 8 * GIB + 512])
def test_a_size_that_only_the_low_bits_of_the_header_agree_with_is_refused(size: int) -> None:
    for low_bits in {size & 0xFFFFFFFF, size & (8 * GIB - 1)} - {size}:
        head = pax(record("size", b"%d" % size)) + header(b"large", size=low_bits or 512)
        with pytest.raises(ArchiveError, match=f"declares {size} bytes in its PAX record and"):
            next(read_tar(ChunkReader([head + END], where="k"), LIMITS, where="k"))


@pytest.mark.slow
def test_the_script_patches_and_verifies_a_large_member(capsys: pytest.CaptureFixture[str]) -> None:
    assert large_member.main(["--gib", "0.004", "--workers", "1"]) == 0
    assert "one member" in capsys.readouterr().out
