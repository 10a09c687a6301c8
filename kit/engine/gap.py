"""What :mod:`kit.engine.gaps` finds; apart from it, so that who tells of gaps need not load what looks for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Observations of one tenant that lack ``rawLinkset`` for the same reason."""

    tenant: str
    source: str | None
    """Where a patch would find it (``snapshot``, ``cache``, ``content``); None where it finds none: unresolvable."""
    reason: str
    """Why there is no source; "" where there is one."""
    documents: int
    examples: tuple[str, ...]
    """The ``_id`` of the first ones, in the order of the kit."""
