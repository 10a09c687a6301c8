"""The limits in force: schemas/limits-report.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.reports.errors import SCHEMA_VERSION
from kit.values import Limits


def limits_json(limits: Limits) -> dict[str, Any]:
    """Return the limits as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "limits": [
            {
                "name": one.name,
                "value": one.value,
                "default": one.default,
                "unit": one.unit,
                "meaning": one.meaning,
                "option": f"--max {one.name}={one.value}",
            }
            for one in limits.table()
        ],
    }


def limits_lines(limits: Limits) -> Iterator[str]:
    """Yield the limits as lines of text."""
    explained = limits.table()
    names, values = max(len(one.name) for one in explained), max(len(f"{one.value:,}") for one in explained)
    for one in explained:
        default = f" (default {one.default:,})" if one.value != one.default else ""
        yield f"  {one.name:<{names}}  {one.value:>{values},} {one.unit:<7}  {one.meaning}{default}"
    yield ""
    yield "set a limit with --max NAME=VALUE, in every command that reads a kit"
