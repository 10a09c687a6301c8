"""Splices: what is asked for changes, the lengths around it follow, and nothing else does."""

from __future__ import annotations

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, strategies as st

from kit.documents import (
    Kind,
    Replacement,
    append,
    element,
    find,
    remove,
    replace,
    replace_at,
    validate,
)
from kit.errors import BsonError
from kit.values import Limits
from tests.documents.strategies import DISTINCT, DOCUMENTS, NAMES, VALUES, Typed, array, document, int32, string

AS_STORED: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
LIMITS = Limits()
EMPTY = b"\5\0\0\0\0"


def nested(path: list[str], siblings: list[tuple[str, Typed]], value: Typed) -> bytes:
    """A document with ``value`` at ``path`` and the siblings, half before and half after, on every level."""
    half = len(siblings) // 2
    for name in reversed(path):
        others = [[pair for pair in part if pair[0] != name] for part in (siblings[:half], siblings[half:])]
        value = (3, document([*others[0], (name, value), *others[1]]))
    return value[1]


PATHS = st.lists(NAMES, min_size=1, max_size=4)


@given(DOCUMENTS, VALUES)
def test_remove_undoes_append(data: bytes, value: Typed) -> None:
    longer = append(data, element("rawLinkset", *value))
    validate(longer, limits=LIMITS)
    assert remove(longer, ["rawLinkset"]) == data
    assert longer[4 : len(data) - 1] == data[4:-1]


@given(NAMES, VALUES)
def test_an_element_is_built_as_the_format_says(name: str, value: Typed) -> None:
    assert append(EMPTY, element(name, *value)) == document([(name, value)])


@given(PATHS, DISTINCT, VALUES, VALUES)
def test_replace_is_the_document_built_with_the_other_value(
    path: list[str], siblings: list[tuple[str, Typed]], old: Typed, new: Typed
) -> None:
    data = nested(path, siblings, old)
    changed = replace(data, path, *new)
    assert changed == nested(path, siblings, new)
    assert replace(data, path, *old) == data
    assert replace(changed, path, *old) == data
    met = find(changed, path)
    assert met is not None
    assert (met.kind, changed[met.value : met.end]) == new


@given(PATHS, DISTINCT, VALUES)
def test_a_spliced_document_is_one_pymongo_reads(
    path: list[str], siblings: list[tuple[str, Typed]], value: Typed
) -> None:
    data = replace(nested(path, siblings, value), path, 2, string("new"))
    decoded: object = bson.decode(data, AS_STORED)
    for step in path:
        assert isinstance(decoded, dict)
        decoded = decoded[step]
    assert decoded == "new"


@given(PATHS, DISTINCT, VALUES)
def test_only_the_span_and_the_lengths_around_it_change(
    path: list[str], siblings: list[tuple[str, Typed]], value: Typed
) -> None:
    data = nested(path, siblings, value)
    met = find(data, path)
    assert met is not None
    shorter = remove(data, path)
    validate(shorter, limits=LIMITS)
    assert find(shorter, path) is None
    assert len(shorter) == len(data) - (met.end - met.start)
    assert shorter[met.start :] == data[met.end :]
    lengths = {0} | {parent.value for depth in range(1, len(path)) if (parent := find(data, path[:depth]))}
    covered = {at + byte for at in lengths for byte in range(4)}
    assert all(shorter[at] == data[at] for at in range(met.start) if at not in covered)


def test_arrays_are_entered_and_not_renumbered() -> None:
    data = document([("a", (4, array([(2, string("x")), (10, b""), (8, b"\1")])))])
    assert bson.decode(replace(data, ["a", "1"], 16, int32(7))) == {"a": ["x", 7, True]}
    met = find(remove(data, ["a", "1"]), ["a", "2"])
    assert met is not None
    assert met.kind == Kind.BOOLEAN


@pytest.mark.parametrize("path", [[], ["b"], ["a", "b"], ["a", ""]])
def test_an_element_that_is_not_there_is_neither_replaced_nor_removed(path: list[str]) -> None:
    data = document([("a", (2, string("x")))])
    with pytest.raises(BsonError, match="there is no element"):
        replace(data, path, 10, b"")
    with pytest.raises(BsonError, match="there is no element"):
        remove(data, path)


