"""What tells documents from others at a glance: the quick ways give what the plain ones do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given, strategies as st

from kit.delta.features import (
    KEPT,
    features,
    is_similar,
    is_similar_by_reference,
    new_places,
    note,
    note_by_reference,
)
from kit.documents import KEY_BYTES, elements, keys_of
from kit.documents.identity import keys_by_reference
from kit.errors import BsonError
from tests.documents.strategies import DOCUMENTS, SCALARS, document

PIECES = st.lists(
    st.sampled_from(
        [b"\0\2", b"\0", b"://", b"a", b"example.org/" * 4, b"x" * 24, b"y" * 512, b"z" * 513, b"\1" * 1900]
    ),
    max_size=40,
)
"""What documents are cut at, and pieces of every length that is told apart."""
TEXTS = PIECES.map(b"".join)


@pytest.mark.parametrize("note", [note, note_by_reference])
@given(st.lists(TEXTS, max_size=8), TEXTS, st.integers(min_value=1, max_value=7))
def test_of_every_feature_that_is_asked_for_the_latest_documents_are_noted(
    note: Callable[..., None], olds: list[bytes], new: bytes, together: int
) -> None:
    places = {feature: new_places() for feature in features(new)}
    for first in range(0, len(olds), together):
        some = olds[first : first + together]
        note(b"".join(some), list(accumulate(map(len, some))), first, places)
    for feature, (count, *latest) in places.items():
        met = [number for number, old in enumerate(olds) if feature in features(old)]
        assert count == len(met)
        assert sorted(number for number in latest if number >= 0) == met[-KEPT:]


@pytest.mark.parametrize("is_similar", [is_similar, is_similar_by_reference])
@given(TEXTS, TEXTS)
def test_nearly_another_is_what_stands_in_it_to_three_quarters(
    is_similar: Callable[[bytes, bytes], bool], old: bytes, new: bytes
) -> None:
    known = set(old.split(b"\0"))
    shared = sum(len(piece) + 1 for piece in new.split(b"\0") if piece in known)
    assert is_similar(old, new) == (len(old) <= 4 * len(new) and 4 * shared >= 3 * len(new))


WITH_ID = st.builds(
    lambda before, identity, rest: document([*before, ("_id", identity), *rest]),
    st.lists(st.tuples(st.just("a"), SCALARS), max_size=1),
    SCALARS,
    st.lists(st.tuples(st.just("b"), SCALARS), max_size=1),
)


@pytest.mark.parametrize("keys_of", [keys_of, keys_by_reference])
@given(st.lists(WITH_ID | DOCUMENTS, max_size=4))
def test_a_key_is_a_digest_of_the_typed_id_or_of_all_there_is(
    keys_of: Callable[[bytes, list[int]], bytes], documents: list[bytes]
) -> None:
    ends = [sum(map(len, documents[: number + 1])) for number in range(len(documents))]
    keys = keys_of(b"".join(documents), ends)
    assert len(keys) == KEY_BYTES * len(documents)
    for number, one in enumerate(documents):
        said = hashlib.blake2b(identity(one), digest_size=KEY_BYTES).digest()
        assert keys[number * KEY_BYTES :][:KEY_BYTES] == said


def identity(one: bytes) -> bytes:
    try:
        return next((one[met.start : met.end] for met in elements(one) if met.name == b"_id"), one)
    except BsonError:
        return one


@pytest.mark.parametrize("keys_of", [keys_of, keys_by_reference])
def test_a_text_id_that_claims_to_end_elsewhere_is_no_id(keys_of: Callable[[bytes, list[int]], bytes]) -> None:
    for length in (-1, 0, 1 << 30):
        body = b"\x02_id\0" + length.to_bytes(4, "little", signed=True) + b"a\0"
        one = (5 + len(body)).to_bytes(4, "little") + body + b"\0"
        said = hashlib.blake2b(one, digest_size=KEY_BYTES).digest()
        assert keys_of(one + one, [len(one), 2 * len(one)]) == said * 2
