from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.documents import OTHERS, Wanted, prune
from kit.errors import BsonError, ContentError

NAMES = ("a", "b", "c", "d")
SCALARS = st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=4) | st.binary(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
WANTED: st.SearchStrategy[Any] = st.recursive(
    st.none(),
    lambda inner: st.tuples(
        st.dictionaries(st.sampled_from([name.encode() for name in NAMES]), inner, max_size=3),
        st.just({}) | st.just({OTHERS: {}}),
    ).map(lambda two: {**two[0], **two[1]}),
).filter(lambda wanted: wanted is not None)


def kept(value: Any, wanted: Wanted | None, *, in_list: bool = False) -> Any:
    """Say in Python what of a value is wanted."""
    if wanted is None:
        return value
    if isinstance(value, dict):
        found = {}
        for name, item in value.items():
            if name and name.encode() in wanted:
                found[name] = kept(item, wanted[name.encode()])
            elif OTHERS in wanted and not name.startswith("$"):
                found[name] = None
        return found
    if isinstance(value, list) and not in_list:
        return [kept(item, wanted, in_list=True) for item in value]
    return value


@given(DOCUMENTS, WANTED)
def test_what_is_left_decodes_to_what_is_wanted_of_the_whole(document: Mapping[str, Any], wanted: Wanted) -> None:
    assert bson.decode(prune(bson.encode(document), 0, wanted)) == kept(document, wanted)


@given(DOCUMENTS, WANTED, st.binary(max_size=5))
def test_a_document_within_a_buffer_is_pruned_as_one_of_its_own(
    document: Mapping[str, Any], wanted: Wanted, before: bytes
) -> None:
    data = bson.encode(document)
    assert prune(before + data + b"after", len(before), wanted) == prune(data, 0, wanted)


@given(DOCUMENTS, WANTED, st.data())
def test_a_spoiled_byte_is_an_error_of_ours_or_none(
    document: Mapping[str, Any], wanted: Wanted, data: st.DataObject
) -> None:
    spoiled = bytearray(bson.encode(document))
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ContentError):
        prune(bytes(spoiled), 0, wanted)


@pytest.mark.parametrize("name", [b"x", b"", b"\xff", b"x\xff"])
@pytest.mark.parametrize("kind", [b"\x02\x02\0\0\0\xff\0", b"\x01" + bytes(8)])
def test_another_name_is_reported_whatever_it_and_its_value_are(name: bytes, kind: bytes) -> None:
    element = kind[:1] + name + b"\0" + kind[1:]
    data = (2 * len(element) + 5).to_bytes(4, "little") + 2 * element + b"\0"
    assert bson.decode(prune(data, 0, {b"a": None, OTHERS: {}})) == {name.decode(errors="replace"): None}


def test_another_name_that_could_make_a_reference_is_not_reported() -> None:
    data = bson.encode({"$ref": 5, "$id": 1, "b": 1})
    assert bson.decode(prune(data, 0, {b"a": None, OTHERS: {}})) == {"b": None}


def test_a_wanted_name_that_is_there_twice_is_refused() -> None:
    twice = bson.encode({"a": 1})[4:-1] * 2
    with pytest.raises(ContentError, match="there twice"):
        prune((len(twice) + 5).to_bytes(4, "little") + twice + b"\0", 0, {b"a": None})


def test_a_name_that_is_not_wanted_may_be_there_twice() -> None:
    twice = bson.encode({"a": 1})[4:-1] * 2
    assert prune((len(twice) + 5).to_bytes(4, "little") + twice + b"\0", 0, {b"b": None}) == bson.encode({})


@pytest.mark.parametrize("cut", range(1, len(bson.encode({"a": {"b": [1, "x"]}}))))
def test_a_cut_document_is_refused(cut: int) -> None:
    with pytest.raises(BsonError):
        prune(bson.encode({"a": {"b": [1, "x"]}})[:-cut], 0, {b"a": {b"b": {b"c": None}}})


def test_arrays_in_arrays_are_no_way_to_the_recursion_limit() -> None:
    deep: list[Any] = []
    for _ in range(90):
        deep = [deep]
    wanted: Wanted = {b"a": {b"b": None}}
    assert bson.decode(prune(bson.encode({"a": deep}), 0, wanted)) == {"a": deep}
