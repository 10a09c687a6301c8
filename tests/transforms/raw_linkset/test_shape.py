from __future__ import annotations

from typing import Any

import pytest

from kit.transforms.raw_linkset import shape


@pytest.mark.parametrize("document", [shape.OBSERVATION, shape.ADVISORY_RAW], ids=["observation", "advisory_raw"])
@pytest.mark.parametrize(
    "stored",
    [
        {
            "tenant": "t",
            "source": {"vendor": "v"},
            "upstream": {"upstreamId": "i", "contentHash": "h"},
            "content": {"format": "OSV", "specVersion": "1.0.0", "raw": {"id": "i"}},
            "linkset": {},
        },
        {
            "tenant": "t",
            "source": {"vendor": "v"},
            "upstream": {"upstream_id": "i", "content_hash": "h"},
            "content": {"format": "OSV", "spec_version": "1.0.0", "raw": {"id": "i"}},
            "linkset": {},
        },
    ],
    ids=["camelCase", "snake_case"],
)
def test_either_spelling_is_found_in_either_collection(document: shape.DocumentShape, stored: dict[str, Any]) -> None:
    found = [
        place.find(stored)
        for place in (
            document.tenant,
            document.vendor,
            document.upstream_id,
            document.content_hash,
            document.format,
            document.spec_version,
            document.raw,
            document.linkset,
        )
    ]
    assert found == ["t", "v", "i", "h", "OSV", "1.0.0", {"id": "i"}, {}]


def test_the_cached_payload_is_found() -> None:
    stored = {"sourceName": "v", "upstreamId": "i", "contentHash": "h", "format": "osv", "payload": {"id": "i"}}
    places = (shape.DTO.vendor, shape.DTO.upstream_id, shape.DTO.content_hash, shape.DTO.format, shape.DTO.raw)
    assert [place.find(stored) for place in places] == ["v", "i", "h", "osv", {"id": "i"}]


@pytest.mark.parametrize("stored", [{}, {"upstream": None}, {"upstream": "text"}, {"upstream": {"upstreamId": None}}])
def test_what_is_absent_null_or_not_an_object_is_not_found(stored: dict[str, Any]) -> None:
    assert shape.OBSERVATION.upstream_id.find(stored) is None


def test_a_place_prints_what_it_parses() -> None:
    place = shape.OBSERVATION.upstream_id
    assert str(place) == "upstream.upstreamId | upstream.upstream_id"
    assert shape.Place.parse(*str(place).split(" | ")) == place
