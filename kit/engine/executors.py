"""Which executor does the work: the submitting thread itself, or processes of this machine."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager

from kit.engine.pipeline import InlineExecutor
from kit.errors import StoppedError, UsageError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 * 1024 * 1024
_MAPPED_BYTES = 32 * 1024 * 1024
BUDGET_PER_WORKER = 24 * 1024 * 1024
"""Bytes of input in flight per worker: enough that none waits for the reader, little enough to bound memory."""


_at_work: list[tuple[int, int]] = []
"""Process and thread of each context of :func:`one_thread` that is open."""


@contextmanager
def one_thread() -> Iterator[None]:
    """See that only one thread of this process works with kits while the context lasts.

    What looks into documents keeps, when compiled, what it is reading in its module, and workers are forked with the
    memory that was announced last: two threads would mix their documents up, and nobody would notice.

    Raises:
        UsageError: Another thread is at work.
    """
    # A process that was forked in the meantime has a copy of the list, and none of the threads.
    mine = os.getpid(), threading.get_ident()
    _at_work.append(mine)
    try:
        if any(process == mine[0] and thread != mine[1] for process, thread in list(_at_work)):
            raise UsageError(
                "another thread of this process is at work with a kit",
                hint="let one thread do it, or use a process for each",
            )
        yield
    finally:
        _at_work.remove(mine)


@contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """Give an executor of up to ``workers`` processes, as many as the system lets be started.

    For one worker, or where not even two can be had, there are none: the work is done where it is submitted.
    """
    _keep_freed_memory()
    with ExitStack() as stack:
        yield _processes(workers, stack) or InlineExecutor()


def _processes(workers: int, stack: ExitStack) -> Executor | None:
    if workers == 1:
        return None
    # Not loaded by whoever does the work itself.
    from kit.engine.processes import pool, startable  # noqa: PLC0415

    fewer = min(workers, startable(workers))
    if fewer < 2:
        return None
    try:
        return stack.enter_context(pool(fewer))
    except StoppedError:
        return None  # somebody else took what was free a moment ago, or there is no place for locks


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to a bound, in this process and in the workers forked from it.

    Runs and frames are megabytes each: given back and mapped anew every time (mallopt(3)), their pages are
    zeroed by the kernel for each run.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
