"""The backfill, rule by rule (schemas/raw-linkset.md), and its laws over any documents."""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Run, document_name, remove, replace
from kit.engine.work import RunWork, gather_run, transform_run
from kit.errors import BsonError, ContentError, StoppedError
from kit.transforms.allowance import Allowance, Limit
from kit.transforms.protocol import Change, Finding
from kit.transforms.raw_linkset import RawLinkset, parse_cache_map
from kit.transforms.raw_linkset.outcomes import OUTCOMES
from kit.values import Codec, CollectionName, Limits
from tests.attacks.bombs import nested_document
from tests.documents.strategies import DISTINCT, NAMES, document as bson_document
from tests.kits import SOUND, advisory, canonical_linkset, observation, snapshot

NAME = CollectionName(database="concelier", collection="advisory_observations")
RAW = CollectionName(database="concelier", collection="advisory_raw")
DTO = CollectionName(database="concelier", collection="dto")


class Memory:
    """A lookup in memory, filled by the transform itself."""

    def __init__(self, transform: RawLinkset, kit: Mapping[CollectionName, Sequence[Mapping[str, Any]]]) -> None:
        self.pairs: dict[bytes, list[bytes]] = defaultdict(list)
        for name, documents in kit.items():
            assert transform.indexes(name)
            for pair in transform.gather(name, [bson.encode(document) for document in documents]):
                assert not isinstance(pair, Finding), pair
                self.pairs[pair[0]].append(pair[1])

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[bytes]]:
        return {key: self.pairs[key] for key in keys if key in self.pairs}

    def has_prefix(self, prefix: bytes) -> bool:
        return any(key.startswith(prefix) for key in self.pairs)


def applied(
    *documents: Mapping[str, Any] | bytes,
    transform: RawLinkset | None = None,
    raw: Sequence[Mapping[str, Any]] = (),
    dto: Sequence[Mapping[str, Any]] = (),
) -> list[Change]:
    transform = transform or RawLinkset()
    cache = CollectionName(database="concelier", collection=transform.cache_collection)
    encoded = [one if isinstance(one, bytes) else bson.encode(one) for one in documents]
    return list(transform.apply(NAME, encoded, Memory(transform, {RAW: raw, cache: dto}), 0))


def added(change: Change) -> dict[str, Any]:
    assert change.document is not None
    found = bson.decode(change.document)
    assert list(found)[-1] == "rawLinkset"
    element: dict[str, Any] = found["rawLinkset"]
    return element


def cached(number: int, **changes: Any) -> dict[str, Any]:
    whole = {
        "tenant": "acme",
        "sourceName": "osv",
        "upstreamId": f"GO-2025-{number:04}",
        "contentHash": f"sha256:{number}",
        "format": "osv",
        "payload": advisory(number, aliases=["from-cache"]),
    }
    return whole | changes


def test_snapshot_comes_before_cache_and_cache_before_content() -> None:
    (change,) = applied(observation(1), raw=[snapshot(1)], dto=[cached(1)])
    assert (change.outcome, added(change)["aliases"]) == ("snapshot", ["b", "a", "b"])
    (change,) = applied(observation(1), dto=[cached(1)])
    assert (change.outcome, added(change)["aliases"]) == ("cache", ["GO-2025-0001", "from-cache"])
    (change,) = applied(observation(1))
    assert (change.outcome, added(change)["aliases"]) == ("content", ["GO-2025-0001", "CVE-2025-0001", "CVE-2025-0001"])


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "other"},
        {"source": {"vendor": "rust"}},
        {"upstream": {"upstream_id": "GO-2025-0002", "content_hash": "sha256:1"}},
        {"upstream": {"upstream_id": "GO-2025-0001", "content_hash": "sha256:2"}},
        {"upstream": {"upstream_id": "GO-2025-0001"}},
        {"source": {"vendor": ""}},
        {"linkset": ...},
    ],
    ids=["tenant", "vendor", "id", "hash", "no hash", "an empty vendor", "no linkset"],
)
def test_a_snapshot_that_differs_in_one_part_of_the_key_is_no_match(changes: dict[str, Any]) -> None:
    (change,) = applied(observation(1), raw=[snapshot(1, **changes)])
    assert change.outcome == "content"


def test_a_snapshot_of_another_database_is_no_match() -> None:
    transform = RawLinkset()
    other = CollectionName(database="other", collection="advisory_raw")
    lookup = Memory(transform, {other: [snapshot(1)]})
    (change,) = transform.apply(NAME, [bson.encode(observation(1))], lookup, 0)
    assert change.outcome == "content"


