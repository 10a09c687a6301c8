"""The reports of ``--resume`` when only renaming remained, and of ``--abandon``: schemas/job-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.ops.jobs import Abandonment, Completion
from kit.reports.deltas import comparison_json, comparison_lines
from kit.reports.errors import SCHEMA_VERSION
from kit.version import TOOL, VERSION


def completion_json(done: Completion) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        **_head("completed"),
        "kit": str(done.kit),
        "output": str(done.output),
        "outputBytes": done.output_bytes,
        "outputSha256": str(done.output_sha256) if done.output_sha256 else None,
        "generation": done.generation,
        "manifestSha256": str(done.manifest_sha256) if done.manifest_sha256 else None,
        "signedBy": list(done.signed_by),
        "backup": str(done.backup) if done.backup else None,
        **({"archive": comparison_json(done.archive)} if done.archive is not None else {}),
    }


def completion_lines(done: Completion) -> Iterator[str]:
    """Yield the report as lines of text."""
    yield f"the interrupted run had finished; {done.output} now has its name"
    if done.generation is not None:
        yield f"generation {done.generation}, signed by {', '.join(done.signed_by)}"
    if done.archive is not None:
        yield from comparison_lines(done.archive)
    if done.backup is not None:
        yield f"the old kit is kept as {done.backup}"


def abandonment_json(done: Abandonment) -> dict[str, Any]:
    """Return the report as JSON."""
    return {**_head("abandoned"), "job": str(done.job) if done.job else None}


def abandonment_lines(done: Abandonment) -> Iterator[str]:
    """Yield the report as lines of text."""
    yield f"removed {done.job}; the kit is as it was" if done.job else "there was nothing to abandon"


def _head(outcome: str) -> dict[str, Any]:
    return {"schemaVersion": SCHEMA_VERSION, "tool": {"name": TOOL, "version": VERSION}, "outcome": outcome}
