"""What the core reads of runs that are only read is what the reference does: validation, counts, proofs, sketches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Run, append, core, first_other, validate
from kit.documents.framing import elements_in
from kit.engine.checks import APPENDED, cut
from kit.engine.proving import Piece, RunWanted, prove_by_core, prove_one_by_one
from kit.errors import KitError
from kit.transforms import coverage
from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.counting import counted, tally_appended, tally_run
from kit.values import CollectionName, Limits, RunLengths
from kit.verbs.diff.documents import Pair, compare_appended, compare_pairs, compress, sketch_each, sketch_run
from tests.documents.strategies import DOCUMENTS, document, int32
from tests.documents.test_corpus import BROKEN, CORPUS, VALID
from tests.tiers import examples
from tests.transforms.raw_linkset.altered import NUMBERS, alter, bytes_of, observed, tree_of
from tests.transforms.raw_linkset.published_data import KITS, collection

pytestmark = pytest.mark.skipif(core.prove is None, reason=f"the core is {core.ABSENCE}")

OBSERVATIONS = CollectionName(database="concelier", collection="advisory_observations")
NOTES = CollectionName(database="concelier", collection="notes")
LIMITS = Limits()
collections = st.sampled_from([OBSERVATIONS, NOTES])
T = TypeVar("T")

PROJECTION: dict[str, Any] = {
    "aliases": ["A"],
    "purls": [],
    "cpes": ["c"],
    "references": [{"type": "web", "url": "u", "source": "s"}],
    "reconciled_from": ["/id"],
    "notes": {},
}
SCOPED = {name: PROJECTION[name] for name in ("aliases", "purls", "cpes", "references")} | {"scopes": ["s"]}
SCOPED |= {name: PROJECTION[name] for name in ("reconciled_from", "notes")}
MORE = {
    "rawLinkset": st.sampled_from([PROJECTION, PROJECTION, {**PROJECTION, "notes": {"n": "é"}}, None, 7, {}, "x"]),
    "tenant": st.sampled_from(["acme", "acme", "", "é" * 90, "x" * 200, None, 7, {}]),
    "createdAt": st.just(bson.DatetimeMS(-5)) | st.just("2026"),
    "_id": st.sampled_from([7, 2**40, bson.ObjectId(bytes(12)), None, "tab\t", "é", "", "x" * 250, 1.5, True, {}]),
    "content": st.sampled_from(
        [
            {"raw": {"withdrawn": "2024"}},
            {"raw": {"withdrawn": ""}},
            {"raw": {"withdrawn_at": bson.DatetimeMS(0)}},
            {"raw": {"cveMetadata": {"state": "REJECTED"}}},
            {"raw": {"cveMetadata": {"state": "re\u212aected"}}},
            {"raw": {"document": {"category": "csaf_withdrawn"}}},
        ]
    ),
}


@st.composite
def observations(draw: st.DrawFn) -> bytes:
    """An observation, often with a projection, sometimes with something odd in it."""
    made = observed(draw(NUMBERS))
    for name in draw(st.lists(st.sampled_from([*MORE, "rawLinkset", "rawLinkset"]), max_size=2)):
        made.pop(name, None)
        more = {name: draw(MORE[name])}
        made = {**more, **made} if name == "_id" else {**made, **more}
    tree = tree_of(bson.encode(made))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        alter(tree, draw(st.data()))
    return bytes_of(tree)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document as its frame says, with bytes of it changed."""
    whole = bytearray(draw(DOCUMENTS | observations()))
    for _ in range(draw(st.integers(0, 3))):
        if len(whole) > 5:
            at = draw(st.integers(4, len(whole) - 2))
            whole[at] = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 8, 11, 15, 16, 127, 128, 255]) | st.integers(0, 255))
    return bytes(whole)


documents = st.lists(damaged() | observations(), max_size=5)


def run_of(each: Iterable[bytes], first: int = 3) -> Run:
    each = list(each)
    return Run(first=first, offset=0, data=b"".join(each), ends=tuple(itertools.accumulate(map(len, each))))


def outcome(work: Callable[[], T]) -> T | str:
    """Return what comes out of ``work``: a value, or the words of an error."""
    try:
        return work()
    except KitError as error:
        return f"{type(error).__name__}: {error}"


def is_valid(data: bytes, limits: Limits = LIMITS) -> bool:
    try:
        validate(data, limits=limits)
    except KitError:
        return False
    return True


