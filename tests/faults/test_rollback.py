"""Every step of ``kit rollback`` on the file system, killed or failing: no kit is lost, and resuming makes it whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.commands import kit
from tests.faults.attacking import Attacker, Outcome
from tests.faults.test_crashes import FILES, checksum_matches, kit_of, listing
from tests.kits import signed, write_keys, write_kit
from tests.tiers import slow

KEPT = ".rolled-back.4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A folder with a kit that was patched in place, and how to go back."""

    attacker: Attacker
    folder: Path
    name: str
    trust: list[str]
    stage: Path

    def attack(self, mode: str, *options: str, lacking: str = "") -> list[Outcome]:
        stage = self.stage / f"{mode}{len(list(self.stage.iterdir()))}"
        arguments = ["rollback", f"{{place}}/{self.name}", *self.trust, *options]
        return self.attacker.attack(mode, self.folder, stage, *arguments, lacking=lacking)

    def again(self, place: Path) -> Outcome:
        """Do what the message of a killed run says."""
        return replace(self, folder=place).attack("here", *(["--resume"] if list(place.glob("*.kit-job")) else []))[0]


@pytest.fixture(params=["kit.tar.zst", *slow("kit")])
def desk(request: pytest.FixtureRequest, attacker: Attacker, tmp_path: Path) -> Desk:
    folder, keys, stage = tmp_path / "folder", tmp_path / "keys", tmp_path / "stage"
    for one in (folder, keys, stage):
        one.mkdir()
    key, private, public = write_keys(keys)
    path = write_kit(folder / request.param, signed(FILES, key))
    trust = ["--trusted-key", str(public), "--workers", "1"]
    patched = kit("patch", path, "--in-place", *trust, "--signing-key", private, "--created-at", "1770000001")
    assert patched.code == 0, patched
    return Desk(attacker=attacker, folder=folder, name=path.name, trust=trust, stage=stage)


def contents(folder: Path, name: str) -> list[str]:
    """Give the files of a kit, whatever it is called."""
    return [digest for _, (_, digest) in sorted(kit_of(folder, name).items()) if digest]


@pytest.mark.slow
def test_killed_before_any_step_both_kits_are_there_and_resuming_makes_it_whole(desk: Desk) -> None:
    outcomes = desk.attack("kill")
    old, new = contents(desk.folder, f"{desk.name}.bak.3"), contents(desk.folder, desk.name)
    final = listing(outcomes[-1].place)
    assert old != new
    assert len(outcomes) > 10
    assert (contents(outcomes[-1].place, desk.name), contents(outcomes[-1].place, f"{desk.name}{KEPT}")) == (old, new)
    tried = set()
    for outcome in outcomes[:-1]:
        assert outcome.killed
        there = {name: contents(outcome.place, f"{desk.name}{name}") for name in ("", ".bak.3", KEPT)}
        assert there[""] in (old, new)
        assert old in there.values()
        # Of an unpacked kit, names are exchanged: for an instant the job folder holds the one that was replaced.
        assert new in there.values() or (outcome.place / f"{desk.name}.kit-job" / "kit").is_dir()
        assert all(checksum_matches(outcome.place, f"{desk.name}{name}") for name in ("", ".bak.3", KEPT))
        if (state := tuple(sorted(listing(outcome.place)))) not in tried:
            tried.add(state)
            if there[KEPT] and not list(outcome.place.glob("*.kit-job")):
                continue  # it was over: only the folder of the finished job was left to remove
            assert desk.again(outcome.place).code == 0
            assert listing(outcome.place) == final


@pytest.mark.slow
@pytest.mark.parametrize("desk", ["kit.tar.zst"], indirect=True)
def test_a_step_that_fails_before_the_switch_leaves_everything_as_it_was(desk: Desk) -> None:
    outcomes = desk.attack("fail")
    before, final = listing(desk.folder), listing(outcomes[-1].place)
    untouched = 0
    for outcome in outcomes[:-1]:
        if listing(outcome.place) == before:
            untouched += 1
        assert contents(outcome.place, desk.name)
        if list(outcome.place.glob("*.kit-job")):
            assert desk.again(outcome.place).code == 0
            assert listing(outcome.place) == final
    assert untouched > 3


@pytest.mark.parametrize("lacking", ["link", "link,renameat2"])
def test_without_hard_links_or_an_atomic_exchange_the_result_is_the_same(desk: Desk, lacking: str) -> None:
    plain, other = desk.attack("run"), desk.attack("run", lacking=lacking)
    assert [one.code for one in (*plain, *other)] == [0, 0]
    assert listing(plain[0].place) == listing(other[0].place)
