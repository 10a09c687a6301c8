"""Keys of unique indexes, and the scan of a run: laws, an oracle of pairs, and that core and reference agree."""

from __future__ import annotations

import itertools
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.documents import core
from kit.importing.indexes import ParallelArraysError, UniqueIndex
from kit.importing.metadata import Demands
from kit.importing.scanning import (
    ImportCheck,
    check_run,
    place_of,
    repeats,
    repeats_by_reference,
    scan,
    scan_by_reference,
    select,
    select_by_reference,
)
from kit.importing.values import canonical, decode, parse_value
from kit.values import CollectionName, MemberPath
from tests.attacks.bombs import nested_document
from tests.documents.strategies import DOCUMENTS

NAME = CollectionName(database="d", collection="c")
PATH = MemberPath("d/c.bson")


def index(*paths: str, **more: Any) -> UniqueIndex:
    found = UniqueIndex.parse({"v": 2, "name": "u", "unique": True, "key": dict.fromkeys(paths, 1), **more})
    assert isinstance(found, UniqueIndex), found
    return found


def keys(of: UniqueIndex, document: dict[str, Any]) -> set[bytes]:
    return of.keys(decode(bson.encode(document)), b"")


EQUAL: list[tuple[Any, Any, bool]] = [
    (1, 1.0, True),
    (bson.Int64(1), bson.Decimal128("1.0"), True),
    (0.0, -0.0, True),
    (2**53, float(2**53), True),
    (bson.Int64(2**53 + 1), float(2**53), False),
    (0.1, bson.Decimal128("0.1"), False),
    (1, True, False),
    (1, "1", False),
    (float("nan"), bson.Decimal128("NaN"), True),
    (float("inf"), bson.Decimal128("Infinity"), True),
    (bson.Decimal128("1E+6111"), bson.Decimal128("10E+6110"), True),
    ({"a": 1, "b": 2}, {"a": 1.0, "b": 2}, True),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
    ([1, 2], [1.0, 2], True),
    ([1, [2]], [[1], 2], False),
    ({"a": {}}, {"a": []}, False),
    ("a", bson.Code("a"), False),
    (b"a", bson.Binary(b"a", 5), False),
]


@pytest.mark.parametrize(("one", "two", "same"), EQUAL)
def test_values_are_equal_as_a_server_compares_them(one: Any, two: Any, *, same: bool) -> None:
    assert (canonical(parse_value(one)) == canonical(parse_value(two))) is same
    document = ImportCheck(name=NAME, path=PATH, slot=0)
    data = [bson.encode({"_id": value}) for value in (one, two)]
    if not any(isinstance(value, list) for value in (one, two)):
        found = check_run(document, b"".join(data), list(itertools.accumulate(map(len, data))), 0)
        assert repeats(found.records, 9)[0] == same


SHARED: list[tuple[UniqueIndex, dict[str, Any], dict[str, Any], bool]] = [
    (index("a"), {}, {"a": None}, True),
    (index("a"), {"a": []}, {"a": None}, False),
    (index("a"), {"a": [1, 2]}, {"a": [2, 3]}, True),
    (index("a"), {"a": [1, 2]}, {"a": 2}, True),
    (index("a"), {"a": [[1, 2]]}, {"a": [1, 2]}, False),
    (index("a.b"), {"a": {"b": 1}}, {"a": [{"b": 2}, {"b": 1}]}, True),
    (index("a.b"), {"a": 5}, {"a": {"b": None}}, True),
    (index("a.b"), {"a": [{"b": [1, 2]}]}, {"a": {"b": 2}}, True),
    (index("a.b", "a.c"), {"a": [{"b": 1, "c": 1}, {"b": 2, "c": 2}]}, {"a": {"b": 1, "c": 2}}, False),
    (index("a.b", "a.c"), {"a": [{"b": 1, "c": 1}, {"b": 2, "c": 2}]}, {"a": {"b": 2, "c": 2}}, True),
    (index("a", "b"), {"a": [1, 2], "b": 3}, {"a": 2, "b": 3}, True),
    (index("a", "b"), {"a": 1}, {"a": 1, "b": None}, True),
    (index("a", sparse=True), {}, {}, False),
    (index("a", sparse=True), {"a": None}, {"a": None}, True),
    (index("a", "b", sparse=True), {"a": 1}, {"a": 1}, True),
    (index("a", partialFilterExpression={"b": {"$exists": True}}), {"a": 1, "b": 1}, {"a": 1}, False),
    (index("a", partialFilterExpression={"b": 1}), {"a": 1, "b": 1.0}, {"a": 1, "b": [2, 1]}, True),
    (
        index("a", partialFilterExpression={"b.c": {"$type": "string"}}),
        {"a": 1, "b": {"c": "x"}},
        {"a": 1, "b": [{"c": ""}]},
        True,
    ),
    (
        index("a", partialFilterExpression={"$and": [{"b": {"$type": ["int", "long"]}}, {"c": {"$eq": None}}]}),
        {"a": 1, "b": 1},
        {"a": 1, "b": 2, "c": 1},
        False,
    ),
]


