"""Rows of tenants that a person can read, however many there are: the ones that matter first, the others added up.

A tenant may be a person, and a kit may have a hundred thousand. A table therefore has a bounded number of rows. Laws:
every tenant is in exactly one row, but for the row of all; what is left out is counted in the row that replaces it; a
few tenants are shown one by one. The JSON reports have all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from kit.reports.text import clip_names
from kit.verbs.verify.judgement import Gap

SHOWN_TENANTS = 20
"""Tenants with a row of their own."""
SHOWN_REASONS = 12
"""Reasons with a line of their own, of observations that do not count."""
MAX_NAME = 48
"""Characters of a name in a table."""
ALL_TENANTS = "all tenants"


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A row of a table: its heading and the tenants that it adds up."""

    label: str
    tenants: tuple[str, ...]
    total: bool = False


def tenant_rows(
    tenants: Iterable[str],
    *,
    concern: Callable[[str], int],
    selected: Collection[str] | None = None,
    fold: str = "",
    shown: int = SHOWN_TENANTS,
) -> list[TenantRow]:
    """Return the rows of a table, the row of all tenants last if there are several.

    Args:
        tenants: All of them; the empty name is that of documents without a tenant.
        concern: How much of a tenant needs attention. The heaviest are shown if not all can be.
        selected: Tenants that were asked for: these are shown first, the others in one row. None for all.
        fold: What tenants without weight are called. They are then added up if not all can be shown.
        shown: Most rows of single tenants.
    """
    names = sorted(tenants)
    chosen = names if selected is None else [name for name in names if name in selected]
    passed = [] if selected is None else [name for name in names if name not in selected]
    if len(passed) == 1:  # as long as a row that counts them
        chosen, passed = [*chosen, *passed], []
    folded: list[TenantRow] = []
    if len(chosen) > shown:
        ordered = sorted(chosen, key=lambda name: (-concern(name), name))
        light = [name for name in ordered if not concern(name)] if fold else []
        heavy = ordered[: len(ordered) - len(light)]
        chosen, more = heavy[:shown], heavy[shown:]
        if more:
            folded.append(TenantRow(f"and {len(more):,} more", tuple(more)))
        if light:
            folded.append(TenantRow(f"{fold}: {len(light):,} tenant{'' if len(light) == 1 else 's'}", tuple(light)))
    if passed:
        folded.append(TenantRow(f"not selected: {len(passed):,} tenants", tuple(passed)))
    labels = clip_names(chosen, MAX_NAME)
    rows = [TenantRow(labels[name] or "(no tenant)", (name,)) for name in chosen] + folded
    return [*rows, TenantRow(ALL_TENANTS, tuple(names), total=True)] if len(names) > 1 else rows


@dataclass(frozen=True, slots=True)
class GapRow:
    """Observations that do not count, for one reason: of one tenant, or of several if there are too many rows."""

    label: str
    gap: Gap


def gap_rows(gaps: Sequence[Gap]) -> tuple[list[GapRow], int]:
    """Return the rows of reasons, and how many more reasons there are.

    Many are added up over tenants, and those of most observations come first.
    """
    labels = clip_names(sorted({gap.tenant for gap in gaps}), MAX_NAME)
    if len(gaps) <= SHOWN_REASONS:
        return [GapRow(labels[gap.tenant] or "(no tenant)", gap) for gap in gaps], 0
    merged: dict[tuple[bool, str | None, str], list[Gap]] = {}
    for gap in gaps:
        merged.setdefault((gap.missing, gap.source, gap.reason), []).append(gap)
    rows = [_merge(same, labels) for same in merged.values()]
    rows.sort(key=lambda row: -row.gap.documents)
    return rows[:SHOWN_REASONS], max(0, len(rows) - SHOWN_REASONS)


def _merge(same: Sequence[Gap], labels: dict[str, str]) -> GapRow:
    first = same[0]
    if len(same) == 1:
        return GapRow(labels[first.tenant] or "(no tenant)", first)
    examples = tuple(gap.examples[0] for gap in same[: len(first.examples)])
    whole = replace(first, documents=sum(gap.documents for gap in same), examples=examples)
    return GapRow(f"{len(same):,} tenants", whole)
