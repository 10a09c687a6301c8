"""Coverage per tenant, as every report shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kit.reports.table import table
from kit.transforms.coverage import TenantCoverage


def coverage_json(tenants: Mapping[str, TenantCoverage]) -> dict[str, Any]:
    """Give counts by tenant; documents without a tenant are under the empty name."""
    return {
        tenant: {
            "documents": covered.documents,
            "present": covered.present,
            "null": covered.null,
            "missing": covered.missing,
            "unresolvable": covered.unresolvable,
        }
        for tenant, covered in sorted(tenants.items())
    }


def coverage_lines(tenants: Mapping[str, TenantCoverage]) -> Iterator[str]:
    """Give a table: tenant, observations, with rawLinkset, without, share."""
    rows = [
        (
            tenant or "(no tenant)",
            f"{covered.documents:,}",
            f"{covered.present:,}",
            f"{covered.missing:,}",
            share(covered.present, covered.documents),
        )
        for tenant, covered in sorted(tenants.items())
    ]
    return table(("tenant", "observations", "rawLinkset", "missing", "coverage"), rows)


def share(part: int, whole: int) -> str:
    """Give a percentage that says 100 % only when nothing is missing."""
    if part == whole:
        return "100 %"
    return f"{min(part * 1000 // whole, 999) / 10:.1f} %"