@pytest.mark.parametrize(("of", "one", "two", "shared"), SHARED)
def test_two_documents_share_a_key_where_a_server_takes_only_one(
    of: UniqueIndex, one: dict[str, Any], two: dict[str, Any], *, shared: bool
) -> None:
    assert bool(keys(of, one) & keys(of, two)) is shared


def test_two_arrays_in_one_index_are_refused() -> None:
    with pytest.raises(ParallelArraysError):
        keys(index("a", "b"), {"a": [1], "b": [1]})
    assert len(keys(index("a.b", "a.c"), {"a": [{"b": 1}], "b": [1]})) == 1


VALUES = st.integers(0, 2) | st.sampled_from([None, 1.0, "a", bson.Int64(2)])
SMALL: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={name: VALUES | st.lists(VALUES, max_size=2) | st.builds(dict, b=VALUES) for name in "ac"}
)


@given(
    st.lists(SMALL, max_size=8), st.sampled_from([index("a"), index("a.b"), index("a", "c"), index("a", sparse=True)])
)
def test_the_repeats_are_those_of_a_comparison_of_all_pairs(documents: list[dict[str, Any]], of: UniqueIndex) -> None:
    data = [bson.encode({"_id": number, **one}) for number, one in enumerate(documents)]
    check = ImportCheck(name=NAME, path=PATH, slot=3, demands=Demands(indexes=(of,)))
    found = check_run(check, b"".join(data), list(itertools.accumulate(map(len, data))), 100)
    refused = {fault.number for fault in found.faults}
    made = {number: keys(of, one) for number, one in enumerate(documents) if number not in refused}
    expected = {number for number in made for earlier in made if earlier < number and made[number] & made[earlier]}
    total, repeated = repeats(found.records, 99)
    assert {place_of(place) for place, _, _ in repeated} == {(3, 1, 100 + number) for number in expected}
    assert total == len(expected)


needs_core = pytest.mark.skipif(core.import_scan is None, reason="no core")


@needs_core
@given(st.lists(DOCUMENTS | st.binary(min_size=5, max_size=30), max_size=5))
def test_core_and_reference_see_the_same(documents: list[bytes]) -> None:
    documents = [*documents, nested_document(4), nested_document(5), bson.encode({"_id": "a", "$a": 1})]
    ends = list(itertools.accumulate(map(len, documents)))
    data = b"".join(documents)
    numbers, records = scan(data, ends, 4, b"scope", 7)
    by_reference, same = scan_by_reference(data, ends, 4, b"scope", 7)
    assert records == same
    assert set(by_reference) <= set(numbers)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12), st.integers(1, 5), st.integers(0, 9))
def test_core_and_reference_find_the_same_repeats(made: list[tuple[int, int]], parts: int, most: int) -> None:
    records = b"".join(bytes([key << 6]) * 16 + place.to_bytes(8, "big") for key, place in dict.fromkeys(made))
    cut = [select(records, part, parts) for part in range(parts)]
    assert cut == [select_by_reference(records, part, parts) for part in range(parts)]
    assert sorted(_records(b"".join(cut))) == sorted(_records(records))
    first = {key: min(place for other, place in made if other == key) for key, _ in made}
    expected = sorted({place for key, place in made if place != first[key]})
    total, found = repeats(records, most)
    assert (total, found) == repeats_by_reference(records, most)
    assert (total, [place for place, _, _ in found]) == (len(expected), expected[:most])


def _records(data: bytes) -> list[bytes]:
    return [data[at : at + 24] for at in range(0, len(data), 24)]
