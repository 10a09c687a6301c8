"""The file that says where cached payloads are: strict, and silent only about what stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.errors import ContentError
from kit.transforms.raw_linkset import parse_cache_map, shape


def parsed(document: Any) -> Any:
    return parse_cache_map(json.dumps(document).encode(), where="map.json")


def test_what_is_not_named_stays_where_it_is_by_default() -> None:
    found = parsed({"schemaVersion": "1"})
    assert (found.collection, found.places) == ("dto", shape.DTO)


def test_every_field_can_be_moved_to_one_place_or_several() -> None:
    names = ("tenant", "vendor", "upstreamId", "contentHash", "format", "payload")
    found = parsed({"schemaVersion": "1", "collection": "c", "fields": {name: [f"a.{name}", "b"] for name in names}})
    assert found.collection == "c"
    assert str(found.places.raw) == "a.payload | b"
    assert str(found.places.upstream_id) == "a.upstreamId | b"
    assert str(found.places.content_hash) == "a.contentHash | b"
    assert found.places.linkset == shape.DTO.linkset


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "cache map: an object is expected, not a list"),
        ({"schemaVersion": "2"}, "cache map: is version '2'"),
        ({"schemaVersion": "1", "more": 1}, r"unknown members: 'more'"),
        ({"schemaVersion": "1", "collection": ""}, "collection: a non-empty string is expected"),
        ({"schemaVersion": "1", "collection": 5}, "collection: a non-empty string is expected"),
        ({"schemaVersion": "1", "fields": []}, "fields: an object is expected"),
        ({"schemaVersion": "1", "fields": {"other": "a"}}, "unknown field 'other'"),
        ({"schemaVersion": "1", "fields": {"vendor": ""}}, "fields: vendor: dotted paths"),
        ({"schemaVersion": "1", "fields": {"vendor": "a..b"}}, "fields: vendor: dotted paths"),
        ({"schemaVersion": "1", "fields": {"vendor": []}}, "fields: vendor: dotted paths"),
        ({"schemaVersion": "1", "fields": {"vendor": ["a", 5]}}, "fields: vendor: dotted paths"),
    ],
    ids=str,
)
def test_anything_else_is_refused_by_name(document: Any, message: str) -> None:
    with pytest.raises(ContentError, match=message) as caught:
        parsed(document)
    assert caught.value.where.startswith("map.json")


def test_a_member_twice_is_refused() -> None:
    with pytest.raises(ContentError):
        parse_cache_map(b'{"schemaVersion": "1", "schemaVersion": "1"}', where="map.json")
