"""What a collection holds, counted per tenant."""

from __future__ import annotations

from collections import Counter
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.errors import BsonError
from kit.transforms.coverage import NO_TENANT, Tally, tally
from kit.values import CollectionName

NAME = CollectionName(database="x", collection="advisory_observations")
OTHER = CollectionName(database="x", collection="advisory_raw")
DOCUMENTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"n": st.integers(0, 9)},
        optional={
            "tenant": st.sampled_from(["a", "é", "", 5, None]),
            "rawLinkset": st.sampled_from([None, {}, "x"]),
        },
    ),
    max_size=12,
)


@given(documents=DOCUMENTS, cut=st.integers(0, 12))
def test_counts_add_up_and_do_not_depend_on_the_cut(documents: list[dict[str, Any]], cut: int) -> None:
    encoded = [bson.encode(document) for document in documents]
    whole = tally(NAME, encoded)
    parts = Tally()
    parts.add(tally(NAME, encoded[:cut]))
    parts.add(tally(NAME, encoded[cut:], cut))
    assert whole == parts
    assert (whole.documents, whole.bytes) == (len(encoded), sum(map(len, encoded)))
    tenants = Counter(d["tenant"] if isinstance(d.get("tenant"), str) else NO_TENANT for d in documents)
    assert {name: covered.documents for name, covered in whole.tenants.items()} == tenants
    covered = whole.tenants.values()
    assert all(one.documents == one.present + one.missing for one in covered)
    assert sum(one.present for one in covered) == sum("rawLinkset" in document for document in documents)
    assert sum(one.null for one in covered) == sum(document.get("rawLinkset", 0) is None for document in documents)


def test_other_collections_are_counted_without_coverage() -> None:
    counted = tally(OTHER, [bson.encode({"tenant": "a", "rawLinkset": {}})]).tenants["a"]
    assert (counted.documents, counted.present, counted.missing) == (1, 0, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\x02tenant", b"\x99tenant"), (b"acme", b"ac\xffe"), (b"\x02b\0", b"\x02a\0")],
    ids=["an unknown type", "a tenant that is no UTF-8", "a name twice"],
)
def test_what_is_malformed_is_refused_by_its_ordinal(old: bytes, new: bytes) -> None:
    document = bson.encode({"tenant": "acme", "a": "1", "b": "2"})
    with pytest.raises(BsonError, match="document 1235: "):
        tally(NAME, [document, document.replace(old, new)], 1234)
