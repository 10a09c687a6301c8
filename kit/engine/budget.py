"""How much memory a run may take, how many workers fit into that, and what the machine has left.

The peak of all processes together (sum of proportional set sizes) is bounded by a fixed part and one for each worker:
its interpreter, and its work in flight, as input, as result and on the way. The figures are measured, with margin
(docs/design/memory.md). Documents larger than a run, and a manifest of millions of files, come on top.

:class:`Host` is the port through which a run asks for room and permissions; :data:`THIS_HOST` is this
machine behind it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kit.engine.executors import BUDGET_PER_WORKER
from kit.errors import UsageError
from kit.output.folders import keeps_modes

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
    """Return what fits into ``most`` bytes for up to ``workers``: less in flight is tried before fewer workers.

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


_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


class Host(Protocol):
    """A machine, as far as a run needs to know it beforehand."""

    def free_bytes(self, folder: Path) -> int | None:
        """Room for files in ``folder``; None where the system does not state it."""
        ...

    def may_write(self, folder: Path) -> bool:
        """Whether files can be made in ``folder``."""
        ...

    def keeps_modes(self, folder: Path) -> bool:
        """Whether the file system of ``folder`` keeps the owner and mode of files, as far as can be found out."""
        ...

    def free_memory(self) -> int | None:
        """Memory that a process can still get; None where the system does not state it."""
        ...


class ThisHost:
    """The machine that this process runs on."""

    def free_bytes(self, folder: Path) -> int | None:
        """See :class:`Host`; what is reserved for others does not count."""
        try:
            facts = os.statvfs(folder)
        except OSError:
            return None
        return facts.f_bavail * facts.f_frsize

    def may_write(self, folder: Path) -> bool:
        """See :class:`Host`; a read-only file system refuses the superuser, too (access(2))."""
        return os.access(folder, os.W_OK | os.X_OK)

    def keeps_modes(self, folder: Path) -> bool:
        """See :class:`Host`; where nothing can be made, the run itself reports it."""
        try:
            return keeps_modes(folder)
        except OSError:
            return True

    def free_memory(self) -> int | None:
        """See :class:`Host`: the least of what the machine and the process's control group have left."""
        found = [size for size in (_available(), *(_left(*group) for group in _CGROUPS)) if size is not None]
        return min(found, default=None)


def _available() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _left(folder: str, limit: str, used: str) -> int | None:
    """Read what a memory control group (cgroups(7)) still allows; None without a limit."""
    with suppress(OSError, ValueError):
        most = int(Path(folder, limit).read_text(encoding="ascii"))  # "max" is no number
        return max(0, most - int(Path(folder, used).read_text(encoding="ascii")))
    return None


THIS_HOST = ThisHost()
