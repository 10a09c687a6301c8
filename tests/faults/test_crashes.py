"""Every step of ``kit patch`` on the file system, killed or failing: the kit is the old one or the new one, whole.

The steps are those of fault_runner.py. What may be found afterwards is asserted for every one of them alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.attacking import Attacker, Outcome
from tests.kits import (
    OBSERVATIONS,
    SNAPSHOTS,
    collection,
    observation,
    signed,
    snapshot,
    write_keys,
    write_kit,
)
from tests.tiers import slow

FILES = {
    OBSERVATIONS: collection(observation(n) for n in range(2)),
    SNAPSHOTS: collection([snapshot(0)]),
    "images/layer.bin": bytes(range(256)),
}
"""A kit that takes every kind of step: one member is changed, one looked up (so it is read twice), one carried over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A folder with one kit in it and, where it is an archive, what belongs beside it; and how to patch it."""

    attacker: Attacker
    folder: Path
    name: str
    options: list[str]
    stage: Path

    def attack(self, mode: str, *where: str, lacking: str = "") -> list[Outcome]:
        """Run ``kit patch`` with one step after the other cut off; ``where`` says where the result goes."""
        stage = self.stage / f"{mode}{len(list(self.stage.iterdir()))}"
        arguments = ["patch", f"{{place}}/{self.name}", *where, *self.options]
        outcomes = self.attacker.attack(mode, self.folder, stage, *arguments, lacking=lacking)
        assert outcomes[-1].code == 0, outcomes[-1]
        return outcomes


def listing(folder: Path) -> dict[str, tuple[int, str]]:
    """Give mode and content of everything below a folder, job folders left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if ".kit-job" not in name:
            content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = (path.stat().st_mode, content)
    return found


def kit_of(folder: Path, name: str) -> dict[str, tuple[int, str]]:
    return {path: facts for path, facts in listing(folder).items() if path == name or path.startswith(f"{name}/")}


def checksum_matches(folder: Path, name: str) -> bool:
    beside = folder / f"{name}.sha256"
    if not beside.exists():
        return True
    digest, _, told = beside.read_text().rstrip("\n").partition("  ")
    return told == name and digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.fixture(params=["kit.tar.zst", *slow("kit")])
def desk(request: pytest.FixtureRequest, attacker: Attacker, tmp_path: Path) -> Desk:
    folder, keys, stage = tmp_path / "folder", tmp_path / "keys", tmp_path / "stage"
    for one in (folder, keys, stage):
        one.mkdir()
    key, private, public = write_keys(keys)
    kit = write_kit(folder / request.param, signed(FILES, key))
    if kit.is_dir():
        kit.chmod(0o750)
    else:
        kit.chmod(0o640)
        digest = hashlib.sha256(kit.read_bytes()).hexdigest()
        (folder / f"{kit.name}.sha256").write_text(f"{digest}  {kit.name}\n")
    options = ["--trusted-key", str(public), "--signing-key", str(private), "--workers", "1"]
    options += ["--created-at", "1770000001"]
    return Desk(attacker=attacker, folder=folder, name=kit.name, options=options, stage=stage)


def run_again(desk: Desk, place: Path) -> Outcome:
    """Do what the message of a killed run says: go on with it, or begin where nothing was begun."""
    again = replace(desk, folder=place)
    resume = ["--resume"] if list(place.glob("*.kit-job")) else []
    return again.attack("here", "--in-place", *resume)[0]


def test_killed_before_any_step_in_place_the_kit_is_the_old_or_the_new_one_and_a_second_run_gives_the_new(
    desk: Desk,
) -> None:
    outcomes = desk.attack("kill", "--in-place")
    old, new = kit_of(desk.folder, desk.name), kit_of(outcomes[-1].place, desk.name)
    assert old != new
    met = [kit_of(outcome.place, desk.name) for outcome in outcomes]
    assert all(one in (old, new) for one in met)
    assert met[0] == old
    assert all(outcome.killed for outcome in outcomes[:-1])
    assert all(checksum_matches(outcome.place, desk.name) for outcome in outcomes)
    assert all(checksum_matches(outcome.place, f"{desk.name}.bak.3") for outcome in outcomes)
    # Neighbouring steps leave the same folder behind; each different one is tried once.
    different = {tuple(sorted(listing(outcome.place))): outcome for outcome in outcomes}
    for outcome in different.values():
        again = run_again(desk, outcome.place)
        assert kit_of(again.place, desk.name) == new
        assert not list(again.place.glob(".*"))


