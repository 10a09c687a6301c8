"""Leaves of documents: they bind the typed ``_id`` and every byte, and sort by the one and then by the leaf."""

from __future__ import annotations

import hashlib
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.documents.identity import hash_digits, identity_key, key_of, leaf_data, leaf_lines

IDS = st.one_of(
    st.text(max_size=4),
    st.integers(-(2**40), 2**40),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.binary(max_size=4),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=2),
)


def made(identity: Any, **rest: Any) -> bytes:
    return bson.encode({"_id": identity, **rest})


@pytest.mark.parametrize(
    ("identity", "key"),
    [
        ("acme:1", b"\x02acme:1"),
        ("", b"\x02"),
        ("a\0b", b"\x02a\0b"),
        ("é", b"\x02\xc3\xa9"),
        (bson.ObjectId("0123456789abcdef01234567"), b"\x07" + bytes.fromhex("0123456789abcdef01234567")),
        (7, b"\x10\x07\0\0\0"),
        (bson.Int64(7), b"\x12\x07\0\0\0\0\0\0\0"),
        (None, b"\x0a"),
        (True, b"\x08\x01"),
        (b"xy", b"\x05\x02\0\0\0\0xy"),
        ({"a": 1}, b"\x03" + bson.encode({"a": 1})),
        (bson.Code("f"), b"\x0df"),
    ],
)
def test_the_key_is_the_type_and_the_value(identity: Any, key: bytes) -> None:
    assert identity_key(made(identity)) == key
    assert identity_key(bson.encode({"first": 1, "_id": identity})) == key


def test_a_document_without_id_has_the_empty_key_that_no_id_has() -> None:
    assert identity_key(bson.encode({})) == identity_key(bson.encode({"x": "_id"})) == b""


@given(IDS, IDS)
def test_two_ids_have_one_key_exactly_if_they_are_the_same_bytes(one: Any, other: Any) -> None:
    assert (identity_key(made(one)) == identity_key(made(other))) == (made(one) == made(other))


@given(st.lists(IDS, max_size=8), st.randoms(use_true_random=False))
def test_lines_are_sorted_by_key_and_then_by_leaf_whatever_the_order_of_documents(ids: list[Any], random: Any) -> None:
    documents = [made(identity, n=number) for number, identity in enumerate(ids)]
    lines = leaf_lines(documents).splitlines(keepends=True)
    expected = []
    for document in documents:
        key = identity_key(document)
        leaf = hashlib.sha256(b"\x00" + leaf_data(key, hashlib.sha256(document).digest())).digest()
        expected.append((key, leaf))
    assert [(key_of(line), bytes.fromhex(hash_digits(line).decode())) for line in lines] == sorted(expected)
    shuffled = list(documents)
    random.shuffle(shuffled)
    assert leaf_lines(shuffled) == b"".join(lines)


@given(st.binary(max_size=6), st.binary(max_size=6), st.binary(min_size=32, max_size=32))
def test_a_leaf_can_be_read_in_one_way(one: bytes, other: bytes, digest: bytes) -> None:
    assert (leaf_data(one, digest) == leaf_data(other, digest)) == (one == other)


@pytest.mark.parametrize(
    "document",
    [
        made("abc")[:9] + b"\xff\xff\xff\x7f" + made("abc")[13:],
        made("abc")[:9] + b"\0\0\0\0" + made("abc")[13:],
        made("abc")[:9] + b"\xff\xff\xff\xff" + made("abc")[13:],
        b"\x0c\0\0\0\x10x\0\0\0",
    ],
    ids=["an id longer than its document", "an id of no length", "an id of negative length", "cut off"],
)
def test_a_document_that_is_malformed_before_its_id_has_none(document: bytes) -> None:
    assert identity_key(document) == b""
    assert key_of(leaf_lines([document])) == b""
