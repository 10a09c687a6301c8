"""How much memory a run may take, and what it can do with so much.

The peak of all processes together (sum of proportional set sizes) is bounded by a fixed part and one for each worker:
its interpreter, and what is in flight for it, which is held as input, as result and on its way. Measured, with margin
(docs/design/memory.md); documents larger than a run, and a manifest of millions of files, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.engine.executors import BUDGET_PER_WORKER
from kit.errors import UsageError

_MIB = 1 << 20
BASE_BYTES = 144 * _MIB
"""The process that reads, orders and writes; one worker alone works in it."""
WORKER_BYTES = 64 * _MIB
_HELD = 3 / 2
"""Of each byte of input in flight: itself, and its result for a part of the time."""
_LEAST_BUDGET = 4 * _MIB
"""One run of documents; with less, a worker would wait for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """How many workers, and how much each may have in flight."""

    workers: int
    budget: int
    """Bytes of input per worker."""

    @property
    def peak_bytes(self) -> int:
        """What all processes take together, at most."""
        if self.workers == 1:
            return BASE_BYTES
        return BASE_BYTES + self.workers * (WORKER_BYTES + int(_HELD * self.budget))


def allotment(workers: int, most: int | None = None) -> Allotment:
    """Give up to ``workers`` what fits into ``most`` bytes: less in flight goes before fewer workers.

    Raises:
        UsageError: Not even one worker fits.
    """
    full = Allotment(workers=workers, budget=BUDGET_PER_WORKER)
    if most is None or full.peak_bytes <= most:
        return full
    if most < BASE_BYTES:
        raise UsageError(
            f"--max-memory {most // _MIB}M is too little: at least {BASE_BYTES // _MIB}M are needed",
            hint="one worker takes that much",
        )
    for fewer in range(workers, 1, -1):
        room = (most - BASE_BYTES) / fewer - WORKER_BYTES
        if room >= _HELD * _LEAST_BUDGET:
            return Allotment(workers=fewer, budget=min(BUDGET_PER_WORKER, int(room / _HELD)))
    return Allotment(workers=1, budget=BUDGET_PER_WORKER)
