"""No room for the output, and a parent killed while its workers work: real limits of the system, real signals."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kits import OBSERVATIONS, advisory, collection, observation, signed, small_files, write_keys, write_kit
from tests.tiers import slow

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from kit.cli import main; main()"]
# No bytecode: an interpreter that may write no whole file would leave half a one for the next.
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Give the command that patches ``tmp_path/desk/kit.tar`` in place."""
    (tmp_path / "desk").mkdir()
    key, private, public = write_keys(tmp_path)
    documents = [observation(n, raw=advisory(n, details="x" * 50_000)) for n in range(40)]
    files = small_files() | {OBSERVATIONS: collection(documents), "images/big": os.urandom(600_000)}
    kit = write_kit(tmp_path / "desk" / "kit.tar", signed(files, key))
    return [*COMMAND, "patch", str(kit), "--trusted-key", str(public), "--signing-key", str(private)]


def at_most(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Give everything but a job that can be resumed."""
    found = [path for path in folder.rglob("*") if ".kit-job" not in str(path.relative_to(folder))]
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in found}


@pytest.mark.parametrize("where", [["--in-place"], ["--output", "{desk}/out.tar"]], ids=["in place", "output"])
@pytest.mark.parametrize(
    ("workers", "size"),
    [("1", 0), *slow(("1", 10), ("1", 5_000), ("1", 700_000), ("1", 2_500_000), ("2", 1_000_000))],
)
def test_without_room_for_the_output_all_stays_as_it_was(
    command: list[str], where: list[str], size: int, workers: str, tmp_path: Path
) -> None:
    desk = tmp_path / "desk"
    before = state(desk)
    run = subprocess.run(
        [*command, *(part.format(desk=desk) for part in where), "--workers", workers],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        preexec_fn=at_most(size),
    )
    assert run.returncode == 74, run.stderr
    assert run.stderr.startswith("kit: error: ")
    assert state(desk) == before
    if any(desk.glob("*.kit-job")):
        # What was finished is kept: with room again, the run goes on where it was.
        words = [*command, *(part.format(desk=desk) for part in where), "--workers", workers, "--resume"]
        again = subprocess.run(words, capture_output=True, text=True, check=False, env=ENVIRONMENT)
        assert again.returncode == 0, again.stderr
        assert not any(desk.glob("*.kit-job"))


@pytest.mark.slow
def test_where_workers_cannot_be_started_the_run_goes_on_until_the_disk_ends_it(
    command: list[str], tmp_path: Path
) -> None:
    """Their locks are files in /dev/shm: with no room for a file of 32 bytes there are none, nor for anything else."""
    before = state(tmp_path / "desk")
    run = subprocess.run(
        [*command, "--in-place", "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        preexec_fn=at_most(10),
    )
    assert run.returncode == 74, run.stderr
    assert run.stderr.startswith("kit: error: ")
    assert "make room" in run.stderr  # whichever write met the disk first, the journal as a rule
    assert state(tmp_path / "desk") == before


_ORPHANS = """
import os, signal
from kit.engine.executors import local_executor
with local_executor(3) as pool:
    list(pool.map(abs, range(10)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_do_not_outlive_a_killed_parent() -> None:
    if sys.platform != "linux":
        pytest.skip("prctl is Linux")
    # Each worker holds the pipe: reading to its end means that none is left.
    run = subprocess.run(
        [sys.executable, "-c", _ORPHANS], capture_output=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert run.returncode == -9


@pytest.mark.slow
def test_killed_at_any_moment_the_kit_is_whole_and_a_new_run_gives_the_same(command: list[str], tmp_path: Path) -> None:
    kit = tmp_path / "desk" / "kit.tar"
    old = kit.read_bytes()
    full = [*command, "--in-place", "--workers", "2", "--created-at", "1770000001"]

    def clear() -> None:
        for path in sorted(kit.parent.rglob("*"), reverse=True):
            if path != kit:
                path.rmdir() if path.is_dir() else path.unlink()

    subprocess.run(full, check=True, capture_output=True, env=ENVIRONMENT)
    new = kit.read_bytes()
    for milliseconds in range(300, 1200, 90):
        clear()
        kit.unlink()
        kit.write_bytes(old)
        process = subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        try:
            process.communicate(timeout=milliseconds / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        assert kit.read_bytes() in (old, new)
    clear()
    subprocess.run(full, check=True, capture_output=True, env=ENVIRONMENT)
    assert kit.read_bytes() == new
