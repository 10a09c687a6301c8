"""Reports of recovery: schemas/recovery.md. They never contain a document, a value or a key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.encryption.audit_log import Chain
from kit.ops.approve import ApprovalFile
from kit.ops.recover import RecoverReport
from kit.reports.errors import SCHEMA_VERSION
from kit.reports.verdicts import judgement_json
from kit.values import Limits
from kit.values.strict_json import parse


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
