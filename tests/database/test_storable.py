"""What the database of these tests stores: the script's list of what it does not is what the database does."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from scripts.storable import obstacles
from tests.commands import ROOT


def doubled(document: dict[str, object]) -> bytes:
    """Return a document in which the last of its fields, of the name ``b``, is called ``a``."""
    return bson.encode(document).replace(b"b\0", b"a\0")


FEATURES: dict[str, bytes] = {
    "plain": bson.encode({"_id": "x", "a": {"b": [{"c": 1.5}, None, True, bson.Int64(7)]}}),
    "names": bson.encode({"_id": "x", "a b": 1, "é": "ü", "a$b": 1, "": 2}),
    "object id": bson.encode({"_id": bson.ObjectId("0123456789abcdef01234567")}),
    "number": bson.encode({"_id": 1, "a": -1.5, "b": 2**53 - 1}),
    "binary": bson.encode({"_id": "x", "a": bson.Binary(b"\0\1", 5)}),
    "date": bson.encode({"_id": "x", "a": bson.DatetimeMS(1_700_000_000_123), "b": bson.Timestamp(1, 2)}),
    "regex": bson.encode({"_id": "x", "a": bson.Regex("a.b", "i")}),
    "dot": bson.encode({"_id": "x", "a.b": 1}),
    "dot inside": bson.encode({"_id": "x", "a": [{"b.c": 1}]}),
    "dollar": bson.encode({"_id": "x", "a": {"$b": 1}}),
    "array in array": bson.encode({"_id": "x", "a": [[1]]}),
    "twice": doubled({"_id": "x", "a": 1, "b": 2}),
    "NaN": bson.encode({"_id": "x", "a": math.nan}),
    "infinity": bson.encode({"_id": "x", "a": math.inf}),
    "-0": bson.encode({"_id": "x", "a": -0.0}),
    "decimal": bson.encode({"_id": "x", "a": bson.Decimal128("1")}),
    "javascript": bson.encode({"_id": "x", "a": bson.Code("f")}),
    "with scope": bson.encode({"_id": "x", "a": bson.Code("f", {"b": 1})}),
    "minKey": bson.encode({"_id": "x", "a": bson.MinKey()}),
    "maxKey": bson.encode({"_id": "x", "a": bson.MaxKey()}),
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", FEATURES)
def test_a_document_is_stored_as_it_is_exactly_if_the_script_names_no_obstacle(
    name: str, programs: Path, server: str, tmp_path: Path
) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "c.bson").write_bytes(FEATURES[name])
    words = [str(programs / "mongorestore"), "--quiet", "--uri", server, str(tmp_path)]
    subprocess.run(words, capture_output=True, check=False)
    raw = CodecOptions(document_class=RawBSONDocument)
    with MongoClient[RawBSONDocument](server, document_class=RawBSONDocument) as client:
        found = [bytes(one.raw) for one in client.db.get_collection("c", codec_options=raw).find()]
    assert (found == [FEATURES[name]]) is (not obstacles(FEATURES[name])), (found, obstacles(FEATURES[name]))


def test_the_script_counts_and_names_what_is_not_stored(tmp_path: Path) -> None:
    (tmp_path / "a.bson").write_bytes(FEATURES["plain"] + FEATURES["NaN"] + FEATURES["dot"] * 2)
    (tmp_path / "b.bson").write_bytes(FEATURES["plain"])
    command = [sys.executable, str(ROOT / "scripts" / "storable.py")]
    run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout.splitlines() == [
        f"{tmp_path}/a.bson: 4 documents, 3 not stored: 1 NaN, infinity or -0; 2 a name with a dot",
        f"{tmp_path}/b.bson: 1 documents, 0 not stored",
    ]
    assert subprocess.run([*command, str(tmp_path / "b.bson")], capture_output=True, check=False).returncode == 0
