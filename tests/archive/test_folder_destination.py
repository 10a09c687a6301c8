"""A kit that is a folder, written as a folder: names, modes, times, empty folders and links as they were."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.archive.frames import encode_frame
from kit.archive.read.reader import open_kit
from kit.archive.read.tar import Member
from kit.archive.write.folder import FolderDestination
from kit.archive.write.tar import Slot, add_bytes
from kit.errors import OutputError
from kit.output.disk import remove_tree
from kit.values import Allowed, Codec, Limits, MemberPath, Timestamp

AT = Timestamp(1_760_000_000)
OLD = 1_600_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "a" / "empty").mkdir(parents=True)
    (root / "locked").mkdir()
    for name, mode in (("a/tool", 0o755), ("a/none", 0o600), ("locked/in", 0o440)):
        (root / name).write_bytes(b"" if name == "a/none" else name.encode())
        (root / name).chmod(mode)
        os.utime(root / name, (OLD, OLD))
    (root / "a" / "link").symlink_to("tool")
    os.utime(root / "a" / "link", (OLD + 1, OLD + 1), follow_symlinks=False)
    for folder, mode in (("a/empty", 0o711), ("a", 0o750), ("locked", 0o500)):
        os.utime(root / folder, (OLD + 2, OLD + 2))
        (root / folder).chmod(mode)
    return root


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def facts(root: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        link = stat.S_ISLNK(status.st_mode)
        content = os.fsencode(path.readlink()) if link else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (status.st_mode, int(status.st_mtime), content)
    return found


def carried(destination: FolderDestination, root: Path) -> list[tuple[Member, Slot]]:
    slots = []
    with open_kit(root, limits=Limits(), allowed=Allowed(links=True)) as reader:
        for member, body in reader.members():
            slot, content = destination.carry(member, body)
            for chunk in content:
                destination.add(slot, encode_frame(Codec.NONE, chunk))
            destination.close(slot, mtime=AT)
            slots.append((member, slot))
    return slots


def test_a_folder_is_carried_with_modes_times_links_and_empty_folders(source: Path, job: Path) -> None:
    destination = FolderDestination(job)
    carried(destination, source)
    assert facts(destination.assemble()) == facts(source)


def test_a_changed_file_keeps_its_mode_and_gets_the_time_of_the_generation(job: Path) -> None:
    destination = FolderDestination(job)
    add_bytes(destination, destination.open(MemberPath("x/y/new"), mode=0o640), b"new", mtime=AT)
    status = (destination.assemble() / "x/y/new").stat()
    assert (stat.S_IMODE(status.st_mode), int(status.st_mtime)) == (0o640, AT.seconds)


def test_an_empty_new_file_is_there(job: Path) -> None:
    destination = FolderDestination(job)
    add_bytes(destination, destination.open(MemberPath("empty"), mode=0o644), b"", mtime=AT)
    assert (destination.assemble() / "empty").read_bytes() == b""


def test_one_file_is_open_at_a_time_however_many_members_were_started(tmp_path: Path, job: Path) -> None:
    """The engine starts members ahead of the bytes of the first: thousands of small ones, for a slow one."""
    root = tmp_path / "many"
    root.mkdir()
    for number in range(300):
        (root / str(number)).write_bytes(b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    destination = FolderDestination(job)
    started = []
    with open_kit(root, limits=Limits()) as reader:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, hard), hard))
        try:
            for member, body in reader.members():
                slot, content = destination.carry(member, body)
                started.append((slot, b"".join(content)))
            for slot, data in started:
                destination.add(slot, encode_frame(Codec.NONE, data))
                destination.close(slot, mtime=AT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(list(destination.assemble().iterdir())) == 300


def test_a_new_destination_in_the_same_folder_begins_anew(job: Path) -> None:
    first = FolderDestination(job)
    slot = first.open(MemberPath("half"), mode=0o644)
    first.add(slot, encode_frame(Codec.NONE, b"half"))
    first.release()
    second = FolderDestination(job)
    add_bytes(second, second.open(MemberPath("whole"), mode=0o644), b"whole", mtime=AT)
    assert [path.name for path in second.assemble().iterdir()] == ["whole"]


def test_a_folder_that_cannot_be_made_is_an_output_error(job: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        FolderDestination(job / "missing")


def test_two_slots_of_one_name_are_an_output_error(job: Path) -> None:
    destination = FolderDestination(job)
    one, two = (destination.open(MemberPath("a"), mode=0o644) for _ in range(2))
    add_bytes(destination, one, b"a", mtime=AT)
    with pytest.raises(OutputError, match="File exists"):
        destination.add(two, encode_frame(Codec.NONE, b"b"))


@pytest.fixture
def small_files_only() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files_only")
def test_a_full_disk_is_an_output_error_that_names_the_file(job: Path) -> None:
    destination = FolderDestination(job)
    slot = destination.open(MemberPath("big"), mode=0o644)
    with pytest.raises(OutputError, match="kit/big: cannot write: File too large"):
        destination.add(slot, encode_frame(Codec.NONE, bytes(2000)))
    destination.release()


def test_a_tree_with_read_only_folders_is_removed_whole(source: Path) -> None:
    outside = source.parent / "outside"
    outside.mkdir(mode=0o500)
    (source / "a" / "way-out").symlink_to(outside)
    remove_tree(source)
    assert not source.exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500
