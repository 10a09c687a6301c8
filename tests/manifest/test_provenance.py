from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kit.errors import ContentError, KitError, ManifestError
from kit.manifest import Artifact, Manifest, PatchStatement, parse_statement
from kit.values import MemberPath
from kit.values.strict_json import canonical
from tests.manifest.samples import LIMITS, PLACE, digest, own, parsed, patched, statement_of, validator


def _statement(**changes: Any) -> PatchStatement:
    before = parsed(own())
    after = Manifest.parse(patched(before, "new", added={MemberPath("z"): (digest("z"), 1)}), limits=LIMITS, where="m")
    return statement_of(before, after, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"operator": None, "bundle_id": None},
        {"environment": "prod", "counts": {}},
        {"changed": (), "materials": ()},
    ],
)
def test_a_statement_survives_printing_and_parsing_and_is_valid_by_the_schema(changes: dict[str, Any]) -> None:
    statement = _statement(**changes)
    data = statement.to_bytes()
    assert parse_statement(data) == statement
    assert statement.to_bytes() == data
    validator("patch-provenance.schema.json").validate(json.loads(data))


def test_what_is_stated_is_where_in_toto_tools_look() -> None:
    whole = json.loads(_statement().to_bytes())
    assert whole["_type"] == "https://in-toto.io/Statement/v1"
    assert whole["predicateType"] == "urn:offline-kit:patch:v1"
    assert [subject["name"] for subject in whole["subject"]] == [str(PLACE), "db/c.bson", "z"]
    assert [material["name"] for material in whole["predicate"]["materials"]] == [str(PLACE), "db/c.bson"]
    assert "environment" not in whole["predicate"]


def _in(*path: str | int) -> Callable[[dict[str, Any]], Any]:
    def follow(whole: dict[str, Any]) -> Any:
        for step in path:
            whole = whole[step]  # type: ignore[index]
        return whole

    return follow


PREDICATE = _in("predicate")
FIRST = ("predicate", "transforms", 0)
NVD = {"name": "nvd", "distribution": "kit-nvd", "version": "2"}


@pytest.mark.parametrize(
    ("place", "changes", "fault"),
    [
        pytest.param(_in(), {"_type": "https://in-toto.io/Statement/v0.1"}, "_type: https", id="an older statement"),
        pytest.param(_in(), {"predicateType": "https://slsa.dev"}, "predicateType: urn", id="another predicate"),
        pytest.param(_in(), {"x": 1}, r"unknown members: 'x'", id="an unknown member"),
        pytest.param(_in(), {"subject": []}, "first item must be the manifest", id="no subject"),
        pytest.param(_in("subject", 0), {"name": "a"}, "first item must be the manifest", id="another first subject"),
        pytest.param(_in("subject", 1), {"name": "zz"}, "sorted", id="subjects out of order"),
        pytest.param(_in("subject", 1), {"name": "z"}, "each once", id="a subject twice"),
        pytest.param(_in("subject", 1), {"name": "manifest/history/1/x"}, "not a member", id="history as a subject"),
        pytest.param(_in("subject", 1), {"name": "../x"}, "segment", id="path traversal"),
        pytest.param(_in("subject", 1), {"uri": "x"}, "unknown members", id="a subject with more"),
        pytest.param(_in("subject", 1, "digest"), {"sha1": "x"}, "unknown members", id="another digest"),
        pytest.param(_in("subject", 1, "digest"), {"sha256": "AB" * 32}, "lower-case", id="an upper-case digest"),
        pytest.param(PREDICATE, {"seconds": 1}, "unknown members", id="another clock reading"),
        pytest.param(PREDICATE, {"transforms": []}, "at least one", id="no transform"),
        pytest.param(PREDICATE, {"transforms": [{"name": "x"}]}, "missing", id="a transform without digest"),
        pytest.param(_in(*FIRST), {"extractors": []}, "at least one", id="no extractor"),
        pytest.param(_in(*FIRST), {"extractors": [NVD, NVD]}, "each once", id="an extractor twice"),
        pytest.param(_in(*FIRST), {"extractors": [NVD | {"x": 1}]}, "unknown members", id="an extractor with more"),
        pytest.param(_in(*FIRST), {"extractors": [NVD | {"version": 2}]}, "version", id="a version of no form"),
        pytest.param(PREDICATE, {"counts": {"x": -1}}, "counts.x", id="a negative count"),
        pytest.param(PREDICATE, {"keyIds": ["b", "a"]}, "sorted", id="key ids out of order"),
        pytest.param(PREDICATE, {"keyIds": ["a", "a"]}, "each once", id="a key id twice"),
        pytest.param(PREDICATE, {"keyIds": [1]}, "strings are expected", id="a key id that is a number"),
        pytest.param(PREDICATE, {"operator": ""}, "operator", id="an empty operator"),
        pytest.param(PREDICATE, {"generation": 5}, "does not follow", id="a skipped generation"),
        pytest.param(PREDICATE, {"createdAt": "now"}, "createdAt", id="a time that is none"),
        pytest.param(PREDICATE, {"materials": []}, "first item must be the manifest", id="no materials"),
        pytest.param(_in("predicate", "materials", 1), {"name": "b"}, "not among the subjects", id="a lost member"),
        pytest.param(
            _in("predicate", "materials", 0), {"name": "offline-manifest.json"}, "two places", id="a moved manifest"
        ),
        pytest.param(_in("predicate", "tool"), {"commit": "x"}, "unknown members", id="a tool with more"),
    ],
)
def test_a_statement_that_is_not_strictly_ours_is_refused(
    place: Callable[[dict[str, Any]], Any], changes: dict[str, Any], fault: str
) -> None:
    whole = json.loads(_statement().to_bytes())
    place(whole).update(changes)
    with pytest.raises(ManifestError, match=fault):
        parse_statement(canonical(whole))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"transforms": ()}, id="no transform"),
        pytest.param({"operator": ""}, id="an empty operator"),
        pytest.param({"generation": 9}, id="a generation that does not follow"),
        pytest.param({"operator": "\udcff"}, id="an operator that is not UTF-8"),
        pytest.param({"manifest": Artifact(path=MemberPath("a"), sha256=digest("a"))}, id="a subject of another place"),
    ],
)
def test_facts_that_could_not_be_read_back_are_not_stated(changes: dict[str, Any]) -> None:
    with pytest.raises(ContentError):
        _statement(**changes).to_bytes()


def test_facts_in_another_order_are_not_stated() -> None:
    statement = _statement()
    with pytest.raises(ManifestError, match="sorted"):
        replace(statement, changed=statement.changed[::-1]).to_bytes()


def test_facts_of_another_type_are_not_stated() -> None:
    with pytest.raises(ManifestError, match="does not read back"):
        _statement(key_ids=["a", "b"]).to_bytes()


def test_counts_that_are_no_counts_are_not_stated() -> None:
    with pytest.raises(ManifestError):
        _statement(counts={"x": True}).to_bytes()


@pytest.mark.parametrize("data", [b"", b"[]", b'{"_type": 1, "_type": 1}', b"\xff"])
def test_what_is_not_a_strict_json_object_is_no_statement(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_statement(data)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_but_our_own_errors(data: bytes) -> None:
    with pytest.raises(KitError):
        parse_statement(data)
