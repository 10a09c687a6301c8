"""A run rewritten at once is what its documents come to one by one, whatever faults are in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import remove
from kit.engine.lookup import EmptyLookup
from kit.errors import KitError, StoppedError
from kit.transforms.change import Change, Rewritten, Summed, applied
from kit.transforms.protocol import Lookup
from kit.transforms.raw_linkset import RawLinkset, shape
from kit.transforms.raw_linkset.element import encode_element
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.keys import CACHE, SNAPSHOT, advisory_digest, revision_digest
from kit.transforms.raw_linkset.projection import from_linkset
from kit.values import CollectionName
from tests.kits import SOUND, canonical_linkset, observation, osv, snapshot
from tests.transforms.raw_linkset.test_transform import ANY_DOCUMENTS, DTO, RAW, Memory, cached

pytest.importorskip("librt", reason="mypyc's run-time library is not installed")

from kit.transforms.raw_linkset.direct import cve, keyed, osv as direct_osv, whole
from kit.transforms.raw_linkset.direct.asked import Asked, Direct

NAME = CollectionName(database="concelier", collection="advisory_observations")
READERS: dict[str, Direct] = {"OSV": direct_osv.osv_element, "cve": cve.cve_element}


class Request:
    """The transform, and the numbers of the documents that it was asked for one by one."""

    def __init__(self, transform: RawLinkset, lookup: Lookup | None = None) -> None:
        self.transform = transform
        self.lookup = lookup or EmptyLookup()
        self.numbers: list[int] = []

    def alone(self, document: bytes, number: int) -> Change:
        self.numbers.append(number)
        return self.transform.apply(NAME, [document], self.lookup, number)[0]

    def rewrite(self, documents: Sequence[bytes]) -> Rewritten:
        ends = list(itertools.accumulate(map(len, documents)))
        kinds = [kind for kind in (SNAPSHOT, CACHE) if self.lookup.has_prefix(kind)]
        asked = Asked(self.transform.tenants, b"concelier", kinds, self.lookup, READERS.get, self.alone)
        return whole.rewrite(b"".join(documents), ends, asked)


def one_by_one(transform: RawLinkset, documents: Sequence[bytes], lookup: Lookup | None = None) -> Rewritten:
    changes = transform.apply(NAME, documents, lookup or EmptyLookup(), 0)
    touched: set[int] = set()
    body = b"".join(applied(changes, documents, touched))
    return Rewritten(body, [number in touched for number in range(len(documents))], Summed(changes))


def said(result: Rewritten) -> tuple[object, ...]:
    summed = result.summed
    return result.body, result.touched, summed.outcomes, summed.counts, summed.sums, summed.findings


def plain(number: int, **changes: Any) -> dict[str, Any]:
    """Give an observation whose linkset agrees with what it gains."""
    raw = osv(number, affected=[{"package": {"purl": f"pkg:golang/example.com/y@{number}"}}])
    return observation(number, raw=raw, linkset=canonical_linkset(number)) | changes


@settings(deadline=None)
@given(documents=ANY_DOCUMENTS, tenants=st.none() | st.just(frozenset({"a"})) | st.just(frozenset({""})))
def test_it_is_what_one_document_after_the_other_comes_to(
    documents: list[bytes], tenants: frozenset[str] | None
) -> None:
    transform = RawLinkset(tenants=tenants)
    assert said(Request(transform).rewrite(documents)) == said(one_by_one(transform, documents))


@settings(deadline=None)
@given(
    documents=st.lists(st.integers(0, 9).map(lambda number: bson.encode(plain(number))), min_size=1, max_size=4),
    data=st.data(),
)
def test_of_a_spoiled_run_it_is_the_same_or_refused_as_well(documents: list[bytes], data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(documents) - 1))
        spoiled = bytearray(documents[number])
        # The framing has seen to the length and the final NUL.
        spoiled[data.draw(st.integers(4, len(spoiled) - 2))] ^= data.draw(st.integers(1, 255))
        documents[number] = bytes(spoiled)
    transform = RawLinkset()
    try:
        expected = one_by_one(transform, documents)
    except KitError:
        with pytest.raises(KitError):
            Request(transform).rewrite(documents)
        return
    assert said(Request(transform).rewrite(documents)) == said(expected)


@settings(deadline=None)
@given(
    documents=ANY_DOCUMENTS,
    tenants=st.none() | st.just(frozenset({"a"})),
    raw=st.lists(
        st.builds(
            lambda number, tenant, linkset: snapshot(number, tenant=tenant, linkset=linkset),
            *(st.integers(0, 5), st.sampled_from("ab")),
            st.sampled_from([None, {"aliases": ["x"]}, {"aliases": ["x", 5]}, {"aliases": "x"}, {}]),
        ),
        min_size=1,
        max_size=6,
    ),
    dto=st.lists(st.builds(cached, st.integers(0, 5), tenant=st.sampled_from("ab")), max_size=3),
)
def test_what_is_looked_up_makes_no_difference(
    documents: list[bytes], tenants: frozenset[str] | None, raw: list[dict[str, Any]], dto: list[dict[str, Any]]
) -> None:
    transform = RawLinkset(tenants=tenants)
    lookup = Memory(transform, {RAW: raw, DTO: dto})
    assert said(Request(transform, lookup).rewrite(documents)) == said(one_by_one(transform, documents, lookup))


def test_plain_documents_that_are_looked_up_are_not_asked_for() -> None:
    transform = RawLinkset()
    linkset = canonical_linkset(1)
    lookup = Memory(
        transform,
        {
            RAW: [snapshot(1, linkset=linkset), snapshot(2, linkset=linkset), snapshot(2, linkset={"aliases": ["x"]})],
            DTO: [cached(3, payload=plain(3)["content"]["raw"])],
        },
    )
    documents = [bson.encode(plain(number)) for number in range(1, 5)]
    documents.append(bson.encode(plain(5, source="x")))
    spoiled = bytearray(bson.encode(plain(6)))
    at = spoiled.index(b"\x03source\0") + 8
    spoiled[at] += 1
    request = Request(transform, lookup)
    result = request.rewrite(documents)
    assert request.numbers == [1]  # of which there are two
    assert result.summed.outcomes == {
        ("acme", "snapshot"): 1,
        ("acme", "unresolvable"): 1,
        ("acme", "cache"): 1,
        ("acme", "content"): 2,
    }
    assert said(result) == said(one_by_one(transform, documents, lookup))
    # Where its key cannot be told, a document is not taken for one without a key.
    assert request.rewrite([bytes(spoiled)]).summed.outcomes == {("acme", "unresolvable"): 1}


@settings(deadline=None)
@given(
    linkset=st.sampled_from([None, {"aliases": ["x"]}, {"aliases": ["x", 5]}, {"aliases": []}, {"aliases": "x"}, 5]),
    changes=st.dictionaries(
        st.sampled_from(["tenant", "source", "upstream", "identifiers", "extra"]),
        st.none() | st.just({}) | st.just("x") | st.just({"upstream_id": "u", "content_hash": None, "vendor": "v"}),
        max_size=3,
    ),
    data=st.data(),
)
def test_what_a_snapshot_gives_to_the_lookup_is_what_its_fields_say(
    linkset: Any, changes: dict[str, Any], data: st.DataObject
) -> None:
    document = bytearray(bson.encode({**snapshot(1, linkset=linkset), **changes}))
    if data.draw(st.booleans()):
        document[data.draw(st.integers(4, len(document) - 1))] ^= data.draw(st.integers(1, 255))
    pair = keyed.snapshot_pair(bytes(document), b"concelier")
    if pair is not None:
        fields = Fields(bytes(document))
        key = keys_of(fields)
        found = fields.subdocument(shape.ADVISORY_RAW.linkset)
        assert found is not None
        extraction = from_linkset(found, fields.subdocument(shape.ADVISORY_RAW.identifiers))
        assert (extraction.refusal, extraction.skipped) == (None, 0)
        assert pair == (key, bytes(4) + encode_element(extraction.projection))


def keys_of(fields: Fields) -> bytes:
    where = shape.ADVISORY_RAW
    parts = [fields.raw_text(place) for place in (where.tenant, where.vendor, where.upstream_id, where.content_hash)]
    tenant, vendor, upstream_id, content_hash = (part or b"" for part in parts)
    assert all(parts)
    return SNAPSHOT + advisory_digest(b"concelier", tenant, vendor, upstream_id) + revision_digest(content_hash)


def test_a_plain_snapshot_is_read_directly() -> None:
    assert keyed.snapshot_pair(bson.encode(snapshot(1)), b"concelier") is not None


def test_plain_documents_are_not_asked_for_though_their_names_change_from_one_to_the_next() -> None:
    documents = [
        plain(1),
        plain(2, extra=1),
        {"first": None, **plain(3)},
        plain(4, tenant=None),
        plain(5, tenant="é"),
        plain(6, rawLinkset=SOUND),
        plain(7, rawLinkset=SOUND | {"aliases": ["x"], "notes": {"a": "é"}}),
        dict(reversed(plain(8).items())),
    ]
    encoded = list(map(bson.encode, documents))
    asked = Request(RawLinkset())
    result = asked.rewrite(encoded)
    assert asked.numbers == []
    assert result.touched == [True, True, True, True, True, False, False, True]
    assert result.summed.outcomes == {
        ("acme", "content"): 4,
        ("", "content"): 1,
        ("é", "content"): 1,
        ("acme", "present"): 2,
    }
    assert said(result) == said(one_by_one(RawLinkset(), encoded))


def test_a_name_that_is_there_twice_is_seen_behind_documents_that_have_it_once() -> None:
    good = bson.encode(plain(1))
    twice = bytearray(bson.encode(plain(2, linksex={})))
    twice[twice.index(b"linksex")] = ord("l")
    twice[twice.index(b"linksex") + 6] = ord("t")
    assert twice.count(b"\x03linkset\0") == 2
    asked = Request(RawLinkset())
    done = asked.rewrite([good, good, bytes(twice)])
    assert asked.numbers == [2]
    assert done.summed.outcomes["acme", "unresolvable"] == 1


def test_of_another_tenant_nothing_changes() -> None:
    documents = [bson.encode(plain(number, tenant="ab"[number % 2])) for number in range(4)]
    asked = Request(RawLinkset(tenants=frozenset({"b"})))
    result = asked.rewrite(documents)
    assert (asked.numbers, result.touched) == ([], [False, True, False, True])
    assert result.summed.outcomes == {("a", "not-selected"): 2, ("b", "content"): 2}


def test_a_run_in_which_nothing_changes_is_handed_back_as_it_is() -> None:
    documents = [bson.encode(plain(number, rawLinkset=None)) for number in range(3)]
    result = Request(RawLinkset()).rewrite(documents)
    assert (result.body, result.touched) == (b"".join(documents), [False] * 3)


def test_what_is_appended_can_be_taken_off_again() -> None:
    (document,) = documents = [bson.encode(plain(1))]
    assert remove(Request(RawLinkset()).rewrite(documents).body, ["rawLinkset"]) == document


def test_a_divergence_stops_where_it_should() -> None:
    diverging = bson.encode(plain(1, linkset={"aliases": ["other"], "purls": [], "cpes": [], "references": []}))
    with pytest.raises(StoppedError, match="would diverge"):
        Request(RawLinkset(stop_on_divergence=True)).rewrite([bson.encode(plain(2)), diverging])
