"""Memory of a process and all it started: the sum of their proportional set sizes (/proc/PID/smaps_rollup)."""

from __future__ import annotations

import contextlib
from pathlib import Path


def tree_bytes(root: int) -> int:
    """Add up what a process and its descendants hold now; 0 once it has ended."""
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError, ValueError):
            waiting += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
