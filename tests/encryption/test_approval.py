from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator

from kit.encryption.approval import Approval, DocumentName, RecoveryScope, collection_name
from kit.errors import ContentError, StaleError, UntrustedError
from kit.values import CollectionName, Sha256, Timestamp
from tests.commands import ROOT

SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas/recovery-approval.schema.json").read_text()))
SCOPE: dict[str, Any] = {"manifestSha256": "a" * 64, "collections": ["app.notes.old"], "wholeCollections": True}
GOOD: dict[str, Any] = {
    "schemaVersion": "1",
    "incidentId": "INC-7",
    "reason": "court order",
    "scope": SCOPE,
    "notBefore": "2026-01-01T00:00:00Z",
    "expires": "2026-01-02T00:00:00Z",
}
LISTS = {"partitions": ["w1"], "owners": ["ada", "bob"], "documents": ["x", {"$oid": "0" * 24}, {"$numberInt": "-7"}]}


def scope(**changes: Any) -> dict[str, Any]:
    return GOOD | {"scope": {name: value for name, value in (SCOPE | changes).items() if value is not ...}}


@pytest.mark.parametrize(
    "document",
    [GOOD, *(scope(wholeCollections=..., **some) for some in ({"owners": ["ada"]}, {"partitions": ["w1"]}, LISTS))],
)
def test_an_approval_prints_what_it_parses(document: dict[str, Any]) -> None:
    SCHEMA.validate(document)
    approval = Approval.parse(json.dumps(document).encode())
    assert json.loads(approval.to_json()) == document
    assert Approval.parse(approval.to_json()) == approval


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param(GOOD | {"schemaVersion": "2"}, "is version '2'", id="another version"),
        pytest.param(GOOD | {"more": 1}, "'more'", id="an unknown member"),
        pytest.param(GOOD | {"incidentId": ""}, "/incidentId", id="no incident"),
        pytest.param({k: v for k, v in GOOD.items() if k != "reason"}, "'reason'", id="no reason"),
        pytest.param(GOOD | {"expires": "tomorrow"}, "/expires", id="no time"),
        pytest.param(GOOD | {"notBefore": "0"}, "/notBefore", id="seconds for a time"),
        pytest.param(scope(wholeCollections=...), "must have wholeCollections, or", id="neither narrowed nor whole"),
        pytest.param(scope(owners=["ada"]), "must have wholeCollections, or", id="narrowed and whole"),
        pytest.param(scope(wholeCollections=False, owners=["ada"]), "/wholeCollections", id="not whole, said"),
        pytest.param(scope(wholeCollections=1), "/wholeCollections", id="whole, as a number"),
        pytest.param(scope(wholeCollections=..., owners=[]), "/owners", id="no owner"),
        pytest.param(scope(wholeCollections=..., partitions=["a", "a"]), "/partitions", id="a partition twice"),
        pytest.param(scope(wholeCollections=..., documents=[]), "/documents", id="no document"),
        pytest.param(scope(wholeCollections=..., documents=[7]), "/documents/0", id="a bare number"),
        pytest.param(scope(wholeCollections=..., documents=[{"$oid": "A" * 24}]), "/documents/0", id="in capitals"),
        pytest.param(scope(wholeCollections=..., documents=[{"$oid": "00"}]), "/documents/0", id="too short"),
        pytest.param(scope(wholeCollections=..., documents=[{"$date": "0"}]), "/documents/0", id="another type"),
        pytest.param(scope(collections=[]), "/collections", id="no collection"),
        pytest.param(scope(collections=["notes"]), "/collections/0", id="no database"),
        pytest.param(scope(manifestSha256="A" * 64), "/manifestSha256", id="a digest in capitals"),
        pytest.param(scope(manifestSha256="a"), "/manifestSha256", id="no digest"),
        pytest.param(scope(more=1), "'more'", id="an unknown member of the scope"),
    ],
)
def test_what_is_not_of_the_schema_is_refused_by_its_place(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ContentError) as caught:
        Approval.parse(json.dumps(document).encode())
    assert words in str(caught.value)
    assert not SCHEMA.is_valid(document)


@pytest.mark.parametrize(
    "document",
    [
        GOOD | {"expires": GOOD["notBefore"]},
        GOOD | {"expires": "2026-02-30T00:00:00Z"},
        scope(wholeCollections=..., documents=[{"$numberInt": "2147483648"}]),
    ],
    ids=["over as it begins", "no day", "a number too large"],
)
def test_what_only_the_program_can_refuse(document: dict[str, Any]) -> None:
    with pytest.raises(ContentError):
        Approval.parse(json.dumps(document).encode())


def test_it_is_valid_from_its_first_second_to_before_its_last() -> None:
    approval = Approval.parse(json.dumps(GOOD).encode())
    first, end = approval.not_before.seconds, approval.expires.seconds
    for moment in (first, end - 1):
        approval.check_time(Timestamp(moment))
    for moment in (first - 1, end):
        with pytest.raises(StaleError):
            approval.check_time(Timestamp(moment))


def test_it_is_for_one_manifest_and_collections_that_are_there() -> None:
    found = Approval.parse(json.dumps(GOOD).encode()).scope
    notes = CollectionName(database="app", collection="notes.old")
    found.check_kit(Sha256("a" * 64), [notes])
    with pytest.raises(UntrustedError, match="with manifest"):
        found.check_kit(Sha256("b" * 64), [notes])
    with pytest.raises(UntrustedError, match=r"app\.notes\.old"):
        found.check_kit(Sha256("a" * 64), [])


def test_a_document_must_meet_every_list() -> None:
    one = DocumentName.parse("1")
    found = RecoveryScope(
        manifest_sha256=Sha256("a" * 64),
        collections=(collection_name("app.notes"),),
        partitions=frozenset({"w1"}),
        owners=frozenset({"ada"}),
        documents=frozenset({one}),
    )
    assert found.has(partition="w1", owner="ada", identity=one.identity)
    assert not found.has(partition="w2", owner="ada", identity=one.identity)
    assert not found.has(partition="w1", owner="bob", identity=one.identity)
    number = DocumentName.parse({"$numberInt": "1"})
    assert not found.has(partition="w1", owner="ada", identity=number.identity)


@given(
    st.one_of(
        st.text(),
        st.binary(min_size=12, max_size=12).map(lambda data: {"$oid": data.hex()}),
        st.integers(-(2**31), 2**31 - 1).map(lambda number: {"$numberInt": str(number)}),
        st.integers(-(2**63), 2**63 - 1).map(lambda number: {"$numberLong": str(number)}),
    )
)
def test_a_document_s_name_is_its_identity_as_bson_has_it(value: Any) -> None:
    native: Any = value
    if isinstance(value, dict):
        ((key, text),) = value.items()
        native = {"$oid": bson.ObjectId, "$numberInt": int, "$numberLong": bson.Int64}[key](text)
    name = DocumentName.parse(value)
    encoded = bson.encode({"": native})
    assert name.identity == encoded[4:5] + encoded[6:-1]
    assert name.to_json() == value
