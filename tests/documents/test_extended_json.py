"""Extended JSON says exactly what the bytes say, or refuses; checked with MongoDB's corpus and generated documents."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import JSONOptions, loads
from hypothesis import given

from kit.documents.extended_json import extended_json
from kit.errors import BsonError
from tests.documents.strategies import DOCUMENTS
from tests.documents.test_corpus import CORPUS

OPTIONS = JSONOptions(document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS)
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
# Deprecated types, which pymongo reads as their successors, and numbers of which the text keeps only the value.
REFUSED = {"dbpointer", "dbref", "decimal128-1", "double", "multi-type-deprecated", "symbol", "undefined"}


@given(DOCUMENTS)
def test_a_line_read_back_and_encoded_is_the_document(document: bytes) -> None:
    try:
        line = extended_json(document)
    except BsonError:
        return
    assert line.isascii()
    assert b"\n" not in line
    assert bson.encode(loads(line, json_options=OPTIONS), codec_options=CODEC) == document


def said_by(text: str | bytes) -> Any:
    """Read a text; the specification leaves open how a double is spelled (1e+18 or 1E+18)."""
    return json.loads(text, object_hook=lambda entry: {**entry, **_doubles(entry)})


def _doubles(entry: dict[str, Any]) -> dict[str, str]:
    return {name: repr(float(value)) for name, value in entry.items() if name == "$numberDouble"}


def test_the_text_is_that_of_the_corpus() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the corpus is kept outside the project")
    said, refused = 0, set()
    for path in sorted(CORPUS.glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")).get("valid", []):
            try:
                line = extended_json(bytes.fromhex(case["canonical_bson"]))
            except BsonError:
                refused.add(path.stem)
                continue
            assert said_by(line) == said_by(case["canonical_extjson"]), (path.stem, case["description"])
            said += 1
    assert refused <= REFUSED
    assert said >= 707


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (bson.encode({"a": 1})[:-1], "cannot say this document: "),
        (b"\x13\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x10a\x00\x02\x00\x00\x00\x00", "exactly"),
        (b"\x08\x00\x00\x00\x06a\x00\x00", "exactly"),
    ],
    ids=["cut", "a name twice", "a deprecated type"],
)
def test_what_extended_json_cannot_say_is_refused(document: bytes, why: str) -> None:
    with pytest.raises(BsonError, match=why):
        extended_json(document)
