"""What is kept of a document while kits are compared."""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

import bson
import pytest
import zstandard

from kit.values import CollectionName
from kit.verbs.diff.documents import Advisory, Sketch, sketch_each
from tests.commands import ROOT
from tests.kits import observation

OBSERVATIONS = CollectionName(database="concelier", collection="advisory_observations")
GO = ROOT.parent / "shared/data/advisories"


def sketch(document: dict[str, Any], name: CollectionName = OBSERVATIONS) -> Sketch:
    (made,) = sketch_each(name, [bson.encode(document)])
    return made


def advisory(**changes: Any) -> Advisory:
    found = sketch(observation(1, **changes)).advisory
    assert found is not None
    return found


def test_an_observation_says_what_it_is_about() -> None:
    assert advisory() == Advisory("acme", "osv", "GO-2025-0001", -(2**63), withdrawn=False, raw_linkset=False)
    assert advisory(rawLinkset=None).raw_linkset
    assert sketch(observation(1)).name == "acme:osv:GO-2025-0001:1"


def test_an_observation_that_names_no_advisory_and_any_other_document_are_just_documents() -> None:
    assert sketch(observation(1, source={})).advisory is None
    assert sketch(observation(1, upstream={"upstreamId": 7})).advisory is None
    assert sketch(observation(1), CollectionName(database="concelier", collection="advisory_raw")).advisory is None


def test_when_an_observation_was_received_is_read_where_it_says_so() -> None:
    late = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    upstream = {"upstreamId": "X", "receivedAt": late}
    assert advisory(upstream=upstream).moment == int(late.timestamp() * 1000)
    assert advisory(createdAt=late).moment == int(late.timestamp() * 1000)
    assert advisory(createdAt="2026-01-02").moment == -(2**63)


@pytest.mark.parametrize(
    ("raw", "withdrawn"),
    [
        ({"withdrawn": "2024-01-23T12:50:23Z"}, True),
        ({"withdrawn": ""}, False),
        ({"withdrawn": None}, False),
        ({"withdrawn_at": "2024-01-23T12:50:23Z"}, True),
        ({"withdrawn_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}, True),
        ({"cveMetadata": {"state": "REJECTED"}}, True),
        ({"cveMetadata": {"state": "PUBLISHED"}}, False),
        ({"document": {"category": "csaf_withdrawn"}}, True),
        ({"document": {"category": "csaf_security_advisory"}}, False),
        ({"__encrypted": True}, False),
    ],
    ids=str,
)
def test_a_publisher_withdraws_in_the_words_of_the_format(raw: dict[str, Any], *, withdrawn: bool) -> None:
    assert advisory(content={"raw": raw}).withdrawn is withdrawn


@pytest.mark.parametrize("month", ["go-vulndb-osv.base30d", "go-vulndb-osv"])
def test_the_withdrawn_advisories_of_real_data_are_found(month: str) -> None:
    path = GO / f"{month}.ndjson.zst"
    if not path.exists():
        pytest.skip("no shared data")
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        raws = [json.loads(line)["raw"] for line in io.TextIOWrapper(stream, encoding="utf-8")]
    expected = sum(bool(raw.get("withdrawn")) for raw in raws)
    assert sum(advisory(content={"raw": raw}).withdrawn for raw in raws if "withdrawn" in raw) == expected > 0


def test_identities_tell_types_apart_and_without_one_it_is_the_whole_document() -> None:
    identities = {sketch({"_id": value}).identity for value in (1, bson.Int64(1), 1.0, "1", b"1", None)}
    assert len(identities) == 6
    assert sketch({"_id": 1, "a": 1}).identity == sketch({"a": 2, "_id": 1}).identity
    assert sketch({"a": 1}).identity != sketch({"a": 2}).identity
    assert sketch({"a": 1}).name == "(none)"


def test_a_sketch_is_bounded_whatever_the_names_are() -> None:
    long = "x" * 1_000_000
    made = sketch(observation(1, tenant=long, _id=long, source={"vendor": long}, upstream={"upstreamId": long + "y"}))
    assert len(repr(made)) < 2000
    assert made.advisory is not None
    assert made.advisory.vendor != made.advisory.upstream_id


def test_what_cannot_be_read_of_a_document_is_part_of_its_sketch_and_its_id_is_the_same() -> None:
    fine = bson.encode({"_id": 7, "a": 1})
    good, bad = sketch_each(OBSERVATIONS, [fine, fine.replace(b"\x10a\0", b"\x99a\0")])
    assert (good.identity, good.name, good.unread) == (bad.identity, bad.name, "")
    assert good.digest != bad.digest
    assert (bad.advisory, "0x99" in bad.unread) == (None, True)
