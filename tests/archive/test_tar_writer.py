"""Headers as written, read by GNU tar, Python's tarfile and the strict reader: all three see the same member."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings, strategies as st

from kit.archive.read.tar import Member, read_tar
from kit.archive.source import ChunkReader
from kit.archive.write.tar import END, file_header, padding
from kit.errors import ArchiveError
from kit.values import Limits, MemberPath, Timestamp

NEVER = Timestamp(253_402_300_799)
AT = Timestamp(1_760_000_000)
GIB = 1 << 30
SEGMENTS = st.text("ab.é漢 -_", min_size=1, max_size=12) | st.integers(90, 160).map(lambda size: "x" * size)


def path_or_none(segments: list[str]) -> MemberPath | None:
    try:
        path = MemberPath.parse("/".join(segments))
    except ArchiveError:
        return None
    return None if path.classes else path


PATHS = st.lists(SEGMENTS, min_size=1, max_size=6).map(path_or_none)


def strict(data: bytes) -> Member:
    reader = ChunkReader([data], where="it")
    return next(read_tar(reader, Limits(), where="it"))[0]


@settings(deadline=None)
@given(
    path=PATHS,
    size=st.integers(0, 2000) | st.sampled_from([8 * GIB - 1, 8 * GIB, 900 * GIB]),
    mode=st.integers(0, 0o777),
    seconds=st.integers(0, NEVER.seconds),
)
@example(path=MemberPath("d" * 155 + "/" + "f" * 100), size=0, mode=0o644, seconds=0)
@example(path=MemberPath("d" * 156 + "/" + "f" * 100), size=0, mode=0o644, seconds=0)
@example(path=MemberPath("d" * 155 + "/" + "f" * 101), size=0, mode=0o644, seconds=0)
@example(path=MemberPath("f" * 100), size=8 * GIB - 1, mode=0o644, seconds=8**11 - 1)
@example(path=MemberPath("f" * 101), size=8 * GIB, mode=0o644, seconds=8**11)
@example(path=MemberPath("d/" * 40 + "é" * 100), size=1, mode=0o600, seconds=1)
def test_tarfile_and_the_strict_reader_see_what_was_asked_for(
    path: MemberPath | None, size: int, mode: int, seconds: int
) -> None:
    assume(path is not None)
    assert path is not None
    header = file_header(path, size=size, mode=mode, mtime=Timestamp(seconds))
    assert len(header) % 512 == 0
    member = strict(header)
    assert (member.path, member.size, member.mode, member.mtime) == (path, size, mode, seconds)
    assert member.header == header
    with tarfile.open(fileobj=io.BytesIO(header + END)) as archive:
        info = archive.next()
    assert info is not None
    assert (info.name, info.size, info.mode, int(info.mtime)) == (path.text, size, mode, seconds)
    assert (info.uid, info.gid, info.uname, info.gname, info.isreg()) == (0, 0, "", "", True)


@pytest.mark.parametrize(
    "path",
    [
        *("a.txt", "f" * 100, "f" * 101, "d" * 155 + "/" + "f" * 100, "d" * 155 + "/" + "f" * 101),
        *("d" * 156 + "/" + "f" * 50, "é/漢", "/".join("abc" for _ in range(60)), " b", "d/" * 49 + "xx"),
    ],
    ids=lambda path: f"{len(path)} characters",
)
def test_gnu_tar_lists_and_extracts_what_was_written(path: str, tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    header = file_header(MemberPath.parse(path), size=3, mode=0o640, mtime=NEVER)
    archive = tmp_path / "it.tar"
    archive.write_bytes(header + b"abc" + padding(3) + END)
    run = ["tar", "--quoting-style=literal", "-f", str(archive)]
    listed = subprocess.run([*run, "--utc", "-tv"], check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"})
    assert listed.stdout.decode().rstrip("\n").endswith(f"0/0               3 9999-12-31 23:59 {path}")
    assert listed.stderr == b""
    extracted = subprocess.run([*run, "-xO"], check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"})
    assert extracted.stdout == b"abc"


@pytest.mark.parametrize(
    ("path", "size", "digest"),
    [
        ("docs/readme.txt", 42, "8193965ea5a944bc"),
        ("d" * 155 + "/" + "f" * 100, 0, "82ba074004cac6f7"),
        ("é" * 60 + "/漢.bson", 9 * GIB, "2c88e984b1b6d815"),
    ],
    ids=["ustar", "ustar with a prefix", "PAX path and size"],
)
def test_the_bytes_of_a_header_never_change(path: str, size: int, digest: str) -> None:
    header = file_header(MemberPath.parse(path), size=size, mode=0o644, mtime=AT)
    assert hashlib.sha256(header).hexdigest()[:16] == digest


def test_pax_records_are_written_only_where_a_value_does_not_fit() -> None:
    plain = file_header(MemberPath("d" * 155 + "/" + "f" * 100), size=8**11 - 1, mode=0, mtime=Timestamp(8**11 - 1))
    assert len(plain) == 512
    assert len(file_header(MemberPath("f" * 101), size=0, mode=0, mtime=AT)) == 3 * 512


@given(size=st.integers(0, 10**12))
def test_padding_fills_the_last_block(size: int) -> None:
    assert (size + len(padding(size))) % 512 == 0
    assert len(padding(size)) < 512
