"""Lines of exported changes are canonical Extended JSON, whichever way they are made."""

from __future__ import annotations

from typing import Any

import bson
from bson.json_util import CANONICAL_JSON_OPTIONS, loads
from hypothesis import assume, given, settings, strategies as st

from kit.documents import index
from kit.verbs.extract.documents import extended_json
from kit.verbs.online.records import DatabaseTool, Fault, UnsafeError, _plain_line, line_of
from tests.tiers import examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = TEXT.filter(lambda name: "\0" not in name) | st.sampled_from(["$oid", "$where", "a.b", "0", "__proto__"])
TEXTS = st.recursive(TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
ANY = TEXTS | st.integers(-(2**31), 2**31 - 1) | st.none() | st.booleans() | st.floats(allow_nan=False)
LINKSETS = st.dictionaries(NAMES, ANY, max_size=4)


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return not any(name.startswith("$") for name in value) and all(map(is_plain, value.values()))
    return isinstance(value, str) or (isinstance(value, list) and all(map(is_plain, value)))


@given(st.dictionaries(NAMES, ANY, max_size=4))
@settings(max_examples=examples(400))
def test_the_fast_way_gives_the_same_line_exactly_where_all_values_are_texts(document: dict[str, Any]) -> None:
    line = _plain_line(bson.encode(document))
    assert (line is not None) == is_plain(document)
    assert line is None or line == extended_json(bson.encode(document))


@given(TEXT, LINKSETS)
@settings(max_examples=examples(200))
def test_a_line_gives_the_very_bytes_of_id_and_raw_linkset(name: str, linkset: dict[str, Any]) -> None:
    document = bson.encode({"_id": name, "tenant": "acme", "other": 1, "rawLinkset": linkset})
    try:
        line = line_of(document, DatabaseTool.MONGOIMPORT)
    except UnsafeError as error:
        assume(error.fault is not Fault.NOT_IN_JSON)
        raise
    made = bson.encode(loads(line.decode(), json_options=CANONICAL_JSON_OPTIONS))
    assert made == bson.encode({"_id": name, "rawLinkset": linkset})
    kind, start, end = index(document)[b"rawLinkset"]
    assert document[start:end] in made
    assert kind == 3
