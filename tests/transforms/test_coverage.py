"""What a collection holds, counted per tenant."""

from __future__ import annotations

from collections import Counter
from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.errors import BsonError
from kit.transforms.coverage import NO_TENANT, Tally, check_certain, tally, tenant_named
from kit.values import CollectionName
from tests.kits import SOUND

NAME = CollectionName(database="x", collection="advisory_observations")
OTHER = CollectionName(database="x", collection="advisory_raw")
DOCUMENTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"n": st.integers(0, 9)},
        optional={
            "tenant": st.sampled_from(["a", "é", "", 5, None]),
            "linkset": st.sampled_from([{}, {"aliases": []}, None, []]),
            "rawLinkset": st.sampled_from([None, {}, "x", SOUND]),
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
    parts.add(tally(NAME, encoded[cut:]))
    assert whole == parts
    assert (whole.documents, whole.bytes) == (len(encoded), sum(map(len, encoded)))
    tenants = Counter(d["tenant"] if isinstance(d.get("tenant"), str) else NO_TENANT for d in documents)
    assert {name: covered.documents for name, covered in whole.tenants.items()} == tenants
    covered = whole.tenants.values()
    assert all(one.documents == one.present + one.missing for one in covered)
    assert sum(one.present for one in covered) == sum("rawLinkset" in document for document in documents)
    values = [document.get("rawLinkset", ...) for document in documents]
    assert sum(one.null for one in covered) == values.count(None)
    assert sum(one.other_type for one in covered) == values.count("x")
    assert sum(one.other_shape for one in covered) == values.count({})
    whole_linksets = sum(d.get("rawLinkset") == SOUND and isinstance(d.get("linkset"), dict) for d in documents)
    assert sum(one.both for one in covered) == whole_linksets
    assert sum(one.no_linkset for one in covered) == values.count(SOUND) - whole_linksets


def test_other_collections_are_counted_without_coverage() -> None:
    counted = tally(OTHER, [bson.encode({"tenant": "a", "rawLinkset": {}})]).tenants["a"]
    assert (counted.documents, counted.present, counted.missing) == (1, 0, 0)


@pytest.mark.parametrize(
    ("old", "new", "tenant"),
    [
        pytest.param(b"\x02a\0", b"\x99a\0", "acme", id="an unknown type behind the tenant"),
        pytest.param(b"\x02tenant", b"\x99tenant", NO_TENANT, id="an unknown type in place of the tenant"),
        pytest.param(b"\x02b\0", b"\x02a\0", "acme", id="a name twice"),
        pytest.param(b"\x02other\0", b"\x02tenant\0", NO_TENANT, id="the tenant twice"),
        pytest.param(b"\x03rawLinkset\0", b"\x99rawLinkset\0", "acme", id="an unknown type in place of rawLinkset"),
    ],
)
def test_what_cannot_be_read_lacks_the_element_under_its_tenant_as_far_as_that_is_certain(
    old: bytes, new: bytes, tenant: str
) -> None:
    document = bson.encode({"tenant": "acme", "a": "1", "b": "2", "other": "x", "rawLinkset": {}})
    assert old in document
    counted = tally(NAME, [document, document.replace(old, new)])
    assert counted.tenants["acme"].present == 1
    assert counted.tenants[tenant].missing == 1
    assert tenant_named(document.replace(old, new)) == tenant


def test_a_tenant_that_is_no_utf8_is_no_tenant() -> None:
    document = bson.encode({"tenant": "acme", "rawLinkset": {}}).replace(b"acme", b"ac\xffe")
    counted = tally(NAME, [document]).tenants
    assert {name: (one.documents, one.present) for name, one in counted.items()} == {NO_TENANT: (1, 1)}


@pytest.mark.parametrize(
    ("name", "is_certain"), [("other", True), ("_id", False), ("tenant", False), ("rawLinkset", False)]
)
def test_a_name_twice_is_only_refused_where_it_decides_what_a_document_counts_as(
    name: str, *, is_certain: bool
) -> None:
    once = bson.encode({name: 1})[4:-1]
    document = (5 + 2 * len(once)).to_bytes(4, "little") + 2 * once + b"\0"
    if is_certain:
        check_certain(NAME, document)
        return
    with pytest.raises(BsonError, match="repeated element name"):
        check_certain(NAME, document)
