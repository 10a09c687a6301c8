"""What ``kit export-changes`` prints, as text and JSON.

Schema: schemas/export-report.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.reports.text import SCHEMA_VERSION
from kit.reports.verify import judgement_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.verbs.online.export import ExportedCollection, ExportReport

_SHOWN = 20
"""Tenants of a collection, and documents without a line, in the text."""


def export_lines(report: ExportReport) -> Iterator[str]:
    """Yield the lines of the report."""
    for one in report.collections:
        after = sum(tenant.missing_after for tenant in one.tenants.values())
        yield f"{one.name}: {_counted(one.lines, 'line')}; {after:,} documents then lack rawLinkset"
        for name, tenant in list(one.tenants.items())[:_SHOWN]:
            label = f"'{name}'" if name else "(no tenant)"
            yield f"  {label}: {tenant.missing:,} of {tenant.documents:,} lack it, {_counted(tenant.lines, 'line')}"
        if (more := len(one.tenants) - _SHOWN) > 0:
            yield f"  and {_counted(more, 'more tenant')} (--json)"
    if not report.collections:
        yield "no collection of observations"
    yield f"digests: SHA-256 {report.sums}{f', signed by {report.signer}' if report.signer else ', not signed'}"
    yield f"wrote {report.output}"


def left_lines(report: ExportReport) -> Iterator[str]:
    """Yield what the export lacks, and why the kit is not verified."""
    for obligation in report.plan.base.obligations:
        if obligation.error is not None:
            yield f"unverified kit: {obligation.error}"
    for one in report.left[:_SHOWN]:
        yield f'{one.member}: document {one.what.ordinal:,} (_id "{one.what.document}") has no line: {one.what.reason}'
    if (more := report.left_total - min(len(report.left), _SHOWN)) > 0:
        yield f"and {_counted(more, 'more document')} without a line (--json)"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def export_json(report: ExportReport) -> dict[str, Any]:
    """Return the report as JSON."""
    base, migration = report.plan.base, report.plan.migration
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.plan.kit),
        "verified": base.failure is None,
        **judgement_json(base),
        "for": report.tool.value,
        "output": str(report.output),
        "migration": {"id": migration.id, "sha256": str(migration.sha256)},
        "lines": report.lines,
        "collections": [_collection_json(one) for one in report.collections],
        "sumsSha256": str(report.sums),
        "signer": report.signer,
        "left": {
            "total": report.left_total,
            "items": [
                {
                    "member": str(one.member),
                    "document": one.what.document,
                    "tenant": one.what.tenant,
                    "fault": one.what.fault.value,
                    "reason": one.what.reason,
                }
                for one in report.left
            ],
        },
    }


def _collection_json(one: ExportedCollection) -> dict[str, Any]:
    return {
        "db": one.name.database,
        "collection": one.name.collection,
        "members": [str(path) for path in one.members],
        "file": one.file,
        "lines": one.lines,
        "bytes": one.bytes,
        "sha256": str(one.sha256),
        "tenants": {
            name: {
                "documents": tenant.documents,
                "missing": tenant.missing,
                "lines": tenant.lines,
                "left": tenant.left,
                "missingAfter": tenant.missing_after,
            }
            for name, tenant in one.tenants.items()
        },
    }
