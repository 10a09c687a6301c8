"""A pool of processes that always comes to an end.

The pool of the standard library is waited for without end in three cases: the thread that hands out its work is gone, a
worker is killed while its result is half way through the pipe, or the pipe to workers that are gone is full. Here all
of these are noticed, the remaining workers are killed, and the pipes are closed, which ends every thread that reads or
writes them. Laws: what was submitted is done, or :meth:`SteadyProcesses.is_lost`; ``shutdown`` returns; nothing is left
that the interpreter would wait for at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Final

from kit.waiting import LOOK_SECONDS, result_of

_LOOKS: Final = 5
"""How many looks after the pipes were closed the wait ends."""


class SteadyProcesses(ProcessPoolExecutor):
    """See the module docstring."""

    def __init__(
        self, workers: int, *, context: BaseContext, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> None:
        """Start ``workers`` processes by ``context``, each of which calls ``initializer(*initargs)`` first.

        Raises:
            OSError: The system does not let them be started; none is left.
            RuntimeError: The same, of a thread of the pool; ``BrokenExecutor`` is one.
        """
        super().__init__(workers, mp_context=context, initializer=initializer, initargs=initargs)
        try:
            # The first piece of work starts the workers: now, before any thread of this process runs.
            result_of(self.submit(int), self.is_lost)
        except BaseException:
            _kill(self._workers())
            self.shutdown()
            raise

    def is_lost(self) -> bool:
        """Return whether work that is not done may stay so: a worker is gone, or a thread that hands out work."""
        return not (all(one.is_alive() for one in self._threads()) and all(one.is_alive() for one in self._workers()))

    def abandon(self) -> None:
        """Kill the workers, whatever they have at hand."""
        # The pool of Python 3.11 fails all that is pending, and itself where that is cancelled already.
        for item in list((getattr(self, "_pending_work_items", None) or {}).values()):
            if item.future.cancelled():
                item.future = Future()
        _kill(self._workers())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  as the base
        """End the workers, and kill those that would not end."""
        # The base class drops its references to these.
        threads, workers, pipes = self._threads(), self._workers(), self._pipes()
        lost = self.is_lost()
        if lost:
            _kill(workers)
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        if not wait or not threads:
            return
        manager, looks = threads[0], 0
        while manager.is_alive() and looks <= _LOOKS:
            manager.join(LOOK_SECONDS)
            if lost and manager.is_alive():
                _close(*pipes)
                looks += 1
            elif any(one.exitcode for one in workers):  # those that ended well wait for the others
                lost = True
                _kill(workers)
        _kill(workers)  # they wait for work, where no thread is left to hand it out or to end them
        if lost:
            pipes[0].cancel_join_thread()  # the interpreter would wait, at its end, for what nobody reads

    def _workers(self) -> list[BaseProcess]:
        return list((getattr(self, "_processes", None) or {}).values())

    def _pipes(self) -> tuple[Any, Any]:
        """Return the queues of work and of results."""
        return getattr(self, "_call_queue", None), getattr(self, "_result_queue", None)

    def _threads(self) -> list[Thread]:
        """Return the thread that hands out work, and the one that writes it to the pipe; none before the first work."""
        manager: Thread | None = getattr(self, "_executor_manager_thread", None)
        writer: Thread | None = getattr(self._pipes()[0], "_thread", None)
        return [one for one in (manager, writer) if one is not None]


def _kill(workers: list[BaseProcess]) -> None:
    for one in workers:
        if one.is_alive():
            one.kill()
    for one in workers:
        one.join(LOOK_SECONDS)


def _close(calls: Any, results: Any) -> None:
    """Close the other ends of the pipes that threads of this process use: reading ends, writing fails."""
    with suppress(OSError):
        calls._reader.close()  # noqa: SLF001
    with suppress(OSError):
        results._writer.close()  # noqa: SLF001
