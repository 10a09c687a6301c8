"""What no server would take is named before anything is signed, by plan and patch alike."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard
from bson.raw_bson import RawBSONDocument

from kit.importing.metadata import name_faults
from kit.values import CollectionName
from tests import kits
from tests.attacks.bombs import nested_document
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import AT, OBSERVATIONS, observation

METADATA = OBSERVATIONS.replace(".bson", ".metadata.json")
OTHER_PART = OBSERVATIONS.replace("dump/", "more/")
TWO = kits.collection([observation(1), observation(2)])
ONE, OTHER = "acme:osv:GO-2025-0001:1", "acme:osv:GO-2025-0002:1"


def described(options: dict[str, Any] | None = None, *indexes: dict[str, Any], **more: Any) -> bytes:
    """Give a metadata file as mongodump writes it."""
    own = {"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}
    return json.dumps({"options": options or {}, "indexes": [own, *indexes], "uuid": "0", **more}).encode()


def unique(name: str, *paths: str, **more: Any) -> dict[str, Any]:
    key = {path: {"$numberInt": "1"} for path in paths}
    return {"v": {"$numberInt": "2"}, "unique": True, "key": key, "name": name, **more}


def validated(**keywords: Any) -> bytes:
    return described({"validator": {"$jsonSchema": {"bsonType": "object", **keywords}}})


FEW_ALIASES = {"properties": {"rawLinkset": {"properties": {"aliases": {"maxItems": {"$numberInt": "1"}}}}}}
NO_ARRAYS = {"properties": {"extra": {"not": {"bsonType": "array"}}}}


def plan_and_patch(desk: Desk, path: Path, *options: object) -> tuple[int, str, dict[str, Any]]:
    """Check that both end alike and leave nothing, and give exit code, first error and the plan's report."""
    before = kits.folder_state(desk.kits)
    plan = kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--json", *options)
    shown = kit("plan", path, *desk.trust("vendor"), "--created-at", AT, *options)
    patch = desk.patch(path, "--output", desk.kits / "out", *options)
    assert (plan.code, plan.err) == (patch.code, patch.err) == (shown.code, shown.err)
    assert kits.folder_state(desk.kits) == before
    report = json.loads(plan.out)
    for one in report["findings"]:
        assert one["kind"] in shown.out
    for one in report["unchecked"]:
        assert one["what"] in shown.out
    return plan.code, plan.err.splitlines()[0], report


REFUSED: dict[str, tuple[dict[str, bytes], str, list[str], str]] = {
    "a validator that the projection breaks": (
        {METADATA: validated(**FEW_ALIASES)},
        "validator",
        [ONE, OTHER],
        "maxItems of 'rawLinkset.aliases'",
    ),
    "a validator that was broken before": (
        {OBSERVATIONS: kits.collection([observation(1), observation(2, extra=[1])]), METADATA: validated(**NO_ARRAYS)},
        "validator",
        [OTHER],
        "not of 'extra'; already in the base",
    ),
    "a validator in a gzip member": (
        {f"{METADATA}.gz": gzip.compress(validated(required=["x"]))},
        "validator",
        [ONE, OTHER],
        "required; already in the base",
    ),
    "a validator in a zstd member": (
        {f"{METADATA}.zst": zstandard.compress(validated(required=["x"]))},
        *("validator", [ONE, OTHER], "required; already in the base"),
    ),
    "one of two schemas that are joined": (
        {METADATA: described({"validator": {"$and": [{"$jsonSchema": {}}, {"$jsonSchema": {"required": ["x"]}}]}})},
        *("validator", [ONE, OTHER], "required"),
    ),
    "an _id twice": ({OBSERVATIONS: TWO + kits.collection([observation(1)])}, "index", [ONE], f'same key for "{ONE}"'),
    "an _id twice, as two types of number": (
        {
            OBSERVATIONS: kits.collection(
                [observation(1, _id=7), observation(2, _id=bson.Int64(7)), observation(3, _id=8)]
            )
        },
        *("index", ["7"], "already in the base"),
    ),
    "a compound key twice": (
        {METADATA: described(None, unique("both", "tenant", "source.vendor"))},
        *("index", [OTHER], f"the unique index 'both' has the same key for \"{ONE}\"; already in the base"),
    ),
    "a missing field twice, which is null": (
        {METADATA: described(None, unique("u", "nothing.there"))},
        *("index", [OTHER], "already in the base"),
    ),
    "an item of an array twice, which the patch adds": (
        {
            OBSERVATIONS: kits.collection([observation(1), observation(2, raw=kits.advisory(1), linkset=...)]),
            METADATA: described(None, unique("u", "rawLinkset.aliases")),
        },
        *("index", [OTHER], f'same key for "{ONE}"'),
    ),
    "a key twice where a filter holds": (
        {METADATA: described(None, unique("u", "tenant", partialFilterExpression={"linkset": {"$exists": True}}))},
        *("index", [OTHER], "same key"),
    ),
    "two arrays in one compound index": (
        {
            OBSERVATIONS: kits.collection([observation(1, a=[1], b=[2]), observation(2, a=[1], b=2)]),
            METADATA: described(None, unique("u", "a", "b")),
        },
        *("index", [ONE], "two fields are different arrays; already in the base"),
    ),
    "too deep": (
        {
            OBSERVATIONS: bson.encode(observation(1))
            + bson.encode(observation(2, deep=RawBSONDocument(nested_document(100))))
        },
        *("nesting", [OTHER], "deeper than 100 levels; already in the base"),
    ),
    "a dollar in front of a name": (
        {OBSERVATIONS: kits.collection([observation(1, **{"$set": 1}), observation(2, within={"$set": 1, "a.b": 2})])},
        *("name", [ONE], "begins with $; already in the base"),
    ),
    "an _id that is an array": (
        {OBSERVATIONS: kits.collection([observation(1, _id=[1])])},
        "name",
        ["type 4: 0c0000001030000100000000"],
        "its _id is an array",
    ),
    "an _id with a dollar": (
        {OBSERVATIONS: kits.collection([observation(1, _id={"$oid": 1})])},
        "name",
        ["type 3: 0f00000010246f6964000100000000"],
        "a name in its _id begins with $",
    ),
    "metadata that is no JSON": (
        {METADATA: b"{'options': {}}"},
        "metadata",
        ["concelier.advisory_observations"],
        "metadata.json",
    ),
    "metadata with a key twice": (
        {METADATA: b'{"options": {}, "options": {}}'},
        "metadata",
        ["concelier.advisory_observations"],
        "metadata.json",
    ),
    "metadata of another form": (
        {METADATA: b'{"indexes": {}}'},
        "metadata",
        ["concelier.advisory_observations"],
        "is not the metadata",
    ),
    "metadata in a damaged codec": (
        {f"{METADATA}.gz": gzip.compress(described())[:-9]},
        "metadata",
        ["concelier.advisory_observations"],
        "metadata.json.gz",
    ),
    "a name that is too long": (
        {METADATA: described(collectionName="c" * 250)},
        "name",
        [f"concelier.{'c' * 250}"],
        "at most 255 bytes",
    ),
}


