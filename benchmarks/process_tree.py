"""Runs a process and watches it and all it starts: time, memory, temporary space.

Memory is the sum of the proportional set sizes (/proc/PID/smaps_rollup), and the largest resident set that any one of
the processes ever had (VmHWM in /proc/PID/status), both sampled; of a single process the second is the better figure,
of several the first. (What wait4 reports counts the process that forked, too, which is larger than many a tool.)
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLED = 0.05
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process tree that came to its end."""

    seconds: float
    cpu_seconds: float
    """Of all processes, in user and system mode: what a busy machine disturbs least."""
    peak_bytes: int
    """All processes together, sampled."""
    temp_bytes: int
    """What the folder watched held at most, sampled."""
    largest_bytes: int
    """The largest of the processes, at its largest."""


def measure(
    command: Sequence[str], job: Path | None = None, *, limit: float | None = None, output: Path | None = None
) -> Run | None:
    """Run a command to its end, watching its memory and its job folder.

    Args:
        command: Program and arguments.
        job: The folder to watch.
        limit: Seconds after which it is ended.
        output: Where what it prints goes; it is lost otherwise.

    Returns:
        None if it was ended for its time.

    Raises:
        SystemExit: It failed.
    """
    peak, largest, temp, late, done = [0], [0], [0], [False], threading.Event()

    def watch(process: subprocess.Popen[bytes]) -> None:
        while not done.wait(_SAMPLED):
            peak[0] = max(peak[0], tree_bytes(process.pid))
            largest[0] = max(largest[0], *(_high_water(pid) for pid in _tree(process.pid)))
            if job is not None:
                with contextlib.suppress(OSError):
                    temp[0] = max(temp[0], sum(entry.stat().st_size for entry in os.scandir(job)))
            if limit is not None and time.perf_counter() - started > limit and not late[0]:
                late[0] = True
                os.killpg(process.pid, signal.SIGKILL)

    # What it says while it works is only of interest where it fails.
    with (output or Path(os.devnull)).open("wb") as sink, tempfile.TemporaryFile() as said:
        started, used = time.perf_counter(), _cpu_seconds()
        # A session of its own, so that ending it ends what it started.
        process = subprocess.Popen(command, stdout=sink, stderr=said, start_new_session=True)
        watcher = threading.Thread(target=watch, args=(process,))
        watcher.start()
        process.wait()
        seconds = time.perf_counter() - started
        done.set()
        watcher.join()
        if late[0]:
            return None
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{words}")
    return Run(
        seconds=seconds,
        cpu_seconds=_cpu_seconds() - used,
        peak_bytes=peak[0],
        temp_bytes=temp[0],
        largest_bytes=largest[0],
    )


def _cpu_seconds() -> float:
    """Give what children that ended have used so far, and theirs that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree_bytes(root: int) -> int:
    """Add up what a process and its descendants hold now; 0 once it has ended."""
    total = 0
    for pid in _tree(root):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _tree(root: int) -> list[int]:
    """Give a process and its descendants."""
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError, ValueError):
            found += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found


def _high_water(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