def test_parts_of_the_key_do_not_run_into_each_other() -> None:
    shifted = snapshot(1, tenant="acmeo", source={"vendor": "sv"})
    assert applied(observation(1), raw=[shifted])[0].outcome == "content"


def test_both_spellings_of_the_key_are_read_on_both_sides() -> None:
    camel = {"upstreamId": "GO-2025-0001", "contentHash": "sha256:1"}
    snake = {"upstream_id": "GO-2025-0001", "content_hash": "sha256:1"}
    for one in (camel, snake):
        for two in (camel, snake):
            (change,) = applied(observation(1, upstream=one), raw=[snapshot(1, upstream=two)])
            assert change.outcome == "snapshot"


def test_several_identical_snapshots_are_one() -> None:
    (change,) = applied(observation(1), raw=[snapshot(1), snapshot(1, _id="twin"), snapshot(1, fetchedAt=5)])
    assert change.outcome == "snapshot"


def test_snapshots_that_differ_leave_the_document_untouched_with_the_reason() -> None:
    (change,) = applied(observation(1), raw=[snapshot(1), snapshot(1, linkset={"aliases": ["x"]})])
    assert (change.outcome, change.document) == ("unresolvable", None)
    assert [finding.reason for finding in change.findings] == ["2 snapshot documents of the same revision differ"]
    assert (change.findings[0].document, change.findings[0].tenant) == ("acme:osv:GO-2025-0001:1", "acme")


def test_cached_payloads_that_differ_leave_the_document_untouched() -> None:
    (change,) = applied(observation(1), dto=[cached(1), cached(1, payload=advisory(2))])
    assert change.findings[0].reason == "2 cache documents of the same revision differ"


def test_aliases_fall_back_to_identifiers_only_where_the_linkset_has_none() -> None:
    (change,) = applied(observation(1), raw=[snapshot(1, linkset={"purls": ["p"]})])
    assert added(change)["aliases"] == ["from-identifiers"]


def test_the_cache_is_read_where_the_map_says() -> None:
    text = b"""{"schemaVersion": "1", "collection": "cache", "fields": {"tenant": "t", "vendor": "k.vendor",
        "upstreamId": ["nowhere", "k.id"], "contentHash": "k.hash", "format": "k.format", "payload": "body.json"}}"""
    transform = RawLinkset().with_cache(parse_cache_map(text, where="map"))
    key = {"vendor": "osv", "id": "GO-2025-0001", "hash": "sha256:1", "format": "OSV-1.6"}
    entry = {"t": "acme", "k": key, "body": {"json": advisory(1, aliases=["mapped"])}}
    (change,) = applied(observation(1), transform=transform, dto=[entry])
    assert (change.outcome, added(change)["aliases"]) == ("cache", ["GO-2025-0001", "mapped"])
    assert not transform.indexes(DTO)
    assert "k.id" in str(transform.parameters())


@pytest.mark.parametrize("payload", ["text", {"__encrypted": 1}, {"unknown": 1}], ids=["text", "envelope", "unknown"])
def test_a_cached_payload_that_cannot_be_used_leaves_the_next_source(payload: Any) -> None:
    changes = {"payload": payload}
    assert applied(observation(1), dto=[cached(1, **changes)])[0].outcome == "content"


CONTENT_REASONS = {
    "no content": (..., "no raw document"),
    "no raw": ({"format": "OSV"}, "no raw document"),
    "raw is null": ({"format": "OSV", "raw": None}, "no raw document"),
    "raw is text": ({"format": "OSV", "raw": "{}"}, "no raw document: content.raw is not a subdocument"),
    "an envelope": ({"format": "OSV", "raw": {"__encrypted": {"v": 1}}}, "raw is an envelope"),
    "an unknown format": ({"format": "SPDX", "raw": {}}, "format 'SPDX' is not known"),
    "an unknown version": ({"format": "CSAF 1.2", "raw": {}}, "format 'CSAF 1.2' is not known"),
    "nothing recognised": ({"raw": {"a": 1}}, "format is not named and not recognised"),
}


@pytest.mark.parametrize(("content", "reason"), CONTENT_REASONS.values(), ids=CONTENT_REASONS)
def test_what_has_no_source_is_untouched_and_listed_with_the_reason(content: Any, reason: str) -> None:
    (change,) = applied(observation(1, content=content))
    assert (change.outcome, change.document, dict(change.counts)) == ("unresolvable", None, {})
    assert [(finding.kind, finding.reason) for finding in change.findings] == [("unresolvable", reason)]


