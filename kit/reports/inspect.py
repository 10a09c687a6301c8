"""The inspect report: schemas/inspect-report.md.

The limits in force: schemas/limits-report.md. The formats that are read: schemas/formats-report.md.

Trust policies as ``kit trust`` shows them: schemas/trust-report.md.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kit.reports.text import SCHEMA_VERSION, table
from kit.reports.verify import coverage_json, coverage_lines, permitted_json
from kit.transforms.coverage import is_observations
from kit.trust import Policy, State, TrustedKey
from kit.values import Limits, Sha256
from kit.verbs.inspect import InspectReport, KitFacts

if TYPE_CHECKING:
    from kit.transforms.raw_linkset.registry import Registry

_MAX_SHOWN = 20
_WIDTH = 100


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
                "format": member.format.value,
                "documents": tally.documents,
                "bytes": tally.bytes,
                "tenants": coverage_json(tally.tenants)
                if is_observations(member.name)
                else {name: {"documents": covered.documents} for name, covered in sorted(tally.tenants.items())},
            }
            for member, tally in report.collections
        ],
        "undeclared": [str(path) for path in report.undeclared],
        "dumps": [str(path) for path in report.dumps],
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
    for path in report.undeclared[:_MAX_SHOWN]:
        yield f"not read as a collection: {path}; nothing declares it (schemas/offline-manifest.md)"
    if len(report.undeclared) > _MAX_SHOWN:
        yield f"and {len(report.undeclared) - _MAX_SHOWN:,} more (--json lists all)"
    for path in report.dumps[:_MAX_SHOWN]:
        yield f"not read: the collections in {path}, a dump of mongodump --archive (docs/collections.md)"
    if len(report.dumps) > _MAX_SHOWN:
        yield f"and {len(report.dumps) - _MAX_SHOWN:,} more dumps (--json lists all)"
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


def limits_json(limits: Limits) -> dict[str, Any]:
    """Return the limits as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "limits": [
            {
                "name": one.name,
                "value": one.value,
                "default": one.default,
                "unit": one.unit,
                "meaning": one.meaning,
                "option": f"--max {one.name}={one.value}",
            }
            for one in limits.table()
        ],
    }


def limits_lines(limits: Limits) -> Iterator[str]:
    """Yield the limits as lines of text."""
    explained = limits.table()
    names, values = max(len(one.name) for one in explained), max(len(f"{one.value:,}") for one in explained)
    for one in explained:
        default = f" (default {one.default:,})" if one.value != one.default else ""
        yield f"  {one.name:<{names}}  {one.value:>{values},} {one.unit:<7}  {one.meaning}{default}"
    yield ""
    yield "set a limit with --max NAME=VALUE, in every command that reads a kit"


def formats_json(extractors: Registry) -> dict[str, Any]:
    """Return the extractors as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "extractors": [
            {**release.to_json(), "formats": sorted(extractor.formats), "reads": sorted(filter(None, extractor.needs))}
            for extractor, release in extractors.releases()
        ],
    }


def formats_lines(extractors: Registry) -> Iterator[str]:
    """Yield the extractors as lines of text, each with the formats that it answers to."""
    for extractor, release in extractors.releases():
        yield f"{extractor.name}  ({release.distribution} {release.version})"
        yield from textwrap.wrap(
            ", ".join(sorted(extractor.formats)),
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
    yield ""
    yield "a document names its format in content.format; case and separators do not matter, and a version may follow"


def policy_json(policy: Policy, sha256: Sha256, state: State | None = None) -> dict[str, Any]:
    """Return policy, digest and state as JSON, each in its own format."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "policySha256": str(sha256),
        "policy": json.loads(policy.to_bytes()),
        "state": json.loads(state.to_bytes()) if state is not None else None,
    }


def policy_lines(policy: Policy, sha256: Sha256, state: State | None = None) -> Iterator[str]:
    """Yield the policy as lines of text."""
    yield f"version {policy.version}, digest {sha256}"
    yield f"algorithms: {', '.join(sorted(policy.algorithms))}"
    if policy.expires_at is not None:
        yield f"expires at {policy.expires_at}"
    if policy.staleness_window_hours is not None:
        yield f"kits are stale after {policy.staleness_window_hours:,} hours"
    for bundle, floor in sorted(policy.minimum_generations.items()):
        yield f"bundle {bundle}: generation {floor} at least"
    for role, count in sorted(policy.thresholds.items()):
        yield f"{role}: {count} must sign"
    for key in policy.keys:
        yield f"key {key.label}: {_limits(key)}"
    if policy.is_sealed:
        yield "only its root keys can change it: kit trust sign, kit trust rotate"
    if state is not None:
        for bundle, accepted in sorted(state.bundles.items()):
            yield f"accepted of {bundle}: {accepted}, manifest {accepted.manifest}"
        for record in state.overrides:
            yield f"overridden at {record.at} for {record.bundle_id}: {record.refusal} ({record.reason})"


def _limits(key: TrustedKey) -> str:
    parts = [str(key.key.algorithm), ", ".join(sorted(key.roles))]
    if key.bundle_ids is not None:
        parts.append(f"only {', '.join(sorted(key.bundle_ids))}")
    if key.collections is not None:
        parts.append(f"only {', '.join(sorted(key.collections))}")
    if key.not_before is not None:
        parts.append(f"from {key.not_before}")
    if key.not_after is not None:
        parts.append(f"until {key.not_after}")
    if key.revocation is not None:
        parts.append(f"REVOKED at {key.revocation.at} ({key.revocation.reason})")
    return "; ".join(parts)
