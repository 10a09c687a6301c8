"""The report of ``kit prove``: schemas/proof-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.ops.prove import ProofReport
from kit.reports.errors import SCHEMA_VERSION
from kit.version import TOOL, VERSION


def proof_json(report: ProofReport, path: Path) -> dict[str, Any]:
    """Return the report on the proof at ``path`` as JSON."""
    claim, manifest = report.proof.claim, report.manifest
    due = claim.members(manifest)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": VERSION},
        "proof": str(path),
        "checked": report.signers is not None,
        "id": claim.document.to_json(),
        "collection": str(claim.collection),
        "tenant": claim.tenant,
        "present": claim.present,
        "bundleId": manifest.bundle_id,
        "generation": manifest.generation,
        "manifestSha256": str(manifest.sha256),
        "signers": list(report.signers or ()),
        "claimedSigners": [signature.key_id for signature in report.claims],
        "members": [
            {
                "path": str(path),
                "documents": due[path].documents,
                "merkleRoot": str(due[path].merkle_root),
                "leaves": [{"index": leaf.index, "documentSha256": str(leaf.document)} for leaf in leaves],
            }
            for path, leaves in sorted(report.proof.members.items())
        ],
        "documentSha256": str(report.document) if report.document is not None else None,
    }


def proof_lines(report: ProofReport, path: Path) -> Iterator[str]:
    """Yield the report on the proof at ``path`` as lines of text."""
    claim, manifest = report.proof.claim, report.manifest
    bundle = f" of bundle {manifest.bundle_id}" if manifest.bundle_id else ""
    made = f", made {manifest.lineage[-1].at if manifest.lineage else manifest.created_at}"
    yield f"manifest:   generation {manifest.generation}{bundle}{made}"
    yield f"            sha256 {manifest.sha256}"
    if report.signers is None:
        yield f"signed by:  {', '.join(one.key_id for one in report.claims)} (not verified)"
    else:
        yield f"signed by:  {', '.join(report.signers)} (verified)"
    of_tenant = f", members of tenant {claim.tenant}" if claim.tenant is not None else ""
    yield f"collection: {claim.collection}{of_tenant}"
    due = claim.members(manifest)
    for member, leaves in sorted(report.proof.members.items()):
        yield f"{member}: {due[member].documents:,} documents, Merkle root {due[member].merkle_root}"
        for leaf in leaves:
            yield f"  document {leaf.index + 1:,} in the order of _id: sha256 {leaf.document}"
    yield ""
    yield from _verdict(report, path)


def _verdict(report: ProofReport, path: Path) -> Iterator[str]:
    claim = report.proof.claim
    spelled = claim.document.to_json()
    what = f'_id "{spelled}"' if isinstance(spelled, str) else f"_id {spelled}"
    where = f"generation {report.manifest.generation}"
    claimed = f"a document with {what} is in {where}" if claim.present else f"no document with {what} is in {where}"
    if report.signers is None:
        yield f"wrote {path}: {claimed}; check it with kit prove --check"
        return
    if report.document is not None:
        yield f"the document matches: sha256 {report.document}"
    yield f"proven: {claimed}"
