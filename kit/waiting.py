"""Waits for the work of threads or processes, and notices when a worker has died.

A future is only done once its worker reports a result. Three deaths leave it pending for ever, in the standard library,
too: a thread whose ``MemoryError`` nothing catches, a process that is killed while it writes its result, and the thread
that hands out work to processes. Laws: a wait ends with the result, or raises because the work is lost; a pool whose
threads have died can still be shut down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Final, TypeVar

from kit.errors import StoppedError
from kit.safe_point import SAFE_POINT

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""Seconds between two checks that the workers are alive."""
_WAKE_SECONDS: Final = 0.25
"""Seconds after which a wait for a result is begun anew, so that an interrupt can end it."""


def result_of(future: Future[T], is_lost: Callable[[], bool]) -> T:
    """Return the result of ``future``, or raise what its work raised.

    Args:
        future: The future to wait for.
        is_lost: Returns whether work may have been lost; called from time to time while the future is not done.

    Raises:
        BrokenExecutor: Work was lost, and the future is not done.
        KeyboardInterrupt: One was postponed while this waited.
    """
    while not future.done():
        SAFE_POINT.reach()
        try:
            return future.result(_WAKE_SECONDS)
        except TimeoutError:  # the work itself may raise this, too; then the future is done
            if is_lost() and not future.done():
                raise BrokenExecutor("its worker is gone") from None
    return future.result()


def worker_died(error: BrokenExecutor) -> StoppedError:
    """Return the error of a run that lost a worker."""
    return StoppedError(
        f"a worker died: {error}",
        hint="the system may have killed it to free memory; try again with fewer --workers",
    )


class SteadyThreads(ThreadPoolExecutor):
    """A pool that starts all its threads at once and notices when one has died."""

    def __init__(self, workers: int, *, name: str) -> None:
        """Start ``workers`` threads, named ``name`` and a number.

        Raises:
            RuntimeError: The system does not start them all; those that it started are ended.
        """
        prefix = f"{name}-{id(self):x}"
        super().__init__(workers, thread_name_prefix=prefix)
        self._count = workers
        self._started: list[threading.Thread] = []
        begin = threading.Event()
        try:
            for _ in range(workers):
                super().submit(begin.wait)  # none is idle, so each of these starts a thread
        finally:
            self._started += [one for one in threading.enumerate() if one.name.startswith(prefix)]
            begin.set()
            if len(self._started) < workers:
                self.shutdown()

    def is_lost(self) -> bool:
        """Return whether a thread has died, perhaps with work unfinished."""
        return sum(thread.is_alive() for thread in self._started) < self._count

    def result_of(self, future: Future[T]) -> T:
        """Return the result of ``future``, which was submitted here.

        Raises:
            StoppedError: A thread has died.
        """
        try:
            return result_of(future, self.is_lost)
        except BrokenExecutor as error:
            raise worker_died(error) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  as the base
        """End the threads, even where one died without waking the next."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        for thread in self._started if wait else ():
            while thread.is_alive() and thread is not threading.current_thread():
                thread.join(LOOK_SECONDS)
                super().shutdown(wait=False)  # which wakes one more
