"""Which fields of a document changed: laws over every BSON type, and the cases a person meets."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import Kind, element, elements
from kit.errors import BsonError
from kit.verbs.diff.fields import MAX_LENGTH, FieldChange, How, bound_name, compare, is_migration, render_value
from tests.documents import strategies
from tests.tiers import examples

ENVELOPE = {"__encrypted": True, "v": 1, "ct": "AAAA", "iv": "BBBB", "tag": "CCCC"}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str | None, str | None]]:
    found = compare(bson.encode(before), bson.encode(after))
    assert [change.mirrored() for change in found] == sorted_mirror(compare(bson.encode(after), bson.encode(before)))
    return [(change.path, change.how.value, change.before, change.after) for change in found]


def sorted_mirror(found: list[FieldChange]) -> list[FieldChange]:
    """Put changes into the order their mirrored ones have."""
    return sorted(found, key=lambda change: (change.path, change.how.mirrored.value))


@settings(max_examples=examples(60), deadline=None)
@given(one=strategies.DOCUMENTS, two=strategies.DOCUMENTS)
def test_there_are_no_changes_exactly_if_the_documents_are_the_same(one: bytes, two: bytes) -> None:
    assert compare(one, one) == []
    assert bool(compare(one, two)) == (one != two)


@settings(max_examples=examples(60), deadline=None)
@given(pairs=strategies.DISTINCT, more=strategies.DISTINCT, data=st.data())
def test_a_comparison_is_mirrored_by_exchanging_the_documents(
    pairs: list[tuple[str, strategies.Typed]], more: list[tuple[str, strategies.Typed]], data: st.DataObject
) -> None:
    # Two documents that have much in common: some elements left out, some added, in another order.
    kept = data.draw(st.permutations([pair for pair in pairs if data.draw(st.booleans())] + more))
    one, two = strategies.document(pairs), strategies.document(kept)
    there, back = compare(one, two), compare(two, one)
    assert sorted_mirror(there) == [change.mirrored() for change in back]
    for change in there:
        assert change.mirrored().mirrored() == change
        assert all(text is None or len(text) <= 400 for text in (change.before, change.after))


@given(value=strategies.VALUES)
def test_every_value_is_shown_in_a_bounded_printable_text(value: strategies.Typed) -> None:
    text = render_value(*value)
    assert 0 < len(text) <= MAX_LENGTH
    assert text.isprintable() or value[0] == Kind.STRING


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("a", "changed", "1", "2")]),
        ({"a": 1}, {"a": "1"}, [("a", "changed", "1", '"1"')]),
        ({"a": 1}, {"a": bson.Int64(1)}, [("a", "changed", "1 (int32)", "1 (int64)")]),
        ({"a": {"b": {"c": None}}}, {"a": {"b": {}}}, [("a.b.c", "removed", "null", None)]),
        ({}, {"rawLinkset": {"aliases": []}}, [("rawLinkset", "added", None, "document of 1 element")]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [("(document)", "reordered", None, None)]),
        ({"a": [1, 2, 3]}, {"a": [3, 2, 1]}, [("a", "reordered", None, None)]),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}, {"x": 3}]}, [("a.*.x", "changed", "2", "3")]),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 4}, {"x": 3}]}, [("a.*.x", "changed", None, None)]),
        ({"a": ["x"]}, {"a": ["x", "y"]}, [("a", "changed", "1 member", '2 members; only here: "y"')]),
        ({"a": [1]}, {"a": [1, 2, 3, 4, 5]}, [("a", "changed", "1 member", "5 members")]),
        ({"a": [[1]]}, {"a": [[2]]}, [("a.*.*", "changed", "1", "2")]),
        (
            {"a": "x" * 90 + "old"},
            {"a": "x" * 90 + "new"},
            [("a", "changed", f'…"{"x" * 15}old"', f'…"{"x" * 15}new"')],
        ),
        ({"a": True}, {"a": False}, [("a", "changed", "true", "false")]),
        ({"a": 1.5}, {"a": [1]}, [("a", "changed", "1.5", "list of 1 member")]),
        ({"body": "secret"}, {"body": ENVELOPE}, [("body", "encrypted", None, None)]),
        ({"body": {"secret": 1}}, {"body": ENVELOPE}, [("body", "encrypted", None, None)]),
        ({"body": ENVELOPE}, {"body": "secret"}, [("body", "decrypted", None, None)]),
        ({"b": ENVELOPE}, {"b": ENVELOPE | {"ct": "A"}}, [("b", "changed", "an envelope", "an envelope")]),
        ({}, {"b": ENVELOPE}, [("b", "added", None, "an envelope")]),
    ],
    ids=str,
)
def test_what_changed_is_told_by_path(
    before: dict[str, Any], after: dict[str, Any], expected: list[tuple[str, str, str | None, str | None]]
) -> None:
    assert changes(before, after) == expected


def test_the_same_change_in_several_members_of_a_list_is_counted_once_by_path() -> None:
    (change,) = compare(bson.encode({"a": [{"x": 1}, {"x": 2}]}), bson.encode({"a": [{"x": 4}, {"x": 3}]}))
    assert (change.path, change.times) == ("a.*.x", 2)


def test_plaintext_that_became_an_envelope_is_nowhere_in_a_change() -> None:
    plain = bson.encode({"body": "the secret", "notes": [{"text": "the secret"}]})
    sealed = bson.encode({"body": ENVELOPE, "notes": [{"text": ENVELOPE}]})
    for one, two in ((plain, sealed), (sealed, plain)):
        assert "secret" not in repr(compare(one, two))
        assert is_migration(compare(one, two))


@pytest.mark.parametrize(
    ("before", "after", "migrated"),
    [
        ({}, {"rawLinkset": {}}, True),
        ({"a": "x"}, {"a": ENVELOPE, "rawLinkset": {}}, True),
        ({"rawLinkset": {"a": 1}}, {"rawLinkset": {"a": 2}}, False),
        ({"a": "x"}, {"a": ENVELOPE, "b": 1}, False),
        ({"a": {}}, {"a": {"rawLinkset": {}}}, False),
        ({"a": 1}, {"a": 1}, False),
    ],
)
def test_a_migration_is_rawlinkset_or_encryption_and_nothing_else(
    before: dict[str, Any], after: dict[str, Any], *, migrated: bool
) -> None:
    assert is_migration(compare(bson.encode(before), bson.encode(after))) is migrated


def nested(depth: int, leaf: int) -> bytes:
    document = bson.encode({"leaf": leaf})
    for _ in range(depth):
        document = strategies.document([("a", (3, document))])
    return document


def test_depth_costs_no_stack_and_a_path_stays_bounded() -> None:
    (change,) = compare(nested(3_000, 1), nested(3_000, 2))
    assert (change.how, change.before, change.after) == (How.CHANGED, "1", "2")
    assert len(change.path) < 200


def test_the_second_element_of_a_name_is_compared_with_the_second() -> None:
    one = strategies.document([("a", (16, struct.pack("<i", 1))), ("a", (16, struct.pack("<i", 2)))])
    two = strategies.document([("a", (16, struct.pack("<i", 1))), ("a", (16, struct.pack("<i", 3)))])
    (change,) = compare(one, two)
    assert (change.path, change.before, change.after) == ("a", "2", "3")


def test_an_array_whose_names_are_no_numbers_is_compared_by_them() -> None:
    item = element("x", Kind.INT32, struct.pack("<i", 1))
    other = element("y", Kind.INT32, struct.pack("<i", 1))
    arrays = [strategies.int32(len(body) + 5) + body + b"\0" for body in (item, other)]
    one, two = (strategies.document([("a", (4, array))]) for array in arrays)
    assert [(change.path, change.how) for change in compare(one, two)] == [("a.x", How.REMOVED), ("a.y", How.ADDED)]
    assert [found.name for found in elements(arrays[0])] == [b"x"]


@given(one=st.text(max_size=400), two=st.text(max_size=400))
def test_bounded_names_are_the_same_exactly_if_the_names_are(one: str, two: str) -> None:
    assert (bound_name(one) == bound_name(two)) == (one == two)
    assert len(bound_name(one)) < 260


@settings(max_examples=examples(200), deadline=None)
@given(document=strategies.DOCUMENTS, place=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_document_gives_changes_or_a_bson_error_and_nothing_else(
    document: bytes, place: int, byte: int
) -> None:
    damaged = bytearray(document)
    damaged[place % len(damaged)] = byte
    for pair in ((document, bytes(damaged)), (bytes(damaged), document)):
        try:
            found = compare(*pair)
        except BsonError:
            continue
        assert bool(found) == (pair[0] != pair[1])
