"""How many documents a run may still change: of all, and of each tenant (``--limit``, ``--limit-per-tenant``).

A tenant is whom a transform counts a document for: a tenant, workspace or owner. The documents that may change are the
first ones in the order of the kit, so every document before a run must be done when its allowance is made. Laws: at
most so many change; a document that an earlier transform of the chain changed is counted once; what may not change has
the outcome of one that was not selected, and nothing else is known of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field

from kit.transforms.change import NO_COUNTS, Change
from kit.transforms.raw_linkset.outcomes import NOT_SELECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most documents that may change; None for any number."""

    total: int | None = None
    each: int | None = None
    """Of each tenant."""

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return self.total is not None or self.each is not None


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What a limit leaves to a run, after all before it."""

    limit: Limit
    changed: int = 0
    """Documents that changed before."""
    used: Mapping[str, int] = field(default_factory=dict)
    """By tenant, how many did."""

    def cut(self, changes: Sequence[Change], touched: AbstractSet[int], own: Counter[str]) -> None:
        """Undo the changes of a transform that are not allowed.

        Args:
            changes: One for each document of the run.
            touched: The documents that an earlier transform changed.
            own: By tenant, how many documents of the run change; extended in place.
        """
        for number, change in enumerate(changes):
            if change.document is None or number in touched:
                continue
            if self._allows(change.tenant, own):
                own[change.tenant] += 1
                continue
            change.document, change.outcome = None, NOT_SELECTED
            change.counts, change.sums, change.findings, change.sample = NO_COUNTS, (), (), None

    def _allows(self, tenant: str, own: Counter[str]) -> bool:
        if self.limit.total is not None and self.changed + own.total() >= self.limit.total:
            return False
        return self.limit.each is None or self.used.get(tenant, 0) + own[tenant] < self.limit.each


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts what changed, for the allowance of the next run."""

    limit: Limit
    changed: int = 0
    used: Counter[str] = field(default_factory=Counter)

    def allowance(self) -> Allowance | None:
        """Return what is left, once all documents before were taken; None where there is no limit."""
        return Allowance(limit=self.limit, changed=self.changed, used=dict(self.used)) if self.limit else None

    def take(self, changed: int, used: Mapping[str, int]) -> None:
        """Add what changed in a run or a member."""
        self.changed += changed
        self.used.update(used)
