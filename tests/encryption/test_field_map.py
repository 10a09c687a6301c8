from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kit.encryption import SHIPPED, FieldMap, field_map, shipped
from kit.encryption.field_map import FieldPath
from kit.errors import ContentError, KitError, UsageError
from kit.values import CollectionName
from tests.encryption.site import ENTRY, MAP, map_of

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/field-map.schema.json").read_bytes())


def _valid(value: object) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(value))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_maps_parse_and_are_of_the_schema(name: str) -> None:
    found = shipped(name)
    assert found.product == name.partition("-")[0]
    assert _valid(found.to_json())
    assert FieldMap.parse(json.dumps(found.to_json()).encode()) == found


def test_the_notelett_map_is_the_one_agreed() -> None:
    found = {entry.collection: entry for entry in shipped("notelett").collections}
    table = {
        name: (str(entry.partition_key), [str(field) for field in entry.fields], entry.context, str(entry.owner))
        for name, entry in found.items()
    }
    assert table == {
        "notes": ("workspaceId", ["body"], "notes", "userId"),
        "palace_memories": ("userId", ["content"], "palace-memory", "userId"),
        "note_artifacts": ("workspaceId", ["title", "description", "blobPath"], "note_artifacts", "userId"),
        "note_prompts": ("userId", ["description", "systemPrompt", "userPromptTemplate"], "note_prompts", "userId"),
        "note_agent_actions": (
            "workspaceId",
            ["reason", "beforeSummary", "afterSummary", "reviewNote"],
            "note_agent_actions",
            "userId",
        ),
    }
    assert {name: set(entry.skip_owners) for name, entry in found.items() if entry.skip_owners} == {
        "note_prompts": {"__builtin__"}
    }


def test_there_is_no_other_shipped_map() -> None:
    with pytest.raises(UsageError, match="no field map 'x'"):
        shipped("x")


def test_collections_come_in_the_order_of_the_map() -> None:
    found = map_of(
        {**ENTRY, "order": 2}, {**ENTRY, "collection": "b", "order": 1}, {**ENTRY, "collection": "c", "order": 2}
    )
    assert [entry.collection for entry in found.collections] == ["b", "notes", "c"]


def test_a_map_without_database_matches_in_every_database() -> None:
    one, other = (CollectionName(database=name, collection="notes") for name in ("app", "old"))
    assert MAP.collection(one) is MAP.collection(other) is not None
    bound = map_of({**ENTRY, "database": "app"})
    assert bound.collection(one) is not None
    assert bound.collection(other) is None
    assert bound.to_json()["collections"][0]["database"] == "app"


def test_names_with_dots_are_lists_of_steps() -> None:
    path = FieldPath(("a.b", "c"))
    found = map_of({**ENTRY, "fields": [["a.b", "c"], "a.b.c"], "productId": "p"})
    assert found.collections[0].fields == (path, FieldPath(("a", "b", "c")))
    assert str(path) == '["a.b", "c"]'
    assert FieldMap.parse(json.dumps(found.to_json()).encode()) == found


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"fields": ["_id"]}, "/collections/0/fields/0: '_id' cannot be encrypted", id="_id"),
        pytest.param({"fields": ["_id.part"]}, "the identity of documents", id="part of _id"),
        pytest.param({"fields": ["body", "workspaceId"]}, "/fields/1.*is the partition key", id="partition key"),
        pytest.param(
            {"partitionKey": "a.b", "fields": ["a"]}, "is the partition key", id="what holds the partition key"
        ),
        pytest.param({"fields": ["userId"]}, "is the owner", id="owner"),
        pytest.param({"fields": ["productId"]}, "identifies the product", id="productId"),
        pytest.param({"queryable": ["body.text"]}, "declared queryable", id="what holds a queryable field"),
        pytest.param({"queryable": ["body"]}, "declared queryable", id="queryable"),
        pytest.param(
            {"fields": ["a", "a.b"]}, "/fields/1: 'a.b' overlaps /collections/0/fields/0", id="field in a field"
        ),
        pytest.param({"fields": ["a.b", "a"]}, "overlaps", id="field around a field"),
        pytest.param({"fields": ["a", "a"]}, "overlaps", id="field twice"),
        pytest.param({"fields": []}, "/fields: is empty", id="no fields"),
        pytest.param({"fields": ["a..b"]}, "step that is empty", id="empty step"),
        pytest.param({"fields": [[]]}, "neither a dotted path", id="empty path"),
        pytest.param({"fields": [7]}, "neither a dotted path", id="number for a path"),
        pytest.param({"fields": [["a", 7]]}, "is not a string", id="number for a step"),
        pytest.param({"fields": ["a\0b"]}, "contains NUL", id="NUL"),
        pytest.param({"fields": ["items.*.text"]}, "elements of arrays cannot be mapped", id="wildcard"),
        pytest.param({"fields": "body"}, "/fields: is not a list", id="text for a list"),
        pytest.param({"collection": ""}, "/collection: is empty", id="no collection"),
        pytest.param({"collection": "a/b"}, "cannot be the name of a collection", id="slash in a name"),
        pytest.param({"database": "a/b"}, "cannot be the name of a database", id="slash in a database"),
        pytest.param({"context": ""}, "/context: is empty", id="no context"),
        pytest.param({"order": True}, "/order: is not an integer", id="true for a number"),
        pytest.param({"skipOwners": [""]}, "/skipOwners/0: is empty", id="empty owner to skip"),
        pytest.param({"feilds": ["x"]}, "unknown member: 'feilds'", id="misspelt member"),
    ],
)
def test_a_map_that_would_do_harm_is_refused_with_its_place(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ContentError, match=fault):
        map_of({**ENTRY, **change})


