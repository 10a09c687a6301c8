"""Every ``rawLinkset`` of a kit is derived again from its source, whoever made it, and compared byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, collection, observation

OBSERVATIONS = "dump/concelier/advisory_observations.bson"
REDERIVED = "OFFLINE_KIT_RAW_LINKSET_REDERIVED"


def patched(desk: Desk, documents: list[dict[str, Any]], **more: bytes) -> list[dict[str, Any]]:
    """Return the documents as a patch makes them."""
    base = desk.kit({OBSERVATIONS: collection(documents), **more}, name="base.tar")
    output = desk.kits / "patched.tar"
    words = ("--signing-key", desk.keys / "site", "--created-at", AT, *desk.trust("vendor"))
    assert kit("patch", base, "-o", output, *words).code == 0
    body = kits.read(output)[OBSERVATIONS]
    return [bson.decode(one) for one in kits.documents_of(body)]


def verified(desk: Desk, documents: list[dict[str, Any]], *words: object, **more: bytes) -> Outcome:
    """Verify what the publisher signs as it is."""
    path = desk.kit({OBSERVATIONS: collection(documents), **more}, name="own.tar.zst")
    return kit("verify", path, *desk.trust("vendor"), "--rederive", *words, "--json")


def line(outcome: Outcome) -> dict[str, Any]:
    return next(one for one in outcome.json["obligations"] if "source" in one["name"])


def counts(outcome: Outcome, tenant: str = "acme") -> tuple[int, ...]:
    found = outcome.json["rederived"]["tenants"][tenant]
    return tuple(found[one] for one in ("equal", "different", "underivable", "without"))


@pytest.mark.parametrize("core", ["core", "reference"])
def test_what_a_patch_made_is_derived_equal(core: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    if core == "reference":
        monkeypatch.setattr("kit.transforms.raw_linkset.runs.rewrite", lambda *_: None)
    made = patched(desk, [observation(number) for number in range(5)])
    outcome = verified(desk, made)
    assert (outcome.code, counts(outcome)) == (0, (5, 0, 0, 0))
    assert line(outcome)["status"] == "checked"
    assert REDERIVED in outcome.json["levels"]


def test_where_it_stands_in_the_document_does_not_matter(desk: Desk) -> None:
    first, second = patched(desk, [observation(number) for number in range(2)])
    moved = {"_id": first["_id"], "rawLinkset": first["rawLinkset"], **first}
    assert list(moved)[1] == "rawLinkset"
    assert counts(verified(desk, [moved, second])) == (2, 0, 0, 0)


def other_alias(made: dict[str, Any]) -> None:
    made["aliases"][0] = "CVE-1999-0001"


def one_less(made: dict[str, Any]) -> None:
    made["references"].pop()


def another_order(made: dict[str, Any]) -> None:
    made["references"].reverse()


def one_more(made: dict[str, Any]) -> None:
    made["cpes"].append("cpe:2.3:a:x:y:*:*:*:*:*:*:*:*")


def another_pointer(made: dict[str, Any]) -> None:
    made["reconciled_from"] = ["/nowhere"]


def another_type(made: dict[str, Any]) -> None:
    made["aliases"] = "none"


def unknown(made: dict[str, Any]) -> None:
    made["more"] = 1


@pytest.mark.parametrize(
    ("change", "member", "word"),
    [
        (other_alias, "aliases", "'CVE-1999-0001'"),
        (one_less, "references", "are derived"),
        (another_order, "references", "another order"),
        (one_more, "cpes", "are derived"),
        (another_pointer, "reconciled_from", "'/nowhere'"),
        (another_type, "aliases", "'none'"),
        (unknown, "more", "nothing is derived"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_projection_that_does_not_follow_is_refused_and_said_where(
    change: Callable[[dict[str, Any]], None], member: str, word: str, desk: Desk
) -> None:
    raw = {**kits.advisory(0), "aliases": ["CVE-2024-1"], "references": [{"url": f"https://x/{n}"} for n in range(2)]}
    made = patched(desk, [observation(0, raw=raw), observation(1)])
    change(made[0]["rawLinkset"])
    outcome = verified(desk, made)
    assert (outcome.code, outcome.json["exitCode"], counts(outcome)) == (11, 11, (1, 1, 0, 0))
    (difference,) = outcome.json["rederived"]["differences"]
    assert (difference["member"], difference["tenant"]) == (member, "acme")
    assert word in difference["how"]
    assert made[0]["_id"] in difference["document"]
    assert line(outcome)["status"] == "failed"
    assert outcome.json["levels"] == []


def test_a_publisher_that_has_lists_in_the_right_shape_only_passes_the_gate_and_not_this(desk: Desk) -> None:
    empty: dict[str, Any] = {
        "aliases": [],
        "purls": [],
        "cpes": [],
        "references": [],
        "reconciled_from": [],
        "notes": {},
    }
    made = [observation(0) | {"rawLinkset": empty}]
    path = desk.kit({OBSERVATIONS: collection(made)})
    assert kit("verify", path, *desk.trust("vendor"), "--require-raw-linkset").code == 0
    assert kit("verify", path, *desk.trust("vendor"), "--require-raw-linkset", "--rederive").code == 11


def test_what_has_no_source_is_counted_apart_and_earns_the_lesser_level(desk: Desk) -> None:
    made = patched(desk, [observation(number) for number in range(3)])
    del made[2]["content"]["raw"]
    outcome = verified(desk, [*made, observation(7, raw=False), observation(8, tenant="globex")])
    assert (outcome.code, counts(outcome), counts(outcome, "globex")) == (0, (2, 0, 1, 1), (0, 0, 0, 1))
    (reason,) = outcome.json["rederived"]["underivable"]
    assert (reason["tenant"], reason["documents"], reason["examples"]) == ("acme", 1, [made[2]["_id"]])
    assert f"{REDERIVED}_IN_PART" in outcome.json["levels"]
    assert REDERIVED not in outcome.json["levels"]


def test_where_nothing_is_compared_nothing_is_claimed(desk: Desk) -> None:
    outcome = verified(desk, [observation(0)])
    assert outcome.code == 11
    assert "nothing was compared" in line(outcome)["detail"]


def test_of_named_tenants_only_theirs_count(desk: Desk) -> None:
    made = patched(desk, [observation(0), observation(1, tenant="globex")])
    made[1]["rawLinkset"]["aliases"] = []
    made[1]["rawLinkset"]["notes"] = {"x": "y"}
    assert verified(desk, made).code == 11
    outcome = verified(desk, made, "--tenant", "acme")
    assert (outcome.code, list(outcome.json["rederived"]["tenants"])) == (0, ["acme"])
    assert f"{REDERIVED}_OF_TENANTS" in outcome.json["levels"]


def test_a_kit_with_other_bytes_than_signed_is_not_derived_from(desk: Desk) -> None:
    made = patched(desk, [observation(0)])
    members = kits.signed({OBSERVATIONS: collection(made)}, key("vendor"))
    path = desk.write(members | {OBSERVATIONS: collection([observation(0)])})
    outcome = kit("verify", path, *desk.trust("vendor"), "--rederive", "--json")
    assert (outcome.code, line(outcome)["status"]) == (2, "not applicable")
    assert "rederived" not in outcome.json


def test_a_snapshot_that_the_derivation_prefers_is_looked_up(desk: Desk) -> None:
    snapshots = {"dump/concelier/advisory_raw.bson": collection([kits.snapshot(number) for number in range(3)])}
    made = patched(desk, [observation(number) for number in range(3)], **snapshots)
    assert counts(verified(desk, made, **snapshots)) == (3, 0, 0, 0)


def test_the_receipt_and_the_page_state_it(desk: Desk, tmp_path: Path) -> None:
    made = patched(desk, [observation(0)])
    receipt, page = tmp_path / "receipt.json", tmp_path / "page.html"
    words = ("--receipt", receipt, "--signing-key", desk.keys / "site", "--html", page)
    assert verified(desk, made, *words).code == 0
    statement = kit("receipt", "show", receipt, "--json").json
    assert REDERIVED in json.dumps(statement)
    assert "1 of 1 equal what is derived" in page.read_text()


@pytest.mark.parametrize("words", [["--cache-map", "map.json"], ["--tenant", "acme"]])
def test_options_for_it_need_it(words: list[str], desk: Desk) -> None:
    outcome = kit("verify", desk.kit(), *desk.trust("vendor"), *words)
    assert (outcome.code, "--rederive" in outcome.err) == (64, True)


@pytest.mark.skipif(not kits.REAL.is_dir(), reason="the published kits are not beside the project")
def test_published_advisories_are_derived_equal_after_a_patch(desk: Desk, tmp_path: Path) -> None:
    source, public = kits.REAL / "go-osv.tar.zst", kits.REAL / "publisher-TEST-ONLY.pub.pem"
    words = ("--trusted-key", public, "--signing-key", desk.keys / "site", "--created-at", AT)
    assert kit("patch", source, "-o", tmp_path / "new.tar.zst", *words).code == 0
    found = kit(
        "verify", tmp_path / "new.tar.zst", "--trusted-key", public, *desk.trust("site"), "--rederive", "--json"
    )
    assert found.code == 0, found.err
    tenants = found.json["rederived"]["tenants"].values()
    assert sum(one["equal"] for one in tenants) > 1000
    assert sum(sum(one.values()) for one in tenants) == 1500
    assert sum(one["different"] + one["underivable"] for one in tenants) == 0
