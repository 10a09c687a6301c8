"""Coverage per tenant, as every report shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
            "both": covered.both,
            "null": covered.null,
            "otherType": covered.other_type,
            "otherShape": covered.other_shape,
            "noLinkset": covered.no_linkset,
            "missing": covered.missing,
            "unresolvable": covered.unresolvable,
        }
        for tenant, covered in sorted(tenants.items())
    }


def coverage_lines(tenants: Mapping[str, TenantCoverage], *, explained: bool = False) -> Iterator[str]:
    """Return a table: tenant, observations, those with both projections, those without by what they lack, share."""
    columns = [column for column in columns_of(tenants.values()) if explained or column[0] != "unresolvable"]
    rows = [
        (
            tenant or "(no tenant)",
            f"{covered.documents:,}",
            f"{covered.both:,}",
            *(f"{count(covered):,}" for _, count in columns),
            share(covered.both, covered.documents),
        )
        for tenant, covered in sorted(tenants.items())
    ]
    return table(("tenant", "observations", "both projections", *(name for name, _ in columns), "coverage"), rows)


def columns_of(tenants: Iterable[TenantCoverage]) -> list[tuple[str, Callable[[TenantCoverage], int]]]:
    """Return what is reported apart of observations that do not count: a heading and how many, where there are any."""
    total = TenantCoverage()
    for covered in tenants:
        total.add(covered)
    return [(name, count) for name, count in _COLUMNS if name in _ALWAYS or count(total)]


_COLUMNS: tuple[tuple[str, Callable[[TenantCoverage], int]], ...] = (
    ("missing", lambda covered: covered.missing),
    ("unresolvable", lambda covered: covered.unresolvable),
    ("null", lambda covered: covered.null),
    ("other type", lambda covered: covered.other_type),
    ("other shape", lambda covered: covered.other_shape),
    ("no linkset", lambda covered: covered.no_linkset),
)
_ALWAYS = frozenset({"missing", "unresolvable"})


def gaps_json(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """Return why observations lack a projection."""
    return [
        {
            "tenant": gap.tenant,
            "missing": gap.missing,
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
    """Return why, as a plan does: what is there and does not count, unresolvable, or where a patch finds it."""
    if not gap.missing:
        return gap.reason
    if gap.source is None:
        return f"unresolvable, {gap.reason}"
    return f"not patched yet, has a source ({gap.source}){f'; {gap.reason}' if gap.reason else ''}"


def share(part: int, whole: int) -> str:
    """Give a percentage that says 100 % only when nothing is missing."""
    if part == whole:
        return "100 %"
    return f"{min(part * 1000 // whole, 999) / 10:.1f} %"
