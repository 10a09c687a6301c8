"""Processes of this machine that do work."""

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

from kit.engine.shared_memory import SharedMemoryExecutor, Slots, announce
from kit.errors import StoppedError

SLOTS_PER_WORKER = 8
"""Enough for what the budget lets be in flight."""
GC_THRESHOLD = 200_000
_PR_SET_PDEATHSIG = 1


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """Start ``workers`` processes; they end with the context.

    Raises:
        StoppedError: The system does not let workers be started.
    """
    # A fork costs 10 ms where a fresh interpreter costs 300; no thread runs yet when the workers are started.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    # Made before the workers, which inherit it; where processes are not forked, all goes through pipes.
    slots = Slots(workers * SLOTS_PER_WORKER) if context.get_start_method() == "fork" else None
    if slots is not None:
        announce(slots)
    try:
        processes = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
        # The first piece of work starts the workers: now, before any thread of this process runs.
        processes.submit(int).result()
    except (OSError, BrokenExecutor) as error:
        # Locks of workers are files in /dev/shm, which a locked-down host may not have.
        raise StoppedError(f"workers cannot be started: {error}", hint="--workers 1 needs none") from error
    try:
        yield SharedMemoryExecutor(processes, slots) if slots is not None else processes
    finally:
        processes.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    """Prepare a worker: it lives as long as the process that started it, which alone decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # What was there before the work never becomes garbage; and documents are made of many small objects without cycles.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    if sys.platform == "linux":
        # A parent that is killed cannot end its workers; without this they wait for work for ever (prctl(2)).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