@pytest.mark.parametrize(("members", "rule", "documents", "words"), REFUSED.values(), ids=REFUSED)
def test_what_a_server_refuses_is_named_and_nothing_is_signed(
    members: dict[str, bytes], rule: str, documents: list[str], words: str, desk: Desk
) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: TWO, **members})
    code, error, report = plan_and_patch(desk, path)
    named = [one["document"] for one in report["findings"] if one["kind"] == "unimportable"]
    assert (code, named, report["unimportable"]) == (11, documents, {rule: len(documents)})
    assert f"a server refuses it by the rule {rule}: " in error
    assert words in error or words in report["findings"][-1]["reason"]


@pytest.mark.parametrize("name", ["an _id twice", "too deep", "a validator that the projection breaks"])
def test_what_is_permitted_is_counted_in_provenance_and_record(name: str, desk: Desk) -> None:
    members, rule, documents, _ = REFUSED[name]
    path = desk.kit({**kits.content(), OBSERVATIONS: TWO, **members})
    record = desk.keys / "record.json"
    patched = desk.patched(path, "--allow-unimportable", "--record", record)
    verdict = desk.verify(patched)
    assert (verdict.code, f"documents that a server refuses: {len(documents)} by {rule}" in verdict.out) == (0, True)
    envelope = json.loads(kits.read(patched)["manifest/history/3/patch.intoto.json"])
    assert json.loads(base64.b64decode(envelope["payload"]))["predicate"]["unimportable"] == {rule: len(documents)}
    assert json.loads(record.read_bytes())["live"]["unimportable"] == {rule: len(documents)}
    again = desk.patch(patched, "--output", desk.kits / "again", trusting=("vendor", "site"))
    assert (again.code, "nothing to change" in again.out) == (0, True), again


