"""Processes of this machine that do work."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress

from kit.engine.shared_memory import SharedMemoryExecutor, Slots, announce
from kit.errors import StoppedError

SLOTS_PER_WORKER = 8
"""Enough for what the budget lets be in flight."""
GC_THRESHOLD = 200_000
_THREADS = 6
"""Of this process, besides its first: two of the pool, one for each of two kits that decompresses, and two to spare."""
_PR_SET_PDEATHSIG = 1


def startable(workers: int) -> int:
    """Return how many of ``workers`` processes the system lets be started beside the threads of this one.

    A pool finds that out too late: a process that it cannot start leaves the others waiting for ever, and so does a
    thread of its own (``ulimit -u``, pids.max of a control group). So both are tried first: a millisecond a process.
    """
    if sys.platform != "linux":
        return workers
    release, hold = os.pipe()
    done, children, threads = threading.Event(), [], []
    try:
        with suppress(OSError, RuntimeError):
            for _ in range(workers):
                child = os.fork()
                if not child:
                    _wait_for_end(release, hold)
                children.append(child)
        with suppress(RuntimeError):
            for _ in range(_THREADS):
                thread = threading.Thread(target=done.wait, daemon=True)
                thread.start()
                threads.append(thread)
    finally:
        done.set()
        os.close(hold)  # each child closed its own, and waits for all of them to be closed
        os.close(release)
        for child in children:
            os.waitpid(child, 0)
        for thread in threads:
            thread.join()
    # A process that can be started can be a thread instead: both are tasks of this user.
    return max(0, len(children) + len(threads) - _THREADS)


def _wait_for_end(release: int, hold: int) -> None:
    """Wait, in a child, until the parent closes the pipe or ends."""
    try:
        os.close(hold)
        os.read(release, 1)
    finally:
        os._exit(0)


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """Start ``workers`` processes; they end with the context.

    Raises:
        StoppedError: The system does not let workers be started.
    """
    # A fork costs 10 ms where a fresh interpreter costs 300; no thread runs yet when the workers are started.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    earlier = multiprocessing.active_children()
    # Made before the workers, which inherit it; where processes are not forked, all goes through pipes.
    try:
        slots = Slots(workers * SLOTS_PER_WORKER) if context.get_start_method() == "fork" else None
        if slots is not None:
            announce(slots)
        processes = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
        # The first piece of work starts the workers: now, before any thread of this process runs.
        processes.submit(int).result()
    except (OSError, RuntimeError, BrokenExecutor) as error:
        # Locks of workers are files in /dev/shm, which a locked-down host may not have. Those that were started are
        # ended: they would wait for work, and the interpreter, at its end, for them.
        for child in multiprocessing.active_children():
            if child not in earlier:
                child.kill()
                child.join()
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
