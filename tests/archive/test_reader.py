"""Opening a kit: by content, through one descriptor, with the faults of the medium wrapped."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import IO

import pytest
import zstandard

from kit.archive.read.reader import Container, KitReader, open_kit
from kit.archive.source import ByteSource, FileSource, source_chunks
from kit.errors import ArchiveError, DigestError, UnreadableError
from kit.values import Sha256
from tests.archive.building import END, LIMITS, collect, member

KITS = Path(__file__).parents[2].parent / "shared" / "data" / "kits"
TAR = member(b"a", b"x" * 700) + member(b"b", b"y") + END
PACKED = {
    Container.TAR: TAR,
    Container.TAR_GZIP: gzip.compress(TAR),
    Container.TAR_ZSTD: zstandard.ZstdCompressor().compress(TAR),
}


class MemorySource:
    """A source whose medium fails at ``fails_at``."""

    def __init__(self, data: bytes, *, fails_at: int | None = None) -> None:
        self._data = data
        self._at = 0
        self._fails_at = fails_at
        self.size = None

    def read(self, size: int) -> bytes:
        if self._fails_at is not None and self._at + size > self._fails_at:
            if self._at == self._fails_at:
                raise OSError(5, "Input/output error")
            size = self._fails_at - self._at
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def seek(self, offset: int) -> None:
        self._at = offset

    def tell(self) -> int:
        return self._at


def over(source: ByteSource) -> KitReader:
    return KitReader(source, path=Path("kit.tar"), limits=LIMITS)


@pytest.mark.parametrize(("container", "data"), PACKED.items(), ids=lambda value: getattr(value, "value", ""))
def test_a_container_is_recognised_by_content_whatever_its_name(
    tmp_path: Path, container: Container, data: bytes
) -> None:
    path = tmp_path / "kit.misnamed"
    path.write_bytes(data)
    with open_kit(path, limits=LIMITS) as kit:
        assert (kit.container, kit.path, kit.stored_bytes) == (container, path, len(data))
        assert [(item.name, len(item.body)) for item in collect(kit.members())] == [("a", 700), ("b", 1)]


NO_KIT = {
    "empty": b"",
    "text": b"hello",
    "a long text": b"hello " * 1000,
    "compressed text": gzip.compress(b"hello " * 1000),
    "an empty stream": gzip.compress(b""),
    "a tar compressed twice": gzip.compress(gzip.compress(TAR + os.urandom(2000))),
    "a cut stream": PACKED[Container.TAR_ZSTD][:20],
}


@pytest.mark.parametrize("data", NO_KIT.values(), ids=NO_KIT)
def test_what_is_no_tar_archive_is_no_kit(data: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"kit\.tar"):
        over(MemorySource(data))


def test_an_archive_of_end_blocks_has_no_members() -> None:
    assert collect(over(MemorySource(END)).members()) == []


def test_every_pass_reads_the_file_that_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "kit.tar"
    path.write_bytes(TAR)
    with open_kit(path, limits=LIMITS) as kit:
        first = collect(kit.members())
        (tmp_path / "other").write_bytes(member(b"evil") + END)
        (tmp_path / "other").rename(path)
        assert collect(kit.members()) == first


@pytest.mark.parametrize("data", PACKED.values(), ids=[container.value for container in PACKED])
def test_a_pass_over_the_members_has_read_and_digested_the_whole_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "kit"
    path.write_bytes(data)
    with open_kit(path, limits=LIMITS) as kit:
        collect(kit.members())
        assert kit.pass_digest() == kit.stored_digest() == Sha256.of(data)


def test_two_passes_may_be_under_way_at_once() -> None:
    kit = over(MemorySource(TAR))
    one, two = kit.members(), kit.members()
    found = [next(one)[0], next(two)[0], next(one)[0], next(two)[0]]
    assert [str(item.path) for item in found] == ["a", "a", "b", "b"]


def test_a_path_that_leads_to_no_file_is_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kit.tar").write_bytes(TAR)
    (tmp_path / "link").symlink_to("kit.tar")
    for name in ("absent", "pipe", "link", "kit.tar/below", "a\0b"):
        with pytest.raises(UnreadableError, match=re.escape(repr(str(tmp_path))[1:-1])):
            open_kit(tmp_path / name, limits=LIMITS)


def test_a_refused_file_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"text")
    before = _open_descriptors()
    with pytest.raises(ArchiveError):
        open_kit(tmp_path / "text", limits=LIMITS)
    assert _open_descriptors() == before


@pytest.mark.parametrize("data", PACKED.values(), ids=[container.value for container in PACKED])
def test_a_medium_that_fails_is_named_with_the_offset(data: bytes) -> None:
    for fails_at in range(0, len(data), 17):
        with pytest.raises(UnreadableError, match=rf"kit\.tar: byte {fails_at}: cannot be read: Input/output error"):
            collect(over(MemorySource(data, fails_at=fails_at)).members())


def test_a_source_reads_at_its_position(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    source = FileSource.open(tmp_path / "f")
    source.seek(4)
    assert (source.read(3), source.tell(), source.size) == (b"456", 7, 10)
    assert b"".join(source_chunks(source, name="f", start=8)) == b"89"
    assert source.tell() == 7  # chunks leave it alone, so that threads may share the file
    source.close()
    source.close()
    with pytest.raises(UnreadableError, match="f: byte 7: cannot be read: Bad file descriptor"):
        source.read(1)


@pytest.mark.skipif(not KITS.is_dir(), reason="the shared kits are not here")
@pytest.mark.parametrize("name", ["cisa-csaf.tar.zst", "cve5-foreign.tar.gz", "go-osv.tar.zst", "pypa-osv.tgz"])
def test_the_shared_kits_read_as_tarfile_reads_them(name: str) -> None:
    path = KITS / name
    tool = "zstd" if name.endswith("zst") else "gzip"
    plain = subprocess.run([tool, "-dc", str(path)], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as peer:
        expected = [(info.name, info.size, _digest(peer.extractfile(info))) for info in peer]
    with open_kit(path, limits=LIMITS) as kit:
        found = [
            (str(item.member.path), item.member.size, hashlib.sha256(item.body).hexdigest())
            for item in collect(kit.members())
        ]
    assert found == expected


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _digest(file: IO[bytes] | None) -> str:
    assert file is not None
    return hashlib.sha256(file.read()).hexdigest()


@pytest.mark.parametrize("harm", ["one less", "one more", "another kind"])
def test_a_folder_that_has_other_entries_in_a_later_pass_is_refused(harm: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"")
    with open_kit(tmp_path, limits=LIMITS) as reader:
        for _ in range(2):
            assert len(list(reader.members())) == 2
        if harm != "one more":
            (tmp_path / "two").unlink()
        if harm != "one less":
            (tmp_path / ("two" if harm == "another kind" else "three")).mkdir()
        next(reader.members())  # of a pass that does not end, nothing is asked
        with pytest.raises(DigestError, match="changed while it was being read"):
            list(reader.members())


def test_an_archive_that_loses_a_member_between_two_passes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kit.tar"
    path.write_bytes(member(b"one", b"1") + member(b"two", b"2") + END)
    with open_kit(path, limits=LIMITS) as reader:
        assert len(list(reader.members())) == 2
        path.write_bytes(member(b"one", b"1") + END)
        with pytest.raises(DigestError, match="changed while it was being read"):
            list(reader.members())
