"""The census of a run: sums, the core and its reference, shapes, and bounds."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Run, core
from kit.documents.census import (
    EMPTY,
    ENVELOPE,
    MAX_PATHS,
    SHAPES,
    SKETCH,
    Table,
    add_by_reference,
    add_tables,
    census,
    census_by_reference,
    spell,
    steps_of,
)
from kit.documents.kinds import Kind
from kit.values import Limits

LIMITS = Limits()
SEALS = ((b"__encrypted",), (b"ct", b"iv", b"tag"))
texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        (
            "",
            "c56a4180-65aa-42ec-a945-5fd21dec0538",
            "65f1a2b3c4d5e6f708192a3b",
            "sha256:" + "ab" * 32,
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "a.b@example.org",
            "https://example.org/x",
            "2026-01-02T03:04:05Z",
            "-12.5",
            "[1]",
            "eyJhbGciOiJIUzI1NiJ9.e30.abcD",
            "GO-2025-1",
            "one two three",
            "-----BEGIN X",
        )
    ),
    st.from_regex(r"[A-Za-z0-9@.:/+ _-]{0,40}", fullmatch=True),
)
names = st.one_of(st.sampled_from(("a", "b", "__encrypted", "ct", "iv", "tag", "")), st.text("xyz.[]é", max_size=3))
scalars = st.one_of(
    texts, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.none(), st.binary(max_size=5), st.floats(allow_nan=False)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=9,
)
documents = st.dictionaries(names, values, max_size=5).map(bson.encode)


def table(of: list[bytes], examples: int = 3) -> bytes:
    return census(Run.of(of), SEALS, examples, LIMITS)


def plain_table(of: list[bytes], examples: int = 3) -> bytes:
    return census_by_reference(Run.of(of), SEALS, examples, LIMITS)


@given(st.lists(documents, max_size=6), st.integers(0, 3))
@settings(max_examples=300)
def test_core_and_reference_make_the_same_table(run: list[bytes], examples: int) -> None:
    both, one, other = (table(part, examples) for part in (run, run[:2], run[2:]))
    assert [both, one, other] == [plain_table(part, examples) for part in (run, run[:2], run[2:])]
    assert add_tables(one, other, examples) == add_by_reference(one, other, examples) == both


@given(st.lists(documents, max_size=6), st.integers(0, 6))
def test_the_table_of_two_runs_is_the_sum_of_theirs_in_any_order(run: list[bytes], cut: int) -> None:
    one, other = table(run[:cut]), table(run[cut:])
    assert add_tables(one, other, 3) == add_tables(other, one, 3) == table(run)
    assert add_tables(table(run), EMPTY, 3) == add_tables(EMPTY, table(run), 3) == table(run)
    assert Table.parse(table(run)).to_bytes() == table(run)


def path_of(of: list[Any], name: str) -> Any:
    found = Table.parse(table([bson.encode(one) for one in of]))
    return {spell(steps_of(key)): path for key, (_, path) in found.paths.items()}[name]


def test_a_path_counts_documents_values_types_and_lengths() -> None:
    of = [{"a": [{"b": "xy"}, {"b": 1}]}, {"a": [{"b": "wxyz"}]}, {"a": []}, {}]
    found = path_of(of, "a[].b")
    assert (found.documents, found.values, found.kinds) == (2, 3, {Kind.STRING: 2, Kind.INT32: 1})
    assert (found.sized, found.least, found.longest, found.total) == (2, 2, 4, 6)
    assert found.distinct == (3, True)
    assert path_of(of, "a").documents == 3


def test_an_envelope_is_one_value_and_not_entered() -> None:
    sealed = {"__encrypted": True, "v": 2}
    found = Table.parse(table([bson.encode({"a": sealed}), bson.encode({"a": {"ct": "", "iv": "", "tag": ""}})]))
    assert {spell(steps_of(key)): path.kinds for key, (_, path) in found.paths.items()} == {"a": {ENVELOPE: 2}}


def test_a_malformed_document_counts_as_unread_and_adds_nothing() -> None:
    sound = bson.encode({"a": "x"})
    broken = bson.encode({"a": "x", "b": "y"}).replace(b"y\0\0", b"\xff\0\0")
    found = Table.parse(table([sound, broken]))
    assert (found.documents, found.unread, len(found.paths)) == (1, 1, 1)


def test_distinct_values_are_estimated_within_a_fifth() -> None:
    for many in (SKETCH - 1, 5_000, 40_000):
        found = path_of([{"a": [f"value {number}" for number in range(many)]}], "a[]")
        number, is_exact = found.distinct
        assert is_exact == (many < SKETCH)
        assert abs(number - many) <= (0 if is_exact else many / 5)


@pytest.mark.parametrize("documents", [1, 3 * MAX_PATHS])
def test_paths_are_bounded_and_the_first_ones_are_kept(documents: int) -> None:
    every = [f"{number * 4097 % (3 * MAX_PATHS):05}" for number in range(3 * MAX_PATHS)]
    of = [dict.fromkeys(every, 1)] if documents == 1 else [{name: 1} for name in every]
    run = [bson.encode(one) for one in of]
    found = Table.parse(table(run))
    assert found.is_cut
    assert sorted(spell(steps_of(key)) for key in found.paths) == sorted(every)[:MAX_PATHS]
    assert plain_table(run) == found.to_bytes()


def test_a_long_path_is_not_kept() -> None:
    run = [bson.encode({"a" * 2000: {"b": 1}, "c": 1})]
    found = Table.parse(table(run))
    assert found.is_cut
    assert len(found.paths) == 1
    assert plain_table(run) == found.to_bytes()


def test_examples_are_those_of_the_smallest_hashes_and_cut_off() -> None:
    values = [f"{number} " + "x" * 300 for number in range(30)]
    found = path_of([{"a": value} for value in values], "a")
    assert len(found.examples) == 3
    assert sorted(found.examples) == found.hashes[:3]
    assert all(len(value) == 200 for _, value in found.examples.values())
    assert not Table.parse(table([bson.encode({"a": "x"})], 0)).paths[b"\0fa"][1].examples


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("A.b+c@mail.example.org", "mail"),
        ("a@b", "text"),
        ("pkg:golang/example.com/x@1.2", "identifier"),
        ("CVE-2025-0001", "identifier"),
        ("2026-13-01 whenever", "timestamp"),
        ("d41d8cd98f00b204e9800998ecf8427e", "digest"),
        ("ghp_abcDEF0123456789abcdefABCDEF", "token"),
        ("two words", "text"),
        ("Ein Satz für alle.", "prose"),
    ],
)
def test_a_text_has_the_first_shape_that_fits(text: str, shape: str) -> None:
    counts = path_of([{"a": text}], "a").shapes
    assert [name for (name, _), count in zip(SHAPES, counts, strict=True) if count] == [shape]


def test_a_path_is_spelled_so_that_different_paths_differ() -> None:
    paths = [("a", "b"), ("a.b",), ("a", None), ("a[]",), ("", "a"), ("a", None, None, "b"), ('"a"',)]
    assert [spell(path) for path in paths] == ["a.b", '"a.b"', "a[]", '"a[]"', '"".a', "a[][].b", '"\\"a\\""']


def test_the_core_takes_part() -> None:
    if core.census is None:
        pytest.skip(core.ABSENCE)
    assert core.census(bson.encode({"a": 1}), [len(bson.encode({"a": 1}))], [], 0, (1000, 10)) is not None