def test_a_raw_of_another_version_is_refused_with_the_extractors_reason() -> None:
    (change,) = applied(observation(1, raw=advisory(1, schema_version="2.0.0")))
    assert change.outcome == "unresolvable"
    assert "2.0.0" in change.findings[0].reason


def test_a_snapshot_of_another_revision_is_named_as_the_reason() -> None:
    other = snapshot(1, upstream={"upstream_id": "GO-2025-0001", "content_hash": "sha256:old"})
    (change,) = applied(observation(1, content={}), raw=[other])
    assert change.findings[0].reason == "the snapshot in the kit is of another revision"


@pytest.mark.parametrize("form", ["osv", "OSV", "osv-1.6.0", "OSV Schema 1", ...], ids=str)
def test_content_is_read_by_its_stated_format_in_any_case_and_sniffed_without(form: Any) -> None:
    content = {name: value for name, value in {"format": form, "raw": advisory(1)}.items() if value is not ...}
    assert applied(observation(1, content=content))[0].outcome == "content"


@pytest.mark.parametrize("form", ["CVE5", ...], ids=["stated", "sniffed"])
def test_a_name_twice_inside_the_raw_document_leaves_it_untouched(form: Any) -> None:
    raw = {"dataVersion": "5.1", "cveMetadata": {"cveId": "CVE-1", "cveIX": "CVE-2"}, "containers": {"cna": {}}}
    content = {name: value for name, value in {"format": form, "raw": raw}.items() if value is not ...}
    twice = bson.encode(observation(1, content=content)).replace(b"cveIX", b"cveId")
    (change,) = applied(twice)
    assert change.outcome == "unresolvable"
    assert "twice" in change.findings[0].reason


@pytest.mark.parametrize(
    ("changes", "outcome", "counts", "reason"),
    [
        ({"rawLinkset": SOUND}, "present", {}, None),
        ({"rawLinkset": None}, "null", {}, "rawLinkset is null"),
        ({"rawLinkset": "x"}, "present", {"other-type": 1}, "rawLinkset is a string, no document"),
        ({"rawLinkset": [SOUND]}, "present", {"other-type": 1}, "rawLinkset is an array, no document"),
        (
            {"rawLinkset": {}},
            "present",
            {"other-shape": 1},
            "rawLinkset is not of shape v1: it has no element 'aliases'",
        ),
        ({"rawLinkset": SOUND, "linkset": ...}, "present", {"no-linkset": 1}, "linkset is missing"),
        ({"rawLinkset": SOUND, "linkset": None}, "present", {"no-linkset": 1}, "linkset is null, no document"),
    ],
    ids=["both", "null", "a text", "an array", "another shape", "no linkset", "a null linkset"],
)
def test_what_is_there_is_left_as_it_is_and_named_where_it_is_no_projection(
    changes: dict[str, Any], outcome: str, counts: dict[str, int], reason: str | None
) -> None:
    (change,) = applied(observation(1, **changes))
    assert (change.outcome, change.document, dict(change.counts)) == (outcome, None, counts)
    told = [(finding.kind, finding.reason) for finding in change.findings]
    assert told == ([("no-projection", reason)] if reason is not None else [])


@pytest.mark.parametrize(("linkset", "reason"), [(..., "linkset is missing"), ([], "linkset is an array, no document")])
def test_an_observation_without_a_canonical_linkset_is_completed_and_named(linkset: Any, reason: str) -> None:
    (change,) = applied(observation(1, linkset=linkset))
    assert (change.outcome, dict(change.counts)) == ("content", {"no-linkset": 1})
    assert [(finding.kind, finding.reason) for finding in change.findings] == [("no-projection", reason)]


def test_only_named_tenants_are_touched() -> None:
    chosen = RawLinkset(tenants=frozenset({"b"}))
    changes = applied(observation(1, tenant="a"), observation(2, tenant="b"), transform=chosen)
    assert [(change.outcome, change.document is None) for change in changes] == [
        ("not-selected", True),
        ("content", False),
    ]
    assert chosen.parameters()["tenants"] == ["b"]


