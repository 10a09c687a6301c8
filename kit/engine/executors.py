"""Which executor does the work: the submitting thread itself, or processes of this machine."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager

from kit.engine.pipeline import InlineExecutor
from kit.engine.shared_memory import SharedMemoryExecutor, Slots, announce
from kit.errors import StoppedError

_PR_SET_PDEATHSIG = 1
_GC_THRESHOLD = 200_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 * 1024 * 1024
_MAPPED_BYTES = 32 * 1024 * 1024
SLOTS_PER_WORKER = 8
"""Enough for what the budget lets be in flight."""
BUDGET_PER_WORKER = 24 * 1024 * 1024
"""Bytes of input in flight per worker: enough that none waits for the reader, little enough to bound memory."""


@contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """Give an executor of ``workers`` processes; for one worker, none: the work is done where it is submitted.

    Raises:
        StoppedError: The system does not let workers be started.
    """
    _keep_freed_memory()
    if workers == 1:
        yield InlineExecutor()
        return
    # A fork costs 10 ms where a fresh interpreter costs 300; no thread runs yet when the workers are started.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    # Made before the workers, which inherit it; where processes are not forked, all goes through pipes.
    slots = Slots(workers * SLOTS_PER_WORKER) if context.get_start_method() == "fork" else None
    if slots is not None:
        announce(slots)
    try:
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
        # The first piece of work starts the workers: now, before any thread of this process runs.
        pool.submit(int).result()
    except (OSError, BrokenExecutor) as error:
        # Locks of workers are files in /dev/shm, which a locked-down host may not have.
        raise StoppedError(f"workers cannot be started: {error}", hint="--workers 1 needs none") from error
    try:
        yield SharedMemoryExecutor(pool, slots) if slots is not None else pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to a bound, in this process and in the workers forked from it.

    Runs and frames are megabytes each: given back and mapped anew every time (mallopt(3)), their pages are
    zeroed by the kernel for each run.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _begin(parent: int) -> None:
    """Prepare a worker: it lives as long as the process that started it, which alone decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # What was there before the work never becomes garbage; and documents are made of many small objects without cycles.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    if sys.platform == "linux":
        # A parent that is killed cannot end its workers; without this they wait for work for ever (prctl(2)).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
