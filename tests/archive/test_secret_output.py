from __future__ import annotations

from pathlib import Path

import pytest

from kit.archive import SecretOutput
from kit.errors import OutputError
from kit.values import Sha256

both_ways = pytest.mark.parametrize("unnamed", [True, False], ids=["without a name", "under a hidden name"])


@both_ways
def test_it_has_its_name_only_once_published_and_mode_0600(tmp_path: Path, *, unnamed: bool) -> None:
    path = tmp_path / "out"
    with SecretOutput(path, unnamed=unnamed) as output:
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
    with SecretOutput(tmp_path / "out", unnamed=unnamed) as output:
        output.write(b"secret")
        output.check()
    assert list(tmp_path.iterdir()) == []


@both_ways
def test_what_came_there_meanwhile_is_not_overwritten(tmp_path: Path, *, unnamed: bool) -> None:
    path = tmp_path / "out"
    with SecretOutput(path, unnamed=unnamed) as output:
        output.write(b"secret")
        path.write_text("precious")
        with pytest.raises(OutputError, match="File exists"):
            output.publish()
    assert path.read_text() == "precious"
    with pytest.raises(OutputError, match="nothing is overwritten"), SecretOutput(path, unnamed=unnamed):
        pass


def test_what_does_not_read_back_is_refused(tmp_path: Path) -> None:
    with SecretOutput(tmp_path / "out", unnamed=False) as output:
        output.write(b"secret")
        (tmp_path / ".out.recovering").write_bytes(b"Secret")
        with pytest.raises(OutputError, match="does not read back"):
            output.check()


def test_a_descriptor_that_takes_nothing_is_output_not_written(tmp_path: Path) -> None:
    output = SecretOutput(tmp_path / "out")
    with pytest.raises(OutputError, match="Bad file descriptor"):
        output.write(b"x")
