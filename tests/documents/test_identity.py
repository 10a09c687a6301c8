"""How a document is called in messages: always one printable line."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, settings

from kit.documents import document_id
from kit.errors import BsonError
from tests.documents.strategies import DOCUMENTS


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("tenant:CVE-1", "tenant:CVE-1"),
        ("漢", "漢"),
        ("two\nlines\x1b[2J", r"two\nlines\x1b[2J"),
        (bson.ObjectId("0123456789abcdef01234567"), "0123456789abcdef01234567"),
        (-5, "-5"),
        (bson.Int64(2**40), "1099511627776"),
        (0.5, "0.5"),
        (True, "type 8: 01"),
        ("x" * 500, "x" * 200),
    ],
    ids=["text", "other scripts", "control characters", "ObjectId", "int32", "int64", "double", "other", "long"],
)
def test_an_id_is_shown_as_a_person_would_write_it(value: Any, shown: str) -> None:
    assert document_id(bson.encode({"a": 1, "_id": value})) == shown


def test_a_document_without_id_says_so() -> None:
    assert document_id(bson.encode({"a": 1})) == "(none)"


@settings(deadline=None)
@given(document=DOCUMENTS)
def test_any_documents_id_is_one_printable_line_of_bounded_length(document: bytes) -> None:
    try:
        shown = document_id(document)
    except BsonError:
        return
    assert shown.isprintable()
    assert len(shown) <= 200
