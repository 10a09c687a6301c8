"""Manifests of deltas, and what ``kit delta`` prints, are what their schemas say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.delta.model import DeltaManifest
from kit.errors import ArchiveError
from kit.reports.delta import applied_json, built_json, inspected_json, verified_json
from kit.values import Limits
from kit.verbs.delta.verify import DeltaVerifyRequest, inspect_delta, verify_delta
from tests.delta.kits import KEY, pair, patched, trusting
from tests.delta.test_recipe_keys import keys_of, notes, sealed
from tests.schemas.test_reports import schema, validate

Document = dict[str, Any]
STEP = {"name": "raw-linkset", "version": "1", "parameters": {}, "parametersSha256": "0" * 64}


def test_every_report_of_a_delta_is_valid(tmp_path: Path) -> None:
    two = patched(tmp_path)
    built = built_json(two.build())
    inspected = inspected_json(inspect_delta(two.delta))
    verified = verified_json(verify_delta(DeltaVerifyRequest(delta=two.delta, anchor=trusting(KEY).anchor)))
    applied, again = applied_json(two.apply()), applied_json(two.apply())
    for document in (built, inspected, verified, applied, again):
        validate("delta-report", document)
    outcomes = [document["outcome"] for document in (built, inspected, verified, applied, again)]
    assert outcomes == ["built", "inspected", "verified", "applied", "nothing to do"]
    total = sum(method["members"] for method in built["methods"].values())
    assert total == len(inspected["members"])
    assert built["recipe"] == inspected["recipe"] == verified["recipe"] is not None


def test_the_reports_of_an_encryption_are_valid_whichever_way_it_is_sent(tmp_path: Path) -> None:
    two, keying = sealed(tmp_path, change=notes(4, owners=2))
    whole = built_json(two.build(tmp_path / "documents"))
    back = built_json(two.build(tmp_path / "back", reverse=True))
    recipe = built_json(two.build(keys=keys_of(keying)))
    for document in (whole, back, recipe, applied_json(two.apply(keys=keys_of(keying)))):
        validate("delta-report", document)
    assert [document["discloses"] for document in (whole, back, recipe)] == [False, True, False]
    assert [document["noRecipe"] is None for document in (whole, back, recipe)] == [False, False, True]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Document:
    built = pair(tmp_path_factory.mktemp("pair")).build().manifest
    document: Document = json.loads(built.to_bytes())
    assert DeltaManifest.parse(built.to_bytes(), limits=Limits()) == built
    return document


def at(*steps: str | int, value: Any = ...) -> Callable[[Document], None]:
    """Set, or with ``...`` remove, what stands at a place."""

    def change(document: Document) -> None:
        inner: Any = document
        for step in steps[:-1]:
            inner = inner[step]
        if value is ...:
            del inner[steps[-1]]
        else:
            inner[steps[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        at("format", value="kit"),
        at("schemaVersion", value="2"),
        at("schemaVersion", value=1),
        at("surprise", value=1),
        at("base"),
        at("base", "generation", value=-1),
        at("base", "manifestSha256", value="A" * 64),
        at("target", "archive", "container", value="zip"),
        at("target", "archive", "sha256", value="x"),
        at("layout", "size", value="1"),
        at("members", value={}),
        at("members", 0, "method", value="rewrite"),
        at("members", 0, "method", value=["copy"]),
        at("members", 0, "payload"),
        at("members", 0, "source", value="a"),
        at("members", 0, "size", value=True),
        at("members", 3, "method", value="recipe"),
        at("recipe", value={"transforms": [STEP]}),
        at("bundleId", value=""),
        at("tool", "name", value=""),
    ],
)
def test_what_the_schema_of_a_manifest_refuses_the_program_refuses(
    change: Callable[[Document], None], manifest: Document
) -> None:
    document = json.loads(json.dumps(manifest))
    validate("kit-delta", document)
    change(document)
    assert not Draft202012Validator(schema("kit-delta")).is_valid(document)
    with pytest.raises(ArchiveError):
        DeltaManifest.parse(json.dumps(document).encode(), limits=Limits())


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Document:
    two, keying = sealed(tmp_path_factory.mktemp("sealed"), change=notes(6, owners=2))
    document: Document = json.loads(two.build(keys=keys_of(keying)).manifest.to_bytes())
    return document


RELEASE = {"name": "a", "distribution": "b", "version": "1"}
KEYS = {"count": 2, "sha256": "0" * 64, "dekIds": ["a", "b"]}
MANY = [f"dek-{number:03}" for number in range(9)]


@pytest.mark.parametrize(
    "change",
    [
        at("recipe", value={}),
        at("recipe", value={"transforms": []}),
        at("recipe", "transforms", value={}),
        at("recipe", "transforms", 0, "parameters"),
        at("recipe", "transforms", 0, "parameters", value=[]),
        at("recipe", "transforms", 0, "parametersSha256", value="x"),
        at("recipe", "transforms", 0, "version", value=1),
        at("recipe", "transforms", 0, "name", value=""),
        at("recipe", "transforms", 0, "extractors", value=[]),
        at("recipe", "transforms", 0, "extractors", value={}),
        at("recipe", "transforms", 0, "extractors", value=[RELEASE | {"name": ""}]),
        at("recipe", "transforms", 0, "extractors", value=[RELEASE | {"kind": "x"}]),
        at("recipe", "transforms", 0, "extractors", value=[{"name": "a", "version": "1"}]),
        at("recipe", "transforms", 0, "kind", value="encrypted-field"),
        at("recipe", "keys", value=[]),
        at("recipe", "keys", value={**KEYS, "secret": "x"}),
        at("recipe", "keys", value={**KEYS, "sha256": "x"}),
        at("recipe", "keys", value={**KEYS, "dekIds": ["a", ""]}),
        at("recipe", "keys", value={**KEYS, "dekIds": ["a", "a"]}),
        at("recipe", "keys", "dekIds"),
        at("recipe", "keys", value={**KEYS, "count": 9, "dekIds": MANY}),
        at("recipe", "keys", value={**KEYS, "count": -1}),
    ],
)
def test_what_the_schema_of_a_recipe_refuses_the_program_refuses(
    change: Callable[[Document], None], recipe: Document
) -> None:
    document = json.loads(json.dumps(recipe))
    validate("kit-delta", document)
    change(document)
    assert not Draft202012Validator(schema("kit-delta")).is_valid(document)
    with pytest.raises(ArchiveError):
        DeltaManifest.parse(json.dumps(document).encode(), limits=Limits())


@pytest.mark.parametrize(
    "change",
    [
        at("members", 1, "path", value="manifest/offline-manifest.json"),
        at("members", 0, "payload", "path", value="layout"),
        at("members", 0, "path", value="../a"),
        at("createdAt", value="yesterday"),
    ],
    ids=["a member twice", "a payload twice", "a path that leads outside", "no time"],
)
def test_what_a_schema_cannot_say_the_program_refuses(change: Callable[[Document], None], manifest: Document) -> None:
    document = json.loads(json.dumps(manifest))
    change(document)
    with pytest.raises(ArchiveError):
        DeltaManifest.parse(json.dumps(document).encode(), limits=Limits())
