"""An unpacked kit is read as strictly as an archive, whatever the file system does meanwhile."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import Container, open_kit
from kit.errors import ArchiveError, KitError, LimitError, UnreadableError
from kit.values import Allowed, Limits
from tests.archive.building import LIMITS, Read, collect


def read(root: Path, *, limits: Limits = LIMITS, allow_links: bool = False) -> list[Read]:
    with open_kit(root, limits=limits, allowed=Allowed(links=allow_links)) as kit:
        assert kit.container is Container.FOLDER
        return collect(kit.members())


def test_members_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a-b", "a/b/c", "a.b", "é"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    found = read(tmp_path)
    assert [item.name for item in found] == ["a-b", "a.b", "a", "a/b", "a/b/c", "a/z", "b", "é"]
    assert all(item.body == item.name.encode() for item in found if item.member.kind is EntryKind.FILE)
    assert [item.member.ordinal for item in found] == list(range(8))
    assert {item.member.header for item in found} == {b""}


def test_a_member_has_the_mode_and_time_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    path.chmod(0o750)
    os.utime(path, (5, 77))
    member = read(tmp_path)[0].member
    assert (member.mode, member.mtime, member.size, member.offset) == (0o750, 77, 1, 0)


def test_links_are_refused_and_carried_only_when_allowed_and_inside(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("../a")
    with pytest.raises(ArchiveError, match="d/link: is a symlink"):
        read(tmp_path)
    assert read(tmp_path, allow_links=True)[1].member.link_target == "../a"
    (tmp_path / "d" / "out").symlink_to("/etc/passwd")
    with pytest.raises(ArchiveError, match="d/out: links to '/etc/passwd'"):
        read(tmp_path, allow_links=True)


def test_a_folder_reached_by_a_link_is_not_walked(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "d").symlink_to("outside")
    assert [item.name for item in read(tmp_path / "kit", allow_links=True)] == ["d"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError, match="pipe: is a FIFO"):
        read(tmp_path)
    (tmp_path / "pipe").unlink()
    server = socket.socket(socket.AF_UNIX)
    with server:
        server.bind(os.path.relpath(tmp_path / "s"))
        with pytest.raises(ArchiveError, match="s: is a socket"):
            read(tmp_path)


@pytest.mark.parametrize("name", [b"\xff", b"a\\b", b"a\nb", "e\u0301".encode()], ids=str)
def test_a_name_no_kit_may_hold_is_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(ArchiveError, match="member name"):
        read(tmp_path)


def test_names_that_differ_in_case_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "A").write_bytes(b"")
    with pytest.raises(ArchiveError, match="collides"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"longer than before"], ids=["shorter", "longer"])
def test_a_file_that_changes_size_while_it_is_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with open_kit(tmp_path, limits=LIMITS) as kit:
        members = kit.members()
        _, body = next(members)
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(ArchiveError, match="changed while it was read"):
            list(body)


def test_a_file_replaced_during_the_walk_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    with open_kit(tmp_path, limits=LIMITS) as kit:
        members = kit.members()
        next(members)
        (tmp_path / "new").write_bytes(b"y")
        (tmp_path / "new").rename(tmp_path / "b")
        with pytest.raises(ArchiveError, match="b: was replaced"):
            next(members)


def test_a_file_swapped_for_a_link_during_the_walk_is_not_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    with open_kit(tmp_path, limits=LIMITS) as kit:
        members = kit.members()
        next(members)
        (tmp_path / "b").unlink()
        (tmp_path / "b").symlink_to("/etc/passwd")
        with pytest.raises(UnreadableError, match="b: cannot be read"):
            next(members)


def test_a_folder_swapped_for_a_link_during_the_walk_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with open_kit(tmp_path, limits=LIMITS) as kit:
        members = kit.members()
        next(members)
        (tmp_path / "d").rmdir()
        (tmp_path / "d").symlink_to("/etc")
        with pytest.raises(UnreadableError, match="d: cannot be read"):
            next(members)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    kit = open_kit(tmp_path, limits=LIMITS)
    kit.close()
    with pytest.raises(UnreadableError, match="cannot be read"):
        list(kit.members())


def test_a_walk_left_early_closes_what_it_opened(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").write_bytes(b"x")
    with open_kit(tmp_path, limits=LIMITS) as kit:
        before = sum(1 for _ in Path("/proc/self/fd").iterdir())
        members = kit.members()
        assert [str(next(members)[0].path) for _ in range(3)] == ["d", "d/e", "d/e/f"]
        del members
        assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


OVER = {
    "members": replace(LIMITS, members=2),
    "member_bytes": replace(LIMITS, member_bytes=2),
    "total_bytes": replace(LIMITS, total_bytes=4),
    "path_depth": replace(LIMITS, path_depth=1),
}


@pytest.mark.parametrize(("limit", "limits"), OVER.items(), ids=OVER)
def test_a_folder_over_a_limit_is_refused(tmp_path: Path, limit: str, limits: Limits) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a", "d/b"):
        (tmp_path / name).write_bytes(b"xxx")
    with pytest.raises(LimitError, match=limit):
        read(tmp_path, limits=limits)


def test_the_stored_bytes_of_a_folder_are_those_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    with open_kit(tmp_path, limits=LIMITS) as kit:
        assert kit.stored_bytes == 5


def test_a_link_to_a_folder_is_no_kit(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    (tmp_path / "link").symlink_to("kit")
    with pytest.raises(KitError, match="cannot be read"):
        open_kit(tmp_path / "link", limits=LIMITS)
