"""What ``kit create``, ``kit sign`` and ``kit receipt`` print, as text and JSON.

Schemas: schemas/create-report.md, schemas/receipt-report.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.reports.text import SCHEMA_VERSION
from kit.transforms.coverage import NO_TENANT
from kit.verbs.comparison_receipt import ComparisonReceipt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.verbs.create import CreateReport
    from kit.verbs.receipt import ReceiptReport

_SHOWN = 40
"""Collections in the text."""


_MARKS = {"checked": "ok", "failed": "FAILED", "overridden": "forced", "not applicable": "-"}
_KITS = {
    "archive": "the archive has the same bytes",
    "manifest": "packed otherwise, with the same manifest, signatures and files",
}


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


def receipt_lines(report: ReceiptReport) -> Iterator[str]:
    """Yield the lines of the report of a receipt."""
    receipt = report.receipt
    if isinstance(receipt, ComparisonReceipt):
        yield from _comparison_lines(report, receipt)
        return
    for name, digest in sorted(receipt.subjects.items()):
        yield f"about:      {name}, SHA-256 {digest}"
    yield f"bundle:     {receipt.bundle or '(no bundle id)'}"
    yield f"verified:   {receipt.at}, with {' '.join(receipt.tool)}"
    yield f"policy:     SHA-256 {receipt.policy}{_policy(report)}"
    if receipt.page is not None:
        yield f"page:       {receipt.page.name}, SHA-256 {receipt.page.sha256}{' (compared)' if report.page else ''}"
    yield from _signers(report)
    if receipt.tenants is not None:
        yield f"tenants:    {', '.join(receipt.tenants)}"
    if receipt.levels:
        yield f"levels:     {', '.join(level.removeprefix('OFFLINE_KIT_') for level in receipt.levels)}"
    yield ""
    for number, name, status, detail in receipt.obligations:
        yield f"  {number}  {_MARKS.get(status, status):<6}  {name}: {detail}"
    yield ""
    if report.kit is not None:
        yield f"the kit is that of the receipt: {_KITS[report.kit.value]}"
    verdict = "valid" if receipt.passed else "refused"
    if report.signers:
        yield f"genuine: the kit was found {verdict}"
    else:
        yield f"not verified: it claims that the kit was found {verdict} (kit receipt verify)"


def _comparison_lines(report: ReceiptReport, receipt: ComparisonReceipt) -> Iterator[str]:
    for name, digest in sorted(receipt.subjects.items()):
        yield f"about:      {name}, SHA-256 {digest}"
    yield f"bundle:     {receipt.bundle or '(no bundle id)'}"
    yield f"compared:   {receipt.at}, a {receipt.source}, with {' '.join(receipt.tool)}"
    yield f"policy:     SHA-256 {receipt.policy}{_policy(report)}"
    yield from _signers(report)
    if receipt.allowed_fields:
        yield f"allowed:    {', '.join(receipt.allowed_fields)}"
    if receipt.is_order_free:
        yield "order:      fields may be in another"
    yield ""
    for one in receipt.collections:
        counts = ", ".join(f"{count:,} {standing}" for standing, count in one.documents.items() if count)
        yield f"  {one.name}: {counts or 'no documents'}"
    yield ""
    if report.kit is not None:
        same = "packed otherwise, with the same manifest and files" if report.kit.value == "manifest" else None
        yield f"the kit is that of the receipt: {same or _KITS[report.kit.value]}"
    verdict = "what was signed" if receipt.passed else "something else than what was signed"
    if report.signers:
        yield f"genuine: the {receipt.source} was found to be {verdict}"
    else:
        yield f"not verified: it claims that the {receipt.source} was found to be {verdict} (kit receipt verify)"


def _policy(report: ReceiptReport) -> str:
    if report.same_policy is None:
        return ""
    return " (the one given)" if report.same_policy else " (not the one given)"


def _signers(report: ReceiptReport) -> Iterator[str]:
    for signer in report.signers:
        yield f"signed by:  {signer} (verified)"
    for signer in report.claimed:
        if signer not in report.signers:
            yield f"signed by:  {signer} (claimed)"


def receipt_json(report: ReceiptReport) -> dict[str, Any]:
    """Return the report of a receipt as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "receipt": str(report.path),
        "verified": bool(report.signers),
        "signers": list(report.signers),
        "claimedSigners": list(report.claimed),
        "kit": report.kit.value if report.kit is not None else None,
        "page": report.page,
        "samePolicy": report.same_policy,
        "passed": report.receipt.passed,
        "statement": dict(report.statement),
    }
