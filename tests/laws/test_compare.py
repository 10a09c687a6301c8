"""What becomes of two documents of one ``_id``: laws over generated ones, with decoded values as the oracle."""

from __future__ import annotations

import random
from typing import Any

import bson
from hypothesis import given, strategies as st

from kit.verbs.compare.documents import Standing, stand

names = st.text("abc", min_size=1, max_size=2)
values = st.recursive(
    st.integers(-5, 5) | st.text(max_size=3) | st.booleans() | st.none() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(names, values, max_size=4)
ALLOWED = frozenset({b"added"})


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return a value with the fields of all documents in another order, and the items of arrays in theirs."""
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    if isinstance(value, dict):
        fields = [(name, shuffled(inner, chance)) for name, inner in value.items()]
        chance.shuffle(fields)
        return dict(fields)
    return value


@given(document=documents, chance=st.randoms(use_true_random=False), added=st.booleans())
def test_another_order_and_an_added_field_are_no_change(document: Any, chance: random.Random, *, added: bool) -> None:
    signed = bson.encode(document)
    present = bson.encode({"added": document} | shuffled(document, chance) if added else shuffled(document, chance))
    standing, fields = stand(signed, present, ALLOWED)
    is_in_order = present[4:].endswith(signed[4:]) if added else present == signed
    assert standing is (Standing.ALLOWED if is_in_order else Standing.REORDERED)
    assert fields == (("added",) if added else ())


@given(documents, documents)
def test_another_value_is_a_change_and_names_what_differs(one: Any, other: Any) -> None:
    # Sorted, so that only values can differ; true is 1 to Python, but not in bytes.
    signed, present = (bson.encode(shuffled(d, random.Random(0))) for d in (one, other))  # noqa: S311
    standing, fields = stand(signed, present, frozenset())
    differing = {
        name
        for name in one.keys() | other.keys()
        if name not in one or name not in other or tagged(one[name]) != tagged(other[name])
    }
    assert (standing is Standing.CHANGED) is bool(differing)
    if differing:
        assert differing <= set(fields)


def tagged(value: Any) -> Any:
    if isinstance(value, list):
        return ["list", *(tagged(item) for item in value)]
    if isinstance(value, dict):
        return {name: tagged(inner) for name, inner in value.items()}
    return (type(value).__name__, value)


@given(documents, st.data())
def test_whatever_the_bytes_are_there_is_a_standing(document: Any, data: st.DataObject) -> None:
    signed = bson.encode(document)
    present = bytearray(signed)
    for _ in range(data.draw(st.integers(1, 3))):
        present[data.draw(st.integers(0, len(present) - 1))] = data.draw(st.integers(0, 255))
    standing, _ = stand(signed, bytes(present), ALLOWED)
    assert (standing is Standing.ALLOWED) is (bytes(present) == signed)
