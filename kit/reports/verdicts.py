"""The verify report: schemas/verify-report.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kit.errors import KitError
from kit.ops.obligations import Judgement
from kit.ops.verify import VerifyReport
from kit.reports.coverage import coverage_json, coverage_lines
from kit.reports.field_proofs import member_fields_json, member_fields_lines

SCHEMA_VERSION = "1"


def verify_json(report: VerifyReport, exit_code: int) -> dict[str, Any]:
    """Give the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "container": report.container.value if report.container else None,
        "verdict": "valid" if report.failure is None else "refused",
        "exitCode": exit_code,
        "error": error_json(report.failure) if report.failure else None,
        **judgement_json(report.judgement),
        "coverage": coverage_json(report.coverage),
        "fields": [member_fields_json(member) for member in report.fields],
    }


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Give what was found out about one kit."""
    manifest = judgement.manifest
    return {
        "bundleId": manifest.bundle_id if manifest else None,
        "generation": manifest.generation if manifest else None,
        "manifestSha256": str(manifest.sha256) if manifest else None,
        "signers": list(judgement.signers),
        "obligations": [
            {"number": o.number, "name": o.name, "status": o.status.value, "detail": o.detail}
            for o in judgement.obligations
        ],
    }


def error_json(error: KitError) -> dict[str, Any]:
    """Give an error as every report shows it."""
    return {"kind": type(error).__name__, "where": error.where, "what": error.what, "hint": error.hint}


def verify_lines(report: VerifyReport) -> Iterator[str]:
    """Give the report as lines of text."""
    yield from judgement_lines(report.judgement)
    if report.coverage:
        yield ""
        yield from coverage_lines(report.coverage)
    if report.fields:
        yield ""
        yield from member_fields_lines(report.fields)
    yield ""
    if report.failure is None:
        yield f"valid: {report.kit}"
    else:
        yield f"refused: {report.kit}: {report.failure}"


def judgement_lines(judgement: Judgement) -> Iterator[str]:
    """Give each obligation as a line: number, mark, name, detail."""
    marks: Mapping[str, str] = {"checked": "ok", "failed": "FAILED", "not applicable": "-"}
    for obligation in judgement.obligations:
        mark = marks[obligation.status.value]
        yield f"{obligation.number:>3}  {mark:<6}  {obligation.name}: {obligation.detail}"
