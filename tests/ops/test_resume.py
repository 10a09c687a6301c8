"""Going on with a run: only with the same options, on the same kit, alone; and giving it up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from fixtures.build.keys import publisher_key, site_key
from fixtures.build.kits import PATCHED_AT
from fixtures.build.make_fixtures import FIXTURES, ROOT
from kit.cli import kit as command_line
from kit.errors import DigestError, KitError, OutputError, UsageError
from kit.migrations import Migration, StopRules
from kit.output.job import Job
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.jobs import Completion, _difference, abandon
from kit.verbs.patch.patch import Output, PatchReport, PatchRequest, patch, resume
from kit.verbs.verify.kits import Environment
from tests.faults.attacking import Attacker, Outcome
from tests.kits import contents, write_kit

PUBLIC, PRIVATE = FIXTURES / "keys" / "publisher-TEST-ONLY.pub.pem", FIXTURES / "keys" / "site-TEST-ONLY.pem"


def request_for(kit: Path, **changes: Any) -> PatchRequest:
    facts: dict[str, Any] = {
        "kit": kit,
        "transforms": (RawLinkset(),),
        "trusted": {key.public.key_id: key.public for key in (publisher_key(), site_key())},
        "created_at": Timestamp.parse(PATCHED_AT),
        "environment": Environment(workers=1),
    }
    return PatchRequest(**(facts | changes))


def output(path: Path | None = None, **changes: Any) -> Output:
    return Output(path=path, key=site_key(), **changes)


IN_PLACE = ("--in-place",)
NEW = [f"new.tar.zst{suffix}" for suffix in ("", ".sha256", ".sig")]


def strike(
    attacker: Attacker,
    folder: Path,
    stage: Path,
    mode: str,
    *,
    options: tuple[str, ...] = IN_PLACE,
    name: str = "kit.tar.zst",
) -> list[Outcome]:
    """Run ``kit patch`` with one step after the other struck, each in a folder of its own in ``stage``."""
    key = stage.with_name("site.pem")
    shutil.copy(PRIVATE, key)
    key.chmod(0o600)
    words = ["--trusted-key", str(PUBLIC), "--signing-key", str(key), "--workers", "1", "--created-at", PATCHED_AT]
    return attacker.attack(mode, folder, stage, "patch", f"{{place}}/{name}", *words, *options)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    folder = tmp_path / "start"
    folder.mkdir()
    shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", folder / "kit.tar.zst")
    return folder


@pytest.fixture(scope="module")
def after_failing(attacker: Attacker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what runs in place left that a failing disk ended with something worth keeping."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "start").mkdir()
    shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", folder / "start" / "kit.tar.zst")
    for outcome in strike(attacker, folder / "start", folder / "stage", "fail"):
        if not (outcome.place / "kit.tar.zst.kit-job").exists():
            shutil.rmtree(outcome.place)
    return folder / "stage"


@pytest.fixture
def struck(after_failing: Path, tmp_path: Path) -> list[Path]:
    """Return copies of those folders, in the order of the steps; two names of one file are so in the copy, too."""
    subprocess.run(["cp", "-a", after_failing, tmp_path / "struck"], check=True)
    return sorted((tmp_path / "struck").iterdir(), key=lambda place: int(place.name))


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("patched")
    shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", folder / "kit.tar.zst")
    patch(request_for(folder / "kit.tar.zst"), output(folder / "out.tar.zst"))
    return (folder / "out.tar.zst").read_bytes()


def test_a_run_is_not_gone_on_with_under_another_migration(struck: list[Path]) -> None:
    # It changes no byte of this kit: only the digest tells.
    other = replace(Migration.of((RawLinkset(),)), stop_rules=StopRules(most_unresolvable=1000))
    kit = struck[0] / "kit.tar.zst"
    with pytest.raises(UsageError, match="options: migration was 20251031_raw_linkset") as caught:
        resume(request_for(kit, migration=other, transforms=()), output())
    assert "transforms" not in str(caught.value)
    assert kit.with_name("kit.tar.zst.kit-job").exists()


def test_what_a_failing_disk_left_is_resumed_to_the_same_bytes(struck: list[Path], patched: bytes) -> None:
    assert len(struck) > 3
    kinds = set()
    for place in struck:
        kinds.add(type(resume(request_for(place / "kit.tar.zst"), output())))
        assert (place / "kit.tar.zst").read_bytes() == patched
        assert not list(place.glob("*.kit-*"))
    assert kinds == {PatchReport, Completion}


def test_so_is_what_it_left_beside_another_output(
    attacker: Attacker, start: Path, tmp_path: Path, patched: bytes
) -> None:
    beside = ("--output", "{place}/new.tar.zst")
    struck = [outcome.place for outcome in strike(attacker, start, tmp_path / "stage", "fail", options=beside)]
    kinds = set()
    for place in (place for place in struck if (place / "new.tar.zst.kit-job").exists()):
        kinds.add(type(resume(request_for(place / "kit.tar.zst"), output(place / "new.tar.zst"))))
        assert (place / "new.tar.zst").read_bytes() == patched
        assert sorted(path.name for path in place.iterdir()) == ["kit.tar.zst", *NEW]
    assert kinds == {PatchReport, Completion}


def test_a_run_that_was_struck_is_only_begun_again_when_that_is_said(struck: list[Path]) -> None:
    kit = struck[0] / "kit.tar.zst"
    with pytest.raises(OutputError, match="an earlier run on this kit was interrupted") as caught:
        patch(request_for(kit), output())
    assert "--resume" in caught.value.hint
    assert "--abandon" in caught.value.hint


@pytest.mark.parametrize(
    ("request_changes", "output_changes", "told"),
    [
        ({"limit": 3}, {}, "limit was not given, is 3"),
        ({"created_at": Timestamp(5)}, {}, "createdAt was 2"),
        ({"transforms": (RawLinkset(stop_on_divergence=True),)}, {}, "transforms was raw-linkset 1 "),
        ({}, {"operator": "me"}, "operator was not given, is me"),
        ({}, {"keep_backup": False}, "backup was yes, is no"),
        ({}, {"key": publisher_key()}, f"signing-key was {site_key().public.key_id}, is "),
        ({}, {"cosigners": (publisher_key(),)}, f"is {site_key().public.key_id}, {publisher_key().public.key_id}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_options_are_refused_by_name_and_the_job_stays(
    struck: list[Path], request_changes: dict[str, Any], output_changes: dict[str, Any], told: str
) -> None:
    kit = struck[0] / "kit.tar.zst"
    with pytest.raises(UsageError, match="begun with other options") as caught:
        resume(request_for(kit, **request_changes), replace(output(), **output_changes))
    assert told in caught.value.what
    assert Job(kit).exists


def test_the_time_of_the_clock_is_kept_from_the_first_run(struck: list[Path], patched: bytes) -> None:
    kit = struck[0] / "kit.tar.zst"
    resume(request_for(kit, created_at=Timestamp(4_000_000_000), created_now=True), output())
    assert kit.read_bytes() == patched


def test_another_kit_is_refused_and_the_job_stays(struck: list[Path], start: Path) -> None:
    kit = struck[0] / "kit.tar.zst"
    shutil.copy(FIXTURES / "kits" / "parts.tar", kit)
    with pytest.raises(DigestError, match=r"not the kit that the interrupted run read: .*size was") as caught:
        resume(request_for(kit), output())
    assert "sha256 was" in caught.value.what
    shutil.copy(start / "kit.tar.zst", kit)
    resume(request_for(kit), output())


@pytest.mark.slow
def test_a_kit_in_a_folder_that_changed_is_refused_by_member(start: Path, attacker: Attacker, tmp_path: Path) -> None:
    folder = tmp_path / "folders"
    write_kit(folder / "kit", contents((start / "kit.tar.zst").read_bytes()))
    places = [outcome.place for outcome in strike(attacker, folder, tmp_path / "stage", "kill", name="kit")]
    kit = next(place / "kit" for place in places if (place / "kit.kit-job" / "journal").exists())
    extra = kit / "another.txt"
    extra.write_text("one more file")
    with pytest.raises(DigestError):
        resume(request_for(kit), output())
    assert Job(kit).exists
    extra.unlink()
    resume(request_for(kit), output())
    assert contents_of(kit) == contents_of(places[-1] / "kit")


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_differs_of_a_kit_is_told_by_name() -> None:
    assert _difference({"a": "1", "b": "2", "c": "3", "d": "4"}, {}) == "differ in a, b, c, …"
    assert _difference({"a": "1"}, {"a": "2"}) == "differ in a"
    assert _difference(["dek-1"], []) == "are no longer those of the keyring"


def test_a_job_of_another_version_is_refused(struck: list[Path]) -> None:
    kit = struck[0] / "kit.tar.zst"
    with Job(kit, resume=True) as job:
        job.keep = True
        begun = job.journal.begun
        assert begun is not None
        (job.folder / "journal").unlink()
    with Job(kit, resume=True) as job:
        job.keep = True
        job.journal.write("begin", {**begun.to_json(), "tool": {"name": "offline-kit", "version": "9.9"}})
    with pytest.raises(UsageError, match=r"was begun by offline-kit 9\.9, this is offline-kit"):
        resume(request_for(kit), output())


def test_there_is_nothing_to_resume(start: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing to resume"):
        resume(request_for(start / "kit.tar.zst"), output())
    assert abandon(start / "kit.tar.zst").job is None


def test_giving_up_leaves_the_kit_as_it_was_or_refuses_once_names_have_changed(
    struck: list[Path], start: Path, patched: bytes
) -> None:
    refused = 0
    for place in struck:
        kit = place / "kit.tar.zst"
        if kit.read_bytes() == patched or (place / "kit.tar.zst.bak.3").exists():
            refused += 1
            with pytest.raises(UsageError, match="can only be finished"):
                abandon(kit)
            assert isinstance(resume(request_for(kit), output()), Completion)
            assert kit.read_bytes() == patched
        else:
            assert abandon(kit).job is not None
            assert kit.read_bytes() == (start / "kit.tar.zst").read_bytes()
            assert [path.name for path in place.iterdir()] == ["kit.tar.zst"]
    assert 0 < refused < len(struck)


@pytest.mark.parametrize("place", ["kit", "work"])
def test_what_somebody_else_put_in_the_place_of_a_kit_is_not_touched(struck: list[Path], place: str) -> None:
    kit = struck[-1] / "kit.tar.zst"
    stranger = kit if place == "kit" else struck[0] / "kit.tar.zst"
    stranger.write_bytes(b"something else")
    with pytest.raises(KitError):
        resume(request_for(stranger), output())
    assert stranger.read_bytes() == b"something else"
    assert Job(stranger).exists


HOLDER = """
import sys
from pathlib import Path
from kit.output.job import Job
with Job(Path(sys.argv[1])) as job:
    job.keep = True
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_live_run_locks_everybody_out_and_a_killed_one_does_not(start: Path) -> None:
    kit = start / "kit.tar.zst"
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", HOLDER, str(kit)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        for attempt in (
            lambda: patch(request_for(kit), output()),
            lambda: resume(request_for(kit), output()),
            lambda: abandon(kit),
        ):
            with pytest.raises(OutputError, match="another run is at work on this kit"):
                attempt()
        holder.send_signal(signal.SIGKILL)
    with pytest.raises(OutputError, match="an earlier run on this kit was interrupted"):
        patch(request_for(kit), output())
    assert abandon(kit).job is not None
    assert [path.name for path in start.iterdir()] == ["kit.tar.zst"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_cleanly_and_leaves_a_job_that_can_be_resumed(
    start: Path, attacker: Attacker, tmp_path: Path, name: str, patched: bytes
) -> None:
    ended = [outcome for outcome in strike(attacker, start, tmp_path / "stage", name) if outcome.code == 130]
    assert len(ended) > 8
    for outcome in ended:
        assert not outcome.killed
        assert outcome.stderr.startswith("kit: error: "), outcome
        kit = outcome.place / "kit.tar.zst"
        if Job(kit).exists:
            assert "--resume" in outcome.stderr
            resume(request_for(kit), output())
            assert kit.read_bytes() == patched


def test_the_commands_say_what_they_did(struck: list[Path], start: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    shutil.copy(PRIVATE, key)
    key.chmod(0o600)
    words = ["--trusted-key", str(PUBLIC), "--signing-key", str(key), "--workers", "1", "--created-at", PATCHED_AT]
    runner = CliRunner()
    kits = [place / "kit.tar.zst" for place in struck]
    gone = runner.invoke(command_line, ["patch", str(kits.pop(0)), "--in-place", "--abandon", "--json"])
    assert json.loads(gone.stdout)["job"].endswith(".kit-job")
    told = [runner.invoke(command_line, ["patch", str(kit), "--in-place", "--resume", *words]) for kit in kits[:-1]]
    assert {result.exit_code for result in told} == {0}
    assert "the interrupted run had finished" in told[-1].stdout
    done = runner.invoke(command_line, ["patch", str(kits[-1]), "--in-place", "--resume", "--json", *words])
    assert json.loads(done.stdout)["outcome"] == "completed"
    schema = Draft202012Validator(json.loads((ROOT / "schemas" / "job-report.schema.json").read_text()))
    nothing = ["patch", str(start / "kit.tar.zst"), "--in-place", "--abandon"]
    for report in (gone, done, runner.invoke(command_line, [*nothing, "--json"])):
        schema.validate(json.loads(report.stdout))
    assert runner.invoke(command_line, nothing).stdout == "there was nothing to abandon\n"
    both = runner.invoke(command_line, ["patch", "kit", "--in-place", "--abandon", "--resume"])
    assert both.exit_code == 2
    unsigned = runner.invoke(command_line, ["patch", "kit", "--in-place", *words[:2]])
    assert "Missing option '--signing-key'" in unsigned.output
