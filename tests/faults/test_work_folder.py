"""A run that works elsewhere than beside its target: what FAT and CIFS need, which keep no modes.

The calls of the C library are wrapped (no_modes.c), so that a folder looks like one on such a file system. Everything
that does not depend on that is tried on any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.engine.progress import Stage
from kit.errors import InterruptedRunError, OutputError, UsageError
from kit.output.job import LOCK, Job
from kit.signing import write_private, write_public
from kit.verbs.jobs import abandon
from kit.verbs.patch.patch import PatchReport, patch, resume
from kit.verbs.verify.kits import Environment
from tests.attacks.forging import PUBLISHER, SITE, job_of, kit_in, output, request
from tests.attacks.test_forged_journals import Interruption
from tests.commands import COMMAND, ENVIRONMENT, Outcome
from tests.faults.attacking import Attacker
from tests.faults.test_crashes import FILES, checksum_matches, kit_of, listing
from tests.kits import signed, write_kit

SOURCE = Path(__file__).with_name("no_modes.c")
NAMES = ("kit.tar.zst", "kit")


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with a kit, a folder to work in, and keys."""

    folder: Path
    work: Path
    keys: Path

    @property
    def trusted(self) -> list[object]:
        """What every command is given."""
        words = [word for name in ("publisher", "site") for word in ("--trusted-key", self.keys / f"{name}.pub")]
        return [*words, "--workers", 1]

    @property
    def options(self) -> list[object]:
        """What every patch is given."""
        return [*self.trusted, "--signing-key", self.keys / "site", "--created-at", "1770000000"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(*(tmp_path / name for name in ("folder", "work", "keys")))
    for one in (desk.folder, desk.work, desk.keys):
        one.mkdir()
    for name, key in (("publisher", PUBLISHER), ("site", SITE)):
        write_private(desk.keys / name, key)
        write_public(desk.keys / f"{name}.pub", key.public)
    return desk


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the library that takes modes away."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("modes") / "no_modes.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


@pytest.fixture
def medium(desk: Desk, wrapper: Path) -> Callable[..., Outcome]:
    """Give what runs ``kit`` where the folder of the kit is on a file system without modes."""
    environment = ENVIRONMENT | {"LD_PRELOAD": str(wrapper), "NO_MODES": str(desk.folder)}

    def run(*arguments: object) -> Outcome:
        words = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(outcome: Outcome) -> None:
    assert outcome.code == 74, outcome
    assert "does not keep the owner and mode of files" in outcome.err
    assert "--work-folder DIR" in outcome.err


@pytest.mark.slow
def test_where_no_modes_are_kept_a_run_is_refused_before_any_work_with_the_way_out(
    desk: Desk, medium: Callable[..., Outcome]
) -> None:
    path = kit_in(desk.folder)
    before = listing(desk.folder)
    refused(medium("patch", path, "--in-place", *desk.options))
    refused(medium("plan", path, "--in-place", "--preflight", *desk.options))
    refused(medium("rollback", path, *desk.trusted))
    assert listing(desk.folder) == before


def test_a_job_that_lies_on_such_a_medium_already_is_not_believed(desk: Desk, medium: Callable[..., Outcome]) -> None:
    path = kit_in(desk.folder)
    job_of(path, b"")
    before = listing(desk.folder)
    resumed = medium("patch", path, "--in-place", "--resume", *desk.options)
    assert (resumed.code, listing(desk.folder)) == (74, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_with_a_work_folder_a_kit_on_such_a_medium_is_patched_and_taken_back(
    name: str, desk: Desk, medium: Callable[..., Outcome]
) -> None:
    path = kit_in(desk.folder, name)
    old = {where: digest for where, (_, digest) in kit_of(desk.folder, name).items()}
    words = ["--work-folder", desk.work]
    done = medium("patch", path, "--in-place", *words, *desk.options)
    assert done.code == 0, done
    assert medium("verify", path, *desk.trusted).code == 0
    assert checksum_matches(desk.folder, name)
    assert left(desk.work) == []
    assert not [one for one in left(desk.folder) if ".kit-" in one]
    back = medium("rollback", path, *words, *desk.trusted)
    assert back.code == 0, back
    assert {where: digest for where, (_, digest) in kit_of(desk.folder, name).items()} == old
    assert left(desk.work) == []


@pytest.mark.slow
def test_a_delta_is_built_and_applied_on_such_a_medium(desk: Desk, medium: Callable[..., Outcome]) -> None:
    base, target, delta = kit_in(desk.folder), desk.work / "target.tar.zst", desk.folder / "d.delta"
    patch(request(base), output(target))
    words, keys = ["--work-folder", desk.work], ["--signing-key", desk.keys / "site"]
    refused(medium("delta", "build", base, target, "-o", delta, *keys, *desk.trusted))
    built = medium("delta", "build", base, target, "-o", delta, *keys, *desk.trusted, *words)
    assert built.code == 0, built
    refused(medium("delta", "apply", base, delta, "--in-place", *desk.trusted))
    applied = medium("delta", "apply", base, delta, "--in-place", *desk.trusted, *words)
    assert applied.code == 0, applied
    assert base.read_bytes() == target.read_bytes()
    names = ("d.delta", "d.delta.sha256", *(f"kit.tar.zst{suffix}" for suffix in ("", ".sha256")))
    assert left(desk.folder) == sorted([*names, "kit.tar.zst.bak.3", "kit.tar.zst.bak.3.sha256"])


def interrupted(desk: Desk, path: Path, stage: Stage = Stage.REREAD) -> None:
    environment = Environment(workers=1, progress=Interruption(stage))
    with pytest.raises(InterruptedRunError):
        patch(request(path, environment=environment), output(work_folder=desk.work))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_interrupted_is_found_again_by_its_target(name: str, desk: Desk) -> None:
    path, other = kit_in(desk.folder, name), kit_in(desk.folder, f"other-{name}")
    quiet = desk.keys / f"quiet-{name}"
    patch(request(path), output(quiet))
    for one in (path, other):
        interrupted(desk, one)
    assert len(left(desk.work)) == 2
    assert not [one for one in left(desk.folder) if ".kit-" in one]
    with pytest.raises(OutputError, match="an earlier run on this kit was interrupted"):
        patch(request(path), output(work_folder=desk.work))
    assert isinstance(resume(request(path), output(work_folder=desk.work)), PatchReport)
    assert len(left(desk.work)) == 1
    assert path.is_dir() or path.read_bytes() == quiet.read_bytes()
    assert abandon(other, desk.work).job is not None
    assert left(desk.work) == []
    with pytest.raises(UsageError, match="there is nothing to resume"):
        resume(request(path), output(work_folder=desk.work))


def test_what_others_left_in_a_shared_work_folder_is_passed_over(desk: Desk) -> None:
    path = kit_in(desk.folder)
    desk.work.chmod(0o1777)
    interrupted(desk, path)
    job = desk.work / left(desk.work)[0]
    for number, mode in enumerate((0o700, 0o755, 0o777)):
        other = desk.work / f"kit-job-{number:032x}"
        shutil.copytree(job, other)
        other.chmod(mode)
        if mode == 0o700:
            (other / LOCK).write_bytes((job / LOCK).read_bytes().replace(b"kit.tar", b"kat.tar"))
    (desk.work / f"kit-job-{'f' * 32}").symlink_to(desk.keys)
    (desk.work / f"kit-job-{'e' * 32}").write_text("mine")
    os.mkfifo(desk.work / f"kit-job-{'d' * 32}")
    assert isinstance(resume(request(path), output(work_folder=desk.work)), PatchReport)
    assert len(left(desk.work)) == 6
    assert job.name not in left(desk.work)


def test_a_link_where_the_result_is_to_wait_for_its_name_is_refused(desk: Desk) -> None:
    path = kit_in(desk.folder)
    with Job(path, work_folder=desk.work) as job:
        (desk.folder / f".{path.name}.kit-{job.named.name[-32:]}").symlink_to(desk.keys)
        before = listing(desk.keys)
        with pytest.raises(OutputError, match="is a symbolic link"):
            _ = job.stage
        assert listing(desk.keys) == before


def test_two_runs_on_one_target_never_work_at_once(desk: Desk) -> None:
    path = kit_in(desk.folder)
    with (
        Job(path, work_folder=desk.work),
        pytest.raises(OutputError, match="earlier run on this kit"),
        Job(path, work_folder=desk.work),
    ):
        pass
    assert left(desk.work) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_killed_before_any_step_the_kit_is_the_old_or_the_new_one_and_resuming_makes_it_whole(
    name: str, desk: Desk, attacker: Attacker, tmp_path: Path
) -> None:
    write_kit(desk.folder / name, signed(FILES, PUBLISHER))
    (desk.folder / "work").mkdir()
    words = ["patch", f"{{place}}/{name}", "--in-place", "--work-folder", "{place}/work", *map(str, desk.options)]
    outcomes = attacker.attack("kill", desk.folder, tmp_path / "killed", *words, lacking="link")
    assert outcomes[-1].code == 0, outcomes[-1]
    old, final = kit_of(desk.folder, name), listing(outcomes[-1].place)
    new = kit_of(outcomes[-1].place, name)
    assert old != new
    tried = set()
    for number, outcome in enumerate(outcomes[:-1]):
        assert outcome.killed
        assert kit_of(outcome.place, name) in (old, new)
        assert checksum_matches(outcome.place, name)
        state = tuple(sorted(one for one in listing(outcome.place) if not one.startswith("work/")))
        if state in tried and number % 4:
            continue
        tried.add(state)
        again = ["--resume"] if list((outcome.place / "work").iterdir()) else []
        stage = tmp_path / f"again-{number}"
        after = attacker.attack("here", outcome.place, stage, *words, *again)[0]
        if after.code == 64:  # it was over, but for the folder of the finished job
            after = attacker.attack("here", outcome.place, tmp_path / f"once-more-{number}", *words)[0]
        assert after.code == 0, (outcome.struck, after)
        assert kit_of(outcome.place, name) == new
        assert listing(outcome.place) == final, outcome.struck
