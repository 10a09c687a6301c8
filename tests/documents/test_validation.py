"""Validation: everything well-formed passes, everything else is refused by path and offset, and nothing hangs."""

from __future__ import annotations

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from hypothesis import given, settings, strategies as st

from kit.documents import validate
from kit.errors import BsonError, LimitError
from kit.values import Limits
from tests.documents.strategies import (
    DOCUMENTS,
    TEXTS,
    Typed,
    array,
    code_with_scope,
    cstring,
    document,
    int32,
    string,
)
from tests.tiers import examples

AS_STORED: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
LIMITS = Limits()
EMPTY = b"\5\0\0\0\0"
MIB = 1024 * 1024


def passes(data: bytes) -> bool:
    try:
        validate(data, limits=LIMITS)
    except BsonError:
        return False
    return True


def pymongo_reads(data: bytes) -> bool:
    try:
        bson.decode(data, AS_STORED)
    except InvalidBSON:
        return False
    return True


@given(DOCUMENTS)
def test_whatever_the_grammar_makes_is_valid(data: bytes) -> None:
    validate(data, limits=LIMITS)
    assert pymongo_reads(data)


@given(DOCUMENTS, st.data())
def test_every_truncation_is_refused(data: bytes, draw: st.DataObject) -> None:
    assert not passes(data[: draw.draw(st.integers(0, len(data) - 1))])


@given(DOCUMENTS, st.binary(min_size=1, max_size=5))
def test_trailing_bytes_are_refused(data: bytes, more: bytes) -> None:
    with pytest.raises(BsonError, match="bytes after the end of the document"):
        validate(data + more, limits=LIMITS)


@settings(max_examples=examples(500))
@given(DOCUMENTS, st.data())
def test_a_changed_byte_is_refused_or_harmless_and_pymongo_never_knows_better(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert pymongo_reads(bytes(damaged)) or not passes(bytes(damaged))


@given(st.binary(max_size=40))
def test_noise_is_refused_or_valid(noise: bytes) -> None:
    framed = int32(len(noise) + 5) + noise + b"\0"
    assert pymongo_reads(framed) or not passes(framed)


@given(TEXTS, DOCUMENTS)
def test_code_with_scope_is_walked(code: str, scope: bytes) -> None:
    validate(document([("f", (15, code_with_scope(code, scope)))]), limits=LIMITS)


def test_repeated_names_are_legal() -> None:
    validate(document([("a", (10, b"")), ("a", (10, b""))]), limits=LIMITS)


def inside(value: Typed) -> bytes:
    return document([("a", (3, document([("b", (4, array([(10, b""), value])))])))])


SCOPED = code_with_scope("x", document([("s", (2, string("y")))]))
BROKEN = [
    pytest.param((8, b"\2"), "boolean is 2, neither 0 nor 1", id="boolean 2"),
    pytest.param((2, int32(2) + b"a\1"), "string without terminating NUL", id="string without NUL"),
    pytest.param((2, int32(2) + b"\xff\0"), "string is not UTF-8", id="string not UTF-8"),
    pytest.param((2, int32(0)), "length 0 is below 1", id="string of length 0"),
    pytest.param((2, int32(2**31 - 1) + b"\0"), "value ends 2,147,483,646 bytes after", id="string of 2 GiB"),
    pytest.param((13, int32(2) + b"a\1"), "string without terminating NUL", id="code without NUL"),
    pytest.param((14, int32(2) + b"\xff\0"), "string is not UTF-8", id="symbol not UTF-8"),
    pytest.param((12, int32(2) + b"\xff\0" + b"o" * 12), "string is not UTF-8", id="pointer not UTF-8"),
    pytest.param((12, int32(2) + b"ab" + b"o" * 12), "string without terminating NUL", id="pointer without NUL"),
    pytest.param((12, string("a") + b"o" * 11), "value ends 1 bytes after", id="pointer with a short id"),
    pytest.param((11, b"\xff\0\0"), "string is not UTF-8", id="pattern not UTF-8"),
    pytest.param((11, b"\0\xff\0"), "string is not UTF-8", id="options not UTF-8"),
    pytest.param((11, cstring("a") + b"i"), "string without terminating NUL", id="options without NUL"),
    pytest.param((5, int32(3) + b"\2abc"), "inner length of binary subtype 2", id="old binary without inner length"),
    pytest.param((5, int32(5) + b"\2" + int32(2) + b"a"), "inner length of binary", id="old binary, inner too long"),
    pytest.param((5, int32(5) + b"\2" + int32(-1) + b"a"), "inner length of binary", id="old binary, inner negative"),
    pytest.param((19, b"0" * 15), "value ends 1 bytes after", id="decimal of 15 bytes"),
    pytest.param((3, int32(5) + b"\1"), "document without terminating NUL", id="nested document without NUL"),
    pytest.param((3, int32(6) + b"\x0a\0"), "element name without terminating NUL", id="nested document, open name"),
    pytest.param((4, int32(4)), "length 4 is below 5", id="array of length 4"),
    pytest.param((20, b""), "unknown element type 0x14", id="unknown type"),
    pytest.param((15, int32(0) + SCOPED[4:]), "length 0 is below 14", id="code with scope of length 0"),
    pytest.param((15, int32(14) + int32(0) + b"\0" + EMPTY), "length 0 of the code", id="scoped code of length 0"),
    pytest.param((15, int32(14) + int32(2) + b"a\0" + EMPTY[:4]), "length 2 of the code", id="no room for a scope"),
    pytest.param((15, int32(15) + string("") + EMPTY + b"\0"), "length 5 of the scope", id="scope ends too soon"),
    pytest.param((15, int32(14) + string("") + int32(6) + b"\0"), "length 6 of the scope", id="scope ends too late"),
    pytest.param((15, int32(14) + string("") + int32(5) + b"\1"), "document without terminating", id="scope, no NUL"),
    pytest.param(
        (15, int32(14) + int32(1) + b"\1" + EMPTY), "string without terminating NUL", id="scoped code, no NUL"
    ),
]


@pytest.mark.parametrize(("value", "message"), BROKEN)
def test_a_broken_value_is_refused_by_its_path(value: Typed, message: str) -> None:
    with pytest.raises(BsonError) as caught:
        validate(inside(value), limits=LIMITS)
    assert message in caught.value.what
    assert caught.value.where.startswith('element "a.b.1": byte ')


def test_an_offset_is_that_of_the_fault() -> None:
    data = document([("a", (2, string("x"))), ("b", (3, document([("c", (8, b"\7"))])))])
    with pytest.raises(BsonError) as caught:
        validate(data, limits=LIMITS)
    assert caught.value.where == f'element "b.c": byte {data.index(7, 6)}'


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (int32(8) + b"\x0a\xff\0\0", 'element "\\\\xff": byte 5'),
        (int32(6) + b"\x0a\0", "byte 5"),
        (document([("a", (15, code_with_scope("", document([("s", (8, b"\7"))]))))]), 'element "a.s": byte 23'),
    ],
    ids=["name that is not UTF-8", "name that is not closed", "element of a scope"],
)
def test_names_are_checked_too(data: bytes, where: str) -> None:
    with pytest.raises(BsonError) as caught:
        validate(data, limits=LIMITS)
    assert caught.value.where == where


