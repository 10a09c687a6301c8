"""What ``$jsonSchema`` means on a server: verdicts by the manual, and that nothing is refused for what was left out."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from typing import Any

import bson
import pytest
from bson.json_util import object_hook
from hypothesis import given, strategies as st

from kit.importing.metadata import parse_metadata
from kit.importing.schema import evaluable, find_violation, is_simple_pattern
from kit.importing.values import decode
from kit.values import Limits

NOW = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def violated(schema: object, document: dict[str, Any]) -> str | None:
    kept, left = evaluable(schema)
    assert left == ()
    return find_violation(kept, decode(bson.encode(document)))


VERDICTS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({"bsonType": "object"}, {}, None),
    ({"required": ["a"]}, {"a": None}, None),
    ({"required": ["a"]}, {}, "required"),
    ({"properties": {"a": {"bsonType": "int"}}}, {"a": 1}, None),
    ({"properties": {"a": {"bsonType": "int"}}}, {"a": bson.Int64(1)}, "bsonType of 'a'"),
    ({"properties": {"a": {"bsonType": ["int", "long", "double"]}}}, {"a": 1.5}, None),
    ({"properties": {"a": {"bsonType": "number"}}}, {"a": bson.Decimal128("1")}, None),
    ({"properties": {"a": {"bsonType": "date"}}}, {"a": NOW}, None),
    ({"properties": {"a": {"bsonType": "date"}}}, {"a": "2025-01-01"}, "bsonType of 'a'"),
    ({"properties": {"a": {"bsonType": "bool"}}}, {"a": 1}, "bsonType of 'a'"),
    ({"properties": {"a": {"type": "number"}}}, {"a": True}, "type of 'a'"),
    ({"properties": {"a": {"type": ["string", "null"]}}}, {"a": None}, None),
    ({"properties": {"a": {"enum": [1, "x", {"b": [2]}]}}}, {"a": 1.0}, None),
    ({"properties": {"a": {"enum": [1, "x", {"b": [2]}]}}}, {"a": {"b": [bson.Int64(2)]}}, None),
    ({"properties": {"a": {"enum": [1]}}}, {"a": True}, "enum of 'a'"),
    ({"properties": {"a": {"enum": [{"b": 1, "c": 2}]}}}, {"a": {"c": 2, "b": 1}}, "enum of 'a'"),
    ({"properties": {"a": {"minimum": 2}}}, {"a": 2.0}, None),
    ({"properties": {"a": {"minimum": 2, "exclusiveMinimum": True}}}, {"a": 2}, "minimum of 'a'"),
    ({"properties": {"a": {"maximum": 2**53}}}, {"a": bson.Int64(2**53 + 1)}, "maximum of 'a'"),
    ({"properties": {"a": {"maximum": 2}}}, {"a": math.nan}, "maximum of 'a'"),
    ({"properties": {"a": {"maximum": 2}}}, {"a": bson.Decimal128("1E+6000")}, "maximum of 'a'"),
    ({"properties": {"a": {"maximum": 2}}}, {"a": "three"}, None),
    ({"properties": {"a": {"multipleOf": 0.1}}}, {"a": 0.3}, None),
    ({"properties": {"a": {"multipleOf": 2}}}, {"a": 3}, "multipleOf of 'a'"),
    ({"properties": {"a": {"maxLength": 2}}}, {"a": "é€"}, None),
    ({"properties": {"a": {"minLength": 3}}}, {"a": "é€"}, "minLength of 'a'"),
    ({"properties": {"a": {"maxLength": 2.0}}}, {"a": "abc"}, "maxLength of 'a'"),
    ({"properties": {"a": {"pattern": "^GO-[0-9]{4}$"}}}, {"a": "GO-2025"}, None),
    ({"properties": {"a": {"pattern": "^GO-[0-9]{4}$"}}}, {"a": "XGO-2025"}, "pattern of 'a'"),
    ({"properties": {"a": {"items": {"bsonType": "string"}}}}, {"a": ["x", 1]}, "bsonType of 'a.1'"),
    (
        {"properties": {"a": {"items": [{"bsonType": "string"}], "additionalItems": False}}},
        {"a": ["x", 1]},
        "additionalItems of 'a'",
    ),
    ({"properties": {"a": {"minItems": 1}}}, {"a": []}, "minItems of 'a'"),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, "1", True]}, None),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 1.0]}, "uniqueItems of 'a'"),
    ({"additionalProperties": False, "properties": {"_id": {}}}, {"_id": 1, "b": 1}, "additionalProperties"),
    ({"additionalProperties": {"bsonType": "int"}}, {"b": "x"}, "bsonType of 'b'"),
    ({"patternProperties": {"^x-": {"bsonType": "int"}}, "additionalProperties": False}, {"x-a": 1}, None),
    ({"patternProperties": {"^x-": {"bsonType": "int"}}}, {"x-a": "1"}, "bsonType of 'x-a'"),
    ({"dependencies": {"a": ["b"]}}, {"a": 1}, "dependencies"),
    ({"dependencies": {"a": {"required": ["b"]}}}, {"c": 1}, None),
    ({"minProperties": 2}, {"a": 1}, "minProperties"),
    ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"c": 1}, "anyOf"),
    ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 1}, "oneOf"),
    ({"not": {"required": ["a"]}}, {"a": 1}, "not"),
    ({"allOf": [{"title": "t", "description": "d", "required": ["a"]}]}, {}, "required"),
]


@pytest.mark.parametrize(("schema", "document", "violation"), VERDICTS)
def test_a_schema_means_what_the_manual_says(schema: object, document: dict[str, Any], violation: str | None) -> None:
    assert violated(schema, document) == violation


LEFT_OUT: list[tuple[Any, list[str]]] = [
    ({"format": "date"}, [".format"]),
    ({"$ref": "#/definitions/a", "definitions": {}}, [".$ref", ".definitions"]),
    ({"properties": {"a": {"type": "integer"}}}, [".properties.a.type"]),
    ({"properties": {"a": {"bsonType": "float"}}}, [".properties.a.bsonType"]),
    ({"not": {"required": ["a"], "format": "x"}}, [".not"]),
    ({"oneOf": [{"required": ["a"]}, {"format": "x"}]}, [".oneOf"]),
    ({"patternProperties": {"(a|b)": {}}, "additionalProperties": False}, [".patternProperties.(a|b)"]),
    ({"properties": 1, "additionalProperties": False}, [".properties"]),
    ({"minimum": "1", "exclusiveMinimum": True}, [".minimum"]),
    ({"multipleOf": 0}, [".multipleOf"]),
    ({"allOf": {"a": 1}}, [".allOf"]),
    ({"enum": 5}, [".enum"]),
]


@pytest.mark.parametrize(("schema", "left"), LEFT_OUT)
def test_what_is_not_evaluated_is_named_and_refuses_nothing(schema: Any, left: list[str]) -> None:
    kept, found = evaluable(schema)
    assert list(found) == [f"$jsonSchema{one}" for one in left]
    assert find_violation(kept, decode(bson.encode({"a": 1, "b": "x"}))) is None


@pytest.mark.parametrize(
    "schema", [[], "x", None, {"required": []}, {"required": "a"}, {"minItems": -1}, {"items": 5}, {"anyOf": []}]
)
def test_a_schema_that_is_none_is_named(schema: Any) -> None:
    kept, found = evaluable(schema)
    assert (dict(kept), len(found)) == ({}, 1)


def test_a_schema_that_would_cost_too_much_is_not_evaluated() -> None:
    assert evaluable({"allOf": [{"required": ["x"]}] * 5_000}) == (
        {},
        ("$jsonSchema, which has more than 10,000 parts",),
    )


@pytest.mark.parametrize(
    "pattern",
    ["a+", "^(a+)+$", "^a|b", "^a*b*", "^[z-a]", "^a{2,1}", "^\\d", "^.*.*$", "^a++", "^(?=a)", "^" + "a" * 300],
)
def test_a_pattern_that_could_differ_or_take_long_is_not_evaluated(pattern: str) -> None:
    assert not is_simple_pattern(pattern)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=4)
    | st.sampled_from(["int", "string", "a", "^a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "bsonType",
                        "type",
                        "enum",
                        "required",
                        "properties",
                        "patternProperties",
                        "additionalProperties",
                    ),
                    *(
                        "items",
                        "not",
                        "oneOf",
                        "anyOf",
                        "allOf",
                        "minimum",
                        "maxLength",
                        "pattern",
                        "uniqueItems",
                        "a",
                        "^a",
                    ),
                    *(
                        "dependencies",
                        "multipleOf",
                        "$numberInt",
                        "$oid",
                        "$date",
                        "$jsonSchema",
                        "$and",
                        "unique",
                        "key",
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_whatever_the_metadata_holds_there_is_an_answer(validator: Any, index: Any, document: Any) -> None:
    text = json.dumps({"options": {"validator": validator}, "indexes": [{"key": {}, "unique": True, "name": index}]})
    demands = parse_metadata(text.encode(), limits=Limits(), where="metadata")
    schema, _ = evaluable(validator)
    for one in (schema, *demands.schemas):
        found = find_violation(one, decode(bson.encode({"a": document})))
        assert found is None or re.match(r"\w+", found)


def test_numbers_of_a_dump_are_numbers() -> None:
    spelled = {"properties": {"a": {"minimum": {"$numberLong": "5"}, "maximum": {"$numberDouble": "7.0"}}}}
    schema = json.loads(json.dumps(spelled), object_hook=object_hook)
    assert violated(schema, {"a": 8}) == "maximum of 'a'"
    assert violated(schema, {"a": 5}) is None
