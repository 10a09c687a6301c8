"""A build that is killed leaves its folder in plain sight, and the next run with that output clears it away."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.cli import run
from kit.errors import OutputError
from kit.output.job import LOCK
from kit.signing import write_private, write_public
from kit.verbs.delta.build import open_build_job
from tests.delta.kits import KEY, PASSPHRASE, pair
from tests.delta.test_recipe_keys import keys_of, notes, sealed
from tests.delta.test_round_trip import files_of
from tests.delta.test_squash import chain
from tests.end_to_end.vault import descriptor
from tests.kits import collection, observation

KILLED = """
import os, signal, sys
from kit.cli import run
name, *words = sys.argv[1:]
def strike(event, arguments):
    if event == "open" and str(arguments[0]).endswith(name) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(strike)
sys.exit(run(words))
"""
HOLDING = """
import sys
from pathlib import Path
from kit.verbs.delta.build import open_build_job
with open_build_job(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def killed(name: str, *words: object, passing: tuple[int, ...] = ()) -> None:
    """Run ``kit``, and kill it the moment it makes a file of that name."""
    program = [sys.executable, "-c", KILLED, name, *map(str, words)]
    assert subprocess.run(program, pass_fds=passing, check=False).returncode == -signal.SIGKILL


def signing(folder: Path) -> list[object]:
    write_private(folder / "key", KEY)
    write_public(folder / "key.pub", KEY.public)
    return ["--signing-key", folder / "key", "--trusted-key", folder / "key.pub", "--workers", 1]


def ended(*words: object) -> int:
    return run(list(map(str, words)))


@pytest.mark.parametrize("name", ["base-0.documents", "spool"])
def test_what_a_killed_build_left_is_gone_after_the_next(name: str, tmp_path: Path) -> None:
    two = pair(tmp_path)
    words = ["delta", "build", two.base, two.target, "-o", two.delta, *signing(tmp_path)]
    before = {path.name for path in tmp_path.iterdir()}
    killed(name, *words)
    left = {path.name for path in tmp_path.iterdir()} - before
    assert left == {"delta.kit-build"}, "in plain sight, named after the output, and nothing else"
    assert (tmp_path / "delta.kit-build").stat().st_mode & 0o077 == 0, "it holds documents in the clear"
    assert ended(*words) == 0
    assert {path.name for path in tmp_path.iterdir()} - before == {"delta", "delta.sha256"}


@pytest.mark.slow
def test_what_a_killed_squash_left_is_gone_after_the_next(tmp_path: Path) -> None:
    first, second, over = chain(tmp_path, *(collection(observation(n) for n in range(m)) for m in (3, 4, 2)))
    first.build(tmp_path / "one")
    second.build(tmp_path / "two")
    words = ["delta", "squash", over.base, tmp_path / "one", tmp_path / "two"]
    words += ["-o", tmp_path / "all", *signing(tmp_path)]
    before = {path.name for path in tmp_path.iterdir()}
    killed("base-0.documents", *words)
    assert {path.name for path in tmp_path.iterdir()} - before == {"all.kit-build"}
    assert ended(*words) == 0
    assert {path.name for path in tmp_path.iterdir()} - before == {"all", "all.sha256"}


def test_two_live_builds_never_share_a_folder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path / "delta")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="at work"), open_build_job(tmp_path / "delta"):
            pass
        assert (tmp_path / "delta.kit-build").exists()
        other.communicate(b"")
    with open_build_job(tmp_path / "delta") as job:
        assert [path.name for path in job.folder.iterdir()] == [LOCK]
    assert not list(tmp_path.iterdir())


def test_a_resumable_job_of_that_name_is_not_touched_by_a_build(tmp_path: Path) -> None:
    two = pair(tmp_path)
    job = tmp_path / "delta.kit-job"
    job.mkdir()
    (job / "journal").write_bytes(b"somebody's")
    two.build()
    assert (job / "journal").read_bytes() == b"somebody's"


@pytest.mark.parametrize("name", ["base-0.documents", "spool"])
def test_an_application_that_was_killed_while_its_base_was_judged_or_its_target_made_can_be_run_again(
    name: str, tmp_path: Path
) -> None:
    two = pair(tmp_path)
    two.build()
    old = two.base.read_bytes()
    signing(tmp_path)
    words = ["delta", "apply", two.base, two.delta, "--in-place", "--trusted-key", tmp_path / "key.pub"]
    killed(name, *words)
    assert two.base.read_bytes() == old
    job = two.base.with_name(f"{two.base.name}.kit-job")
    assert job.stat().st_mode & 0o077 == 0, "it holds documents in the clear"
    assert ended(*words) == 74, "an earlier run was interrupted"
    assert ended(*words, "--resume") == 0
    assert files_of(two.base) == files_of(two.target)
    assert not job.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recipe-0", "spool"])
def test_an_application_of_a_recipe_that_was_killed_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    two, keying = sealed(tmp_path, change=notes(12, owners=2))
    two.build(keys=keys_of(keying))
    old = two.base.read_bytes()
    signing(tmp_path)
    words = ["delta", "apply", two.base, two.delta, "--in-place", "--trusted-key", tmp_path / "key.pub", "--workers", 1]
    words += ["--keyring", keying.keyring, "--keyring-passphrase-fd"]
    with descriptor(PASSPHRASE) as number:
        killed(name, *words, number, passing=(number,))
    assert two.base.read_bytes() == old
    job = two.base.with_name(f"{two.base.name}.kit-job")
    inside = b"".join(path.read_bytes() for path in job.rglob("*") if path.is_file())
    assert inside
    for key in keys_of(keying).opening.values():
        assert key.secret not in inside
        assert key.secret.hex().encode() not in inside
    with descriptor(PASSPHRASE) as number:
        assert ended(*words, number, "--resume") == 0
    assert two.base.read_bytes() == two.target.read_bytes()
    assert not job.exists()
