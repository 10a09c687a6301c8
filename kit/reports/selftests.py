"""The report of ``kit selftest``: schemas/selftest-report.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kit.ops.selftest import Row, SelftestReport
from kit.reports.errors import SCHEMA_VERSION
from kit.reports.table import table

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
