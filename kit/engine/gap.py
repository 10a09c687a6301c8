"""What :mod:`kit.engine.gaps` finds; in a module of its own, so that a report need not load what looks for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Observations of one tenant that lack one of the two projections for the same reason."""

    tenant: str
    missing: bool
    """Whether ``rawLinkset`` is not there; False where it is, and does not count, which no patch changes."""
    source: str | None
    """Where a patch would find it (``snapshot``, ``cache``, ``content``); None where it finds none (unresolvable), and
    where it is there."""
    reason: str
    """Why there is no source, or what is there; where there is one, why it will not count all the same, or ""."""
    documents: int
    examples: tuple[str, ...]
    """The ``_id`` of the first ones, in the order of the kit."""

    @property
    def unresolvable(self) -> bool:
        """Whether ``rawLinkset`` is not there, and no source for it is."""
        return self.missing and self.source is None

    @property
    def can_be_patched(self) -> bool:
        """Whether a patch completes them."""
        return self.source is not None and not self.reason
