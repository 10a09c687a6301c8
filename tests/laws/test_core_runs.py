"""A run that the core rewrites is what its documents come to one by one, whatever faults are in it."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import core, remove
from kit.engine.lookup import EmptyLookup
from kit.errors import StoppedError
from kit.transforms.raw_linkset import RawLinkset, shape
from tests.attacks.bombs import nested_document
from tests.documents.strategies import int32
from tests.kits import SOUND, advisory, canonical_linkset, observation, snapshot
from tests.tiers import examples
from tests.transforms.raw_linkset.altered import NUMBERS, altered, observed
from tests.transforms.raw_linkset.both import NAME, at_once, ends_of, hold_together, needs_core, one_by_one, parts
from tests.transforms.raw_linkset.test_transform import ANY_DOCUMENTS, DTO, RAW, Memory, cached

pytestmark = needs_core


def plain(number: int, **changes: Any) -> dict[str, Any]:
    """Return an observation whose linkset agrees with what it gains."""
    raw = advisory(number, affected=[{"package": {"purl": f"pkg:golang/example.com/y@{number}"}}])
    return observation(number, raw=raw, linkset=canonical_linkset(number)) | changes


@settings(deadline=None)
@given(documents=ANY_DOCUMENTS, tenants=st.none() | st.just(frozenset({"a"})) | st.just(frozenset({""})))
def test_it_is_what_one_document_after_the_other_comes_to(
    documents: list[bytes], tenants: frozenset[str] | None
) -> None:
    hold_together(RawLinkset(tenants=tenants), documents)


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
    hold_together(RawLinkset(), documents)


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
    hold_together(transform, documents, Memory(transform, {RAW: raw, DTO: dto}))


@settings(deadline=None, max_examples=examples(300))
@given(
    numbers=st.lists(NUMBERS, min_size=1, max_size=4),
    beside=st.none() | st.lists(NUMBERS, max_size=2),
    tenants=st.none() | st.just(frozenset({"acme"})),
    data=st.data(),
)
def test_altered_documents_come_out_at_once_as_one_by_one(
    numbers: list[int], beside: list[int] | None, tenants: frozenset[str] | None, data: st.DataObject
) -> None:
    transform = RawLinkset(tenants=tenants)
    documents = [altered(observed(number), data) for number in numbers]
    kit = {RAW: [snapshot(number) for number in beside], DTO: [cached(3)]} if beside is not None else {}
    hold_together(transform, documents, Memory(transform, kit))


def test_plain_documents_that_are_looked_up_are_not_left_to_the_reference() -> None:
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
    result, left = at_once(transform, documents, lookup)
    assert left == [1]  # of which there are two
    assert result is not None
    assert result.totals.outcomes == {
        ("acme", "snapshot"): 1,
        ("acme", "unresolvable"): 1,
        ("acme", "cache"): 1,
        ("acme", "content"): 2,
    }
    assert parts(result) == parts(one_by_one(transform, documents, lookup))


def test_a_document_whose_key_cannot_be_read_is_not_taken_for_one_without_a_key() -> None:
    transform = RawLinkset()
    spoiled = bytearray(bson.encode(plain(6)))
    at = spoiled.index(b"\x03source\0") + 8
    spoiled[at] += 1
    documents = [bson.encode(plain(1)), bytes(spoiled)]
    lookup = Memory(transform, {RAW: [snapshot(1, linkset=canonical_linkset(1))]})
    result, left = at_once(transform, documents, lookup)
    assert result is not None
    assert left == [1]
    assert result.totals.outcomes == {("acme", "snapshot"): 1, ("acme", "unresolvable"): 1}


def test_plain_documents_are_taken_though_their_names_change_from_one_to_the_next() -> None:
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
    result, left = at_once(RawLinkset(), encoded)
    assert left == []
    assert result is not None
    assert result.touched == [True, True, True, True, True, False, False, True]
    assert result.totals.outcomes == {
        ("acme", "content"): 4,
        ("", "content"): 1,
        ("é", "content"): 1,
        ("acme", "present"): 2,
    }
    assert parts(result) == parts(one_by_one(RawLinkset(), encoded))


def test_a_name_that_is_there_twice_is_seen_behind_documents_that_have_it_once() -> None:
    good = bson.encode(plain(1))
    twice = bytearray(bson.encode(plain(2, linksex={})))
    twice[twice.index(b"linksex")] = ord("l")
    twice[twice.index(b"linksex") + 6] = ord("t")
    assert twice.count(b"\x03linkset\0") == 2
    assert hold_together(RawLinkset(), [good, good, bytes(twice)]) == [2]


def test_documents_of_the_reference_are_joined_in_their_places() -> None:
    odd = plain(2)
    odd["content"]["raw"]["aliases"].append(5)  # skipped and counted
    unknown = plain(3, content={"format": "x", "raw": {}})
    documents = [odd, plain(1), odd, unknown, plain(4), plain(5, rawLinkset={}), odd]
    assert hold_together(RawLinkset(), list(map(bson.encode, documents))) == [0, 2, 3, 5, 6]


def test_a_run_of_which_the_core_takes_nothing_is_the_references() -> None:
    odd = bson.encode(plain(1, content={"format": "x", "raw": {}}))
    assert at_once(RawLinkset(), [odd, odd]) == (None, [0, 1])


def test_of_another_tenant_nothing_changes() -> None:
    documents = [bson.encode(plain(number, tenant="ab"[number % 2])) for number in range(4)]
    result, left = at_once(RawLinkset(tenants=frozenset({"b"})), documents)
    assert result is not None
    assert (left, result.touched) == ([], [False, True, False, True])
    assert result.totals.outcomes == {("a", "not-selected"): 2, ("b", "content"): 2}


def test_a_run_in_which_nothing_changes_is_handed_back_as_it_is() -> None:
    documents = [bson.encode(plain(number, rawLinkset=SOUND)) for number in range(3)]
    result, _ = at_once(RawLinkset(), documents)
    assert result is not None
    assert (result.body, result.touched) == (b"".join(documents), [False] * 3)


def test_what_is_appended_can_be_taken_off_again() -> None:
    (document,) = documents = [bson.encode(plain(1))]
    result, _ = at_once(RawLinkset(), documents)
    assert result is not None
    assert remove(result.body, ["rawLinkset"]) == document


def test_a_divergence_stops_where_it_should() -> None:
    diverging = bson.encode(plain(1, linkset={"aliases": ["other"], "purls": [], "cpes": [], "references": []}))
    with pytest.raises(StoppedError, match="would diverge"):
        at_once(RawLinkset(stop_on_divergence=True), [bson.encode(plain(2)), diverging])


@pytest.mark.parametrize("ends", [[], [5], [5, 4], [10, 5, 10], [4, 10], [11], [0, 10]])
def test_ends_that_are_not_those_of_whole_documents_are_the_references(ends: list[int]) -> None:
    empty = bson.encode({})
    assert core.rewrite is not None
    result = core.rewrite(
        empty * 2,
        ends,
        names=shape.NAMES,
        places=shape.OBSERVATION,
        tenants=None,
        found=None,
        sources=0,
        format_of=lambda _: None,
    )
    assert result is None or len(result[3]) == len(ends)


def test_a_document_nested_without_end_is_the_references() -> None:
    raw = bson.encode({"id": "X"})[:-1] + b"\3database_specific\0" + nested_document(100_000) + b"\0"
    for head in (bson.encode({"format": "osv"})[:-1] + b"\3raw\0", bson.encode({})[:-1] + b"\3content\0"):
        raw = int32(len(raw)) + raw[4:]
        raw = head + raw + b"\0"
    assert at_once(RawLinkset(), [int32(len(raw)) + raw[4:]]) == (None, [0])


def test_an_interruption_while_the_registry_is_asked_is_not_lost() -> None:
    def interrupted(_: str) -> str | None:
        raise KeyboardInterrupt

    document = bson.encode(plain(1))
    assert core.rewrite is not None
    with pytest.raises(KeyboardInterrupt):
        core.rewrite(
            document,
            [len(document)],
            names=shape.NAMES,
            places=shape.OBSERVATION,
            tenants=None,
            found=None,
            sources=0,
            format_of=interrupted,
        )


def test_two_threads_make_what_one_makes() -> None:
    documents = [[bson.encode(plain(number + 100 * thread)) for number in range(200)] for thread in range(2)]
    transform, made = RawLinkset(), {}

    def work(thread: int) -> None:
        made[thread] = [
            transform.rewrite(NAME, b"".join(documents[thread]), ends_of(documents[thread]), EmptyLookup(), 0)
            for _ in range(5)
        ]

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for number in range(2):
        expected = parts(one_by_one(transform, documents[number]))
        assert [parts(result) for result in made[number] if result is not None] == [expected] * 5


ELEMENT_NAMES = [field.name for field in dataclasses.fields(shape.Names) if field.type == "str"]


@pytest.mark.parametrize("field", [*ELEMENT_NAMES, "reconciled_from_spellings"])
def test_an_adapted_name_is_adapted_in_core_and_reference_alike(field: str) -> None:
    value: Any = ("pointers", "reconciled_from") if field == "reconciled_from_spellings" else "adapted"
    names = dataclasses.replace(shape.NAMES, **{field: value})
    transform = RawLinkset(names=names)
    full = {
        names.aliases: ["GO-1", "CVE-1"],
        names.purls: ["pkg:golang/example.com/y@1"],
        names.cpes: ["cpe:2.3:a:b:c"],
        names.references: [{names.type: "WEB", names.url: "u", names.source: "s"}],
        names.scopes: ["s"],
        names.relationships: [{names.type: "t", names.source: "s", names.target: "x"}],
        names.reconciled_from_spellings[0]: ["/a"],
        names.notes: {},
    }
    lookup = Memory(transform, {RAW: [snapshot(1, linkset=full)]})
    raw = advisory(2, id="GO-1", aliases=["CVE-1"], affected=[{"package": {"purl": "pkg:golang/example.com/y@1"}}])
    raw |= {"database_specific": {"cpes": ["cpe:2.3:a:b:c"]}, "references": [{"url": "u"}], "related": ["R"]}
    documents = [
        observation(1, linkset=full) | {names.linkset: full},
        observation(2, raw=raw, linkset=full) | {names.linkset: full},
        plain(3, adapted=None),
        plain(4, content={"format": "osv", "raw": {"id": "X", "adapted": {}}}),
    ]
    result, left = at_once(transform, list(map(bson.encode, documents)), lookup)
    assert result is not None
    assert set(left) <= {2, 3}
    assert parts(result) == parts(one_by_one(transform, list(map(bson.encode, documents)), lookup))
    for document in bson.decode_all(result.body)[:2]:
        element = document[names.raw_linkset]
        assert element[names.aliases] == ["GO-1", "CVE-1"]
        assert element[names.purls] == ["pkg:golang/example.com/y@1"]
        assert element[names.references][0][names.url] == "u"
        assert names.reconciled_from in element
        assert names.notes in element


SOUND_AND_MORE = [
    SOUND,
    SOUND | {"notes": {"a": "x"}},
    SOUND | {"references": [{"type": "t", "url": "u", "source": "s"}, {"url": "u"}]},
    None,
    5,
    {},
    SOUND | {"x": 1},
    dict(reversed(SOUND.items())),
    SOUND | {"aliases": [5]},
    SOUND | {"references": [{"type": "t"}]},
    SOUND | {"references": [{}]},
    SOUND | {"references": [{"url": "u", "type": "t"}]},
    SOUND | {"notes": {"a": 5}},
]


@pytest.mark.parametrize("linkset", [{}, None, 5, {"__encrypted": True}, {"__encrypted": False}])
def test_only_what_has_both_projections_is_not_left_to_the_reference(linkset: Any) -> None:
    documents = [bson.encode(plain(1, linkset=linkset, rawLinkset=value)) for value in SOUND_AND_MORE]
    left = hold_together(RawLinkset(), [*documents, bson.encode(plain(2))])
    assert left == (list(range(3, len(documents))) if linkset == {} else list(range(len(documents))))


@settings(deadline=None)
@given(st.data())
def test_an_altered_element_that_is_there_is_judged_alike(data: st.DataObject) -> None:
    full = {
        "aliases": ["a"],
        "purls": ["p"],
        "cpes": ["c"],
        "references": [{"type": "t", "url": "u", "source": "s"}],
        "scopes": ["s"],
        "relationships": [{"type": "t", "source": "s", "target": "x"}],
        "reconciled_from": ["/a"],
        "notes": {"a": "b"},
    }
    hold_together(RawLinkset(), [altered(plain(1, rawLinkset=full), data)])


PLACES = ("tenant", "vendor", "upstream_id", "content_hash", "format", "raw", "linkset")


@pytest.mark.parametrize("field", PLACES)
def test_an_adapted_place_is_adapted_in_core_and_reference_alike(field: str) -> None:
    where = dataclasses.replace(shape.OBSERVATION, **{field: shape.Place.parse("no.such", "a.b.c", "d")})
    transform = RawLinkset(names=dataclasses.replace(shape.NAMES, observation=where))
    documents = []
    for number, place in enumerate([("a", "b", "c"), ("d",), ("e",)]):
        document = plain(number)
        value = getattr(shape.OBSERVATION, field).find(document)
        for step in reversed(place):
            value = {step: value}
        documents.append(bson.encode(document | value))
    lookup = Memory(transform, {RAW: [snapshot(1, linkset=canonical_linkset(1))]})
    hold_together(transform, documents, lookup)
    result, left = at_once(transform, documents, lookup)
    assert result is not None
    assert 0 not in left
    assert 1 not in left


@pytest.mark.parametrize(
    "changes",
    [
        {"purls": "aliases"},
        {"url": "type"},
        {"aliases": "$ref"},
        {"raw_linkset": "_id"},
        {"notes": "a\0b"},
        {"reconciled_from": "cpes"},
        {"observation": dataclasses.replace(shape.OBSERVATION, tenant=shape.Place((("a\0b",),)))},
        {"observation": dataclasses.replace(shape.OBSERVATION, tenant=shape.Place((("a",) * 10_000,)))},
    ],
)
def test_names_that_cannot_be_told_apart_are_the_references(changes: dict[str, Any]) -> None:
    names = dataclasses.replace(shape.NAMES, **changes)
    assert at_once(RawLinkset(names=names), [bson.encode(plain(1))])[0] is None
