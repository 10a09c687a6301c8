from __future__ import annotations

import dataclasses
from typing import Any

import bson
import pytest

from kit.errors import ContentError
from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.projection import (
    EMPTY,
    Extraction,
    Projection,
    Reference,
    Relationship,
    encode_element,
    from_linkset,
)

FULL = Projection(
    aliases=("B", "a", "B"),
    purls=("pkg:npm/x",),
    cpes=("cpe:2.3:a:V:p:*:*:*:*:*:*:*:*",),
    references=(Reference("u1", "t", "s"), Reference("u2", None, "s"), Reference("u3", "t"), Reference("u4")),
    scopes=("runtime",),
    relationships=(Relationship("related", "B", "C"), Relationship(None, None, "D")),
    reconciled_from=("/id",),
    notes={"z": "1", "a": "2"},
)


def test_elements_and_members_stand_in_the_order_of_the_format() -> None:
    document = FULL.to_document()
    assert tuple(document) == shape.ELEMENTS
    assert [list(reference.items()) for reference in document["references"]] == [
        [("type", "t"), ("url", "u1"), ("source", "s")],
        [("url", "u2"), ("source", "s")],
        [("type", "t"), ("url", "u3")],
        [("url", "u4")],
    ]
    assert [list(relationship.items()) for relationship in document["relationships"]] == [
        [("type", "related"), ("source", "B"), ("target", "C")],
        [("target", "D")],
    ]
    assert list(document["notes"].items()) == [("z", "1"), ("a", "2")]


def test_lists_are_written_empty_but_scopes_and_relationships_only_when_there() -> None:
    assert EMPTY.to_document() == {
        "aliases": (),
        "purls": (),
        "cpes": (),
        "references": [],
        "reconciled_from": (),
        "notes": {},
    }
    there = Projection(scopes=(), relationships=()).to_document()
    assert (there["scopes"], there["relationships"]) == ((), [])


@pytest.mark.parametrize("projection", [EMPTY, FULL], ids=["empty", "full"])
def test_the_element_appended_to_a_document_is_that_documents_last_element(projection: Projection) -> None:
    before = bson.encode({"_id": 1, "rest": "x"})
    element = encode_element(projection)
    assert element[:12] == b"\x03rawLinkset\0"
    body = before[4:-1] + element
    after = (len(body) + 5).to_bytes(4, "little") + body + b"\0"
    decoded = bson.decode(after)
    assert list(decoded) == ["_id", "rest", "rawLinkset"]
    listed = projection.to_document()
    assert after == bson.encode({"_id": 1, "rest": "x", "rawLinkset": listed})
    assert list(decoded["rawLinkset"]) == list(listed)


def test_another_name_can_be_given_to_the_element() -> None:
    assert (
        bson.decode(_wrapped(encode_element(EMPTY, dataclasses.replace(shape.NAMES, raw_linkset="raw"))))["raw"][
            "aliases"
        ]
        == []
    )


def _wrapped(element: bytes) -> bytes:
    return (len(element) + 5).to_bytes(4, "little") + element + b"\0"


@pytest.mark.parametrize(
    "projection",
    [Projection(aliases=("\ud800",)), Projection(notes={"a\0b": "c"})],
    ids=["a lone surrogate", "a NUL in the name of a note"],
)
def test_what_bson_cannot_hold_is_a_named_error(projection: Projection) -> None:
    with pytest.raises(ContentError, match="rawLinkset cannot be BSON"):
        encode_element(projection)


def test_a_snapshot_is_copied_as_it_stands() -> None:
    linkset: dict[str, Any] = {
        "notes": {"k": " v "},
        "aliases": ["B ", "a", "B "],
        "references": [{"url": "u", "type": "T"}, {"source": "s", "url": "u", "title": "no part of the shape"}],
        "purls": [],
        "cpes": ["c"],
        "scopes": [],
        "relationships": [{"target": "t", "source": "s", "type": "r"}],
        "reconciled_from": ["/x"],
    }
    assert from_linkset(linkset, {"aliases": ["other"]}) == Extraction(
        Projection(
            aliases=("B ", "a", "B "),
            cpes=("c",),
            references=(Reference("u", "T"), Reference("u", None, "s")),
            scopes=(),
            relationships=(Relationship("r", "s", "t"),),
            reconciled_from=("/x",),
            notes={"k": " v "},
        ),
        skipped=0,
    )


@pytest.mark.parametrize("linkset", [{}, {"aliases": []}, {"aliases": None}], ids=["absent", "empty", "null"])
def test_a_linkset_without_aliases_takes_those_of_the_identifiers(linkset: dict[str, Any]) -> None:
    assert from_linkset(linkset, {"aliases": ["A", "A"]}).projection.aliases == ("A", "A")
    assert from_linkset(linkset, {}).projection.aliases == ()
    assert from_linkset(linkset, None).projection == EMPTY


def test_both_spellings_of_the_pointers_are_read_and_the_written_one_wins() -> None:
    assert from_linkset({"reconciledFrom": ["/a"]}, None).projection.reconciled_from == ("/a",)
    both = {"reconciledFrom": ["/a"], "reconciled_from": ["/b"]}
    assert from_linkset(both, None).projection.reconciled_from == ("/b",)


def test_what_is_no_string_in_a_snapshot_is_skipped_and_counted() -> None:
    linkset: dict[str, Any] = {
        "aliases": [1, "A", None, bson.Code("A()")],  # 3
        "purls": "pkg:npm/x",  # 1
        "references": [{"type": "t"}, "u", {"url": "u", "type": 5, "source": None}],  # 1 + 1 + 2
        "relationships": ["r", {"type": 1}, {"target": "t"}],  # 1 + 1
        "notes": {"a": 1, "b": "2"},  # 1
    }
    extraction = from_linkset(linkset, None)
    assert extraction.skipped == 11
    assert extraction.projection == Projection(
        aliases=("A",),
        references=(Reference("u"),),
        relationships=(Relationship(None, None, "t"),),
        notes={"b": "2"},
    )
    assert from_linkset({"notes": ["a"]}, None) == Extraction(EMPTY, 1)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ContentError, match="rawLinkset cannot be BSON"):
        encode_element(Projection(aliases=("\ud800",)))
