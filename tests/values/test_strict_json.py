from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kit.errors import ContentError, KitError, LimitError
from kit.values import Limits
from kit.values.strict_json import canonical, parse

LIMITS = Limits(json_bytes=4096, json_depth=8)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


@given(VALUES)
def test_what_is_printed_reads_back_and_prints_the_same(value: Any) -> None:
    printed = canonical(value)
    assert parse(printed, limits=Limits(), where="x") == value
    assert canonical(parse(printed, limits=Limits(), where="x")) == printed


@given(VALUES)
def test_what_is_printed_is_what_the_standard_library_prints(value: Any) -> None:
    expected = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    assert canonical(value) == expected.encode()


@given(st.lists(VALUES, max_size=4))
def test_an_iterator_is_printed_as_the_list_of_what_it_gives(items: list[Any]) -> None:
    assert canonical({"a": iter(items)}) == canonical({"a": items})


@given(st.binary(max_size=200) | st.text('[]{}":,\\u0dD819eE+-. \ntrufalsn', max_size=60).map(str.encode))
def test_arbitrary_bytes_raise_nothing_but_our_own_errors(data: bytes) -> None:
    try:
        value = parse(data, limits=LIMITS, where="x")
    except KitError:
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(b'{"a":1,"a":1}', "x: at the top: the key 'a' is there twice", id="a key twice with one value"),
        pytest.param(b'{"a":{"b":[0,{"c":1,"\\u0063":2}]}}', "x: at /a/b/1: the key 'c' is there twice", id="escaped"),
        pytest.param(b'{"":1,"":2}', "the key '' is there twice", id="the empty key twice"),
        pytest.param(b"[NaN]", "at /0: NaN is not a JSON number", id="NaN"),
        pytest.param(b'{"a/b~c":-Infinity}', "at /a~1b~0c: -Infinity is not a JSON number", id="-Infinity"),
        pytest.param(b"1e400", "at the top: the number 1e400 cannot be kept exactly", id="overflow to infinity"),
        pytest.param(b"1e-400", "cannot be kept exactly", id="underflow to zero"),
        pytest.param(b"0." + b"0" * 1100 + b"1", "cannot be kept exactly", id="longer than any double"),
        pytest.param(b"0." + b"1" * 50, "cannot be kept exactly", id="a fraction that is too long"),
        pytest.param(b"0.12345678901234567890", "cannot be kept exactly", id="more digits than a double has"),
        pytest.param(b"9223372036854775808", "beyond 64 bits", id="2^63"),
        pytest.param(b"-9223372036854775809", "beyond 64 bits", id="-2^63 - 1"),
        pytest.param(b"1" * 4000, "beyond 64 bits", id="an integer made to stall int()"),
        pytest.param(b'["\\ud800"]', "at /0: the string has a lone surrogate", id="a lone surrogate"),
        pytest.param(b'{"a":{"\\udfffb":1}}', "at /a: a key has a lone surrogate", id="a lone surrogate in a key"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="a byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), "not UTF-8 at byte 0", id="UTF-16"),
        pytest.param(b'"\xed\xa0\x80"', "not UTF-8 at byte 1", id="a surrogate in UTF-8"),
        pytest.param(b'"\xc0\xaf"', "not UTF-8 at byte 1", id="overlong UTF-8"),
        pytest.param(b"", "line 1 column 1", id="nothing"),
        pytest.param(b"{}\n{}", "line 2 column 1", id="two texts"),
        pytest.param(b'{"a":1,}', "not JSON", id="a trailing comma"),
        pytest.param(b"// x\n{}", "not JSON", id="a comment"),
        pytest.param(b'"\t"', "not JSON", id="a control character in a string"),
        pytest.param(b"[01]", "not JSON", id="a leading zero"),
        pytest.param("[\u0661]".encode(), "not JSON", id="digits of another script"),
        pytest.param(b"{'a':1}", "not JSON", id="single quotes"),
    ],
)
def test_what_two_readers_would_read_differently_is_refused(text: bytes, fault: str) -> None:
    with pytest.raises(ContentError) as caught:
        parse(text, limits=LIMITS, where="x")
    assert fault in str(caught.value)


def test_a_message_can_be_printed_whatever_the_key() -> None:
    with pytest.raises(ContentError) as caught:
        parse(b'{"\\ud800":{"a":"\\ud800"}}', limits=LIMITS, where="x")
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b" \t\r\n1 ", 1),
        (b"1.50", 1.5),
        (b"-0.0", -0.0),
        (b"0e5", 0.0),
        (b"1E5", 100000.0),
        (b'"[[[[[[[[[[[[[["', "[" * 14),
        (b'"\\"[[[[[[[[[[[["', '"' + "[" * 12),
        (b"[[[[[[[[]]]]]]]]", [[[[[[[[]]]]]]]]),
    ],
)
def test_plain_json_is_read(text: bytes, value: Any) -> None:
    assert parse(text, limits=LIMITS, where="x") == value


@pytest.mark.parametrize("text", [b"[" * 9 + b"]" * 9, b'{"a":' * 9 + b"1" + b"}" * 9, b"[" * 4000, b" " * 4097])
def test_depth_and_size_are_limited(text: bytes) -> None:
    with pytest.raises(LimitError) as caught:
        parse(text, limits=LIMITS, where="x")
    assert "json_" in str(caught.value)


def test_no_limit_makes_the_parser_exhaust_the_stack() -> None:
    with pytest.raises(LimitError):
        parse(b"[" * 100_000 + b"]" * 100_000, limits=Limits(json_depth=10**9), where="x")
    deep = b"[" * 256 + b"]" * 256
    canonical(parse(deep, limits=Limits(json_depth=10**9), where="x"))


def test_a_megabyte_of_escaped_quotes_is_refused_in_linear_time() -> None:
    with pytest.raises(ContentError):  # quadratic time would be hours
        parse(b'"' + b'\\"' * 500_000, limits=Limits(), where="x")


def test_the_printed_form_is_sorted_indented_utf_8_with_a_final_newline() -> None:
    assert canonical({"b": [1, {}], "a": "é"}) == '{\n  "a": "é",\n  "b": [\n    1,\n    {}\n  ]\n}\n'.encode()


@pytest.mark.parametrize("value", [math.nan, [math.inf], "\udcff", {"\ud800": 1}])
def test_what_could_not_be_read_back_is_not_printed(value: Any) -> None:
    with pytest.raises(ContentError):
        canonical(value)


@pytest.mark.parametrize("text", [b"-0." + b"0" * 77 + b"1", b"1" + b"0" * 50 + b".0", b"0.5" + b"0" * 90])
def test_a_number_that_a_double_keeps_is_read_however_long_it_is_written(text: bytes) -> None:
    assert parse(text, limits=Limits(), where="x") == float(text)
