"""The stop rules of a migration that need the whole: what a pass counted, before anything is made of it.

Those that a single document can break (an envelope that is none, ``onDivergence``) end the pass itself.
"""

from __future__ import annotations

from kit.engine.rewrite import Rewrite
from kit.errors import StoppedError
from kit.migrations import Migration


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
