"""Walking and finding: agreement with pymongo's decoder, and refusals that say where."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, strategies as st

from kit.documents import Kind, elements, find, index, string_at
from kit.documents.elements import spell_path
from kit.errors import BsonError
from tests.documents.strategies import DISTINCT, DOCUMENTS, NAMES, TEXTS, Typed, array, cstring, document, int32, string

T = TypeVar("T")

# The oracle; its default maps dates to datetime, which has fewer years than BSON.
AS_STORED: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


def attempt(act: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return act(), ""
    except BsonError as error:
        return None, str(error)


@given(DOCUMENTS)
def test_names_are_those_pymongo_sees(data: bytes) -> None:
    decoded = bson.decode(data, AS_STORED)
    assert list(dict.fromkeys(element.name.decode() for element in elements(data))) == list(decoded)


@given(DOCUMENTS)
def test_elements_tile_the_document(data: bytes) -> None:
    walked = list(elements(data))
    assert b"".join(data[element.start : element.end] for element in walked) == data[4:-1]
    for element in walked:
        assert data[element.start] == element.kind
        assert data[element.start + 1 : element.value] == element.name + b"\0"


@given(DISTINCT, st.binary(max_size=9), st.binary(max_size=9))
def test_index_and_elements_agree_wherever_the_document_stands(
    level: list[tuple[str, Typed]], before: bytes, after: bytes
) -> None:
    buffer = before + document(level) + after
    met = index(buffer, len(before))
    assert met == {element.name: element[-3:] for element in elements(buffer, len(before))}
    assert [(name.decode(), (kind, buffer[value:end])) for name, (kind, value, end) in met.items()] == level


@given(DOCUMENTS, st.data())
def test_index_and_elements_agree_about_damaged_documents(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    damaged[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    buffer = bytes(damaged) + draw.draw(st.binary(max_size=4))
    walked, fault = attempt(lambda: list(elements(buffer)))
    met, refusal = attempt(lambda: index(buffer))
    if walked is not None and met is not None:
        assert met == {element.name: element[-3:] for element in walked}
    elif walked is not None:
        assert "repeated element name" in refusal
    else:
        assert refusal == fault or "repeated element name" in refusal


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=5, unique_by=lambda pair: pair[0]))
def test_strings_are_those_pymongo_decodes(pairs: list[tuple[str, str]]) -> None:
    data = bson.encode(dict(pairs))
    assert {name.decode(): string_at(data, place) for name, place in index(data).items()} == dict(pairs)
    assert [string_at(data, element) for element in elements(data)] == [text for _, text in pairs]


@given(st.lists(NAMES, min_size=1, max_size=6), DISTINCT, TEXTS)
def test_find_reaches_any_depth(path: list[str], siblings: list[tuple[str, Typed]], text: str) -> None:
    value: Typed = (2, string(text))
    for name in reversed(path):
        value = (3, document([sibling for sibling in siblings if sibling[0] != name] + [(name, value)]))
    met = find(value[1], path)
    assert met is not None
    assert string_at(value[1], met) == text
    assert find(value[1], [*path, "deeper"]) is None


def test_find_enters_arrays_by_index_names() -> None:
    data = document([("a", (4, array([(2, string("zero")), (3, document([("b", (2, string("one")))]))])))])
    met = find(data, ["a", "1", "b"])
    assert met is not None
    assert (string_at(data, met), met.kind) == ("one", Kind.STRING)
    assert find(data, ["a", "2"]) is None
    assert find(data, ["a", "1", "c"]) is None
    assert find(data, []) is None


def test_a_repeated_name_is_ambiguous() -> None:
    twice = document([("x", (10, b"")), ("y", (10, b"")), ("x", (8, b"\1"))])
    assert [element.name for element in elements(twice)] == [b"x", b"y", b"x"]
    with pytest.raises(BsonError) as caught:
        index(twice)
    assert str(caught.value) == 'element "x": byte 10: repeated element name'
    with pytest.raises(BsonError) as caught:
        find(document([("a", (3, twice))]), ["a", "x"])
    assert str(caught.value) == 'element "a.x": byte 17: repeated element name'
    assert find(twice, ["y"]) is not None


@pytest.mark.parametrize("step", ["a\0b", "\ud800"], ids=["NUL", "lone surrogate"])
def test_a_path_that_no_document_can_have_is_refused(step: str) -> None:
    with pytest.raises(BsonError, match="element name"):
        find(document([]), [step])


NUL = b"\0"
BROKEN = [
    pytest.param(b"", "byte 0: document ends inside its own length", id="nothing"),
    pytest.param(b"\5\0\0", "byte 0: document ends inside its own length", id="cut length"),
    pytest.param(int32(2**31 - 1), "byte 0: document is 2,147,483,643 bytes shorter", id="2 GiB in 4 bytes"),
    pytest.param(int32(4) + NUL, "byte 0: document length 4 is below 5", id="length below 5"),
    pytest.param(int32(-5) + NUL * 9, "byte 0: document length -5 is below 5", id="negative length"),
    pytest.param(int32(-(2**31)) + NUL * 9, "byte 0: document length -2147483648", id="most negative length"),
    pytest.param(int32(5) + b"\1", "byte 4: document without terminating NUL", id="no final NUL"),
    pytest.param(int32(7) + b"\x0aa" + NUL, "byte 5: element name without terminating NUL", id="open name"),
    pytest.param(int32(7) + b"\x0aa" + NUL * 2, "byte 5: element name without", id="name that takes the final NUL"),
    pytest.param(document([("a", (20, b""))]), 'element "a": byte 7: unknown element type 0x14', id="unknown type"),
    pytest.param(document([("a", (0, b""))]), 'element "a": byte 7: unknown element type 0x00', id="type 0"),
    pytest.param(document([("a", (16, b"\1"))]), 'element "a": byte 7: value ends 3 bytes after', id="cut int32"),
    pytest.param(
        document([("a", (2, b"\1\0\0"))]), 'element "a": byte 7: document ends inside a length', id="cut count"
    ),
    pytest.param(document([("a", (2, int32(0) + NUL))]), "byte 7: length 0 is below 1", id="string of length 0"),
    pytest.param(document([("a", (2, int32(-1) + NUL))]), "byte 7: length -1 is below 1", id="string of length -1"),
    pytest.param(document([("a", (2, int32(9) + NUL))]), "value ends 8 bytes after", id="string that is too long"),
    pytest.param(document([("a", (2, int32(2**31 - 1)))]), "value ends 2,147,483,647 bytes", id="string of 2 GiB"),
    pytest.param(document([("a", (3, int32(4)))]), "length 4 is below 5", id="nested document of length 4"),
    pytest.param(document([("a", (3, int32(-(2**31))))]), "length -2147483648 is below 5", id="nested, most negative"),
    pytest.param(document([("a", (5, int32(-1) + NUL))]), "length -1 is below 0", id="binary of length -1"),
    pytest.param(document([("a", (12, int32(-11) + NUL * 12))]), "length -11 is below 1", id="pointer that goes back"),
    pytest.param(document([("a", (15, int32(13) + NUL * 9))]), "length 13 is below 14", id="code with scope too short"),
    pytest.param(document([("a", (11, b"a"))])[:-1] + NUL, "string without terminating NUL", id="open pattern"),
    pytest.param(document([("a", (11, cstring("a") + b"i"))]), "string without terminating NUL", id="open options"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN)
@pytest.mark.parametrize("before", [b"", b"abc"], ids=["at the start", "inside a buffer"])
def test_broken_levels_are_refused_by_name_and_offset(data: bytes, message: str, before: bytes) -> None:
    with pytest.raises(BsonError) as caught:
        list(elements(before + data, len(before)))
    assert before or message in str(caught.value)
    with pytest.raises(BsonError) as indexed:
        index(before + data, len(before))
    assert str(indexed.value) == str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((2, int32(2) + b"a\1"), "byte 12: string without terminating NUL"),
        ((2, int32(3) + b"a\xff\0"), "byte 12: string is not UTF-8"),
        ((2, int32(4) + b"\xed\xa0\x80\0"), "byte 11: string is not UTF-8"),
        ((2, int32(3) + b"\xc0\x80\0"), "byte 11: string is not UTF-8"),
        ((14, string("a")), "byte 7: element is of type 14, not a string"),
    ],
    ids=["no NUL", "invalid byte", "surrogate", "overlong", "another type"],
)
def test_text_that_is_none_is_refused(value: Typed, message: str) -> None:
    data = document([("a", value)])
    with pytest.raises(BsonError) as caught:
        string_at(data, index(data)[b"a"])
    assert message in str(caught.value)


def test_paths_in_messages_are_bounded_and_printable() -> None:
    assert spell_path([b"a", b"b\x1b[31m", b"\xff"]) == "a.b\\x1b[31m.\\\\xff"
    assert spell_path([b"n" * 100]) == "n" * 64 + "…"
    assert spell_path([b"%d" % number for number in range(16)]) == ".".join(map(str, range(16)))
    assert spell_path([b"%d" % number for number in range(99)]).split(".")[6:11] == ["6", "7", "…", "91", "92"]
