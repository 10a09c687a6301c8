"""Laws of the changes of a schema, of documents and metadata that hypothesis makes: undone, all is what it was."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.encryption.field_map import FieldPath
from kit.engine.lookup import EmptyLookup
from kit.errors import ContentError
from kit.migrations import parse_migration
from kit.transforms.protocol import Transform
from kit.transforms.reshape import metadata
from kit.transforms.undoing import find_way, take_way
from kit.values import CollectionName
from tests.end_to_end.test_reshape import COPY, DEFAULT, ENUM, OWNER, REMOVE, migration

NOTES = CollectionName(database="notelett", collection="notes")
NESTED = migration("additive-optional", ("reshape-default", {"path": "a.b", "value": {"$numberInt": "1"}}))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["open", "done", "shut", "archived", "u1", "v1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["_id", "a", "state", "status", "pinned", "userId", "workspaceId", "tenant", "z"])
DOCUMENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=9), max_size=8)
KINDS = {"default": DEFAULT, "nested": NESTED, "enum": ENUM, "copy": COPY, "remove": REMOVE, "owner": OWNER}


def transform_of(described: dict[str, Any]) -> Transform:
    (found,) = parse_migration(json.dumps(described).encode(), random=bytes).transforms
    return found


@pytest.mark.parametrize("described", KINDS.values(), ids=KINDS)
@given(made=DOCUMENTS)
@settings(deadline=None, max_examples=60)
def test_a_changed_document_leads_back_and_a_second_run_changes_nothing(
    described: dict[str, Any], made: list[dict[str, Any]]
) -> None:
    transform = transform_of(described)
    documents = [bson.encode(one) for one in made]
    if described is REMOVE:  # of which each may have the copy that it demands
        documents = [
            bson.encode(one | {"status": one["state"]}) if "state" in one else bson.encode(one) for one in made
        ]
    changes = transform.apply(NOTES, documents, EmptyLookup(), 0)
    assert len(changes) == len(documents)
    for document, change in zip(documents, changes, strict=True):
        assert (change.failure is None) or change.document is None
        if change.document is None:
            continue
        way = find_way(NOTES, (transform,), change.document, document)
        assert way is not None
        assert take_way(NOTES, (transform,), change.document, way) == document
        bson.decode(change.document)
        (again,) = transform.apply(NOTES, [change.document], EmptyLookup(), 0)
        assert (again.document, again.failure) == (None, None)


@pytest.mark.parametrize("described", KINDS.values(), ids=KINDS)
def test_what_a_transform_states_of_itself_makes_it_again(described: dict[str, Any]) -> None:
    first = parse_migration(json.dumps(described).encode(), random=bytes)
    assert parse_migration(first.to_bytes(), random=bytes) == first


SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "required": st.lists(st.sampled_from(["a", "b", 'c"', "ü"]), min_size=1, max_size=3, unique=True),
        "bsonType": st.just("object"),
        "properties": st.dictionaries(st.sampled_from("ab"), st.just({"bsonType": "object"}), max_size=2),
    },
)


@given(schema=SCHEMAS, path=st.sampled_from([("a",), ('c"',), ("n",), ("a", "n")]), indent=st.sampled_from([None, 2]))
@settings(deadline=None, max_examples=80)
def test_a_validator_that_is_tightened_and_released_is_the_same_bytes(
    schema: dict[str, Any], path: tuple[str, ...], indent: int | None
) -> None:
    whole = {"indexes": [], "options": {"validator": {"$jsonSchema": schema}, "capped": False}}
    data = json.dumps(whole, indent=indent, ensure_ascii=False).encode()
    where = FieldPath(path)
    try:
        tightened = metadata.require(data, where)
    except ContentError:
        assert len(path) == 2
        assert "a" not in schema.get("properties", {})
        return
    if tightened is None:
        assert path[-1] in schema["required"]
        return
    assert metadata.release(tightened, where) == data
    inner = json.loads(tightened)["options"]["validator"]["$jsonSchema"]
    inner = inner["properties"]["a"] if len(path) == 2 else inner
    assert inner["required"][-1] == path[-1]
    assert metadata.require(tightened, where) is None
