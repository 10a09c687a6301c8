"""The gate for the policy switch: closed until every tenant has everything, and never without the reasons."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.errors import ContentError
from kit.verbs.verify.gaps import MAX_EXAMPLES, MAX_REASONS, OTHERS
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.verify import verify
from tests import kits, kits as made
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import SOUND, observation

FIXTURES = Path(__file__).parents[2] / "fixtures"
SCHEMAS = Path(__file__).parents[2] / "schemas"
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
    gaps = [gap for gap in verdict["gaps"] if gap["missing"]]
    for gap in gaps:
        key = (gap["tenant"], gap["source"] or "unresolvable")
        told[key] = told.get(key, 0) + gap["documents"]
    assert told == {
        (tenant, outcome): count
        for tenant, outcomes in planned["outcomes"]["raw-linkset"].items()
        for outcome, count in outcomes.items()
        if outcome not in {"present", "null"}
    }
    named = {(f["tenant"], f["reason"], f["document"]) for f in planned["findings"] if f["kind"] == "unresolvable"}
    lost = [gap for gap in gaps if gap["source"] is None]
    assert {(gap["tenant"], gap["reason"], one) for gap in lost for one in gap["examples"]} == named
    for tenant, covered in verdict["coverage"].items():
        of_tenant = [gap for gap in verdict["gaps"] if gap["tenant"] == tenant]
        assert covered["documents"] - covered["both"] == sum(gap["documents"] for gap in of_tenant)
        assert covered["missing"] == sum(gap["documents"] for gap in of_tenant if gap["missing"])
        assert covered["unresolvable"] == sum(gap["documents"] for gap in of_tenant if gap in lost)


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
    assert "a patch completes none of them: 2 unresolvable: their sources are not in this kit" in after.err
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
    documents = [foreign(number, f"format {number}") for number in range(MAX_REASONS + 7)]
    documents += [observation(number, "globex", raw=False) for number in range(MAX_EXAMPLES + 2)]
    document = gate(desk, desk.kit(made.content(*documents)))
    acme = [gap for gap in document["gaps"] if gap["tenant"] == "acme"]
    assert len(acme) == MAX_REASONS + 1
    assert [gap["documents"] for gap in acme if gap["reason"] == OTHERS] == [7]
    (globex,) = [gap for gap in document["gaps"] if gap["tenant"] == "globex"]
    assert globex["documents"] == MAX_EXAMPLES + 2
    assert len(globex["examples"]) == MAX_EXAMPLES


def test_a_gate_that_cannot_say_why_is_closed_all_the_same(desk: Desk) -> None:
    members = made.content(observation(1)) | {
        made.SNAPSHOTS: made.collection([{"_id": 1, "tenant": "acme"}])[:-1] + b"x"
    }
    outcome = desk.verify(desk.kit(members), options=("--require-raw-linkset",))
    assert outcome.code == 11
    assert "acme 0 of 1; the reasons cannot be found: " in outcome.err
    assert "advisory_raw.bson" in outcome.err


def test_the_page_lists_the_reasons(desk: Desk, tmp_path: Path) -> None:
    base = desk.kit(made.content(observation(1, raw=False), foreign(2, "<b>")))
    desk.verify(base, options=("--require-raw-linkset", "--html", tmp_path / "v.html"))
    text = (tmp_path / "v.html").read_text()
    assert "unresolvable, no raw document" in text
    assert "acme:osv:GO-2025-0001:1" in text
    assert "<b>" not in text.replace("<b>All tenants</b>", "")


TEXT = "rawLinkset is a string, no document"
NOT_V1 = "rawLinkset is not of shape v1: "
UNSOUND: list[Any] = [
    pytest.param(
        {"rawLinkset": SOUND, "linkset": {"__encrypted": True, "v": 2}},
        "noLinkset",
        "linkset is an envelope",
        id="sealed",
    ),
    pytest.param({"rawLinkset": None}, "null", "rawLinkset is null", id="null"),
    pytest.param({"rawLinkset": "done"}, "otherType", TEXT, id="a text"),
    pytest.param({"rawLinkset": ""}, "otherType", TEXT, id="an empty text"),
    pytest.param({"rawLinkset": True}, "otherType", "rawLinkset is a boolean, no document", id="true"),
    pytest.param({"rawLinkset": 1}, "otherType", "rawLinkset is an int32, no document", id="a number"),
    pytest.param({"rawLinkset": []}, "otherType", "rawLinkset is an array, no document", id="an array"),
    pytest.param({"rawLinkset": {}}, "otherShape", f"{NOT_V1}it has no element 'aliases'", id="an empty document"),
    pytest.param(
        {"rawLinkset": {"aliases": [], "purls": []}}, "otherShape", f"{NOT_V1}it has no element 'cpes'", id="a part"
    ),
    pytest.param(
        {"rawLinkset": SOUND | {"__encrypted": True}},
        "otherShape",
        f"{NOT_V1}it has an element '__encrypted'",
        id="more",
    ),
    pytest.param(
        {"rawLinkset": SOUND | {"purls": [None]}},
        "otherShape",
        f"{NOT_V1}'purls' holds what it may not",
        id="a null purl",
    ),
    pytest.param({"rawLinkset": SOUND, "linkset": ...}, "noLinkset", "linkset is missing", id="no linkset"),
    pytest.param(
        {"rawLinkset": SOUND, "linkset": None}, "noLinkset", "linkset is null, no document", id="a null linkset"
    ),
    pytest.param(
        {"rawLinkset": SOUND, "linkset": "x"}, "noLinkset", "linkset is a string, no document", id="a text for one"
    ),
]


def test_what_is_no_projection_closes_the_gate_and_is_reported_apart(desk: Desk) -> None:
    # A tenant for each, so that one verdict judges them all.
    odd = [(f"t{number:02}", *one.values) for number, one in enumerate(UNSOUND)]
    documents = [observation(1, tenant, rawLinkset=SOUND) for tenant, *_ in odd]
    documents += [observation(2, tenant, **changes) for tenant, changes, _, _ in odd]
    document = gate(desk, desk.kit(made.content(*documents)))
    assert document["levels"] == []
    names = ("documents", "present", "both", "missing", "null", "otherType", "otherShape", "noLinkset")
    for tenant, _, counted, _ in odd:
        covered = {name: document["coverage"][tenant][name] for name in names}
        assert covered == dict.fromkeys(names, 0) | {"documents": 2, "present": 2, "both": 1, counted: 1}
    assert [
        (one["tenant"], one["missing"], one["source"], one["reason"], one["examples"]) for one in document["gaps"]
    ] == [(tenant, False, None, reason, [f"{tenant}:osv:GO-2025-0002:1"]) for tenant, _, _, reason in odd]


def test_a_patch_overwrites_none_of_them_and_plan_patch_and_gate_name_the_same(desk: Desk, tmp_path: Path) -> None:
    odd = [observation(number, **one.values[0]) for number, one in enumerate(UNSOUND)]
    path = desk.kit(
        made.content(*odd, observation(90), observation(91, rawLinkset=SOUND), observation(92, linkset=...))
    )
    before = made.documents_of(made.read(path)[made.OBSERVATIONS])
    metrics = tmp_path / "metrics.txt"
    planned = kit("plan", path, *desk.trust("vendor"), "--workers", 1, "--json", "--metrics", metrics).json
    patched = desk.patched(path)
    after = made.documents_of(made.read(patched)[made.OBSERVATIONS])
    assert [new == old for old, new in zip(before, after, strict=True)] == [True] * len(odd) + [False, True, False]
    named = [(one["document"], one["reason"]) for one in planned["findings"] if one["kind"] == "no-projection"]
    assert named == [
        *((document["_id"], one.values[2]) for document, one in zip(odd, UNSOUND, strict=True)),
        ("acme:osv:GO-2025-0092:1", "linkset is missing"),
    ]
    (collection,) = planned["collections"]
    found = gate(desk, patched)["coverage"]["acme"]
    assert found == collection["tenants"]["acme"]
    assert found == {
        "documents": 17, "present": 17, "both": 2, "null": 1, "otherType": 5, "otherShape": 4, "noLinkset": 5,
        "missing": 0, "unresolvable": 0,
    }  # fmt: skip
    assert planned["counts"]["raw-linkset"]["acme"] == {"no-linkset": 5, "other-shape": 4, "other-type": 5}
    text = metrics.read_text()
    for what, count in (("null", 1), ("other-type", 5), ("other-shape", 4), ("no-linkset", 5)):
        assert f'raw_linkset_lacking_total{{lacking="{what}",tenant="acme"}} {count}.0\n' in text
    assert 'lacking="missing"' not in text
    again = kit("plan", patched, *desk.trust("vendor", "site"), "--workers", 1, "--json").json
    assert again["changed"] == 0
    assert [one["reason"] for one in again["findings"]] == [reason for _, reason in named]


def test_a_receipt_counts_apart_what_is_no_projection(desk: Desk, tmp_path: Path) -> None:
    path = desk.kit(made.content(observation(1, rawLinkset=SOUND), observation(2, rawLinkset="x"), observation(3)))
    receipt = tmp_path / "receipt.json"
    desk.verify(path, options=("--require-raw-linkset", "--receipt", receipt, "--signing-key", desk.keys / "site"))
    statement = json.loads(base64.b64decode(json.loads(receipt.read_text())["payload"]))
    Draft202012Validator(json.loads((SCHEMAS / "receipt.schema.json").read_text())).validate(statement)
    predicate = statement["predicate"]
    assert predicate["verifiedLevels"] == ["FAILED"]
    assert predicate["urn:offline-kit:coverage:v1"] == {
        "documents": 3, "both": 1, "null": 0, "otherType": 1, "otherShape": 0, "noLinkset": 0, "missing": 1,
    }  # fmt: skip


def test_text_and_page_have_a_column_for_what_there_is_of_it(desk: Desk, tmp_path: Path) -> None:
    path = desk.kit(made.content(observation(1, rawLinkset=SOUND), observation(2, rawLinkset="x"), observation(3)))
    page = tmp_path / "v.html"
    outcome = desk.verify(path, options=("--require-raw-linkset", "--html", page))
    assert "acme 1 of 3 (1 of another type)" in outcome.err
    assert "tenant  observations  both projections  missing  unresolvable  other type  coverage" in outcome.out
    assert "not every observation has linkset and rawLinkset (v1)" in page.read_text()
    assert "<th" in page.read_text()
    assert "Other type" in page.read_text()
    assert "Other shape" not in page.read_text()


def test_of_tenants_that_nobody_asked_for_what_is_no_projection_is_not_listed(desk: Desk) -> None:
    path = desk.kit(made.content(observation(1, rawLinkset="x"), observation(2, "globex", rawLinkset=None)))
    assert [gap["tenant"] for gap in gate(desk, path, "--tenant", "globex")["gaps"]] == ["globex"]


def test_an_observation_that_a_patch_would_complete_in_vain_is_no_reason_to_patch(desk: Desk) -> None:
    path = desk.kit(made.content(observation(1, linkset=...)))
    outcome = desk.verify(path, options=("--require-raw-linkset",))
    assert (
        "acme: 1 x not patched yet, has a source (content); linkset is missing: acme:osv:GO-2025-0001:1" in outcome.out
    )
    assert "a patch completes none of them" in outcome.err
