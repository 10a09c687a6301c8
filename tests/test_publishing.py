"""A file appears whole, read back and on disk, or not at all; and what was there is not lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import OutputError
from kit.output.publish import NewFile, give_name, replace, write_new
from kit.values import Sha256

both_ways = pytest.mark.parametrize("unnamed", [True, False], ids=["without a name", "under a hidden name"])


@both_ways
def test_it_has_its_name_only_once_published_and_mode_0600(tmp_path: Path, *, unnamed: bool) -> None:
    path = tmp_path / "out"
    with NewFile(path, unnamed=unnamed) as output:
        output.write(b"secret " * 1000)
        output.write(b"end")
        assert not path.exists()
        output.check()
        output.publish()
    assert path.read_bytes() == b"secret " * 1000 + b"end"
    assert (path.stat().st_mode & 0o777, path.stat().st_nlink) == (0o600, 1)
    assert (output.written, output.sha256) == (7003, Sha256.of(path.read_bytes()))
    assert list(tmp_path.iterdir()) == [path]


@both_ways
def test_a_run_that_fails_leaves_nothing(tmp_path: Path, *, unnamed: bool) -> None:
    with NewFile(tmp_path / "out", unnamed=unnamed) as output:
        output.write(b"secret")
        output.check()
    assert list(tmp_path.iterdir()) == []


@both_ways
def test_what_came_there_meanwhile_is_not_overwritten(tmp_path: Path, *, unnamed: bool) -> None:
    path = tmp_path / "out"
    with NewFile(path, unnamed=unnamed) as output:
        output.write(b"secret")
        path.write_text("precious")
        with pytest.raises(OutputError, match="already there"):
            output.publish()
    assert path.read_text() == "precious"
    with pytest.raises(OutputError, match="nothing is overwritten"), NewFile(path, unnamed=unnamed):
        pass


def test_what_does_not_read_back_is_refused(tmp_path: Path) -> None:
    with NewFile(tmp_path / "out", unnamed=False) as output:
        output.write(b"secret")
        (tmp_path / ".out.new").write_bytes(b"Secret")
        with pytest.raises(OutputError, match="does not read back"):
            output.check()


def test_a_descriptor_that_takes_nothing_is_output_not_written(tmp_path: Path) -> None:
    output = NewFile(tmp_path / "out")
    with pytest.raises(OutputError, match="Bad file descriptor"):
        output.write(b"x")


def test_what_does_not_read_back_gets_no_name(tmp_path: Path) -> None:
    with NewFile(tmp_path / "out", unnamed=False) as output:
        output.write(b"secret")
        (tmp_path / ".out.new").write_bytes(b"Secret")
        with pytest.raises(OutputError, match="does not read back"):
            output.publish()
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_run_is_named_and_kept(tmp_path: Path) -> None:
    (tmp_path / ".out.new").write_bytes(b"of another run")
    with pytest.raises(OutputError, match="still at work"), NewFile(tmp_path / "out", unnamed=False):
        pass
    assert (tmp_path / ".out.new").read_bytes() == b"of another run"


@both_ways
@pytest.mark.parametrize("there", [True, False])
def test_a_file_is_replaced_in_one_step(tmp_path: Path, *, unnamed: bool, there: bool) -> None:
    path = tmp_path / "out"
    if there:
        path.write_bytes(b"old")
        path.chmod(0o666)
    with NewFile(path, replaces=True, unnamed=unnamed) as output:
        output.write(b"new")
        assert not there or path.read_bytes() == b"old"
        output.publish()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


@both_ways
def test_a_replacement_that_fails_leaves_the_old_file(tmp_path: Path, *, unnamed: bool) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with NewFile(path, replaces=True, unnamed=unnamed) as output:
        output.write(b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@both_ways
def test_a_replacement_that_is_exchanged_replaces_nothing(tmp_path: Path, *, unnamed: bool) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with NewFile(path, replaces=True, unnamed=unnamed) as output:
        output.write(b"new")
        output.check()
        (tmp_path / "evil").write_bytes(b"evil")
        (tmp_path / "evil").rename(tmp_path / ".out.new")
        if unnamed:  # it needs that name for a moment only, and takes it anew
            output.publish()
        else:
            with pytest.raises(OutputError, match="exchanged"):
                output.publish()
    assert path.read_bytes() == (b"new" if unnamed else b"old")


def test_a_new_file_has_its_mode_and_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    write_new(path, b"key", mode=0o644, what="key")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"key", 0o644)
    with pytest.raises(OutputError, match="already there; a key is never overwritten"):
        write_new(path, b"other", mode=0o644, what="key")
    assert path.read_bytes() == b"key"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.symlink_to("elsewhere")
    with pytest.raises(OutputError, match="never overwritten"):
        write_new(path, b"key", mode=0o600, what="key")
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "state"
    with pytest.raises(OutputError, match="cannot write the trust state: No such file") as failure:
        replace(path, b"state", what="trust state")
    assert failure.value.where == str(path)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_name_that_is_taken_is_not_given_again(tmp_path: Path, kind: str) -> None:
    work, target = tmp_path / "work", tmp_path / "target"
    for path in (work, target):
        path.mkdir() if kind == "folder" else path.write_text(path.name)
    with pytest.raises(FileExistsError):
        give_name(work, target)
    assert work.exists()
    assert kind == "folder" or target.read_text() == "target"


def test_a_file_keeps_its_old_name_and_a_folder_does_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert give_name(tmp_path / "file", tmp_path / "named") is True
    assert (tmp_path / "file").samefile(tmp_path / "named")
    assert give_name(tmp_path / "folder", tmp_path / "unpacked") is False
    assert not (tmp_path / "folder").exists()