def test_an_ambiguous_element_is_neither_replaced_nor_removed() -> None:
    data = document([("a", (10, b"")), ("a", (10, b""))])
    with pytest.raises(BsonError, match="repeated element name"):
        replace(data, ["a"], 10, b"")
    with pytest.raises(BsonError, match="repeated element name"):
        remove(data, ["a"])


@pytest.mark.parametrize(
    "data",
    [b"", b"\5\0\0", EMPTY + b"\0", int32(6) + b"\0", int32(5) + b"\1"],
    ids=["nothing", "cut length", "trailing byte", "cut document", "no final NUL"],
)
def test_what_is_not_exactly_one_document_is_not_spliced(data: bytes) -> None:
    with pytest.raises(BsonError):
        append(data, element("a", 10, b""))
    with pytest.raises(BsonError):
        remove(data, ["a"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(10, b"\0", id="null with a value"),
        pytest.param(16, b"\0", id="int32 of 1 byte"),
        pytest.param(2, int32(3) + b"a\0", id="string cut short"),
        pytest.param(2, string("a") + b"\0", id="string and a byte"),
        pytest.param(3, b"", id="document without a length"),
        pytest.param(3, EMPTY * 2, id="two documents"),
        pytest.param(11, b"a\0", id="regex without options"),
        pytest.param(15, int32(13), id="code with scope too short"),
        pytest.param(20, b"", id="unknown type"),
        pytest.param(0, b"", id="type 0"),
        pytest.param(-1, b"", id="negative type"),
        pytest.param(256, b"", id="type over a byte"),
    ],
)
def test_what_is_not_exactly_one_value_is_not_spliced_in(kind: int, value: bytes) -> None:
    with pytest.raises(BsonError):
        element("a", kind, value)
    with pytest.raises(BsonError):
        replace(document([("a", (10, b""))]), ["a"], kind, value)
    if 0 <= kind < 256:
        with pytest.raises(BsonError):
            append(EMPTY, bytes([kind]) + b"a\0" + value)


@pytest.mark.parametrize("broken", [b"", b"\x0a", b"\x0aname"], ids=["nothing", "no name", "open name"])
def test_an_element_without_a_whole_name_is_not_appended(broken: bytes) -> None:
    with pytest.raises(BsonError, match="a name that ends in NUL"):
        append(EMPTY, broken)


@pytest.mark.parametrize("name", ["a\0b", "\udcff"], ids=["NUL", "lone surrogate"])
def test_a_name_that_the_format_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(BsonError, match="element name"):
        element(name, Kind.NULL, b"")


def test_a_result_over_what_a_length_can_say_is_refused() -> None:
    huge = bytes(2**31 - 6)  # zero pages that nobody touches: the refusal comes before anything is copied
    with pytest.raises(BsonError, match="at most 2,147,483,647"):
        append(document([("a", (10, b""))]), huge)
    with pytest.raises(BsonError, match="at most 2,147,483,647"):
        replace(document([("a", (10, b""))]), ["a"], Kind.BINARY, huge)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.lists(st.tuples(NAMES, VALUES), max_size=4), st.data())
def test_replacing_at_known_places_is_replacing_one_after_the_other(
    outside: list[tuple[str, Typed]], inside: list[tuple[str, Typed]], data: st.DataObject
) -> None:
    outer = list(dict(outside).items())
    inner = list(dict(inside).items())
    nested = document([*outer[:2], ("sub document", (3, document([("deep", (3, document(inner)))]))), *outer[2:]])
    paths = [[name] for name, _ in outer] + [["sub document", "deep", name] for name, _ in inner]
    chosen = data.draw(st.lists(st.sampled_from(paths), unique_by=tuple)) if paths else []
    expected, replacements = nested, []
    for path in chosen:
        kind, value = data.draw(VALUES)
        route = [found for depth in range(len(path)) if (found := find(nested, path[: depth + 1])) is not None]
        assert len(route) == len(path)
        _, start, _, at, end = route[-1]
        replacements.append(Replacement(tuple(one.value for one in route[:-1]), start, at, end, kind, value))
        expected = replace(expected, path, kind, value)
    assert replace_at(nested, sorted(replacements, key=lambda one: one.start)) == expected
