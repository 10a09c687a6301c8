"""What differs between two generations is named, whatever it is; what every patch changes is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.errors import KitError
from kit.manifest import CollectionSummary, LineageEntry, Manifest, compare
from kit.values import Limits, MemberPath, Sha256, Timestamp

AT = Timestamp.parse("2026-01-02T00:00:00Z")
CHANGED = "dump/c/observations.bson"
OTHER = "dump/c/other.bson"


def digest(text: str) -> str:
    return str(Sha256.of(text.encode()))


def told(path: str, documents: int) -> dict[str, Any]:
    coverage = {"present": 0, "missing": documents, "unresolvable": 0, "x": 1}
    tenant = {"documents": documents, "rawLinkset": coverage, "encrypted": {"a": 0}, "x": {"y": [1]}}
    whole = {"path": path, "db": "c", "collection": path.rpartition("/")[2][:-5], "documents": documents, "bytes": 9}
    return whole | {"tenants": {"t": tenant}, "merkleRoot": digest(path), "x": "y"}


def own() -> dict[str, Any]:
    names = (CHANGED, OTHER, "README.txt")
    files = [{"path": name, "sha256": digest(name), "size": 9, "kind": "data", "x": [1, {"y": None}]} for name in names]
    return {
        "schemaVersion": "1",
        "bundleId": "b",
        "version": "1",
        "producer": "p",
        "generation": 3,
        "createdAt": "2026-01-01T00:00:00Z",
        "stalenessWindowHours": 1,
        "x": {"y": [1, True, 1.5, "z", None]},
        "files": sorted(files, key=lambda item: str(item["path"])),
        "collections": [told(CHANGED, 1), told(OTHER, 2)],
        "lineage": [],
    }


def foreign(list_name: str, path: str, name: str, prefix: str, *, generation: bool) -> dict[str, Any]:
    names = ("README.txt", OTHER, CHANGED)
    items = [{path: one, name: prefix + digest(one), "size": 9, "x": {"y": 1}} for one in names]
    return {"x": {"y": [1]}, list_name: items, "when": "then"} | ({"generation": 3} if generation else {})


SHAPES = {
    "own": own(),
    "files": foreign("files", "name", "hash", "", generation=True),
    "artifacts": foreign("artifacts", "path", "digest", "sha256:", generation=False),
    "chunks": foreign("chunks", "path", "sha256", "", generation=True),
}


def parsed(document: dict[str, Any]) -> Manifest:
    return Manifest.parse(json.dumps(document).encode(), limits=Limits(), where="m")


def following(before: Manifest) -> dict[str, Any]:
    """Give what a patch of the one collection makes of a manifest."""
    entry = LineageEntry.of(
        generation=before.generation, manifest_sha256=before.sha256, signature=Sha256.of(b"jws"), tool="kit 1", at=AT
    )
    summaries = [CollectionSummary.parse(told(CHANGED, 1) | {"bytes": 99}, "c")] if before.collections else None
    data = before.next_generation(
        changed={MemberPath(CHANGED): (Sha256.of(b"new"), 99)},
        added={},
        collections=summaries,
        lineage_entry=entry,
        created_at=AT,
    )
    document: dict[str, Any] = json.loads(data)
    return document


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_patch_makes_differs_in_nothing(shape: str) -> None:
    before = parsed(SHAPES[shape])
    assert compare(before, parsed(following(before))) == ()


def mutations(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Give every place of a JSON value with each way to change it: another value, gone, one more beside."""
    if isinstance(value, dict):
        yield (*place, "one more"), 1
        for name, one in value.items():
            yield (*place, name), ...
            yield from mutations(one, (*place, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield (*place, number), ...
            yield from mutations(one, (*place, number))
        yield place, [*value, 1]
        yield place, value[::-1]
    else:
        yield place, f"{value}x" if isinstance(value, str) else "other"
        if isinstance(value, int) and not isinstance(value, bool):
            yield place, value + 1
            yield place, float(value)


def changed(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made: Any = copy.deepcopy(document)
    at = made
    for step in place[:-1]:
        at = at[step]
    if value is ...:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    whole: dict[str, Any] = made
    return whole


def is_counted_anew(document: dict[str, Any], place: tuple[Any, ...]) -> bool:
    """Whether every patch changes what is there, or the check of the lineage looks at it."""
    if place[:1] in {("generation",), ("createdAt",), ("lineage",)}:
        return True
    if len(place) < 3 or place[0] not in {"files", "artifacts", "chunks", "collections"}:
        return False
    item = document[place[0]][place[1]]
    if item.get("path", item.get("name")) != CHANGED:
        return False
    if place[0] != "collections":
        return place[2] in {"sha256", "digest", "hash", "size"}
    return place[2] in {"documents", "bytes", "merkleRoot"} or (place[2] == "tenants" and "x" not in place)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_other_word_that_changes_is_named(shape: str) -> None:
    before = parsed(SHAPES[shape])
    document = following(before)
    tried = 0
    for place, value in mutations(document):
        if not place or is_counted_anew(document, place):
            continue
        made = changed(document, place, value)
        if made == document and json.dumps(made) == json.dumps(document):
            continue  # a list of one, turned round
        try:
            after = parsed(made)
        except KitError:
            continue
        tried += 1
        assert compare(before, after), (place, value)
    assert tried >= 25
