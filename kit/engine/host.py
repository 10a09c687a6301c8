"""What the machine has left, and what it lets us do: a port, and this machine behind it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from kit.archive.held_folder import keeps_modes

_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


class Host(Protocol):
    """A machine, as far as a run needs to know it beforehand."""

    def free_bytes(self, folder: Path) -> int | None:
        """Room for files in ``folder``; None where the system does not say."""
        ...

    def may_write(self, folder: Path) -> bool:
        """Whether files can be made in ``folder``."""
        ...

    def keeps_modes(self, folder: Path) -> bool:
        """Whether the file system of ``folder`` keeps the owner and mode of files, as far as can be told."""
        ...

    def free_memory(self) -> int | None:
        """Memory that a process can still get; None where the system does not say."""
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
        """See :class:`Host`; a read-only file system says no also to the superuser (access(2))."""
        return os.access(folder, os.W_OK | os.X_OK)

    def keeps_modes(self, folder: Path) -> bool:
        """See :class:`Host`; where nothing can be made, the run will say so itself."""
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