@pytest.mark.slow
def test_the_largest_document_allowed_is_checked_and_a_larger_one_refused() -> None:
    # The levels of one observation, 16 MiB of them.
    element = (3, document([("text", (2, string("x" * 50))), ("number", (16, int32(1)))]))
    data = array([element] * 190_000)
    assert 15 * MIB < len(data) <= LIMITS.document_bytes
    validate(data, limits=LIMITS)
    with pytest.raises(LimitError, match="document_bytes"):
        validate(data, limits=Limits(document_bytes=len(data) - 1))


def bomb(depth: int) -> bytes:
    """As many nested documents, each the only element of the one around it: 7 bytes a level."""
    opening = b"".join(int32(5 + 7 * level) + b"\3\0" for level in range(depth - 1, 0, -1))
    return opening + EMPTY + b"\0" * (depth - 1)


def test_depth_is_limited() -> None:
    validate(bomb(200), limits=LIMITS)
    with pytest.raises(LimitError, match=r"201 is over the limit document_depth = 200") as caught:
        validate(bomb(201), limits=LIMITS)
    assert caught.value.where.endswith(": byte 1200")
    assert len(caught.value.where) < 100
    with pytest.raises(LimitError, match="document_depth = 0"):
        validate(EMPTY, limits=Limits(document_depth=0))


@pytest.mark.slow
def test_a_bomb_of_16_mib_is_refused_at_the_limit_and_walked_to_its_core_without_one() -> None:
    data = bomb(16 * MIB // 7)
    with pytest.raises(LimitError, match="document_depth"):
        validate(data, limits=LIMITS)
    broken = data.replace(EMPTY, b"\5\0\0\0\1")
    with pytest.raises(BsonError, match="terminating NUL") as caught:
        validate(broken, limits=Limits(document_depth=16 * MIB))
    assert len(caught.value.where) < 100


def test_a_length_of_2_gib_in_4_bytes_is_refused() -> None:
    with pytest.raises(BsonError, match="bytes shorter than its length"):
        validate(int32(2**31 - 1), limits=LIMITS)