@pytest.mark.parametrize("name", ["collection", "partitionKey", "fields", "context", "userIdField"])
def test_what_is_needed_must_be_there(name: str) -> None:
    entry = {key: value for key, value in ENTRY.items() if key != name}
    with pytest.raises(ContentError, match=f"has no '{name}'"):
        map_of(entry)
    assert not _valid({"schemaVersion": "1", "product": "p", "collections": [entry]})


@pytest.mark.parametrize(
    ("one", "other"),
    [(None, None), ("a", "a"), (None, "a"), ("a", None)],
    ids=["in any database", "in one database", "any and one", "one and any"],
)
def test_a_collection_mapped_twice_is_refused(one: str | None, other: str | None) -> None:
    entries = [{**ENTRY, **({"database": name} if name else {})} for name in (one, other)]
    with pytest.raises(ContentError, match="/collections/1: maps 'notes' again, after /collections/0"):
        map_of(*entries)
    map_of({**ENTRY, "database": "a"}, {**ENTRY, "database": "b"})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"[]", "at the top: is not an object"),
        (b'{"schemaVersion": "2"}', "is version '2'"),
        (b'{"schemaVersion": "1", "product": "p", "collections": []}', "would encrypt nothing"),
        (b'{"schemaVersion": "1", "product": "p", "collections": [7]}', "/collections/0: is not an object"),
        (b'{"schemaVersion": "1", "schemaVersion": "1"}', "there twice"),
        (b"{", "not JSON"),
    ],
)
def test_what_is_no_field_map_is_refused(text: bytes, fault: str) -> None:
    with pytest.raises(ContentError, match=fault):
        FieldMap.parse(text, where="m.json")
    with pytest.raises(KitError, match=r"^m\.json: "):
        FieldMap.parse(text, where="m.json")


def test_the_schema_and_the_parser_agree_on_a_misspelt_member() -> None:
    good = {"schemaVersion": "1", "product": "p", "collections": [ENTRY]}
    assert _valid(good)
    assert not _valid({**good, "collections": [{**ENTRY, "feilds": []}]})
    assert not _valid({**good, "more": 1})


def test_the_second_map_of_notelett_is_the_first_with_its_product_and_what_stays_plain() -> None:
    first, second = (shipped(name) for name in ("notelett", "notelett-2"))
    bare = [replace(entry, product_id=None, queryable=()) for entry in second.collections]
    assert bare == list(first.collections)
    assert {entry.product_id for entry in second.collections} == {"notelett"}
    assert {entry.collection: tuple(map(str, entry.queryable)) for entry in second.collections} == {
        name: field_map.plain_names(name) for name in field_map.OF_CONTAINER
    }


COPIES = [
    (entry["collection"], name)
    for entry in shipped("notelett-2").to_json()["collections"]
    for name in entry["queryable"]
]


def test_a_copy_of_it_that_maps_what_must_stay_plain_is_refused() -> None:
    assert {"embedding", "metadata", "state", "actor", "workflow", "idempotencyKey", "correlationId", "createdAt"} <= {
        name for _, name in COPIES
    }
    for collection, name in COPIES:
        for field in (name, f"{name}.x"):
            copied = shipped("notelett-2").to_json()
            (entry,) = [one for one in copied["collections"] if one["collection"] == collection]
            entry["fields"].append(field)
            with pytest.raises(ContentError, match="cannot be encrypted"):
                FieldMap.parse(json.dumps(copied).encode())


def test_a_map_of_the_product_that_maps_what_is_queried_is_told_so() -> None:
    copied = shipped("notelett").to_json()
    copied["collections"][3]["fields"].append("metadata.room")
    copied["collections"][4]["fields"].append("createdAt")
    told = field_map.advice(FieldMap.parse(json.dumps(copied).encode()))
    assert "fields are encrypted that are queried: palace_memories metadata.room, notes createdAt" in told
    assert field_map.advice(shipped("notelett-2")) == field_map.advice(shipped("concelier")) == ()
