from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from fixtures.build.make_fixtures import ROOT
from kit.errors import ContentError, KitError, UntrustedError
from kit.signing import Algorithm, generate
from kit.trust import Accepted, Policy, Revocation, RevocationReason, Role, State, TrustedKey
from kit.trust.state import OverrideRecord
from kit.values import Sha256, Timestamp
from tests.tiers import examples

VENDOR, SITE, ROOT_KEY = (generate(Algorithm.ED25519).public for _ in range(3))
FULL = Policy(
    version=3,
    keys=(
        TrustedKey(
            key=VENDOR,
            roles=frozenset({Role.PUBLISHER}),
            name="Vendor",
            bundle_ids=frozenset({"small"}),
            collections=frozenset({"*.advisory_raw"}),
            not_before=Timestamp(1),
            not_after=Timestamp(9),
            revocation=Revocation(at=Timestamp(5), reason=RevocationReason.SUPERSEDED),
        ),
        TrustedKey(key=SITE, roles=frozenset({Role.PATCHER, Role.AUDITOR})),
        TrustedKey(key=ROOT_KEY, roles=frozenset({Role.ROOT})),
    ),
    thresholds={Role.PATCHER: 1},
    algorithms=frozenset({Algorithm.ED25519}),
    expires_at=Timestamp(99),
    minimum_generations={"small": 2},
    staleness_window_hours=24,
)
STATE = State(
    policy_version=3,
    policy_sha256=FULL.sha256,
    bundles={"small": Accepted(published=3, generation=4, manifest=Sha256.of(b"m"))},
    overrides=(
        OverrideRecord(at=Timestamp(1), bundle_id="small", manifest=Sha256.of(b"o"), refusal="old", reason="why"),
    ),
)


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text()))


def test_a_policy_and_a_state_read_back_and_keep_to_their_schemas() -> None:
    assert Policy.parse(FULL.to_bytes(), where="p") == FULL
    assert State.parse(STATE.to_bytes(), where="s") == STATE
    schema("trust-policy").validate(json.loads(FULL.to_bytes()))
    schema("trust-state").validate(json.loads(STATE.to_bytes()))


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(FULL.to_bytes())
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.update(schemaVersion="2"), id="another version of the format"),
        pytest.param(lambda d: d.update(version=0), id="version 0"),
        pytest.param(lambda d: d.update(surprise=1), id="a member nobody knows: it could be a restriction"),
        pytest.param(lambda d: d.pop("thresholds"), id="no thresholds"),
        pytest.param(lambda d: d["thresholds"].update(patcher=0), id="P1: a threshold that anybody meets"),
        pytest.param(lambda d: d["thresholds"].update(patcher=2), id="P2: a threshold nobody can meet"),
        pytest.param(lambda d: d["thresholds"].update(publisher=1), id="P2: only a revoked key could meet it"),
        pytest.param(lambda d: d["thresholds"].update(king=1), id="a threshold of no role"),
        pytest.param(lambda d: d["keys"].append(d["keys"][0]), id="a key twice, to count for two"),
        pytest.param(lambda d: d["keys"][0].update(keyId=d["keys"][1]["keyId"]), id="the id of another key"),
        pytest.param(lambda d: d["keys"][0].update(roles=[]), id="no role"),
        pytest.param(lambda d: d["keys"][0].update(roles=["king"]), id="no known role"),
        pytest.param(lambda d: d["keys"][0].update(roles=["patcher", "patcher"]), id="a role twice"),
        pytest.param(lambda d: d["keys"][2].update(roles=["root", "patcher"]), id="a root key with another role"),
        pytest.param(lambda d: d["keys"][0].update(bundleIds=[]), id="an empty limit"),
        pytest.param(lambda d: d["keys"][0].update(collections=["advisory_raw"]), id="a collection without database"),
        pytest.param(lambda d: d["keys"][0].update(notBefore="1970-01-02T00:00:00Z"), id="reversed times"),
        pytest.param(lambda d: d["keys"][0].update(revoked={"at": "1970-01-01T00:00:00Z"}), id="no reason"),
        pytest.param(lambda d: d["keys"][0]["revoked"].update(reason="mood"), id="no known reason"),
        pytest.param(lambda d: d["keys"][0].update(publicKey="PEM"), id="no key"),
        pytest.param(lambda d: d.update(algorithms=["HS256"]), id="algorithm confusion"),
        pytest.param(lambda d: d.update(algorithms=[]), id="no algorithm"),
        pytest.param(lambda d: d.update(expiresAt=1), id="a time that is none"),
        pytest.param(lambda d: d.update(stalenessWindowHours=-1), id="a negative window"),
        pytest.param(lambda d: d.update(minimumGenerations=[]), id="floors that are none"),
    ],
)
def test_a_policy_that_nobody_can_mean_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ContentError, match=r"^policy\.json: "):
        Policy.parse(edited(change), where="policy.json")


def test_under_an_empty_policy_nothing_is_valid() -> None:
    with pytest.raises(UntrustedError):
        Policy.parse(edited(lambda d: d.update(keys=[], thresholds={})), where="p")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.update(schemaVersion="2"), id="another version of the format"),
        pytest.param(lambda d: d.update(more=1), id="a member more"),
        pytest.param(lambda d: d["bundles"]["small"].update(generation=2), id="a generation below the publisher's"),
        pytest.param(lambda d: d["bundles"]["small"].update(manifestSha256="x"), id="no digest"),
        pytest.param(lambda d: d["overrides"][0].update(reason=""), id="an override without a reason"),
    ],
)
def test_a_state_that_cannot_be_read_is_not_an_empty_one(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(STATE.to_bytes())
    change(document)
    with pytest.raises(ContentError):
        State.parse(json.dumps(document).encode(), where="s")


def test_a_state_is_never_lowered() -> None:
    older = Accepted(published=3, generation=3, manifest=Sha256.of(b"x"))
    assert STATE.with_accepted("small", older) == STATE
    newer = Accepted(published=4, generation=4, manifest=Sha256.of(b"x"))
    assert STATE.with_accepted("small", newer).bundles["small"] == newer
    assert STATE.with_accepted("other", older).bundles.keys() == {"small", "other"}


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_a_changed_byte_of_a_policy_is_another_policy_or_none(data: st.DataObject) -> None:
    whole = FULL.to_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([*whole[:at], data.draw(st.integers(0, 255).filter(lambda b: b != whole[at])), *whole[at + 1 :]])
    try:
        policy = Policy.parse(changed, where="p")
    except KitError:
        return
    assert Sha256.of(changed) != FULL.sha256
    assert policy.keys
