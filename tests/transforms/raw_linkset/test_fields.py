"""Reading single fields by place, compared with decoding the whole document."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents.kinds import INT32
from kit.errors import BsonError, ContentError
from kit.transforms.raw_linkset.extractor import Needs
from kit.transforms.raw_linkset.fields import Fields, decode
from kit.transforms.raw_linkset.shape import Place

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.text(max_size=3) | st.integers(0, 9),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
PLACES = st.lists(PATHS, min_size=1, max_size=3).map(lambda paths: Place.parse(*paths))


@settings(deadline=None)
@given(document=st.dictionaries(NAMES, VALUES, max_size=3), place=PLACES)
def test_a_field_is_what_decoding_everything_gives(document: dict[str, Any], place: Place) -> None:
    fields = Fields(bson.encode(document))
    expected = place.find(document)
    text = expected if isinstance(expected, str) else None
    raw = fields.raw_text(place)
    assert (fields.find(place) is None) == (expected is None)
    assert fields.text(place) == text
    assert (raw.decode() if raw is not None else None) == text
    assert fields.subdocument(place) == (expected if isinstance(expected, dict) else None)


def test_a_name_twice_on_the_way_is_refused() -> None:
    inner = bson.encode({"x": 1, "y": 2}).replace(b"\x10y", b"\x10x")
    whole = bson.encode({"a": {"x": 1, "y": 2}}).replace(bson.encode({"x": 1, "y": 2}), inner)
    with pytest.raises(BsonError, match="repeated"):
        Fields(whole).find(Place.parse("a.x"))


def test_dates_beyond_python_are_read() -> None:
    far = bson.encode({"a": bson.Int64(0)}).replace(b"\x12a", b"\x09a")[:-9] + b"\xff" * 7 + b"\x7f\0"
    assert list(decode(far)) == ["a"]


@pytest.mark.parametrize(
    "data",
    [b"\x05\0\0\0", bson.encode({"a": "bc"}).replace(b"bc", b"\xff\xff"), b"\x07\0\0\0\x99a\0"],
    ids=["cut", "no UTF-8", "an unknown type"],
)
def test_what_cannot_be_decoded_is_a_bson_error(data: bytes) -> None:
    with pytest.raises(BsonError, match="cannot be decoded"):
        decode(data)


def test_a_document_nested_too_deep_to_decode_is_a_bson_error() -> None:
    data = b"\x05\0\0\0\0"
    for _ in range(20_000):
        data = (len(data) + 8).to_bytes(4, "little") + b"\x03a\0" + data + b"\0"
    with pytest.raises(BsonError, match="cannot be decoded"):
        decode(data)


NEEDS: Needs = {"a": {"b": {"c": {"d": {"url": None}}}}}


def four_deep(inside: bytes) -> bytes:
    """Give {"raw": {"a": {"b": {"c": {"d": inside}}}}}, of an ``inside`` that bson would not write."""
    for name in (b"d", b"c", b"b", b"a", b"raw"):
        inside = b"\x03" + name + b"\0" + INT32.pack(len(inside) + 5) + inside + b"\0"
    return INT32.pack(len(inside) + 5) + inside + b"\0"


def only(inside: bytes) -> dict[str, Any]:
    fields = Fields(four_deep(inside))
    found = fields.find(Place.parse("raw"))
    assert found is not None
    return fields.only(found, NEEDS)


def test_however_deep_what_is_not_needed_is_not_looked_into() -> None:
    met = only(b"\x02\xff\0\x02\0\0\0\xff\0" + b"\x02url\0\x02\0\0\0x\0")
    assert met == {"a": {"b": {"c": {"d": {"url": "x"}}}}}


def test_however_deep_a_name_that_is_needed_must_not_be_there_twice() -> None:
    with pytest.raises(ContentError, match="there twice"):
        only(2 * b"\x02url\0\x02\0\0\0x\0")