def core_says_valid(data: bytes, limits: Limits = LIMITS) -> bool:
    by = counted(NOTES)
    assert core.prove is not None
    assert by is not None
    bounds = limits.document_bytes, limits.document_depth
    return core.prove(data, [len(data)], by, bounds, [], False) is not None


@given(damaged())
@settings(max_examples=examples(600))
def test_the_core_finds_well_formed_exactly_what_validation_does(data: bytes) -> None:
    assert core_says_valid(data) == is_valid(data)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is kept outside the project")
def test_the_core_finds_well_formed_of_the_conformance_corpus_what_validation_does() -> None:
    sound = [data for cases in VALID.values() for data in cases.values()]
    broken = [data for cases in BROKEN.values() for data in cases.values()]
    assert sound
    assert broken
    for data in (*sound, *broken):
        assert core_says_valid(data) == is_valid(data)
        # Each byte once as a NUL, and once as what is no UTF-8.
        for at in range(len(data)):
            for byte in (b"\0", b"\xff"):
                other = data[:at] + byte + data[at + 1 :]
                assert core_says_valid(other) == is_valid(other)


@given(levels=st.integers(1, 9), most=st.integers(1, 9), kind=st.sampled_from([3, 4, 15]))
def test_documents_are_nested_no_deeper_than_they_may(levels: int, most: int, kind: int) -> None:
    inner = b"\5\0\0\0\0"
    for _ in range(levels - 1):
        value = int32(len(inner) + 10) + int32(2) + b"c\0" + inner if kind == 15 else inner
        inner = document([("a", (kind, value))])
    limits = Limits(document_depth=most, document_bytes=len(inner))
    assert core_says_valid(inner, limits) == is_valid(inner, limits) == (levels <= most)
    assert not core_says_valid(inner, Limits(document_bytes=len(inner) - 1))


def test_depth_costs_no_stack() -> None:
    inner = b"\5\0\0\0\0"
    for _ in range(3000):
        inner = document([("", (3, inner))])
    assert core_says_valid(inner, Limits(document_depth=3001))
    assert not core_says_valid(inner, Limits(document_depth=3000))


@given(name=collections, each=documents)
@settings(max_examples=examples(200))
def test_a_run_is_counted_as_its_documents_are(name: CollectionName, each: list[bytes]) -> None:
    assert tally_run(name, run_of(each)) == coverage.tally(name, each)


def selections(data: st.DataObject, count: int) -> RunLengths:
    """Of some of the documents; a statement may speak of fewer than there are."""
    return RunLengths.of(data.draw(st.lists(st.booleans(), max_size=count)))


@given(name=collections, each=documents, data=st.data())
@settings(max_examples=examples(250))
def test_a_run_is_proven_as_by_the_reference(name: CollectionName, each: list[bytes], data: st.DataObject) -> None:
    pieces = tuple(
        Piece(
            appended=selections(data, len(each)),
            cut_appended=selections(data, len(each)),
            sized=data.draw(st.booleans()),
            rooted=data.draw(st.booleans()),
        )
        for _ in range(data.draw(st.integers(0, 2)))
    )
    asked = RunWanted(earlier=pieces, rooted=data.draw(st.booleans()), fields=())
    limits = Limits(document_depth=data.draw(st.sampled_from([LIMITS.document_depth, 4])))
    run = run_of(each)
    expected = outcome(lambda: prove_one_by_one(name, run, asked, limits))
    found = outcome(lambda: prove_by_core(name, run, asked, limits))
    if found is None:
        assert not all(is_valid(one, limits) for one in each)
        assert isinstance(expected, str)
    else:
        assert found == expected


def test_plain_observations_are_not_left_to_the_reference() -> None:
    each = [append(bson.encode(observed(number)), element(PROJECTION)) for number in range(4)]
    by = counted(OBSERVATIONS)
    run = run_of(each)
    assert core.count is not None
    assert by is not None
    found = core.count(run.data, run.ends, by, None)
    assert found is not None
    assert found[0][1] == []
    assert core.sketch is not None
    made = core.sketch(run.data, run.ends, shape.NAMES, None)
    assert made is not None
    assert None not in made


def element(value: dict[str, Any]) -> bytes:
    return b"\3rawLinkset\0" + bson.encode(value)


