"""What the core makes of JSON texts is what the reference makes of them, or it leaves them to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson.json_util import JSONMode, JSONOptions, dumps
from hypothesis import given, strategies as st

from kit.documents import core
from kit.documents.json_text import spell_element
from kit.documents.json_view import view
from kit.errors import BsonError, KitError
from kit.values import Limits
from tests.documents.strategies import DOCUMENTS
from tests.documents.test_json_view import JSON_DOCUMENTS, SUITE
from tests.kits import observation

pytestmark = pytest.mark.skipif(core.json_views is None, reason=f"the core is {core.ABSENCE}")

LIMITS = Limits()
MOST = (LIMITS.document_bytes, LIMITS.document_depth, LIMITS.document_elements)
WORDS = r"""
{" ": , } [ ] "a" "_id":1 "id":1 1 -0 1.5e3 9223372036854775808 1e999 "$oid" "$date" "$numberLong":"1" : true nul
{"$oid":"0123456789abcdef01234567"} "\ud83d\ude00" "\ud800" {"$date":"2020-02-29T23:59:59.999Z"} {"$numberInt":"-0"}
{"$date":"0000-01-01T00:00:00Z"} "\u0000" "\x" {"$oid":1,"a":2} {"$date":{"$numberLong":"1"}} "é"
"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\n", "\t"])


def check(text: bytes) -> None:
    """Law: a text that the core sees is what the reference sees; one that the reference refuses is left to it."""
    assert core.json_views is not None
    found = core.json_views(b" " + text + b" ", [(1, 1 + len(text))], MOST)
    assert found is not None
    data, ends, alone = found
    try:
        due = view(text, limits=LIMITS)
    except KitError:
        assert alone == [0]
        return
    assert (data, ends) == ((b"", [0]) if alone else (due, [len(due)]))


@given(JSON_DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
def test_plain_texts_are_seen(document: Any, ascii_: bool, indent: int | None) -> None:  # noqa: FBT001
    text = json.dumps(document, ensure_ascii=ascii_, indent=indent).encode()
    check(text)
    assert core.json_views is not None
    found = core.json_views(text, [(0, len(text))], MOST)
    assert found is not None
    assert found[2] == []


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_canonical_dates_and_doubles_need_no_reference(moment: int, number: float) -> None:
    canonical = [{"$date": {"$numberLong": str(moment)}}, {"$numberDouble": repr(number)}]
    text = json.dumps({"a": canonical, "b": {"c": canonical[0]}}).encode()
    check(text)
    assert core.json_views is not None
    found = core.json_views(text, [(0, len(text))], MOST)
    assert found is not None
    assert found[2] == []
    check(json.dumps({"a": {"$date": moment}}).encode())


@given(
    st.lists(PIECES, max_size=12).map("".join),
    st.sampled_from(["", '{"a":', '{"a":[']),
    st.sampled_from(["", "}", "]}"]),
)
def test_odd_texts_are_seen_alike_or_left(middle: str, before: str, after: str) -> None:
    check((before + middle + after).encode())


@given(st.binary(max_size=12), JSON_DOCUMENTS, st.data())
def test_damaged_texts_are_seen_alike_or_left(junk: bytes, document: Any, data: Any) -> None:
    text = json.dumps(document).encode()
    at = data.draw(st.integers(0, len(text)))
    check(text[:at] + junk + text[data.draw(st.integers(at, len(text))) :])


@pytest.mark.skipif(not SUITE.is_dir(), reason="the suite is kept outside the project")
def test_the_suite_is_seen_alike() -> None:
    for path in sorted(SUITE.glob("*.json")):
        check(b'{"_id":' + path.read_bytes() + b"}")


@pytest.mark.parametrize(
    "text", ['{"id":1}', '{"id":1,"_id":1}', '{"id":1,"_id":1.0}', '{"a":1,"id":{"b":[]}}', '{"_id":1}']
)
def test_identities_are_alike(text: str) -> None:
    check(text.encode())


def test_a_whole_export_is_seen_by_the_core() -> None:
    text = dumps(observation(1), json_options=JSONOptions(json_mode=JSONMode.RELAXED)).encode()
    assert core.json_views is not None
    found = core.json_views(text * 3, [(at * len(text), (at + 1) * len(text)) for at in range(3)], MOST)
    assert found is not None
    assert (found[0], found[2]) == (view(text, limits=LIMITS) * 3, [])


@given(DOCUMENTS)
def test_elements_are_spelled_alike_or_left(document: bytes) -> None:
    element = b"\x03a\0" + document
    assert core.json_spell is not None
    found = core.json_spell(element, [(0, len(element))])
    try:
        due = spell_element(element)
    except BsonError:
        assert found is None
        return
    assert found is None or found == [due]
