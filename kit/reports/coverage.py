"""Coverage per tenant, the same in every report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kit.engine.gap import Gap
from kit.reports.table import table
from kit.transforms.coverage import TenantCoverage


def coverage_json(tenants: Mapping[str, TenantCoverage]) -> dict[str, Any]:
    """Return counts by tenant as JSON; documents without a tenant have the empty name."""
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
    columns = [column for column in gap_columns(tenants.values()) if explained or column[0] != "unresolvable"]
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


def gap_columns(tenants: Iterable[TenantCoverage]) -> list[tuple[str, Callable[[TenantCoverage], int]]]:
    """Return the columns of observations that do not count: headings and how to count them."""
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
    """Return why observations lack a projection, as JSON."""
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
    """Yield a line per tenant and reason: how many, why, and examples."""
    for gap in gaps:
        more = ", …" if gap.documents > len(gap.examples) else ""
        yield f"{gap.tenant or '(no tenant)'}: {gap.documents:,} x {gap_reason(gap)}: {', '.join(gap.examples)}{more}"


def gap_reason(gap: Gap) -> str:
    """Return the reason in the words of a plan: it does not count, is unresolvable, or a patch has a source for it."""
    if not gap.missing:
        return gap.reason
    if gap.source is None:
        return f"unresolvable, {gap.reason}"
    return f"not patched yet, has a source ({gap.source}){f'; {gap.reason}' if gap.reason else ''}"


def share(part: int, whole: int) -> str:
    """Return a percentage that is 100 % only if nothing is missing."""
    if part == whole:
        return "100 %"
    return f"{min(part * 1000 // whole, 999) / 10:.1f} %"
