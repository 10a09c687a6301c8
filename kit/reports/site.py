"""The reports of what a site does with jobs, backups and its disks.

``--resume`` where only renaming remained, and ``--abandon``: schemas/job-report.md. ``kit rollback``:
schemas/rollback-report.md. ``kit selftest``: schemas/selftest-report.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kit.reports.delta import comparison_json, comparison_lines
from kit.reports.text import SCHEMA_VERSION, table
from kit.reports.verify import judgement_json
from kit.verbs.jobs import Abandonment, Completion
from kit.verbs.rollback import RollbackReport
from kit.verbs.selftest import Row, SelftestReport
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


_HEADS = ("strike", "strikes", "resumed", "refused", "wrong", "bytes differ")


def selftest_json(report: SelftestReport) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "directory": str(report.directory),
        "sound": report.sound,
        "randomKills": report.kills,
        "killPoints": dict(report.points),
        "strikes": [{"kind": name, **_row_json(row)} for name, row in report.rows],
        "total": _row_json(_total(row for _, row in report.rows)),
        "faults": list(report.faults),
    }


def selftest_lines(report: SelftestReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    yield from strike_table(dict(report.rows), dict(report.points))
    yield ""
    yield from report.faults
    if report.sound:
        yield f"sound: nothing was lost in {report.directory}, and every resumed run gave the same bytes"
    else:
        yield f"NOT SOUND: a kit in {report.directory} may be lost to a crash"


def strike_table(rows: Mapping[str, Row], points: Mapping[str, int]) -> Iterator[str]:
    """Yield the table of strikes, and the kill points."""
    counted = [(name, row) for name, row in rows.items()] + [("all", _total(rows.values()))]
    yield from table(_HEADS, [(name, *(f"{count:,}" for count in _counts(row))) for name, row in counted])
    steps = ", ".join(f"{name}: {count}" for name, count in sorted(points.items()))
    yield f"kill points (durable steps of one run): {sum(points.values()):,} ({steps})"


def _counts(row: Row) -> tuple[int, ...]:
    return row.strikes, row.resumed, row.refused, row.wrong, row.different


def _row_json(row: Row) -> dict[str, int]:
    return dict(zip(("strikes", "resumed", "refused", "wrong", "bytesDiffer"), _counts(row), strict=True))


def _total(rows: Iterable[Row]) -> Row:
    total = Row()
    for row in rows:
        total.add(row)
    return total