@given(each=st.lists(damaged() | observations(), max_size=4), data=st.data())
@settings(max_examples=examples(250))
def test_what_became_of_a_run_is_seen_as_by_the_reference(each: list[bytes], data: st.DataObject) -> None:
    run = run_of(each)
    touched = [data.draw(st.booleans()) for _ in each]
    after = [
        append(one, element(data.draw(st.sampled_from([PROJECTION, {}])))) if flag else one
        for one, flag in zip(each, touched, strict=True)
    ]
    body = bytearray(b"".join(after))
    match data.draw(st.sampled_from(["as it is", "as it is", "a byte", "cut", "longer", "flag"])):
        case "a byte" if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from([0, 1, 3, 5, 255]))
        case "cut":
            del body[data.draw(st.integers(0, len(body))) :]
        case "longer":
            body += data.draw(st.binary(min_size=1, max_size=6) | DOCUMENTS)
        case "flag" if touched:
            touched[0] = not touched[0]
    found = tally_appended(OBSERVATIONS, run, bytes(body), bytes(touched))
    is_same = first_other(run.data, run.ends, bytes(body), touched, APPENDED) == -1
    assert (found is not None) == is_same
    if found is not None:
        assert found == coverage.tally(OBSERVATIONS, cut(bytes(body)))


@given(name=collections, each=documents)
@settings(max_examples=examples(300))
def test_a_run_is_sketched_as_its_documents_are(name: CollectionName, each: list[bytes]) -> None:
    assert sketch_run(name, run_of(each)).each == sketch_each(name, each)


@given(one=observations() | damaged(), value=st.sampled_from([PROJECTION, SCOPED, {}, {"a": 1}]))
@settings(max_examples=examples(300))
def test_sketches_tell_what_a_comparison_would(one: bytes, value: dict[str, Any]) -> None:
    other = append(one, element(value))
    before, after = sketch_each(OBSERVATIONS, [one, other])
    if after.appended is not None:
        assert after.appended.without == before.digest
        gained = compare_appended(7, gained=True, elements=after.appended.elements)
        lost = compare_appended(8, gained=False, elements=after.appended.elements)
        pairs = [Pair(7, "", compress(one), other), Pair(8, "", compress(other), one)]
        assert compare_pairs(pairs) == [gained, lost]
    else:
        # What ends in a projection, has an _id and has no fault on its uppermost level, need not be compared.
        assert value in ({}, {"a": 1}) or after.unread or after.name == "(none)"


def test_only_a_projection_at_the_end_is_taken_for_appended() -> None:
    begin, projection = bson.encode({"_id": 1}), element(PROJECTION)
    (plain,) = sketch_each(OBSERVATIONS, [append(begin, projection)])
    assert plain.appended is not None
    others = [
        append(append(begin, projection), b"\nx\0"),
        append(append(begin, projection), projection),
        append(begin, element({"__encrypted": True, **PROJECTION})),
        append(begin, projection.replace(b"aliases", b"aliasez")),
        append(begin, b"\nrawLinkset\0"),
        append(begin, projection.replace(b"rawLinkset", b"rawLinkses")),
    ]
    run = run_of(others)
    assert [one.appended for one in sketch_each(OBSERVATIONS, others)] == [None] * len(others)
    assert sketch_run(OBSERVATIONS, run).each == sketch_each(OBSERVATIONS, others)


@given(st.binary(max_size=3000) | st.lists(st.sampled_from([0, 0, 1, 255]), max_size=1200).map(bytes))
def test_elements_are_estimated_by_the_nuls(block: bytes) -> None:
    pairs = list(itertools.pairwise(block))
    assert elements_in(block, exactly=False) == sum(byte == 0 for byte in block)
    assert elements_in(block, exactly=True) == sum(one != 0 and two == 0 for one, two in pairs)


@pytest.mark.parametrize("kit", KITS)
def test_published_observations_are_read_as_by_the_reference(kit: str) -> None:
    each = [bson.encode(one) for one in collection(kit, "advisory_observations")]
    # As many again, with a projection behind the others.
    each += [append(one, element(PROJECTION)) for one in each if b"\3rawLinkset\0" not in one]
    run = run_of(each, 0)
    some = RunLengths.of([number % 3 > 0 for number in range(len(each))])
    piece = Piece(appended=some, cut_appended=some, sized=True, rooted=True)
    asked = RunWanted(earlier=(piece,), rooted=True, fields=())
    found = prove_by_core(OBSERVATIONS, run, asked, LIMITS)
    assert found is not None
    assert found == prove_one_by_one(OBSERVATIONS, run, asked, LIMITS)
    assert found.earlier[0].appended > 0
    assert sketch_run(OBSERVATIONS, run).each == sketch_each(OBSERVATIONS, each)
