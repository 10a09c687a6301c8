"""Safe archives of the usual writers are read as they were written: the oracle is the folder they were made from."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import open_kit
from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.archive.write.tar import END, entry_header
from kit.errors import ArchiveError
from tests.archive.building import LIMITS, header, padded, pax, read, record
from tests.attacks.readers import compiled

SHORT = {"a.txt": b"text", "empty": b"", "dir/b.bin": bytes(range(256)) * 5, "dir/inner/c": b"c" * 512}
SPLITTABLE = {f"{'p' * 60}/{'q' * 60}/{'r' * 90}": b"long"}
LONG = {"n" * length: b"%d" % length for length in (99, 100, 101, 155, 200)} | {
    f"{'d' * length}/in": b"%d" % length for length in (96, 97, 98, 99, 100, 101, 150)
}
ACCENTED = {"é/ü.txt": b"u", "日" * 40: b"j", "é" * 60 + "/x": b"x"}
FOLDERS = ("hollow", "dir/hollow")
WRITERS = {
    "GNU tar v7": (["tar", "--format=v7"], SHORT),
    "GNU tar oldgnu": (["tar", "--format=oldgnu"], SHORT | SPLITTABLE | LONG | ACCENTED),
    "GNU tar gnu": (["tar", "--format=gnu"], SHORT | SPLITTABLE | LONG | ACCENTED),
    "GNU tar ustar": (["tar", "--format=ustar"], SHORT | SPLITTABLE),
    "GNU tar posix": (["tar", "--format=posix"], SHORT | SPLITTABLE | LONG | ACCENTED),
    "GNU tar, nothing said": (["tar"], SHORT | SPLITTABLE | LONG | ACCENTED),
    "bsdtar, nothing said": (["bsdtar"], SHORT | SPLITTABLE | LONG | ACCENTED),
    "bsdtar v7": (["bsdtar", "--format=v7"], SHORT),
    "bsdtar ustar": (["bsdtar", "--format=ustar"], SHORT | SPLITTABLE),
    "bsdtar pax": (["bsdtar", "--format=pax"], SHORT | SPLITTABLE | LONG | ACCENTED),
    "bsdtar gnutar": (["bsdtar", "--format=gnutar"], SHORT | SPLITTABLE | LONG | ACCENTED),
}
PYTHON_FORMATS = {
    "ustar": (tarfile.USTAR_FORMAT, SHORT | SPLITTABLE),
    "gnu": (tarfile.GNU_FORMAT, SHORT | SPLITTABLE | LONG | ACCENTED),
    "pax": (tarfile.PAX_FORMAT, SHORT | SPLITTABLE | LONG | ACCENTED),
}
UTF8_LOCALE = {**os.environ, "LC_ALL": "C.UTF-8"}


def unpacked(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    return root


def check_same(data: bytes, files: dict[str, bytes]) -> None:
    found = read(data)
    assert {item.name: item.body for item in found if item.member.kind is EntryKind.FILE} == files
    folders = {item.name for item in found if item.member.kind is EntryKind.DIRECTORY}
    assert set(FOLDERS) <= folders
    assert {item.member.ordinal for item in found} == set(range(len(found)))
    # The law of the reader: headers, bodies and padding are the stream, but for the zero blocks at its end.
    carried = b"".join(item.member.header + padded(item.body) for item in found)
    assert data.startswith(carried)
    assert not data[len(carried) :].strip(b"\0")


@pytest.mark.parametrize(("command", "files"), WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("dotted", [False, True], ids=["by name", "tar -C folder ."])
def test_archives_of_the_usual_programs_are_read(
    tmp_path: Path, command: list[str], files: dict[str, bytes], *, dotted: bool
) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    root = unpacked(tmp_path, files)
    what = ["."] if dotted else sorted(path.name for path in root.iterdir())
    data = subprocess.run([*command, "-cf", "-", *what], cwd=root, env=UTF8_LOCALE, capture_output=True, check=True)
    check_same(data.stdout, files)
    roots = [item for item in read(data.stdout) if item.member.path is None]
    assert len(roots) == int(dotted)


@pytest.mark.parametrize(("layout", "files"), PYTHON_FORMATS.values(), ids=PYTHON_FORMATS)
def test_archives_of_tarfile_are_read(tmp_path: Path, layout: int, files: dict[str, bytes]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=layout) as archive:
        archive.add(unpacked(tmp_path, files), arcname=".")
    check_same(out.getvalue(), files)


@pytest.mark.parametrize("layout", ["default", "ustar", "pax", "gnu"])
def test_archives_of_go_are_read(tmp_path: Path, layout: str) -> None:
    writer = compiled(Path(__file__).with_name("write_tar.go"))
    if writer is None:
        pytest.skip("go is not installed")
    files = SHORT | SPLITTABLE if layout == "ustar" else SHORT | SPLITTABLE | LONG | ACCENTED
    root = unpacked(tmp_path, files)
    data = subprocess.run([writer, root, layout], capture_output=True, check=True).stdout
    check_same(data, files)


def test_an_archive_of_git_with_its_global_comment_is_read(tmp_path: Path) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    (tmp_path / "a").write_bytes(b"x")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "a"], [*identity, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    data = subprocess.run(["git", "archive", "HEAD"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert b" comment=" in data
    assert [(item.name, item.body) for item in read(data)] == [("a", b"x")]


@pytest.mark.parametrize("command", [["tar", "--format=gnu"], ["tar", "--format=posix"]], ids=lambda c: c[1])
def test_a_member_of_more_than_eight_gibibytes_is_announced_with_its_size(tmp_path: Path, command: list[str]) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(9 << 30)
    with subprocess.Popen([*command, "-cf", "-", "big"], cwd=tmp_path, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        head = writer.stdout.read(4096)
        writer.stdout.close()
        writer.kill()
    member, _ = next(read_tar(ChunkReader([head], where="k"), LIMITS, where="k"))
    assert member.size == 9 << 30


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_tarfile_announces_more_than_eight_gibibytes(layout: Literal[1, 2]) -> None:
    info = tarfile.TarInfo("big")
    info.size = 9 << 30
    member, _ = next(read_tar(ChunkReader([info.tobuf(layout)], where="k"), LIMITS, where="k"))
    assert member.size == 9 << 30


def test_a_sparse_file_of_gnu_tar_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(b"end")
    for layout in ("gnu", "posix"):
        command = ["tar", f"--format={layout}", "--sparse", "-cf", "-", "holes"]
        data = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
        with pytest.raises(ArchiveError, match="sparse"):
            read(data)


def test_links_of_gnu_tar_are_carried_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("a")
    data = subprocess.run(["tar", "-cf", "-", "a", "b", "c"], cwd=tmp_path, capture_output=True, check=True).stdout
    found = read(data, allow_links=True)
    assert [(item.member.kind, item.member.link_target) for item in found] == [
        (EntryKind.FILE, ""),
        (EntryKind.HARDLINK, "a"),
        (EntryKind.SYMLINK, "a"),
    ]


@pytest.mark.parametrize("layout", ["gnu", "posix"])
@pytest.mark.parametrize("seconds", [-1, -100, -(2**31)])
def test_times_before_1970_of_gnu_tar_are_read(tmp_path: Path, layout: str, seconds: int) -> None:
    (tmp_path / "old").write_bytes(b"x")
    os.utime(tmp_path / "old", (seconds, seconds))
    command = ["tar", f"--format={layout}", "-cf", "-", "old"]
    data = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    (item,) = read(data)
    assert (item.name, item.body, item.member.mtime) == ("old", b"x", seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"-1", -1), (b"-1.5", -2), (b"-0.25", -1), (b"-2.000", -2), (b"1.5", 1), (b"-62135596800", -62_135_596_800)],
)
def test_a_pax_time_is_the_second_that_it_is_in(value: bytes, seconds: int) -> None:
    assert [item.member.mtime for item in read(pax(record("mtime", value)) + header() + END)] == [seconds]


# What Rust's tar leaves of a header of which only name, size and mode were set; and blanks, as old writers fill fields.
@pytest.mark.parametrize("blank", [bytes, lambda size: b" " * (size - 1) + b"\0"], ids=["NUL", "blank"])
def test_blank_numbers_are_zero_to_all_readers(tmp_path: Path, blank: Callable[[int], bytes]) -> None:
    fields = {name: blank(8) for name in ("uid", "gid")} | {name: blank(12) for name in ("size", "mtime")}
    data = header(b"a", mode=blank(8), **fields) + END
    (item,) = read(data)
    assert (item.member.size, item.member.mode, item.member.mtime) == (0, 0, 0)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (info,) = archive.getmembers()
    assert (info.size, info.mode, info.mtime, info.uid, info.gid) == (0, 0, 0, 0, 0)
    for program in filter(shutil.which, ("tar", "bsdtar")):
        done = subprocess.run([program, "-xf", "-"], cwd=tmp_path, input=data, capture_output=True, check=True)
        assert (done.stderr, (tmp_path / "a").stat().st_mtime) == (b"", 0)


@pytest.mark.parametrize("field", ["uid", "gid", "mtime"])
def test_an_owner_or_time_of_nothing_but_spaces_is_read(field: str) -> None:
    (item,) = read(header(b"a", **{field: b" " * (12 if field == "mtime" else 8)}) + END)
    assert (item.name, item.member.mtime == 0) == ("a", field == "mtime")


def test_a_folder_with_times_before_1970_is_read_and_its_headers_say_so(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"")
    for name in ("d/f", "d"):
        os.utime(tmp_path / name, ns=(0, -1_500_000_000))
    with open_kit(tmp_path, limits=LIMITS) as kit:
        found = [member for member, _ in kit.members()]
    assert [member.mtime for member in found] == [-2, -2]
    again = read(b"".join(entry_header(member) for member in found) + END)
    assert [(item.name, item.member.kind, item.member.mtime) for item in again] == [
        ("d", EntryKind.DIRECTORY, -2),
        ("d/f", EntryKind.FILE, -2),
    ]