def test_a_step_that_fails_in_place_leaves_everything_as_it_was(desk: Desk) -> None:
    outcomes = desk.attack("fail", "--in-place")
    before, new = listing(desk.folder), kit_of(outcomes[-1].place, desk.name)
    refused = [outcome for outcome in outcomes if outcome.code == 74 and "is in place" not in outcome.stderr]
    assert len(refused) > 5
    for outcome in refused:
        assert listing(outcome.place) == before, outcome
        assert outcome.stderr.startswith("kit: error: ")
    for outcome in outcomes:
        if outcome not in refused:
            # Only after the switch: what stands beside the kit, or the job folder, could not be put away.
            assert outcome.code in {0, 74}
            assert kit_of(outcome.place, desk.name) == new, outcome
            assert checksum_matches(outcome.place, desk.name)


@pytest.mark.slow
def test_without_backup_too_a_step_that_fails_leaves_everything_as_it_was(desk: Desk) -> None:
    outcomes = desk.attack("fail", "--in-place", "--no-backup")
    before = listing(desk.folder)
    for outcome in outcomes:
        if outcome.code == 74 and "is in place" not in outcome.stderr:
            assert listing(outcome.place) == before, outcome
    assert not list(outcomes[-1].place.glob("*.bak*"))


@pytest.mark.slow
def test_a_step_that_fails_leaves_no_output(desk: Desk) -> None:
    outcomes = desk.attack("fail", "--output", "{place}/out")
    before = listing(desk.folder)
    refused = [outcome for outcome in outcomes if outcome.code]
    assert len(refused) > 5
    for outcome in refused:
        assert outcome.code == 74, outcome
        assert listing(outcome.place) == before, outcome


@pytest.mark.slow
def test_killed_before_any_step_the_output_is_not_there_or_whole(desk: Desk) -> None:
    outcomes = desk.attack("kill", "--output", "{place}/out")
    new = kit_of(outcomes[-1].place, "out")
    for outcome in outcomes:
        assert kit_of(outcome.place, "out") in ({}, new)
        assert kit_of(outcome.place, desk.name) == kit_of(desk.folder, desk.name)
        assert checksum_matches(outcome.place, "out") or not (outcome.place / "out").exists()


@pytest.mark.parametrize("lacking", ["link", "link,renameat2"])
def test_a_file_system_without_links_or_exchange_gives_the_same_result(desk: Desk, lacking: str) -> None:
    plain = listing(desk.attack("run", "--in-place")[0].place)
    assert listing(desk.attack("run", "--in-place", lacking=lacking)[0].place) == plain
    published = listing(desk.attack("run", "--output", "{place}/out")[0].place)
    assert listing(desk.attack("run", "--output", "{place}/out", lacking=lacking)[0].place) == published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("desk", "lacking"), [("kit.tar", "link"), ("kit.tar", "link,renameat2"), ("kit", "renameat2")], indirect=["desk"]
)
def test_without_links_a_step_that_fails_leaves_everything_as_it_was(desk: Desk, lacking: str) -> None:
    outcomes = desk.attack("fail", "--in-place", lacking=lacking)
    before = listing(desk.folder)
    for outcome in outcomes:
        if outcome.code == 74 and "is in place" not in outcome.stderr:
            assert listing(outcome.place) == before, outcome


def test_a_second_run_in_place_changes_nothing_though_the_backup_of_the_first_is_there(desk: Desk) -> None:
    first = desk.attack("run", "--in-place")[0].place
    second = replace(desk, folder=first).attack("run", "--in-place")[0]
    assert listing(second.place) == listing(first)
