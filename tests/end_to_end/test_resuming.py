"""A run that was interrupted is resumed by naming the kit, the keys and the trust; all else its journal has."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from fixtures.build.kits import PATCHED_AT
from fixtures.build.make_fixtures import FIXTURES, ROOT
from kit.output.job import Job
from kit.output.journal import ASKED, JournalFile
from tests.commands import COMMAND, kit

SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "jobs-report.schema.json").read_text()))
ASKED_FOR = ("--operator", "Ada", "--environment", "live", "--tenant", "dock-north", "--created-at", PATCHED_AT)


class Site:
    """A folder with a kit, keys, and a run that a full disk ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kit = folder, folder / "kit.tar.zst"
        shutil.copy(FIXTURES / "kits" / "harbor.tar.zst", self.kit)
        shutil.copy(FIXTURES / "keys" / "site-TEST-ONLY.pem", folder / "site.pem")
        (folder / "site.pem").chmod(0o600)
        self.trust = ("--trusted-key", FIXTURES / "keys" / "publisher-TEST-ONLY.pub.pem")
        self.keys = ("--signing-key", folder / "site.pem", *self.trust)

    def interrupt(self, *where: object) -> None:
        """Patch the kit until the disk is full."""
        words = [self.kit, *where, *ASKED_FOR, "--record", self.folder / "r.json", "--workers", 1, *self.keys]
        limited = f"ulimit -f 24; trap '' XFSZ; exec {COMMAND[0]} -c '{COMMAND[2]}' \"$@\""
        command = ["bash", "-c", limited, "kit", "patch", *map(str, words)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == 74, ended.stderr
        assert "--resume" in ended.stderr

    def resume(self, *options: object) -> tuple[int, str]:
        outcome = kit("patch", self.kit, "--resume", "--workers", 1, *options)
        return outcome.code, outcome.err

    def record(self) -> dict[str, object]:
        found = json.loads((self.folder / "r.json").read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return what an undisturbed run gives."""
    site = Site(tmp_path_factory.mktemp("expected"))
    assert kit("patch", site.kit, "--in-place", *ASKED_FOR, "--workers", 1, *site.keys).code == 0
    return site.kit.read_bytes()


@pytest.mark.parametrize("where", [("--in-place",), ("--output", "new.tar.zst"), ("--in-place", "--backup", "kept")])
def test_kit_keys_and_trust_are_enough(
    where: tuple[str, ...], site: Site, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.folder)
    site.interrupt(*where)
    assert site.record()["result"] is None
    monkeypatch.chdir("/")
    code, told = site.resume(*site.keys)
    assert (code, "--operator Ada" in told, "--tenant dock-north" in told) == (0, True, True), told
    new = site.folder / "new.tar.zst" if where[0] == "--output" else site.kit
    assert new.read_bytes() == expected
    assert (site.folder / "kept").exists() == ("--backup" in where)
    record = site.record()
    assert (record["operator"], record["environment"]) == ("Ada", "live")
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["failed", "changed"]  # type: ignore[attr-defined]
    assert not list(site.folder.glob("*.kit-job"))


def begin_only(site: Site) -> None:
    """Leave of an interrupted run what one leaves that is killed before it has judged its base."""
    place = Path(f"{site.kit}.kit-job")
    asked = JournalFile(place / "journal").asked
    assert asked is not None
    shutil.rmtree(place)
    with Job(site.kit) as job:
        job.keep = True
        job.journal.write(ASKED, asked.to_json())


OTHERS = {
    "operator": ("--operator", "Bob"),
    "environment": ("--environment", "test"),
    "tenant": ("--tenant", "quay-south"),
    "transform": ("--transform", "encrypt-fields"),
    "migration": ("--migration", "20251031_raw_linkset"),
    "created-at": ("--created-at", "2099-05-01T00:00:00Z"),
    "limit": ("--limit", "3"),
    "record": ("--record", "other.json"),
    "no-backup": ("--no-backup",),
    "backup": ("--backup", "elsewhere"),
}


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
def test_an_option_that_is_given_otherwise_is_refused_at_every_point(site: Site, early: bool) -> None:  # noqa: FBT001
    site.interrupt("--in-place")
    if early:
        begin_only(site)
    before = site.kit.read_bytes()
    for name, words in OTHERS.items():
        code, told = site.resume(*words, *site.keys)
        assert code == 64, told
        assert f"begun with other options: {name} was " in told
    assert site.kit.read_bytes() == before
    assert Job(site.kit).exists
    assert site.resume(*ASKED_FOR, "--in-place", *site.keys)[0] == 0


def test_keys_and_trust_are_never_taken_from_the_journal(site: Site) -> None:
    site.interrupt("--in-place")
    journal = Path(f"{site.kit}.kit-job", "journal")
    words = journal.read_text().splitlines()[0]
    assert "site.pem" not in words
    assert "publisher" not in words
    assert site.resume(*site.trust)[0] == 64
    code, told = site.resume(*site.keys[:2])
    assert (code, "name the publisher's key with --trusted-key" in told) == (64, True)
    assert Job(site.kit).exists


def test_what_is_unfinished_is_named_by_inspect_verify_and_jobs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.folder)
    nothing = kit("jobs")
    assert (nothing.code, nothing.out) == (0, "no unfinished jobs\n")
    site.interrupt("--output", "new.tar.zst")
    for command in (("inspect",), ("verify", *site.trust)):
        outcome = kit(command[0], site.kit, *command[1:])
        assert outcome.code == 0
        assert "new.tar.zst.kit-job: kit patch of " in outcome.err
        assert "--resume --signing-key PEM" in outcome.err
    assert "new.tar.zst.kit-job: kit patch of " in kit("jobs").out
    (job,) = (report := kit("jobs", site.folder, "--json").json)["jobs"]
    SCHEMA.validate(report)
    assert (job["command"], job["state"], job["options"]["--operator"]) == ("patch", "begun", "Ada")
    with Job(site.folder / "new.tar.zst", resume=True) as held:
        held.keep = True
        before = {path: path.stat().st_mtime_ns for path in site.folder.rglob("*")}
        assert kit("jobs").code == 0
        assert {path: path.stat().st_mtime_ns for path in site.folder.rglob("*")} == before
    assert kit("patch", site.kit, "--abandon").code == 0
    assert kit("jobs").out == "no unfinished jobs\n"


def test_a_folder_that_no_run_made_is_listed_as_that_and_not_read(site: Site) -> None:
    place = Path(f"{site.kit}.kit-job")
    place.mkdir(mode=0o755)
    outcome = kit("jobs", site.folder, "--json")
    SCHEMA.validate(outcome.json)
    assert [job["state"] for job in outcome.json["jobs"]] == ["unusable"]
    kit("patch", site.kit, "--resume", *site.keys).refused(74, "kit-job")
    kit("jobs", site.folder / "none").refused(1, "No such file")


@pytest.mark.parametrize("change", [{"--operator": 7}, {"--in-place": "yes"}, {"--tenant": "acme"}, {"--limit": "x"}])
def test_a_journal_with_options_of_other_types_is_none_of_ours(site: Site, change: dict[str, object]) -> None:
    site.interrupt("--in-place")
    place = Path(f"{site.kit}.kit-job")
    asked = JournalFile(place / "journal").asked
    assert asked is not None
    shutil.rmtree(place)
    with Job(site.kit) as job:
        job.keep = True
        job.journal.write(ASKED, replace(asked, options={**asked.options, **change}).to_json())
    before = site.kit.read_bytes()
    kit("patch", site.kit, "--resume", *site.keys).refused(74, "of another type")
    assert site.kit.read_bytes() == before
