"""Which executor does the work: the submitting thread itself, or processes of this machine."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from kit.engine.pipeline import InlineExecutor

BUDGET_PER_WORKER = 24 * 1024 * 1024
"""Bytes of input in flight per worker: enough that none waits for the reader, little enough to bound memory."""


@contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """Give an executor of ``workers`` processes; for one worker, none: the work is done where it is submitted."""
    if workers == 1:
        yield InlineExecutor()
        return
    # A fork costs 10 ms where a fresh interpreter costs 300; no thread runs yet when the workers are started.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_signals_to_the_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_signals_to_the_parent() -> None:
    """Ctrl-C goes to the whole process group; the parent decides what it means. SIGTERM just ends a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
