"""Elements are counted as a decoder counts them, and a document of too many is refused before anybody looks in."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.code import Code
from hypothesis import given, settings, strategies as st

from kit.documents import Run, runs
from kit.documents.framing import check_width, count_elements
from kit.errors import BsonError, LimitError
from kit.values import Limits
from tests.attacks.bombs import nested_document, wide_document
from tests.documents.strategies import DOCUMENTS, int32

LIMITS = Limits()


def counted(data: bytes, limits: Limits = LIMITS) -> int:
    return count_elements(data, 0, len(data), limits)


def decoded_elements(value: Any) -> int:
    """Count in what pymongo makes of it."""
    if isinstance(value, dict):
        return len(value) + sum(map(decoded_elements, value.values()))
    if isinstance(value, list):
        return len(value) + sum(map(decoded_elements, value))
    if isinstance(value, Code) and value.scope is not None:
        return decoded_elements(dict(value.scope))
    return 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | st.binary(max_size=5) | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
        | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2).map(lambda scope: Code("f", scope))
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", max_size=2), VALUES, max_size=4))
def test_as_many_as_a_decoder_finds(document: dict[str, Any]) -> None:
    data = bson.encode(document)
    assert counted(data) == decoded_elements(document)
    assert count_elements(b"xyz" + data + b"behind", 3, 3 + len(data), LIMITS) == decoded_elements(document)


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 3))
def test_whatever_the_bytes_are_there_are_no_more_than_nuls(inside: bytes, depth: int) -> None:
    data = int32(len(inside) + 5) + inside + b"\0"
    assert counted(data, Limits(document_depth=depth)) <= data.count(0)


def test_the_walk_goes_on_behind_a_fault_in_a_nested_document() -> None:
    broken = b"\x03a\0" + int32(7) + b"\xeex\0"  # an element of no type, and no NUL behind its name
    data = int32(4 + 10 + 3 + 1) + broken + b"\x0ab\0" + b"\0"
    assert counted(data) == 2


@pytest.mark.slow
def test_what_is_nested_too_deep_is_one_element() -> None:
    assert counted(nested_document(2_000_000)) == LIMITS.document_depth
    assert counted(nested_document(5), Limits(document_depth=3)) == 3


@pytest.mark.parametrize("target", [64, 1 << 22], ids=["a run of its own", "a run with others"])
def test_a_wide_document_is_refused_with_its_place_and_the_option(target: int) -> None:
    small, wide = bson.encode({"a": 1}), wide_document(5 + 8 * 200)
    limits = Limits(document_elements=199)
    with pytest.raises(LimitError, match="document 1: byte 12: 200 is over the limit document_elements = 199") as met:
        list(runs([small, wide, small], limits=limits, target=target))
    assert met.value.hint.endswith("--max document_elements=200")
    enough = list(runs([small, wide, small], limits=Limits(document_elements=200), target=target))
    assert b"".join(run.data for run in enough) == small + wide + small


def test_a_long_document_of_few_elements_passes() -> None:
    zeros = bson.encode({"a": bytes(5000), "b": [None] * 3})  # more NULs than elements are allowed
    assert [run.data for run in runs([zeros], limits=Limits(document_elements=5))] == [zeros]


@settings(deadline=None)
@given(st.lists(DOCUMENTS, max_size=6), st.integers(0, 12), st.integers(1, 300))
def test_the_limit_holds_for_each_document_wherever_runs_are_cut(
    documents: list[bytes], most: int, target: int
) -> None:
    data = b"".join(documents)
    limits = Limits(document_elements=most)
    widest = max((count_elements(one, 0, len(one), limits) for one in documents), default=0)

    def outcome(chunks: list[bytes]) -> list[Run] | str:
        try:
            return list(runs(chunks, limits=limits, target=target))
        except (LimitError, BsonError) as error:
            return str(error)

    met = outcome([data])
    assert isinstance(met, str) == (widest > most)
    assert outcome([bytes([byte]) for byte in data]) == met


@pytest.mark.slow
def test_the_default_leaves_room_for_10_mib_of_the_shortest_references() -> None:
    advisory = bson.encode({"references": [{"url": "https://example.com/1", "category": "self"}] * 170_000})
    assert len(advisory) > 10 << 20
    check_width(advisory, 0, len(advisory), LIMITS, where="")
    with pytest.raises(LimitError, match="over the limit document_elements"):
        check_width(wide := wide_document(16 << 20), 0, len(wide), LIMITS, where="")