TAKEN: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "no metadata": ({}, []),
    "a validator that only warns": (
        {METADATA: described({"validator": {"$jsonSchema": {"required": ["x"]}}, "validationAction": "warn"})},
        [],
    ),
    "a validator that is off": (
        {METADATA: described({"validator": {"$jsonSchema": {"required": ["x"]}}, "validationLevel": "off"})},
        [],
    ),
    "another query": (
        {METADATA: described({"validator": {"$expr": {"$gt": ["$a", 1]}, "$jsonSchema": {"required": ["tenant"]}}})},
        ["validator $expr"],
    ),
    "a keyword that nobody knows": ({METADATA: validated(format="date")}, ["validator $jsonSchema.format"]),
    "a level that nobody knows": (
        {METADATA: described({"validator": {"$jsonSchema": {"required": ["x"]}}, "validationLevel": "some"})},
        ["validator, with validationLevel 'some' and validationAction 'error'"],
    ),
    "a pattern that could take for ever": (
        {METADATA: validated(properties={"tenant": {"pattern": "^(a+)+$"}})},
        ["validator $jsonSchema.properties.tenant.pattern"],
    ),
    "an index with a collation": (
        {METADATA: described(None, unique("u", "tenant", collation={"locale": "en"}))},
        ["index 'u': collation"],
    ),
    "an index by the place of an item": (
        {METADATA: described(None, unique("u", "a.0"))},
        ["index 'u': a path with the place of an item, or without a name"],
    ),
    "an index with another filter": (
        {METADATA: described(None, unique("u", "tenant", partialFilterExpression={"a": {"$gt": 1}}))},
        ["index 'u': its partialFilterExpression"],
    ),
    "a sparse index of nothing": ({METADATA: described(None, unique("u", "nothing", sparse=True))}, []),
    "an index whose filter does not hold": (
        {METADATA: described(None, unique("u", "tenant", partialFilterExpression={"tenant": "other"}))},
        [],
    ),
    "an index that is not unique": ({METADATA: described(None, {**unique("u", "tenant"), "unique": False})}, []),
    "metadata of another collection": ({"dump/concelier/other.metadata.json": b"{"}, []),
}


@pytest.mark.parametrize(("members", "unchecked"), TAKEN.values(), ids=TAKEN)
def test_what_is_not_evaluated_is_listed_and_stops_nothing(
    members: dict[str, bytes], unchecked: list[str], desk: Desk
) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: TWO, **members})
    plan = kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--json")
    report = json.loads(plan.out)
    assert (plan.code, report["unimportable"]) == (0, {}), plan
    assert [one["what"] for one in report["unchecked"]] == unchecked
    assert desk.patch(path, "--output", desk.kits / "out").code == 0


def test_nothing_permits_a_document_that_grows_too_large(desk: Desk) -> None:
    grown = observation(1, pad="p" * (16 * 1024 * 1024 - 900))
    path = desk.kit({**kits.content(), OBSERVATIONS: kits.collection([grown])})
    for options in ((), ("--allow-unimportable",)):
        outcome = desk.patch(path, "--output", desk.kits / "out", *options)
        assert (outcome.code, "cannot be written: it would have" in outcome.err) == (11, True), outcome


def test_a_patch_that_changes_nothing_refuses_nothing(desk: Desk) -> None:
    done = kits.collection([observation(1, rawLinkset=kits.SOUND)] * 2)
    path = desk.kit({**kits.content(), OBSERVATIONS: done})
    outcome = desk.patch(path, "--output", desk.kits / "out")
    assert (outcome.code, "nothing to change" in outcome.out) == (0, True), outcome


def test_members_that_are_not_read_again_are_listed(desk: Desk) -> None:
    done = kits.collection([observation(3, rawLinkset=kits.SOUND)])
    path = desk.kit({**kits.content(), OBSERVATIONS: TWO, OTHER_PART: done})
    report = json.loads(kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--json").out)
    assert report["unchecked"][-1] == {
        "member": OTHER_PART,
        "what": "any of its documents, since none is to be changed",
    }


def test_members_of_one_collection_may_be_for_different_databases(desk: Desk) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: TWO, OTHER_PART: TWO})
    report = json.loads(kit("plan", path, *desk.trust("vendor"), "--created-at", AT, "--json").out)
    what = "keys that it shares with other members of the same collection"
    assert report["unchecked"] == [{"member": one, "what": what} for one in (OBSERVATIONS, OTHER_PART)]
    assert (report["refusal"], report["unimportable"]) == (None, {})


def test_the_permission_is_no_setting(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.kit({**kits.content(), OBSERVATIONS: TWO + TWO})
    (tmp_path / "kit.toml").write_text("allow-unimportable = true\n")
    monkeypatch.chdir(tmp_path)
    assert desk.patch(path, "--output", desk.kits / "out").code != 0
    (tmp_path / "kit.toml").unlink()
    monkeypatch.setenv("KIT_ALLOW_UNIMPORTABLE", "1")
    assert desk.patch(path, "--output", desk.kits / "out").code == 11


@pytest.mark.parametrize(
    ("database", "collection"),
    [
        *(("a b", "c"), ("a.b", "c"), ("a$", "c"), ("", "c"), ('a"', "c"), ("d" * 64, "c"), ("é" * 32, "c")),
        *(("d", ""), ("d", "a$b"), ("d", "a\0b"), ("d", ".a"), ("d", "a."), ("d", "system.users"), ("d", "a.system.b")),
        ("d" * 63, "c" * 192),
    ],
)
def test_names_that_no_server_takes(database: str, collection: str) -> None:
    assert list(name_faults(CollectionName(database=database, collection=collection)))


@pytest.mark.parametrize(
    ("database", "collection"),
    [("d" * 63, "c" * 191), ("d", "a.b"), ("d", "system.js"), ("d-1", "C é"), ("d", "a-b_c")],
)
def test_names_that_a_server_takes(database: str, collection: str) -> None:
    assert list(name_faults(CollectionName(database=database, collection=collection))) == []