@pytest.mark.parametrize("tenant", [..., 5, None, ""], ids=["missing", "a number", "null", "empty"])
def test_a_tenant_that_is_no_string_is_no_tenant_and_matches_no_snapshot(tenant: Any) -> None:
    document = {name: value for name, value in (observation(1) | {"tenant": tenant}).items() if value is not ...}
    entry = snapshot(1) | ({} if tenant is ... else {"tenant": tenant})
    (change,) = applied(document, raw=[entry])
    assert (change.tenant, change.outcome) == ("", "content")


def test_agreement_with_the_canonical_linkset_finds_nothing() -> None:
    assert applied(observation(1))[0].findings == ()


def test_divergence_is_counted_and_listed_and_the_document_changed_all_the_same() -> None:
    (change,) = applied(observation(1, linkset=canonical_linkset(2)))
    assert change.outcome == "content"
    assert change.counts == {"divergent": 1}
    assert change.findings[0].kind == "divergent"


def test_divergence_stops_the_run_where_that_was_asked_for() -> None:
    stopping = RawLinkset(stop_on_divergence=True)
    with pytest.raises(
        StoppedError, match='document 1: _id "acme:osv:GO-2025-0002:1": rawLinkset would diverge'
    ) as caught:
        applied(observation(1), observation(2, linkset=canonical_linkset(1)), transform=stopping)
    assert "--on-divergence warn" in caught.value.hint
    assert stopping.parameters()["onDivergence"] == "stop"


def test_values_that_are_no_strings_are_skipped_and_counted_from_every_source() -> None:
    bad = advisory(1, aliases=["a", 5, None, "b"])
    assert applied(observation(1, raw=bad, linkset=...))[0].counts["skipped-values"] == 2
    assert applied(observation(1, linkset=...), dto=[cached(1, payload=bad)])[0].counts["skipped-values"] == 2
    odd = snapshot(1, linkset={"aliases": ["a", 5], "purls": "no list"})
    assert applied(observation(1, linkset=...), raw=[odd])[0].counts["skipped-values"] == 2


@pytest.mark.parametrize(
    ("old", "new", "tenant", "reason"),
    [
        pytest.param(
            *(
                b"\x02tenant\0\x05\0\0\0acme",
                b"\x02tenant\0\x05\0\0\0ac\xffe",
                "",
                "its tenant cannot be read: .*UTF-8",
            ),
            id="a tenant that is no UTF-8",
        ),
        pytest.param(
            *(b"CVE-2025-0002", b"CVE-2025-\xff\xff02", "acme", "raw cannot be read: .*utf-8"),
            id="an alias that is no UTF-8",
        ),
        pytest.param(
            *(b"\x03content\0", b"\x99content\0", "acme", "the document cannot be read: .*0x99"), id="an unknown type"
        ),
        pytest.param(
            *(b"\x02tenant\0", b"\x02source\0", "", 'the document cannot be read: element "source": .*repeated'),
            id="a name twice, the tenant missing",
        ),
        pytest.param(
            *(b"\x03linkset\0", b"\x03content\0", "acme", 'the document cannot be read: element "content": .*repeated'),
            id="the content twice",
        ),
        pytest.param(
            *(b"format\0\4\0\0\0OSV", b"format\0\4\0\0\0O\xffV", "acme", "raw cannot be read: .*UTF-8"),
            id="a format that is no UTF-8",
        ),
    ],
)
def test_what_cannot_be_read_in_one_document_is_its_outcome_and_the_others_are_patched(
    old: bytes, new: bytes, tenant: str, reason: str
) -> None:
    data = bson.encode(observation(2))
    assert old in data
    good, bad = applied(observation(1), data.replace(old, new))
    assert (good.outcome, bad.outcome, bad.tenant, bad.document) == ("content", "unresolvable", tenant, None)
    (finding,) = bad.findings
    assert finding.document == "acme:osv:GO-2025-0002:1" or finding.document == document_name(data)
    assert re.match(reason, finding.reason), finding.reason


def test_a_linkset_that_cannot_be_read_leaves_the_check_undone_and_so_the_document_as_it_is() -> None:
    data = bson.encode(observation(1, linkset={"aliases": ["MARK"], "purls": [], "cpes": [], "references": []}))
    (change,) = applied(data.replace(b"MARK", b"MA\xffK"))
    assert (change.outcome, change.document) == ("unresolvable", None)
    assert change.findings[0].reason.startswith("linkset cannot be read: ")


def twice(name: str) -> bytes:
    """Give an observation whose raw document has a name twice; ``modified`` becomes the second one."""
    data = bson.encode(observation(1, raw={"id": "X-1", "aliases": ["A"], name: "a", "z" * len(name): "b"}))
    return data.replace(b"z" * len(name) + b"\0", name.encode() + b"\0")


