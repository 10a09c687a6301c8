"""Coverage per tenant, as every report shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kit.engine.gap import Gap
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


def coverage_lines(tenants: Mapping[str, TenantCoverage], *, explained: bool = False) -> Iterator[str]:
    """Give a table: tenant, observations, with rawLinkset, without, of these unresolvable if that was told, share."""
    rows = [
        (
            tenant or "(no tenant)",
            f"{covered.documents:,}",
            f"{covered.present:,}",
            f"{covered.missing:,}",
            *((f"{covered.unresolvable:,}",) if explained else ()),
            share(covered.present, covered.documents),
        )
        for tenant, covered in sorted(tenants.items())
    ]
    unresolvable = ("unresolvable",) if explained else ()
    return table(("tenant", "observations", "rawLinkset", "missing", *unresolvable, "coverage"), rows)


def gaps_json(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """Give why observations lack ``rawLinkset``."""
    return [
        {
            "tenant": gap.tenant,
            "source": gap.source,
            "reason": gap.reason or None,
            "documents": gap.documents,
            "examples": list(gap.examples),
        }
        for gap in gaps
    ]


def gaps_lines(gaps: Iterable[Gap]) -> Iterator[str]:
    """Give a line a tenant and reason: how many, why, and some of them."""
    for gap in gaps:
        more = ", …" if gap.documents > len(gap.examples) else ""
        yield f"{gap.tenant or '(no tenant)'}: {gap.documents:,} x {gap_reason(gap)}: {', '.join(gap.examples)}{more}"


def gap_reason(gap: Gap) -> str:
    """Say why, as a plan does: unresolvable and its reason, or what a patch would take it from."""
    return f"unresolvable, {gap.reason}" if gap.source is None else f"not patched yet, has a source ({gap.source})"


def share(part: int, whole: int) -> str:
    """Give a percentage that says 100 % only when nothing is missing."""
    if part == whole:
        return "100 %"
    return f"{min(part * 1000 // whole, 999) / 10:.1f} %"
