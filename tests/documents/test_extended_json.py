"""Extended JSON says exactly what the bytes say, or refuses; checked with MongoDB's corpus and generated documents."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import JSONOptions, loads
from hypothesis import given

from kit.documents.kinds import INT32
from kit.errors import BsonError
from kit.verbs.extract.documents import extended_json
from tests.documents.strategies import DOCUMENTS
from tests.documents.test_corpus import CORPUS

OPTIONS = JSONOptions(document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS)
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
# Numbers of which the text keeps only the value, and references whose members pymongo puts into another order.
REFUSED = {"dbref", "decimal128-1", "double"}


@given(DOCUMENTS)
def test_a_line_read_back_and_encoded_is_the_document(document: bytes) -> None:
    try:
        line = extended_json(document)
    except BsonError:
        return
    assert line.isascii()
    assert b"\n" not in line
    read = loads(line, json_options=OPTIONS)
    if any(name in line for name in (b'{"$symbol":', b'{"$undefined":', b'{"$dbPointer":')):
        # pymongo reads deprecated types as their successors, from JSON as from BSON.
        successors = bson.decode(document, CODEC)
        document = bson.encode(successors, codec_options=CODEC)
    assert bson.encode(read, codec_options=CODEC) == document


def string(text: bytes) -> bytes:
    return INT32.pack(len(text) + 1) + text + b"\0"


def _deprecated(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return INT32.pack(len(body) + 5) + body + b"\0"


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
    assert said >= 718


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (bson.encode({"a": 1})[:-1], "cannot hold this document: "),
        (b"\x13\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x10a\x00\x02\x00\x00\x00\x00", "exactly"),
        (bson.encode({"a": {"$symbol": "s"}}), "exactly"),
        (bson.encode({"$undefined": True}), "cannot hold this document: "),
        (bson.encode({"a": [{"$dbPointer": {"$ref": "c", "$id": ObjectId(b"1" * 12)}}]}), "exactly"),
        (_deprecated(b"\x0es\0" + string(b"x"), bson.encode({"b": {"$symbol": "s"}})[4:-1]), "exactly"),
        (_deprecated(b"\x0es\0" + string(b"x"), b"\x0es\0" + string(b"x")), "exactly"),
        (_deprecated(b"\x0es\0" + string(b"\xff")), "cannot hold this document: "),
    ],
    ids=[
        "cut",
        "a name twice",
        "a document that looks like a symbol",
        "one that looks like undefined",
        "one that looks like a pointer",
        "one that looks like a symbol beside a symbol",
        "two symbols of one name",
        "a symbol that is not UTF-8",
    ],
)
def test_what_extended_json_cannot_hold_is_refused_with_the_way_out(document: bytes, why: str) -> None:
    with pytest.raises(BsonError, match=why) as caught:
        extended_json(document)
    assert "--format bson" in caught.value.hint


def test_deprecated_types_are_there_wherever_they_are() -> None:
    symbol, undefined = b"\x0es\0" + string(b"x"), b"\x06u\0"
    pointer = b"\x0cp\0" + string(b"db.c") + bytes(range(12))
    inner = _deprecated(symbol, undefined, pointer)
    scope = b"\x0fw\0" + INT32.pack(12 + len(inner)) + string(b"f()") + inner
    document = _deprecated(b"\x03d\0" + inner, b"\x04l\0" + _deprecated(b"\x060\0"), scope)
    shown = {"s": {"$symbol": "x"}, "u": {"$undefined": True}}
    shown |= {"p": {"$dbPointer": {"$ref": "db.c", "$id": {"$oid": bytes(range(12)).hex()}}}}
    line = json.loads(extended_json(document))
    assert line == {"d": shown, "l": [{"$undefined": True}], "w": {"$code": "f()", "$scope": shown}}