def test_a_name_twice_at_the_top_of_the_raw_document_decides_nothing_where_nobody_needs_it() -> None:
    (change,) = applied(twice("summary"))
    assert change.outcome == "content"
    assert change.document is not None


def test_a_name_twice_at_the_top_of_the_raw_document_is_a_reason_where_it_is_needed() -> None:
    (change,) = applied(twice("modified"))
    assert (change.outcome, change.document) == ("unresolvable", None)
    assert change.findings[0].reason.startswith("raw cannot be read: ")
    assert "modified" in change.findings[0].reason


def test_of_a_key_that_cannot_be_read_the_source_is_not_guessed() -> None:
    transform = RawLinkset()
    lookup = Memory(transform, {RAW: [snapshot(1)]})
    data = bson.encode(observation(1))
    broken = data.replace(b"\x02contentHash\0", b"\x02upstreamId\0\0"[:13])
    assert len(broken) == len(data)
    (change,) = transform.apply(NAME, [broken], lookup, 0)
    assert change.outcome == "unresolvable"
    assert change.findings[0].reason.startswith("its key cannot be read: ")


@pytest.mark.parametrize("levels", [400, 490, 800, 985, 2000])
def test_how_deep_a_document_may_be_nested_does_not_depend_on_who_asks(levels: int) -> None:
    base = bson.encode(observation(1, raw=advisory(1, database_specific={"x": {}})))
    deep = replace(base, ["content", "raw", "database_specific", "x"], 3, nested_document(levels))

    def asked(frames: int) -> str:
        if frames:
            return asked(frames - 1)
        (change,) = applied(deep)
        return change.findings[0].reason if change.outcome == "unresolvable" else change.outcome

    told = {asked(frames) for frames in (0, 40, 150)}
    assert told == {"content" if levels <= 490 else "raw cannot be read: cannot be decoded: nested over 500 levels"}


def test_a_snapshot_whose_key_cannot_be_read_is_named_and_gives_nothing() -> None:
    broken = bson.encode(snapshot(1)).replace(b"\x02tenant\0", b"\x99tenant\0")
    pair, finding = RawLinkset().gather(RAW, [bson.encode(snapshot(1)), broken])
    assert not isinstance(pair, Finding)
    assert isinstance(finding, Finding)
    assert (finding.kind, finding.document) == ("unreadable", document_name(broken))
    assert finding.reason.startswith("its key cannot be read: ")


def test_an_observation_whose_snapshot_cannot_be_read_takes_no_other_source_instead() -> None:
    transform, name = RawLinkset(), "SNAP"
    whole = snapshot(1, linkset={"aliases": [name], "purls": [], "cpes": [], "references": []})
    lookup = Memory(transform, {})
    broken = bson.encode(whole).replace(name.encode(), b"SN\xffP")
    for pair in transform.gather(RAW, [broken]):
        assert not isinstance(pair, Finding), pair
        lookup.pairs[pair[0]].append(pair[1])
    (change,) = transform.apply(NAME, [bson.encode(observation(1))], lookup, 0)
    assert (change.outcome, change.document) == ("unresolvable", None)
    assert change.findings[0].reason.startswith(f'the snapshot document _id "{document_name(broken)}" cannot be read: ')


def test_a_finding_holds_no_more_of_a_format_than_tells_it() -> None:
    (change,) = applied(observation(1, content={"format": "é" * 1_000_000, "raw": advisory(1)}))
    (finding,) = change.findings
    assert finding.reason == f"format '{'é' * 64}'… is not known"


def test_the_transform_crosses_process_borders_and_handles_observations_of_any_database() -> None:
    transform = RawLinkset(tenants=frozenset({"a"}))
    assert pickle.loads(pickle.dumps(transform)) == transform  # noqa: S301  our own
    assert transform.handles(CollectionName(database="x", collection="advisory_observations"))
    assert not transform.handles(RAW)
    assert (transform.name, transform.version) == ("raw-linkset", 1)
    assert transform.indexes(RAW)
    assert transform.indexes(DTO)


def test_a_content_error_outside_of_bson_is_one_too() -> None:
    assert issubclass(BsonError, ContentError)


