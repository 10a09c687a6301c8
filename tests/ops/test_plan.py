"""What a plan promises is what a patch does, and a plan leaves no trace."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.kits import AT, observation

SECOND = "dump/archive/advisory_observations.bson"


def plan(path: Path, desk: Desk, *options: object) -> Outcome:
    return kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--workers", 1, *options)


@pytest.fixture
def two_collections(desk: Desk) -> Path:
    """Give a kit with a collection to patch and one that is migrated already."""
    done = [observation(number, rawLinkset={}) for number in range(200, 400)]
    return desk.kit({**kits.content(), SECOND: kits.collection(done)}, name="kit.tar")


def test_a_plan_writes_nothing_beside_the_kit_or_in_the_scratch_folder(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = desk.kit()
    before = kits.folder_state(desk.kits, itself=True)
    assert plan(path, desk).code == 0
    assert kits.folder_state(desk.kits, itself=True) == before
    assert list(scratch.iterdir()) == []


def test_the_size_planned_counts_a_migrated_collection_once(two_collections: Path, desk: Desk) -> None:
    planned = plan(two_collections, desk, "--json").json
    output = desk.patched(two_collections, name="patched.tar")
    history = [body for name, body in kits.read(output).items() if "manifest/" in name]
    # An uncompressed archive: what the plan leaves out is manifest, history and the headers, known exactly.
    assert 0 < output.stat().st_size - planned["outputBytes"] < sum(map(len, history)) + 16 * 1024


def test_a_plan_refuses_the_base_that_a_patch_refuses(desk: Desk) -> None:
    plan(desk.kit(signer=None), desk).refused(3, "has no signature")
    plan(desk.kit(signer="stranger"), desk).refused(4, "not among the 1 trusted keys")


def test_a_plan_of_a_migrated_kit_says_that_nothing_would_change(desk: Desk) -> None:
    outcome = plan(desk.kit(kits.content(observation(1, rawLinkset={}))), desk)
    assert outcome.code == 0
    assert "nothing to change" in outcome.out
