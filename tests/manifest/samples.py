"""Small manifests, patched chains and statements that the tests of this folder start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from kit.manifest import (
    AppliedTransform,
    Artifact,
    LineageEntry,
    Manifest,
    PatchStatement,
    history_paths,
)
from kit.values import Limits, MemberPath, Sha256, Timestamp
from kit.values.extractor_release import ExtractorRelease
from kit.values.strict_json import canonical

LIMITS = Limits()
AT = Timestamp.parse("2026-01-02T03:04:05Z")
PLACE = MemberPath("manifest/offline-manifest.json")
SCHEMAS = Path(__file__).parents[2] / "schemas"


def digest(text: str) -> Sha256:
    return Sha256.of(text.encode())


def own(**changes: Any) -> dict[str, Any]:
    """Give a small manifest of the own shape; ``...`` removes a field."""
    whole = {
        "schemaVersion": "1",
        "bundleId": "kit-1",
        "version": "2026.1",
        "channel": "stable",
        "producer": "test",
        "generation": 3,
        "createdAt": "2025-10-20T00:00:00Z",
        "stalenessWindowHours": 24,
        "files": [
            {"path": "a.txt", "sha256": str(digest("a")), "size": 1, "mediaType": "text/plain", "kind": "doc"},
            {
                "path": "db/c.bson",
                "sha256": str(digest("c")),
                "size": 5,
                "mediaType": "x/y",
                "kind": "data",
                "own": [1],
            },
        ],
        "collections": [],
        "lineage": [],
        "vendor": {"keep": ["me", None, 1.5]},
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def foreign(**changes: Any) -> dict[str, Any]:
    whole = {
        "artifacts": [
            {"name": "a.txt", "digest": f"sha256:{digest('a')}", "size": 1, "type": "blob"},
            {"name": "db/c.bson", "digest": f"sha256:{digest('c')}", "size": 5, "type": "blob"},
        ],
        "buildDate": "2025",
        "vendor": {"keep": ["me", None, 1.5]},
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def parsed(document: Mapping[str, Any]) -> Manifest:
    return Manifest.parse(canonical(document), limits=LIMITS, where="m")


def step_of(manifest: Manifest, *, at: Timestamp = AT, signed: bool = True) -> LineageEntry:
    return LineageEntry.of(
        generation=manifest.generation,
        manifest_sha256=manifest.sha256,
        signature=digest("signature") if signed else None,
        tool="kit 0.1",
        at=at,
    )


def patched(manifest: Manifest, text: str, **changes: Any) -> bytes:
    """Replace ``db/c.bson``."""
    arguments: dict[str, Any] = {
        "changed": {MemberPath("db/c.bson"): (digest(text), len(text))},
        "added": {},
        "collections": None,
        "lineage_entry": step_of(manifest),
        "created_at": AT,
    }
    return manifest.next_generation(**(arguments | changes))


def statement_of(before: Manifest, after: Manifest, **changes: Any) -> PatchStatement:
    old = {entry.path: entry.sha256 for entry in before.entries}
    new = {entry.path: entry.sha256 for entry in after.entries}
    differing = sorted(path for path in new if old.get(path) != new[path])
    facts: dict[str, Any] = {
        "manifest": Artifact(path=PLACE, sha256=after.sha256),
        "changed": tuple(Artifact(path=path, sha256=new[path]) for path in differing),
        "base_manifest": Artifact(path=PLACE, sha256=before.sha256),
        "materials": tuple(Artifact(path=path, sha256=old[path]) for path in differing if path in old),
        "tool_name": "kit",
        "tool_version": "0.1",
        "transforms": (
            AppliedTransform(
                name="raw-linkset",
                kind="additive-optional",
                version="1",
                parameters_sha256=digest("{}"),
                extractors=(ExtractorRelease(name="nvd", distribution="kit-nvd", version="2"),),
            ),
        ),
        "counts": {"raw-linkset.patched": 1, "raw-linkset.unresolvable": 0},
        "key_ids": ("key-a", "key-b"),
        "operator": "ops",
        "environment": None,
        "rollback_note": None,
        "value_digests": {},
        "created_at": AT,
        "bundle_id": before.bundle_id,
        "base_generation": before.generation,
        "generation": after.generation,
    }
    return PatchStatement(**(facts | changes))


class Chain:
    """A kit patched several times, with everything a lineage check needs."""

    def __init__(self, first: Mapping[str, Any], steps: int) -> None:
        self.current = parsed(first)
        self.history: dict[MemberPath, bytes] = {}
        data = canonical(first)
        for number in range(steps):
            before, old = self.current, data
            data = patched(before, f"version {number}")
            self.current = Manifest.parse(data, limits=LIMITS, where="m")
            paths = history_paths(before.generation)
            self.history[paths.manifest] = old
            self.history[paths.signatures[0]] = b"signature"
            self.history[paths.statement] = statement_of(before, self.current).to_bytes()
        self.data = data


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
