"""The report of ``kit extract``: schemas/extract-report.md.

The report of ``kit prove``: schemas/proof-report.md.

Reports of recovery: schemas/recovery.md. They never contain a document, a value or a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.encryption.audit_log import Chain
from kit.reports.contents import match_json
from kit.reports.text import SCHEMA_VERSION
from kit.reports.verify import judgement_json
from kit.values import Limits
from kit.values.strict_json import parse
from kit.verbs.approval import ApprovalFile
from kit.verbs.extract.documents import Form
from kit.verbs.extract.extract import ExtractedFile, ExtractReport
from kit.verbs.prove.proof import ABSENCE
from kit.verbs.prove.prove import ProofReport
from kit.verbs.recover import RecoverReport
from kit.version import TOOL, VERSION

_MAX_SHOWN = 20
"""Omitted documents that the text names."""


def extract_json(report: ExtractReport) -> dict[str, Any]:
    """Return the report as JSON."""
    selection = report.selection
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "verified": report.verified,
        **judgement_json(report.judgement),
        "format": selection.form.value,
        "archive": report.dump is not None,
        "gzip": bool((report.dump or selection.codec).value),
        "projection": selection.projection.value,
        "tenants": sorted(selection.tenants) if selection.tenants is not None else None,
        "ids": sorted((name.to_json() for name in selection.documents), key=str)
        if selection.documents is not None
        else None,
        "advisories": sorted(selection.advisories) if selection.advisories is not None else None,
        "output": str(report.output) if report.output else None,
        "files": [_file_json(file) for file in report.files],
        "unresolvable": {
            "total": report.left_out,
            "items": [
                {"member": str(one.member), "document": one.what.document, "reason": one.what.reason}
                for one in report.unresolvable
            ],
        },
    }


def _file_json(file: ExtractedFile) -> dict[str, Any]:
    return {
        "db": file.name.database,
        "collection": file.name.collection,
        "path": str(file.path) if file.path else None,
        "members": [str(path) for path in file.members],
        "documents": file.documents,
        "taken": file.taken,
        "withoutRawLinkset": file.stripped,
        "bytes": file.bytes,
        "sha256": str(file.sha256),
        "metadata": str(file.metadata) if file.metadata else None,
    }


def extract_lines(report: ExtractReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    for file in report.files:
        stripped = f", rawLinkset removed from {file.stripped:,}" if file.stripped else ""
        yield f"{file.name}: {file.taken:,} of {file.documents:,} documents{stripped}"
        yield f"  {file.path}, {file.bytes:,} bytes{', and its metadata' if file.metadata else ''}"
    yield f"wrote {report.output}, read back"


def omission_lines(report: ExtractReport) -> Iterator[str]:
    """Yield the documents that are in no file, and why."""
    for one in report.unresolvable[:_MAX_SHOWN]:
        what = one.what
        yield f'omitted: {one.member}: document {what.ordinal:,} (_id "{what.document}"): {what.reason}'
    if report.left_out > _MAX_SHOWN:
        yield f"omitted: {report.left_out:,} documents in all; --json names them"
    if report.left_out and report.selection.form is Form.JSON:
        yield "--format bson writes any document, byte for byte"


def unverified_lines(report: ExtractReport) -> Iterator[str]:
    """Yield why the kit of the documents is not verified."""
    for obligation in report.judgement.obligations:
        if obligation.error is not None:
            yield f"unverified kit: {obligation.error}"


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
        "statement": None if claim.present else ABSENCE,
        "near": [match_json(match) for match in report.near],
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
    what = f"_id {claim.spelled}"
    where = f"generation {report.manifest.generation}"
    claimed = f"a document with {what} is in {where}" if claim.present else f"no document with {what} is in {where}"
    if report.signers is None:
        yield f"wrote {path}: {claimed}; check it with kit prove --check"
        return
    if report.document is not None:
        yield f"the document matches: sha256 {report.document}"
    yield f"proven: {claimed}"
    if not claim.present:
        yield "this is about the _id, not about an advisory: the kit may have the advisory under another _id"


def near_lines(report: ProofReport) -> Iterator[str]:
    """Yield what a proof of absence could be mistaken for."""
    if report.proof.claim.present:
        return
    yield "the proof is about the _id, not about an advisory: the kit may have the advisory under another _id"
    for match in report.near[:_MAX_SHOWN]:
        yield f"in the kit is {match.document} ({match.likeness})"
    if len(report.near) > _MAX_SHOWN:
        yield f"in the kit are {len(report.near):,} such documents; --json shows them"


def recover_json(report: RecoverReport) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        **judgement_json(report.judgement),
        "incidentId": report.approval.approval.incident_id,
        "approvalSha256": str(report.approval.sha256),
        "approvers": list(report.approval.signers),
        **(
            {"approvalOverride": {"refusal": report.forced.refusal, "reason": report.forced.reason}}
            if report.forced is not None
            else {}
        ),
        "collection": str(report.collection),
        "documents": {"read": report.counts.read, "recovered": report.counts.in_scope, "absent": report.absent},
        "values": dict(sorted(report.counts.opened.items())),
        "output": {
            "path": str(report.output),
            "bytes": report.output_bytes,
            "sha256": str(report.output_sha256),
            "sealedTo": list(report.sealed_to),
        },
        "auditLog": {"path": str(report.audit_log), "records": report.audit_records, "head": str(report.audit_head)},
    }


def recover_lines(report: RecoverReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    approval = report.approval.approval
    yield f"incident {approval.incident_id}, approved by {', '.join(report.approval.signers)}"
    if report.forced is not None:
        yield f"FORCED ({report.forced.reason}): {report.forced.refusal}"
    yield f"{report.collection}: {report.counts.in_scope:,} of {report.counts.read:,} documents recovered"
    for name, count in sorted(report.counts.opened.items()):
        yield f"  {name}: {count:,} values opened"
    if report.absent:
        yield f"  {report.absent:,} documents that the approval names are not in the kit"
    sealed = f", sealed to {', '.join(report.sealed_to)}" if report.sealed_to else ", in the clear"
    yield f"written: {report.output}, {report.output_bytes:,} bytes{sealed}"
    yield f"audit log: {report.audit_log}, {report.audit_records:,} records, head {report.audit_head}"


def approval_json(file: ApprovalFile) -> dict[str, Any]:
    """Return an approval as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "path": str(file.path),
        "sha256": str(file.sha256),
        "signers": list(file.signers),
        "approval": parse(file.approval.to_json(), limits=Limits(), where="approval"),
    }


