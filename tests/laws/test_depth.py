"""How deep a document is nested is told as somebody who recurses counts it."""

from __future__ import annotations

from typing import Any

import bson
from bson.code import Code
from hypothesis import given, strategies as st

from kit.documents import is_deeper
from tests.attacks.bombs import nested_document

VALUES = st.recursive(
    st.none() | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.builds(Code, st.just("f"), st.dictionaries(st.sampled_from("ab"), inner, max_size=2))
    ),
)


def levels(value: Any) -> int:
    inside = value.scope if isinstance(value, Code) else value
    if isinstance(inside, dict):
        inside = list(inside.values())
    return 1 + max(map(levels, inside), default=0) if isinstance(inside, list) else 0


@given(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3))
def test_it_is_deeper_than_one_level_less_and_no_deeper_than_it_is(value: dict[str, Any]) -> None:
    document, met = bson.encode(value), levels(value)
    assert [is_deeper(document, count) for count in (max(1, met - 1), met, met + 1)] == [met > 1, False, False]


def test_a_document_of_any_depth_is_told() -> None:
    assert is_deeper(nested_document(100_000), 500)


@given(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1, max_size=3), st.data())
def test_of_a_malformed_document_something_is_told(value: dict[str, Any], data: st.DataObject) -> None:
    spoiled = bytearray(bson.encode(value))
    spoiled[data.draw(st.integers(4, len(spoiled) - 2))] ^= data.draw(st.integers(1, 255))
    assert is_deeper(bytes(spoiled), 3) in {True, False}
