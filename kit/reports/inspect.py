"""The inspect report: schemas/inspect-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.ops.inspect import InspectReport, KitFacts
from kit.reports.coverage import coverage_json, coverage_lines
from kit.reports.errors import SCHEMA_VERSION
from kit.reports.table import table
from kit.reports.verdicts import permitted_json
from kit.transforms.coverage import is_observations

_MAX_SHOWN = 20


def inspect_json(report: InspectReport) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        **facts_json(report),
        "collections": [
            {
                "path": str(member.path),
                "db": member.name.database,
                "collection": member.name.collection,
                "documents": tally.documents,
                "bytes": tally.bytes,
                "tenants": coverage_json(tally.tenants)
                if is_observations(member.name)
                else {name: {"documents": covered.documents} for name, covered in sorted(tally.tenants.items())},
            }
            for member, tally in report.collections
        ],
    }


def facts_json(report: KitFacts) -> dict[str, Any]:
    """Return what a kit is and claims, as JSON."""
    manifest = report.manifest
    return {
        "kit": str(report.kit),
        "container": report.container.value,
        "storedBytes": report.stored_bytes,
        "files": report.files,
        "fileBytes": report.file_bytes,
        "emptyFolders": [str(folder) for folder in report.empty_folders],
        "links": [{"path": str(link.path), "target": link.target, "kind": link.kind.value} for link in report.links],
        "permitted": permitted_json(report.allowed, report.permitted),
        "manifest": {
            "shape": manifest.shape.value,
            "sha256": str(manifest.sha256),
            "bundleId": manifest.bundle_id,
            "version": manifest.version,
            "channel": manifest.channel,
            "generation": manifest.generation,
            "createdAt": str(manifest.created_at) if manifest.created_at else None,
            "lineage": [entry.to_json() for entry in manifest.lineage],
        }
        if manifest
        else None,
        "claimedSigners": [{"keyId": claim.key_id, "algorithm": claim.algorithm} for claim in report.claims],
        "problems": list(report.problems),
    }


def inspect_lines(report: InspectReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    yield from facts_lines(report)
    if report.collections:
        yield ""
        rows = [(str(member.path), f"{tally.documents:,}", f"{tally.bytes:,}") for member, tally in report.collections]
        yield from table(("collection", "documents", "bytes"), rows)
    for member, tally in report.collections:
        if is_observations(member.name):
            yield ""
            yield str(member.path)
            yield from coverage_lines(tally.tenants)


def facts_lines(report: KitFacts) -> Iterator[str]:
    """Yield what a kit is and claims, as lines of text."""
    stored = f", {report.stored_bytes:,} bytes" if report.stored_bytes is not None else ""
    yield f"{report.kit}: {report.container.value}{stored}; {report.files:,} files, {report.file_bytes:,} bytes"
    for folder in report.empty_folders[:_MAX_SHOWN]:
        yield f"empty folder: {folder}/"
    for link in report.links[:_MAX_SHOWN]:
        yield f"link: {link.path} is {link}"
    for path, what in report.permitted[:_MAX_SHOWN]:
        yield f"permitted: {what} ({path})"
    omitted = sum(max(0, len(x) - _MAX_SHOWN) for x in (report.empty_folders, report.links, report.permitted))
    if omitted:
        yield f"… and {omitted:,} more folders, links and permitted members (--json)"
    manifest = report.manifest
    if manifest is not None:
        name = " ".join(text for text in (manifest.bundle_id, manifest.version, manifest.channel) if text)
        yield f"manifest: {manifest.shape.value} shape, {name or 'unnamed'}, generation {manifest.generation}"
        for entry in manifest.lineage:
            yield f"  generation {entry.generation} was replaced at {entry.at} by {entry.operation} ({entry.tool})"
    for claim in report.claims:
        yield f"claims to be signed by {claim.key_id} ({claim.algorithm}); not verified (kit verify)"
    for problem in report.problems:
        yield f"problem: {problem}"
