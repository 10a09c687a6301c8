"""Snapshots from another kit or a dump: verified like the base or permitted, recorded either way."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_resuming import Site
from tests.kits import AT, OBSERVATIONS, SNAPSHOTS, observation, snapshot

BARE = kits.collection([observation(1, raw=False), observation(2), observation(3, raw=False)])
UNVERIFIED = "--insecure-unverified-snapshots"


@pytest.fixture
def bare(desk: Desk) -> Path:
    """Give a kit in which two observations have no source."""
    return desk.kit({"docs/README.txt": b"a kit\n", OBSERVATIONS: BARE})


def elsewhere(desk: Desk, *documents: dict[str, Any], **more: Any) -> Path:
    return desk.kit({SNAPSHOTS: kits.collection(documents)}, name="snapshots.tar.zst", **more)


def dump(desk: Desk, *documents: dict[str, Any]) -> Path:
    folder = desk.kits / "dump"
    (folder / "concelier").mkdir(parents=True)
    (folder / "concelier" / "advisory_raw.bson").write_bytes(kits.collection(documents))
    return folder


def statement(patched: Path) -> dict[str, Any]:
    envelope = json.loads(kits.read(patched)["manifest/history/3/patch.intoto.json"])
    found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return found


def planned(desk: Desk, path: Path, *options: object) -> Outcome:
    return kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--json", *options)


def test_a_kit_that_its_publisher_signed_is_a_source(desk: Desk, bare: Path) -> None:
    other = elsewhere(desk, snapshot(1))
    report = planned(desk, bare, "--snapshots", other).json
    assert report["outcomes"]["raw-linkset"] == {"acme": {"content": 1, "snapshot": 1, "unresolvable": 1}}
    patched = desk.patched(bare, "--snapshots", other)
    manifest = hashlib.sha256(kits.read(other)[kits.MANIFEST]).hexdigest()
    assert statement(patched)["snapshots"] == report["snapshots"] == {"manifestSha256": manifest}
    verdict = desk.verify(patched, options=("--deep",))
    assert (verdict.code, "took snapshots from elsewhere that were verified" in verdict.out) == (0, True)


def test_a_dump_is_a_source_where_that_is_permitted(desk: Desk, bare: Path) -> None:
    other = dump(desk, snapshot(1), snapshot(3))
    refused = desk.patch(bare, "--output", desk.kits / "out", "--snapshots", other)
    assert (refused.code, UNVERIFIED in refused.err, (desk.kits / "out").exists()) == (11, True, False)
    outcome = desk.patch(bare, "--output", desk.kits / "out.tar", "--snapshots", other, UNVERIFIED)
    assert (outcome.code, "warning: unverified snapshots" in outcome.err) == (0, True)
    body = (other / "concelier" / "advisory_raw.bson").read_bytes()
    listed = f"{hashlib.sha256(body).hexdigest()}  concelier/advisory_raw.bson\n"
    digest = hashlib.sha256(listed.encode()).hexdigest()
    assert statement(desk.kits / "out.tar")["snapshots"] == {"membersSha256": digest}


def test_a_kit_that_is_not_verified_is_never_recorded_as_one(desk: Desk, bare: Path) -> None:
    patched = desk.patched(bare, "--snapshots", elsewhere(desk, snapshot(1), signer="stranger"), UNVERIFIED)
    assert list(statement(patched)["snapshots"]) == ["membersSha256"]
    assert "took snapshots from elsewhere that nobody verified" in desk.verify(patched).out


def changed(desk: Desk) -> Path:
    path = elsewhere(desk, snapshot(1))
    signed = kits.read(path) | {SNAPSHOTS: kits.collection([snapshot(1, linkset={"aliases": ["forged"]})])}
    return desk.write(signed, "snapshots.tar.zst")


@pytest.mark.parametrize(
    ("code", "make"),
    [
        pytest.param(4, lambda desk: elsewhere(desk, snapshot(1), signer="stranger"), id="a stranger signed"),
        pytest.param(3, lambda desk: elsewhere(desk, snapshot(1), signer=None), id="nobody signed"),
        pytest.param(2, changed, id="changed since it was signed"),
        pytest.param(1, lambda desk: desk.kits / "nothing", id="not there"),
        pytest.param(64, lambda desk: desk.kit({"docs/a": b"a"}, name="other.tar"), id="nothing to look up"),
    ],
)
def test_what_is_not_what_its_signers_signed_is_no_source(desk: Desk, bare: Path, code: int, make: Any) -> None:
    other = make(desk)
    before = kits.folder_state(desk.kits)
    plan = planned(desk, bare, "--snapshots", other)
    patch = desk.patch(bare, "--output", desk.kits / "out", "--snapshots", other)
    assert (plan.code, plan.err) == (patch.code, patch.err)
    assert (patch.code, str(other) in patch.err) == (code, True), patch
    assert kits.folder_state(desk.kits) == before


def test_the_keys_of_the_base_do_not_make_up_for_those_of_the_snapshots(desk: Desk, bare: Path) -> None:
    other = elsewhere(desk, snapshot(1))
    outcome = kit("plan", bare, "--insecure-unverified-base", "--created-at", AT, "--snapshots", other)
    assert (outcome.code, UNVERIFIED in outcome.err) == (64, True)


def test_two_snapshots_that_differ_are_no_source(desk: Desk) -> None:
    path = desk.kit({OBSERVATIONS: BARE, SNAPSHOTS: kits.collection([snapshot(1)])})
    other = elsewhere(desk, snapshot(1, linkset={"aliases": ["other"]}), snapshot(3))
    report = planned(desk, path, "--snapshots", other).json
    assert report["outcomes"]["raw-linkset"] == {"acme": {"content": 1, "snapshot": 1, "unresolvable": 1}}
    same = elsewhere(desk, snapshot(1))
    report = planned(desk, path, "--snapshots", same).json
    assert report["outcomes"]["raw-linkset"] == {"acme": {"content": 1, "snapshot": 1, "unresolvable": 1}}


def test_a_delta_holds_what_its_base_cannot_make(desk: Desk, bare: Path) -> None:
    """A recipe would need the snapshots at the site; so none is written, and the report states why."""
    patched, made = desk.patched(bare, "--snapshots", elsewhere(desk, snapshot(1))), desk.kits / "delta"
    trust = desk.trust("vendor", "site")
    signing = ("--signing-key", desk.keys / "site")
    built = kit("delta", "build", bare, patched, "--output", made, *signing, *trust, "--json").json
    assert (built["recipe"], "snapshots from elsewhere" in built["noRecipe"]) == (None, True)
    applied = desk.kits / "applied.tar.zst"
    assert kit("delta", "apply", bare, made, "--output", applied, *trust).code == 0
    assert kits.read(applied) == kits.read(patched)


def test_the_flag_needs_the_option(desk: Desk, bare: Path) -> None:
    assert desk.patch(bare, "--output", desk.kits / "out", UNVERIFIED).code == 64


def test_a_run_is_resumed_with_the_same_snapshots_only(tmp_path: Path) -> None:
    site = Site(tmp_path)
    folder = tmp_path / "dump" / "concelier"
    folder.mkdir(parents=True)
    (folder / "advisory_raw.bson").write_bytes(kits.collection([snapshot(1)]))
    site.interrupt("--in-place", "--snapshots", tmp_path / "dump", UNVERIFIED)
    code, told = site.resume(*site.keys, UNVERIFIED, "--snapshots", tmp_path)
    assert (code, "snapshots was " in told) == (64, True), told
    (folder / "advisory_raw.bson").write_bytes(kits.collection([snapshot(2)]))
    code, told = site.resume(*site.keys, UNVERIFIED)
    assert (code, "snapshots" in told) == (2, True), told
    (folder / "advisory_raw.bson").write_bytes(kits.collection([snapshot(1)]))
    code, told = site.resume(*site.keys, UNVERIFIED)
    assert code == 0, told
