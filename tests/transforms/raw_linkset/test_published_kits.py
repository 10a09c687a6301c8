"""What is derived from published advisories is what other code derived from them; skipped where the data is absent."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import bson
import pytest

from kit.transforms.raw_linkset import registry, shape
from kit.transforms.raw_linkset.divergence import compare
from kit.transforms.raw_linkset.projection import encode_element, from_linkset
from tests.transforms.raw_linkset.published_data import ADVISORIES, KITS, advisories, collection, expected

Key = tuple[str, str, str, str]


def key(document: dict[str, Any], places: shape.DocumentShape) -> Key:
    found = (places.tenant, places.vendor, places.upstream_id, places.content_hash)
    return tuple(place.find(document) for place in found)


@cache
def observations(kit: str) -> list[dict[str, Any]]:
    return collection(kit, "advisory_observations")


@cache
def snapshots(kit: str) -> dict[Key, dict[str, Any]]:
    return {key(document, shape.ADVISORY_RAW): document for document in collection(kit, "advisory_raw")}


def derived(kit: str, observation: dict[str, Any], source: str) -> Any:
    if source == "snapshot":
        snapshot = snapshots(kit)[key(observation, shape.OBSERVATION)]
        return from_linkset(snapshot["linkset"], snapshot["identifiers"])
    extractor = registry.load().for_format(shape.OBSERVATION.format.find(observation))
    assert extractor is not None
    return extractor.extract(shape.OBSERVATION.raw.find(observation))


@pytest.mark.parametrize("kit", KITS)
def test_every_published_raw_linkset_is_derived_byte_for_byte(kit: str) -> None:
    met: Counter[str] = Counter()
    for observation, want in zip(observations(kit), expected(kit), strict=True):
        assert observation["_id"] == want["_id"]
        if want["source"] not in {"content", "snapshot"}:
            continue
        extraction = derived(kit, observation, want["source"])
        assert (extraction.skipped, extraction.refusal) == (0, None)
        assert encode_element(extraction.projection) == bson.encode({"rawLinkset": want["rawLinkset"]})[4:-1]
        met[want["source"]] += 1
    assert met["content"] > 90
    assert met["snapshot"] > 90


@pytest.mark.parametrize("kit", KITS)
def test_every_published_observation_agrees_with_its_linkset(kit: str) -> None:
    for observation, want in zip(observations(kit), expected(kit), strict=True):
        if want["source"] in {"content", "snapshot"}:
            projection = derived(kit, observation, want["source"]).projection
            assert compare(projection, observation["linkset"]) is None, observation["_id"]


@pytest.mark.parametrize("kit", KITS)
def test_every_readable_content_is_recognised_as_what_it_says_it_is(kit: str) -> None:
    known = registry.load()
    for observation in observations(kit):
        raw = shape.OBSERVATION.raw.find(observation)
        stated = known.for_format(shape.OBSERVATION.format.find(observation))
        assert (known.sniff(raw) if isinstance(raw, dict) else None) is stated


@pytest.mark.parametrize("name", ADVISORIES)
def test_published_advisories_are_read_by_their_extractor_and_survive_all_others(name: str) -> None:
    known = registry.load()
    met: Counter[str] = Counter()
    for advisory in advisories(name):
        raw = advisory["raw"]
        sniffed = known.sniff(raw)
        stated = known.for_format(advisory["format"].removesuffix("-unspecified"))
        assert sniffed is stated, advisory["path"]
        met[sniffed.name if sniffed else "none"] += 1
        for extractor in known.extractors:
            extraction = extractor.extract(raw)
            encode_element(extraction.projection)
            if extractor is sniffed:
                assert extraction.refusal is None
                assert extraction.skipped == 0, advisory["path"]
            else:
                assert extraction.refusal is not None
    assert met["none"] <= 10
