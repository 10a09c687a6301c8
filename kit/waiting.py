"""Waits for work that threads or processes do, and that may never end because one of them is gone.

A future is only done if whoever does its work lives to say so. A thread that gets no memory where nothing catches that,
a process that is killed while it writes its result, the thread that hands out work to processes: each of them leaves a
future that is waited for without end, in the standard library too. Laws: what is waited for is done, or is lost and
raises; a pool whose threads are gone is closed all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Final, TypeVar

from kit.errors import StoppedError

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""Seconds between two looks at whether somebody is still at work."""


def result_of(future: Future[T], is_lost: Callable[[], bool]) -> T:
    """Return the result of ``future``, or raise what its work raised.

    Args:
        future: What is waited for.
        is_lost: Whether work may have been lost; asked from time to time while the future is not done.

    Raises:
        BrokenExecutor: Work was lost, and the future is not done.
    """
    while not future.done():
        try:
            return future.result(LOOK_SECONDS)
        except TimeoutError:  # also what the work itself may raise; then the future is done
            if is_lost() and not future.done():
                raise BrokenExecutor("whoever did the work is gone") from None
    return future.result()


def worker_died(error: BrokenExecutor) -> StoppedError:
    """Return the error of a run whose work was lost."""
    return StoppedError(
        f"a worker died: {error}",
        hint="the system may have killed it for want of memory; try again with fewer --workers",
    )


class SteadyThreads(ThreadPoolExecutor):
    """A pool whose threads are all started at once, and that notices when one of them is gone."""

    def __init__(self, workers: int, *, name: str) -> None:
        """Start ``workers`` threads, named ``name`` and a number.

        Raises:
            RuntimeError: The system does not let them be started; none is left.
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
        """Return whether a thread is gone, and perhaps the work it did."""
        return sum(thread.is_alive() for thread in self._started) < self._count

    def result_of(self, future: Future[T]) -> T:
        """Return the result of ``future``, which was submitted here.

        Raises:
            StoppedError: Its thread is gone.
        """
        try:
            return result_of(future, self.is_lost)
        except BrokenExecutor as error:
            raise worker_died(error) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  as the base
        """End the threads, also where one of them ended without waking the next."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        for thread in self._started if wait else ():
            while thread.is_alive() and thread is not threading.current_thread():
                thread.join(LOOK_SECONDS)
                super().shutdown(wait=False)  # which wakes one more
