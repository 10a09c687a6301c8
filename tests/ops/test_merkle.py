"""Merkle roots of a patched kit: made again here from the documents alone, by the definition."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.errors import UsageError
from kit.verbs.patch.patch import PatchReport, patch, resume
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.faults.attacking import Attacker
from tests.kits import MANIFEST, OBSERVATIONS, SNAPSHOTS, content, observation
from tests.laws.test_merkle_trees import by_definition
from tests.ops.test_resume import IN_PLACE, output, request_for, strike

IDLE = "dump/part/concelier/advisory_observations.bson.gz"
EMPTY = "dump/concelier/nothing.bson"
PATCHED_AT = "2026-01-02T00:00:00Z"


class Permitting(Desk):
    """A desk whose kits have an ``_id`` twice, which no server takes."""

    def patch(self, path: Path, *options: object, **more: Any) -> Outcome:
        return super().patch(path, *options, "--allow-unimportable", **more)


@pytest.fixture(name="desk")
def a_permitting_desk(tmp_path: Path) -> Desk:
    return Permitting(tmp_path)


def many() -> dict[str, bytes]:
    """Give members: handled, idle, not handled, empty; ids of several types, twice, and none."""
    ids: list[Any] = ["b", "a", "a", 7, bson.Int64(7), bson.ObjectId(b"0" * 12), "é", {"x": 1}, ...]
    documents = [observation(n) | {"_id": one} for n, one in enumerate(ids)]
    documents = [{name: value for name, value in one.items() if value is not ...} for one in documents]
    complete = [observation(n) | {"rawLinkset": {}} for n in (3, 1)]
    return {
        **content(*documents),
        IDLE: gzip.compress(kits.collection(complete)),
        SNAPSHOTS: kits.collection([{"_id": n, "tenant": "acme"} for n in (2, 1, 300)]),
        EMPTY: b"",
    }


def root_over(documents: list[bytes]) -> str:
    """Follow schemas/merkle.md, with the encoder of pymongo to tell what an ``_id`` is."""
    leaves = []
    for document in documents:
        identity = bson.decode(document).get("_id", ...)
        if identity is ...:
            typed = b""
        elif isinstance(identity, str):
            typed = b"\x02" + identity.encode()
        else:
            alone = bson.encode({"_id": identity})
            typed = alone[4:5] + alone[9:-1]
        leaf = typed + hashlib.sha256(document).digest()
        leaves.append((typed, hashlib.sha256(b"\x00" + leaf).digest(), leaf))
    return by_definition([leaf for _, _, leaf in sorted(leaves)]).hex()


def roots_of(path: Path) -> dict[str, str | None]:
    return {one["path"]: one.get("merkleRoot") for one in manifest_of(path)["collections"]}


def manifest_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kits.read(path)[MANIFEST])
    return found


def expected(path: Path) -> dict[str, str]:
    members = kits.read(path)
    return {
        name: root_over(kits.documents_of(kits.plain(members[name], name)))
        for name in (IDLE, OBSERVATIONS, EMPTY, SNAPSHOTS)
        if name in members
    }


def test_every_collection_has_the_root_that_its_documents_give(desk: Desk) -> None:
    path = desk.patched(desk.kit(many()), "--merkle")
    assert roots_of(path) == expected(path)
    outcome = desk.verify(path, options=("--deep",))
    assert outcome.code == 0
    assert "as declared (Merkle roots of 4 included)" in outcome.out


def test_roots_change_nothing_but_the_manifest_and_what_depends_on_it(desk: Desk) -> None:
    base = desk.kit(many())
    without, rooted = desk.patched(base), desk.patched(base, "--merkle", name="rooted.tar.zst")
    one, other = kits.read(without), kits.read(rooted)
    statement = "manifest/history/3/patch.intoto.json"
    assert {name for name in one if one[name] != other[name]} == {MANIFEST, f"{MANIFEST}.jws", statement}
    manifest = manifest_of(rooted)
    for summary in manifest["collections"]:
        assert len(summary.pop("merkleRoot")) == 64
    assert manifest == manifest_of(without)
    assert list(one) == list(other)


def test_the_number_of_workers_does_not_show(desk: Desk) -> None:
    base = desk.kit(many())
    one = desk.patched(base, "--merkle")
    two = desk.patched(base, "--merkle", "--workers", 2, name="two.tar.zst")
    assert one.read_bytes() == two.read_bytes()


def test_a_later_patch_keeps_roots_unless_told_not_to(desk: Desk) -> None:
    content = many() | {OBSERVATIONS: kits.collection([observation(1), observation(2, "globex")])}
    first = desk.patched(desk.kit(content), "--merkle", "--tenant", "acme")
    more = {"trusting": ("vendor", "site")}
    second = desk.patched(first, name="second.tar.zst", **more)
    assert roots_of(second) == expected(second)
    assert roots_of(first)[OBSERVATIONS] != roots_of(second)[OBSERVATIONS]
    assert desk.verify(second, options=("--deep",)).code == 0
    bare = desk.patched(first, "--no-merkle", name="bare.tar.zst", **more)
    assert set(roots_of(bare).values()) == {None}


def test_a_kit_of_folders_and_a_plain_patch(desk: Desk) -> None:
    folder = desk.patched(desk.kit(many(), name="kit"), "--merkle", name="patched")
    assert roots_of(folder) == expected(folder)
    assert set(roots_of(desk.patched(desk.kit(many()))).values()) == {None}


def test_a_root_that_its_documents_do_not_have_is_found_out(desk: Desk) -> None:
    path = desk.patched(desk.kit(many()), "--merkle")
    members, manifest = kits.read(path), manifest_of(path)
    manifest["collections"][0]["merkleRoot"] = kits.sha256(b"another")
    path.unlink()
    lying = {name: body for name, body in members.items() if name not in {MANIFEST, f"{MANIFEST}.jws"}}
    # Signed by the site itself, without a history that a new manifest would have to agree with.
    bare = {name: body for name, body in lying.items() if not name.startswith("manifest/")}
    manifest["lineage"] = []
    kits.write_kit(path, kits.signed(bare, key("site"), manifest))
    for side in (".sha256", ".sig"):
        Path(f"{path}{side}").unlink()
    assert desk.verify(path).code == 0
    outcome = desk.verify(path, options=("--deep",))
    assert outcome.code == 11
    assert f"the manifest declares Merkle root {kits.sha256(b'another')}" in outcome.err


def test_a_foreign_manifest_has_no_place_for_roots(desk: Desk) -> None:
    path = desk.kit(content(), manifest=kits.foreign_manifest_of(content()))
    outcome = desk.patch(path, "--output", desk.kits / "out.tar.zst", "--merkle")
    assert outcome.code == 64
    assert "foreign shape" in outcome.err
    assert not (desk.kits / "out.tar.zst").exists()
    assert desk.patched(path).exists()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_roots(attacker: Attacker, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    source = ROOT / "fixtures" / "kits" / "harbor.tar.zst"
    (start / "kit.tar.zst").write_bytes(source.read_bytes())
    request = request_for(start / "kit.tar.zst", merkle=True, environment=Environment(workers=1))
    whole = tmp_path / "whole.tar.zst"
    assert isinstance(patch(request, output(whole)), PatchReport)
    outcomes = strike(attacker, start, tmp_path / "stage", "fail", options=(*IN_PLACE, "--merkle"))
    places = [one.place for one in outcomes]
    left = [place for place in places if (place / "kit.tar.zst.kit-job").exists()]
    assert len(left) > 3
    with pytest.raises(UsageError, match="merkle was yes, is not given"):
        resume(request_for(left[0] / "kit.tar.zst"), output())
    for place in left:
        resume(request_for(place / "kit.tar.zst", merkle=True), output())
        assert (place / "kit.tar.zst").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["kit.tar.zst", "kit.tar.gz", "kit"])
def test_roots_that_are_missing_are_a_change_by_themselves_and_are_added_once(name: str, desk: Desk) -> None:
    path = desk.patched(desk.kit(many(), name=f"base-{name}"), name=name)
    before = kits.read(path)
    words = ("--in-place", "--merkle")
    plan = kit("plan", path, *desk.trust("vendor", "site"), "--merkle", "--allow-unimportable", "--workers", 1)
    assert (plan.code, "would add Merkle roots of" in plan.out) == (0, True), plan
    outcome = desk.patch(path, *words, trusting=("vendor", "site"))
    assert (outcome.code, "no document changed; Merkle roots of" in outcome.out) == (0, True), outcome
    after = kits.read(path)
    manifest = json.loads(after[kits.MANIFEST])
    assert manifest["generation"] == 5
    assert all("merkleRoot" in one for one in manifest["collections"])
    same = [member for member in before if not member.startswith("manifest/")]
    assert OBSERVATIONS in same
    assert {member: after[member] for member in same} == {member: before[member] for member in same}
    assert kit("verify", path, *desk.trust("vendor", "site"), "--deep", "--workers", 1).code == 0
    again = desk.patch(path, *words, trusting=("vendor", "site"))
    assert (again.code, "nothing to change" in again.out) == (0, True), again
    assert kits.read(path) == after
    proof = desk.kits.parent / "proof"
    assert kit("prove", path, "--id", "b", "-o", proof).code == 0


def test_without_the_option_a_kit_without_roots_stays_without(desk: Desk) -> None:
    path = desk.patched(desk.kit(many()))
    before = path.read_bytes()
    for words in ((), ("--no-merkle",)):
        outcome = desk.patch(path, "--in-place", *words, trusting=("vendor", "site"))
        assert (outcome.code, "nothing to change" in outcome.out) == (0, True)
    assert path.read_bytes() == before