def approval_lines(file: ApprovalFile) -> Iterator[str]:
    """Yield an approval as lines of text, for the approver to read before signing."""
    approval = file.approval
    scope = approval.scope
    yield f"incident:    {approval.incident_id}"
    yield f"reason:      {approval.reason}"
    yield f"manifest:    {scope.manifest_sha256}"
    yield f"collections: {', '.join(map(str, scope.collections))}"
    for name, texts in (("partitions", scope.partitions), ("owners", scope.owners)):
        if texts is not None:
            yield f"{name + ':':<13}{', '.join(sorted(texts))}"
    if scope.documents is not None:
        yield f"documents:   {', '.join(str(name.to_json()) for name in sorted(scope.documents))}"
    if not scope.narrowed:
        yield "documents:   ALL of these collections"
    yield f"valid:       from {approval.not_before} until {approval.expires}"
    for signer in file.signers:
        yield f"signed by:   {signer}"


def chain_json(path: Path, chain: Chain) -> dict[str, Any]:
    """Return what was verified of an audit log as JSON."""
    return {"schemaVersion": SCHEMA_VERSION, "path": str(path), "records": chain.records, "head": str(chain.head)}


def chain_lines(path: Path, chain: Chain) -> Iterator[str]:
    """Yield what was verified of an audit log as a line of text."""
    yield f"valid: {path}: {chain.records:,} records, head {chain.head}"
