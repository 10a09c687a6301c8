"""The loops give what their twins give, or nothing; they are the same compiled and interpreted."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from hypothesis import given, strategies as st

from kit.documents import Kind, Wanted, elements, loops, prune
from kit.errors import ContentError
from tests.documents import strategies
from tests.documents.test_prune import DOCUMENTS, WANTED

OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS
)


def walked(data: bytes, start: int = 0) -> dict[bytes, tuple[int, int, int]] | None:
    try:
        met = list(elements(data, start))
    except ContentError:
        return None
    found = {element.name: (element.kind, element.value, element.end) for element in met}
    return found if len(found) == len(met) else None


def decoded(data: bytes, wanted: Wanted | None) -> dict[str, Any] | None:
    try:
        return bson.decode(prune(data, 0, wanted) if wanted is not None else data, OPTIONS)
    except (ContentError, BSONError, ValueError):
        return None


def ends_agree(data: bytes) -> None:
    with suppress(ContentError):
        for element in elements(data):
            last, value, end = len(data) - 1, element.value, element.end
            assert loops.after_nul(data, element.start + 1, last) == value
            assert loops.element_end(data, element.start, last) in {end, -1}
            assert loops.value_end(data, element.kind, value, last) in {end, -1}
            if element.kind == Kind.STRING:
                is_plain = data.find(0, value + 4, end) == end - 1
                assert loops.text_end(data, value, last) == (end if is_plain else -1)


def agree(data: bytes, wanted: Wanted | None) -> None:
    index = loops.index(data, 0)
    assert index is None or list(index.items()) == list((walked(data) or {}).items())
    ends_agree(data)
    selected = loops.select(data, 0, wanted)
    assert selected is None or repr(selected) == repr(decoded(data, wanted))


@given(strategies.DOCUMENTS, st.none() | WANTED)
def test_every_kind_of_element(data: bytes, wanted: Wanted | None) -> None:
    agree(data, wanted)


@given(DOCUMENTS, st.none() | WANTED, st.data())
def test_a_spoiled_byte(document: dict[str, Any], wanted: Wanted | None, data: st.DataObject) -> None:
    spoiled = bytearray(bson.encode(document))
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    agree(bytes(spoiled), wanted)


@given(DOCUMENTS, st.integers(1, 20))
def test_a_cut_document_gives_nothing(document: dict[str, Any], cut: int) -> None:
    data = bson.encode(document)[:-cut]
    assert loops.index(data, 0) is None
    assert loops.select(data, 0, None) is None


TEXTS = st.recursive(
    st.text(max_size=3) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.sampled_from("abcd"), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from("abcd"), TEXTS), st.binary(max_size=5), st.none() | WANTED)
def test_what_advisories_are_made_of_is_never_in_doubt(
    document: dict[str, Any], before: bytes, wanted: Wanted | None
) -> None:
    data = bson.encode(document)
    assert loops.index(before + data + b"after", len(before)) == walked(before + data, len(before))
    assert loops.select(before + data + b"after", len(before), wanted) == decoded(data, wanted)


@pytest.mark.parametrize("depth", [loops.DEPTH, loops.DEPTH + 1, 50_000])
@pytest.mark.parametrize("kind", [b"\x03", b"\x04"], ids=["documents", "arrays"])
def test_depth_is_no_way_to_the_end_of_the_stack(kind: bytes, depth: int) -> None:
    data = b"\x05\0\0\0\0"
    for _ in range(depth):
        data = (len(data) + 8).to_bytes(4, "little") + kind + b"0\0" + data + b"\0"
        if len(data) > 100_000:
            break
    selected = loops.select(data, 0, None)
    assert (selected is not None) == (depth <= loops.DEPTH)


def test_names_that_a_decoder_may_take_for_a_reference_are_left_to_it() -> None:
    assert loops.select(bson.encode({"a": {"$ref": "x", "$id": "y"}}), 0, None) is None


@pytest.mark.parametrize("name", ["1", "00", "", "a"])
def test_an_item_that_does_not_stand_under_its_index_is_left_to_the_twin(name: str) -> None:
    items = bson.encode({name: "x"})
    data = bson.encode({"a": []}).replace(b"\x05\0\0\0\0", items)
    data = len(data).to_bytes(4, "little") + data[4:]
    assert loops.select(data, 0, None) is None