ANY_RAW = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.builds(advisory, st.integers(0, 9)),
    st.builds(advisory, st.integers(0, 9), aliases=st.lists(st.none() | st.text())),
    st.dictionaries(st.sampled_from(["id", "__encrypted", "document", "containers"]), st.text(max_size=2), max_size=2),
)
ANY_CONTENT = st.fixed_dictionaries({"raw": ANY_RAW}, optional={"format": st.sampled_from(["OSV", "csaf", "?", 5])})
ANY_OBSERVATION = st.builds(
    lambda number, tenant, content, present: observation(number, tenant=tenant, content=content) | present,
    st.integers(0, 5),
    st.sampled_from(["a", "b", 5, None]),
    ANY_CONTENT | st.none(),
    st.sampled_from(
        [
            *[{}] * 5,
            *({"rawLinkset": value} for value in (None, {}, "x", SOUND)),
            {"linkset": None},
            {"linkset": {"__encrypted": True}, "rawLinkset": SOUND},
        ]
    ),
).map(bson.encode)
ANY_DOCUMENT = DISTINCT.map(bson_document)
ANY_DOCUMENTS = st.lists(ANY_OBSERVATION | ANY_DOCUMENT, max_size=8)


def run_of(documents: Sequence[bytes]) -> Run:
    ends, at = [], 0
    for document in documents:
        at += len(document)
        ends.append(at)
    return Run(first=0, offset=0, data=b"".join(documents), ends=tuple(ends))


@settings(deadline=None)
@given(documents=ANY_DOCUMENTS, limit=st.none() | st.integers(0, 5), tenants=st.none() | st.just(frozenset({"a"})))
def test_stripping_what_was_added_gives_the_original_and_tallies_add_up(
    documents: list[bytes], limit: int | None, tenants: frozenset[str] | None
) -> None:
    transform = RawLinkset(tenants=tenants)
    work = RunWork(
        name=NAME,
        transforms=(transform,),
        lookup=None,
        member_codec=Codec.NONE,
        container_codec=Codec.NONE,
        limits=Limits(),
    )
    allowance = None if limit is None else Allowance(limit=Limit(total=limit))
    result = transform_run(work, run_of(documents), allowance)
    after, at = [], 0
    while at < len(result.stored):
        end = at + int.from_bytes(result.stored[at : at + 4], "little")
        after.append(result.stored[at:end])
        at = end
    changed = [(old, new) for old, new in zip(documents, after, strict=True) if old != new]
    assert all(remove(new, ["rawLinkset"]) == old for old, new in changed)
    assert all(new[4:].startswith(old[4:-1]) for old, new in changed)
    assert result.changed == len(changed)
    assert limit is None or len(changed) <= limit
    assert result.added_bytes == len(result.stored) - sum(map(len, documents))
    assert sum(result.outcomes.values()) == result.tally.documents == len(documents)
    assert {outcome for _, _, outcome in result.outcomes} <= set(OUTCOMES)
    for covered in result.tally.tenants.values():
        assert covered.documents == covered.present + covered.missing
        assert covered.both + covered.unsound == covered.present
        assert covered.unresolvable <= covered.missing
    # What the patched run is counted as, by a reader that knows nothing of the transform:
    counted = gather_run(NAME, (), run_of(after)).tally
    assert (counted.documents, counted.bytes) == (result.tally.documents, result.tally.bytes)
    for name, covered in counted.tenants.items():
        ours = result.tally.tenants[name]
        assert dataclasses.replace(ours, unresolvable=0) == covered
    if limit is None:
        again = transform_run(work, run_of(after), None)
        assert (again.stored, again.changed) == (result.stored, 0)


def said(change: Change) -> tuple[object, ...]:
    return change.tenant, change.outcome, change.document, change.counts, change.sums, change.findings


@settings(deadline=None)
@given(documents=ANY_DOCUMENTS, cut=st.integers(0, 8))
def test_the_result_does_not_depend_on_how_documents_are_cut_into_runs(documents: list[bytes], cut: int) -> None:
    transform = RawLinkset()
    snapshots = Memory(transform, {RAW: [snapshot(1, tenant="a"), snapshot(2, tenant="b")]})
    whole = list(transform.apply(NAME, documents, snapshots, 0))
    parts = [
        *transform.apply(NAME, documents[:cut], snapshots, 0),
        *transform.apply(NAME, documents[cut:], snapshots, 0),
    ]
    assert list(map(said, whole)) == list(map(said, parts))
    assert Counter(change.outcome for change in whole).total() == len(documents)


@given(name=NAMES)
def test_a_document_of_one_odd_element_is_only_ever_appended_to(name: str) -> None:
    document = bson_document([(name, (10, b""))])
    (change,) = applied(document)
    assert change.document is None
