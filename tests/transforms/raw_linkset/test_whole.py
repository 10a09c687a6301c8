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
from kit.transforms.raw_linkset import RawLinkset
from kit.values import CollectionName
from tests.kits import canonical_linkset, observation, osv
from tests.transforms.raw_linkset.test_transform import ANY_DOCUMENTS

pytest.importorskip("librt", reason="mypyc's run-time library is not installed")

from kit.transforms.raw_linkset.direct import Direct, cve, osv as direct_osv, whole

NAME = CollectionName(database="concelier", collection="advisory_observations")
READERS: dict[str, Direct] = {"OSV": direct_osv.osv_element, "cve": cve.cve_element}


class Asked:
    """The transform, and the numbers of the documents that it was asked for one by one."""

    def __init__(self, transform: RawLinkset) -> None:
        self.transform = transform
        self.numbers: list[int] = []

    def alone(self, document: bytes, number: int) -> Change:
        self.numbers.append(number)
        return self.transform.apply(NAME, [document], EmptyLookup(), number)[0]

    def rewrite(self, documents: Sequence[bytes]) -> Rewritten:
        ends = list(itertools.accumulate(map(len, documents)))
        return whole.rewrite(b"".join(documents), ends, self.transform.tenants, READERS.get, self.alone)


def one_by_one(transform: RawLinkset, documents: Sequence[bytes]) -> Rewritten:
    changes = transform.apply(NAME, documents, EmptyLookup(), 0)
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
    assert said(Asked(transform).rewrite(documents)) == said(one_by_one(transform, documents))


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
            Asked(transform).rewrite(documents)
        return
    assert said(Asked(transform).rewrite(documents)) == said(expected)


def test_plain_documents_are_not_asked_for_though_their_names_change_from_one_to_the_next() -> None:
    documents = [
        plain(1),
        plain(2, extra=1),
        {"first": None, **plain(3)},
        plain(4, tenant=None),
        plain(5, tenant="é"),
        plain(6, rawLinkset=None),
        plain(7, rawLinkset={}),
        dict(reversed(plain(8).items())),
    ]
    encoded = list(map(bson.encode, documents))
    asked = Asked(RawLinkset())
    result = asked.rewrite(encoded)
    assert asked.numbers == []
    assert result.touched == [True, True, True, True, True, False, False, True]
    assert result.summed.outcomes == {
        ("acme", "content"): 4,
        ("", "content"): 1,
        ("é", "content"): 1,
        ("acme", "null"): 1,
        ("acme", "present"): 1,
    }
    assert said(result) == said(one_by_one(RawLinkset(), encoded))


def test_a_name_that_is_there_twice_is_seen_behind_documents_that_have_it_once() -> None:
    good = bson.encode(plain(1))
    twice = bytearray(bson.encode(plain(2, linksex={})))
    twice[twice.index(b"linksex")] = ord("l")
    twice[twice.index(b"linksex") + 6] = ord("t")
    assert twice.count(b"\x03linkset\0") == 2
    asked = Asked(RawLinkset())
    with pytest.raises(KitError, match="repeated element name"):
        asked.rewrite([good, good, bytes(twice)])
    assert asked.numbers == [2]


def test_of_another_tenant_nothing_changes() -> None:
    documents = [bson.encode(plain(number, tenant="ab"[number % 2])) for number in range(4)]
    asked = Asked(RawLinkset(tenants=frozenset({"b"})))
    result = asked.rewrite(documents)
    assert (asked.numbers, result.touched) == ([], [False, True, False, True])
    assert result.summed.outcomes == {("a", "not-selected"): 2, ("b", "content"): 2}


def test_a_run_in_which_nothing_changes_is_handed_back_as_it_is() -> None:
    run = b"".join(bson.encode(plain(number, rawLinkset=None)) for number in range(3))
    ends = [len(run) // 3, 2 * len(run) // 3, len(run)]
    result = whole.rewrite(run, ends, None, READERS.get, Asked(RawLinkset()).alone)
    assert result.body is run


def test_what_is_appended_can_be_taken_off_again() -> None:
    (document,) = documents = [bson.encode(plain(1))]
    assert remove(Asked(RawLinkset()).rewrite(documents).body, ["rawLinkset"]) == document


def test_a_divergence_stops_where_it_should() -> None:
    diverging = bson.encode(plain(1, linkset={"aliases": ["other"], "purls": [], "cpes": [], "references": []}))
    with pytest.raises(StoppedError, match="would diverge"):
        Asked(RawLinkset(stop_on_divergence=True)).rewrite([bson.encode(plain(2)), diverging])
