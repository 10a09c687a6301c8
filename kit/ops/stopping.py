"""The stop rules of a migration that need the whole: what a pass counted, before anything is made of it.

So is the selection held to what there is: a tenant that nobody has must never look like work that was done.
Those that a single document can break (an envelope that is none, ``onDivergence``) end the pass itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from kit.engine.rewrite import Rewrite
from kit.errors import StoppedError, UsageError
from kit.migrations import Migration

_SHOWN = 20


def require_tenants(migration: Migration, done: Rewrite) -> None:
    """Refuse a selection that names a tenant of whom no document was met in what the transforms look at.

    Also where others that it names are there: what is left would be taken for all of it
    (docs/design/unknown-tenant.md).

    Raises:
        UsageError: Names the tenant, and those that there are.
    """
    met = {tenant for _, tenant, _ in done.outcomes}
    absent = sorted((migration.tenants or frozenset()) - met)
    if not absent:
        return
    there = met - {""}  # which selects documents without a tenant, and has no name to show
    close = get_close_matches(absent[0], sorted(there), n=3)
    others = [*close, *sorted(there - set(close))]
    more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
    names = _quoted(others) or "none"
    raise UsageError(
        f"no document that {' or '.join(t.name for t in migration.transforms)} looks at in this kit is of tenant "
        f"{_quoted(absent)}; nothing was changed",
        hint=f"tenants that there are: {names}{more}",
    )


def broken_rules(migration: Migration, done: Rewrite) -> tuple[StoppedError, ...]:
    """Give every stop rule that ``done`` breaks, in words; a live run ends with the first."""
    rules = migration.stop_rules
    counted = (
        (
            "mostDivergent",
            rules.most_divergent,
            "whose rawLinkset and linkset would disagree",
            sum(count for (_, _, counter), count in done.counts.items() if counter == "divergent"),
        ),
        (
            "mostUnresolvable",
            rules.most_unresolvable,
            "for which there is no source",
            sum(count for (_, _, outcome), count in done.outcomes.items() if outcome == "unresolvable"),
        ),
    )
    return tuple(
        StoppedError(
            f"{count:,} documents {what}, at most {most:,} may be: the stop rule {rule} of {migration.id}",
            hint="nothing was changed; kit plan names the documents",
        )
        for rule, most, what, count in counted
        if most is not None and count > most
    )


def _quoted(names: Sequence[str]) -> str:
    """Return the first of ``names`` in quotation marks; what cannot be printed is for whoever prints to spell."""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN])
