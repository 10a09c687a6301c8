"""The gate for the policy switch: closed until every tenant has everything, and never without the reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.engine.gaps import MOST_EXAMPLES, MOST_REASONS, OTHERS
from kit.errors import ContentError
from kit.ops.obligations import Expectation
from kit.ops.verify import verify
from tests import kits
from tests.end_to_end import kits as made
from tests.end_to_end.desk import Desk
from tests.end_to_end.kits import kit, observation

FIXTURES = Path(__file__).parents[2] / "fixtures"
PUBLISHER = FIXTURES / "keys" / "publisher-TEST-ONLY.pub.pem"


def gate(desk: Desk, path: Path, *options: object, code: int = 11) -> dict[str, Any]:
    outcome = desk.verify(path, options=("--require-raw-linkset", "--json", *options))
    assert outcome.code == code, outcome
    document: dict[str, Any] = json.loads(outcome.out)
    return document


def foreign(number: int, name: str, tenant: str = "acme") -> dict[str, Any]:
    return observation(number, tenant, content={"format": name, "raw": {"x": 1}})


def test_the_gate_does_not_open_for_a_kit_without_observations(tmp_path: Path) -> None:
    key, _, _ = kits.write_keys(tmp_path)
    empty = kits.write_kit(tmp_path / "kit.tar", kits.signed({"README.txt": b"nothing else"}, key))
    expectation = Expectation(trusted={key.public.key_id: key.public}, require_raw_linkset=True)
    failure = verify(empty, expectation).failure
    assert isinstance(failure, ContentError)
    assert failure.what == "there are no observations in this kit"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", ["harbor.tar.zst", "parts.tar", "foreign.tar.gz"])
def test_the_reasons_are_those_of_a_plan_and_every_missing_observation_has_one(name: str, workers: int) -> None:
    path = FIXTURES / "kits" / name
    trust = ("--trusted-key", PUBLISHER, "--workers", workers, "--json")
    verdict = json.loads(kit("verify", path, *trust, "--require-raw-linkset").out)
    planned = json.loads(kit("plan", path, *trust).out)
    assert verdict["exitCode"] == 11
    told: dict[tuple[str, str], int] = {}
    for gap in verdict["gaps"]:
        key = (gap["tenant"], gap["source"] or "unresolvable")
        told[key] = told.get(key, 0) + gap["documents"]
    assert told == {
        (tenant, outcome): count
        for tenant, outcomes in planned["outcomes"]["raw-linkset"].items()
        for outcome, count in outcomes.items()
        if outcome not in {"present", "null"}
    }
    named = {(f["tenant"], f["reason"], f["document"]) for f in planned["findings"] if f["kind"] == "unresolvable"}
    lost = [gap for gap in verdict["gaps"] if gap["source"] is None]
    assert {(gap["tenant"], gap["reason"], one) for gap in lost for one in gap["examples"]} == named
    for tenant, covered in verdict["coverage"].items():
        gaps = [gap for gap in verdict["gaps"] if gap["tenant"] == tenant]
        assert covered["missing"] == sum(gap["documents"] for gap in gaps)
        assert covered["unresolvable"] == sum(gap["documents"] for gap in gaps if gap["source"] is None)


def test_text_says_per_tenant_how_many_and_why_and_what_a_patch_would_still_do(desk: Desk) -> None:
    documents = [observation(1), observation(2, "globex"), observation(3, "globex", raw=False), foreign(4, "ISO")]
    base = desk.kit(made.content(*documents))
    outcome = desk.verify(base, options=("--require-raw-linkset",))
    assert outcome.code == 11
    assert "acme: 1 x not patched yet, has a source (content): acme:osv:GO-2025-0001:1\n" in outcome.out
    assert "acme: 1 x unresolvable, format 'ISO' is not known: acme:osv:GO-2025-0004:1\n" in outcome.out
    assert "globex: 1 x unresolvable, no raw document: globex:osv:GO-2025-0003:1\n" in outcome.out
    assert "add it: kit patch KIT --output OUT; that leaves 2 unresolvable" in outcome.err
    after = desk.verify(desk.patched(base), options=("--require-raw-linkset",))
    assert "not patched yet" not in after.out
    assert "a patch adds no more, 2 of 2 are unresolvable" in after.err
    assert "kit patch KIT" not in after.err


def test_only_the_tenants_that_are_asked_for_are_judged_and_explained(desk: Desk) -> None:
    base = desk.kit(made.content(observation(1), observation(2, "globex", raw=False)))
    assert [gap["tenant"] for gap in gate(desk, base, "--tenant", "globex")["gaps"]] == ["globex"]
    assert gate(desk, desk.patched(base), "--tenant", "acme", code=0)["gaps"] == []


def test_an_open_gate_and_one_that_nobody_asked_for_say_no_reasons(desk: Desk) -> None:
    patched = desk.patched(desk.kit(made.content(observation(1))))
    assert gate(desk, patched, code=0)["gaps"] == []
    outcome = desk.verify(desk.kit(made.content(observation(3, raw=False)), name="other.tar"), options=("--json",))
    assert json.loads(outcome.out)["gaps"] == []


def test_what_is_listed_does_not_grow_with_the_reasons_or_the_documents(desk: Desk) -> None:
    documents = [foreign(number, f"format {number}") for number in range(MOST_REASONS + 7)]
    documents += [observation(number, "globex", raw=False) for number in range(MOST_EXAMPLES + 2)]
    document = gate(desk, desk.kit(made.content(*documents)))
    acme = [gap for gap in document["gaps"] if gap["tenant"] == "acme"]
    assert len(acme) == MOST_REASONS + 1
    assert [gap["documents"] for gap in acme if gap["reason"] == OTHERS] == [7]
    (globex,) = [gap for gap in document["gaps"] if gap["tenant"] == "globex"]
    assert globex["documents"] == MOST_EXAMPLES + 2
    assert len(globex["examples"]) == MOST_EXAMPLES


def test_a_gate_that_cannot_say_why_is_closed_all_the_same(desk: Desk) -> None:
    members = made.content(observation(1)) | {made.SNAPSHOTS: made.bson_of([{"_id": 1, "tenant": "acme"}])[:-1] + b"x"}
    outcome = desk.verify(desk.kit(members), options=("--require-raw-linkset",))
    assert outcome.code == 11
    assert "acme 0 of 1; why cannot be told: " in outcome.err
    assert "advisory_raw.bson" in outcome.err


def test_the_page_lists_the_reasons(desk: Desk, tmp_path: Path) -> None:
    base = desk.kit(made.content(observation(1, raw=False), foreign(2, "<b>")))
    desk.verify(base, options=("--require-raw-linkset", "--html", tmp_path / "v.html"))
    text = (tmp_path / "v.html").read_text()
    assert "unresolvable, no raw document" in text
    assert "acme:osv:GO-2025-0001:1" in text
    assert "<b>" not in text.replace("<b>All tenants</b>", "")
