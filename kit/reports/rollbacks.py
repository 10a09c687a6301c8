"""The report of ``kit rollback``: schemas/rollback-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.ops.rollback import RollbackReport
from kit.reports.errors import SCHEMA_VERSION
from kit.reports.verdicts import judgement_json
from kit.version import TOOL, VERSION


def rollback_json(report: RollbackReport) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": VERSION},
        "kit": str(report.kit),
        "generation": report.generation,
        "manifestSha256": str(report.manifest_sha256),
        "bytes": report.output_bytes,
        "sha256": str(report.output_sha256) if report.output_sha256 else None,
        "kept": str(report.kept),
        "keptGeneration": report.kept_generation,
        "resumed": report.resumed,
        "restored": judgement_json(report.restored),
    }


def rollback_lines(report: RollbackReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    if report.resumed:
        yield "the interrupted rollback is finished"
    yield f"{report.kit} is generation {report.generation} again, manifest {report.manifest_sha256}"
    yield f"generation {report.kept_generation} is kept as {report.kept}"
    for obligation in report.restored.obligations:
        if obligation.status.value == "overridden":
            yield f"forced: {obligation.detail}"
