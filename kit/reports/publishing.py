"""What ``kit create`` and ``kit sign`` print, as text and JSON (schemas/create-report.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.reports.text import SCHEMA_VERSION
from kit.transforms.coverage import NO_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.verbs.create import CreateReport

_SHOWN = 40
"""Collections in the text."""


def created_lines(report: CreateReport) -> Iterator[str]:
    """Yield the lines of the report."""
    manifest = report.manifest
    count, total = len(manifest.entries), sum(entry.size or 0 for entry in manifest.entries)
    bundle = manifest.bundle_id or "(no bundle id)"
    yield f"generation {manifest.generation} of {bundle}: {_counted(count, 'file')}, {total:,} bytes"
    for summary in manifest.collections[:_SHOWN]:
        named = len(summary.tenants.keys() - {NO_TENANT})
        tenants = f", {_counted(named, 'tenant')}" if named else ""
        yield f"  {summary.path}: {_counted(summary.documents, 'document')}{tenants}"
    if (more := len(manifest.collections) - _SHOWN) > 0:
        yield f"  and {_counted(more, 'more collection')} (--json)"
    yield f"manifest {manifest.sha256}"
    for signer in report.signers:
        yield f"signed by {signer}"
    if report.output_sha256 is not None:
        size = f"{report.output_bytes:,} bytes, " if report.output_bytes is not None else ""
        yield f"archive: {size}SHA-256 {report.output_sha256}"
        if not report.is_archive_signed:
            yield "archive: no .sig, which only the first signers make, and no Ed25519 key"
    yield f"wrote {report.output}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def created_json(report: CreateReport) -> dict[str, Any]:
    """Return the report as JSON."""
    manifest = report.manifest
    return {
        "schemaVersion": SCHEMA_VERSION,
        "source": str(report.source),
        "output": str(report.output),
        "container": report.container.value,
        "outputBytes": report.output_bytes,
        "outputSha256": str(report.output_sha256) if report.output_sha256 is not None else None,
        "archiveSigned": report.is_archive_signed,
        "bundleId": manifest.bundle_id,
        "generation": manifest.generation,
        "createdAt": str(manifest.created_at) if manifest.created_at is not None else None,
        "manifestSha256": str(manifest.sha256),
        "signers": list(report.signers),
        "files": len(manifest.entries),
        "collections": [
            {
                "path": str(summary.path),
                "documents": summary.documents,
                "merkleRoot": str(summary.merkle_root) if summary.merkle_root is not None else None,
            }
            for summary in manifest.collections
        ],
    }
