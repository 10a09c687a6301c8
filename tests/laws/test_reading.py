"""Laws of the reader, attacked: cuts everywhere, changed bytes, chunk sizes, arbitrary input."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, strategies as st

from kit.archive.read.codecs import decode, detect
from kit.archive.read.reader import KitReader
from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.errors import ArchiveError, KitError
from kit.values import Codec
from tests.archive.building import END, GNU, LIMITS, Read, collect, header, long_name, member, padded, pax, read, record
from tests.archive.test_reader import MemorySource
from tests.tiers import slow

LONG = b"d/" + b"n" * 110
TAR = (
    member(b"d/", flag=b"5")
    + member(b"d/a", b"some text")
    + pax(record("path", LONG), record("mtime", b"7.5"))
    + member(LONG[:100], b"x" * 600)
    + long_name(LONG + b"2\0")
    + member(LONG[:100], magic=GNU)
    + END
)
PACKED = {
    "tar": TAR,
    "tar.gz": gzip.compress(TAR[:2000], mtime=0) + gzip.compress(TAR[2000:], mtime=0),
    "tar.zst": b"".join(
        zstandard.ZstdCompressor(write_checksum=True).compress(part) for part in (TAR[:2000], TAR[2000:])
    )
    + b"\x5e\x2a\x4d\x18\x02\0\0\0ok",
}


def read_kit(data: bytes) -> list[Read]:
    return collect(KitReader(MemorySource(data), path=Path("k"), limits=LIMITS).members())


def cut_into(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


@pytest.mark.parametrize("name", ["tar.gz", "tar.zst", *slow("tar")])
def test_a_kit_cut_at_any_byte_is_refused(name: str) -> None:
    data = PACKED[name]
    assert len(read_kit(data)) == 4
    for end in range(len(data)):
        # The one cut that leaves a whole kit: before the skippable frame, which is a whole stream by itself.
        if data[end:].startswith(b"\x5e\x2a\x4d\x18"):
            continue
        with pytest.raises(KitError):
            read_kit(data[:end])


@pytest.mark.slow
def test_a_changed_byte_outside_the_bodies_is_refused_or_changes_no_more_than_metadata() -> None:
    sound = read(TAR)
    bodies = {at for item in sound for at in _body_range(item)}
    for at in range(len(TAR)):
        if at in bodies:
            continue
        changed = bytearray(TAR)
        changed[at] ^= 0x01
        try:
            found = read(bytes(changed))
        except ArchiveError:
            continue
        # Left are records of extension headers, which have no checksum: their text is data, like a body.
        assert _in_extension(at), at
        assert len(found) == len(sound)
        assert [item.body for item in found] == [item.body for item in sound]


def _body_range(item: Read) -> range:
    start = item.member.offset + len(item.member.header)
    return range(start, start + item.member.size)


def _in_extension(at: int) -> bool:
    return any(
        item.member.offset + 512 <= at < item.member.offset + len(item.member.header) - 512 for item in read(TAR)
    )


@given(st.lists(st.integers(0, 700), max_size=30), st.sampled_from(sorted(PACKED)))
def test_the_result_does_not_depend_on_the_chunks(sizes: list[int], name: str) -> None:
    data = PACKED[name]
    plain = decode(detect(data), ChunkReader(cut_into(data, sizes), where="k"), LIMITS, where="k")
    assert b"".join(plain) == TAR
    reader = ChunkReader(cut_into(TAR, sizes), where="k")
    assert collect(read_tar(reader, LIMITS, where="k")) == read(TAR)


@given(st.data())
def test_what_is_written_is_what_is_read_and_every_byte_is_accounted_for(data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.binary(max_size=2000), max_size=5))
    tar = b"".join(member(b"d/%d" % index, body) for index, body in enumerate(bodies)) + END
    found = read(tar, chunk=data.draw(st.integers(1, 3000)))
    assert [item.body for item in found] == bodies
    assert b"".join(item.member.header + padded(item.body) for item in found) + END == tar


@given(st.binary(max_size=2000))
def test_no_input_raises_anything_but_our_errors(data: bytes) -> None:
    for prefix in (b"", header(b"x", size=len(data), flag=b"x"), b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"):
        for codec in Codec:
            _only_our_errors(prefix + data, codec)


@given(
    st.integers(0, len(TAR) - 1),
    st.binary(min_size=1, max_size=40),
    st.sampled_from(sorted(PACKED)),
    st.booleans(),
)
def test_no_damage_raises_anything_but_our_errors(
    at: int,
    patch: bytes,
    name: str,
    sealed: bool,  # noqa: FBT001
) -> None:
    data = bytearray(PACKED[name])
    at %= len(data)
    data[at : at + len(patch)] = patch
    if sealed and name == "tar":
        # With a right checksum the damage gets past the first gate.
        start = at // 512 * 512
        data[start + 148 : start + 156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    try:
        read_kit(bytes(data))
    except KitError:
        return


def _only_our_errors(data: bytes, codec: Codec) -> None:
    try:
        collect(
            read_tar(
                ChunkReader(decode(codec, ChunkReader([data], where="k"), LIMITS, where="k"), where="k"),
                LIMITS,
                where="k",
            )
        )
    except KitError:
        return
