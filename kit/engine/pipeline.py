"""An ordered, bounded pipeline over any executor: work is done in parallel, its results arrive in order.

The reader submits work and marks; each result is handed to its own ``then`` on the thread that submits. Laws:

- The order of every ``then`` is the order of submission, whatever the number of workers.
- No more than ``budget`` bytes of input, by their weight, wait or are worked on at any time; one oversized piece alone
  is excepted.
- The first failure ends the pipeline, and nothing submitted after it is delivered. Work that is lost with its worker is
  a failure, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from kit.documents import RUN_BYTES
from kit.engine.executors import WorkExecutor
from kit.errors import KitError
from kit.waiting import result_of, worker_died

T = TypeVar("T")

_COPIES = 3
"""How often a piece of more than a run is held at a time: by its reader, on the way, and by a worker."""


@dataclass(slots=True)
class _Entry:
    future: Future[Any] | None
    then: Callable[..., None]
    cost: int
    where: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Who does work, and how much of it at a time."""

    executor: WorkExecutor
    budget: int
    """Bytes of input in flight."""


class Pipeline:
    """See the module docstring. A context manager: leaving it drains what is left, or cancels it after a failure.

    Attributes:
        watch: Called for every result after its ``then``, with the place, the bytes of input, and the result.
        peak_pieces: How many pieces of work waited or were worked on at once, at most.
        peak_bytes: How many bytes of input that were, at most.
    """

    def __init__(self, executor: WorkExecutor, *, budget: int) -> None:
        """Use ``executor``; keep at most ``budget`` bytes of input in flight."""
        self.watch: Callable[[str, int, object], None] | None = None
        self.peak_pieces = 0
        self.peak_bytes = 0
        self._executor = executor
        self._budget = budget
        self._in_flight = 0
        self._entries: deque[_Entry] = deque()
        self._failure: BaseException | None = None

    def submit(
        self,
        work: Callable[..., T],
        *args: object,
        cost: int,
        then: Callable[[T], None],
        where: str = "",
        weight: int = 0,
    ) -> None:
        """Submit ``work(*args)`` to the executor, and hand its result to ``then``, in turn.

        Args:
            work: A function of its arguments alone; picklable, like them, where the executor is another process.
            *args: Its arguments.
            cost: The bytes of input it holds.
            then: Gets the result.
            where: The place an error of ``work`` is reported in.
            weight: The bytes of memory that the work takes, where those are more.

        Raises:
            KitError: Whatever an earlier piece of work or its ``then`` raised.
        """
        self._require_sound()
        weight = max(weight, cost if cost <= RUN_BYTES else _COPIES * cost)
        self._make_room(weight)
        try:
            future = self._executor.submit(work, *args)
        except BrokenExecutor as error:
            raise worker_died(error) from error
        self._append(_Entry(future, then, cost, where, weight))
        self._deliver_ready()

    def hand_on(self, result: T, *, cost: int, then: Callable[[T], None]) -> None:
        """Hand ``result`` to ``then`` in turn: what was submitted before goes first, and there is no work to do.

        Args:
            result: What is handed on.
            cost: The bytes it holds.
            then: Gets it.

        Raises:
            KitError: Whatever an earlier piece of work or a ``then`` raised.
        """
        self._require_sound()
        self._make_room(cost)
        done: Future[T] = Future()
        done.set_result(result)
        self._append(_Entry(done, then, cost, "", cost))
        self._deliver_ready()

    def mark(self, then: Callable[[], None]) -> None:
        """Call ``then`` once everything submitted so far has been delivered."""
        self._require_sound()
        if self._entries:
            self._entries.append(_Entry(None, then, 0, "", 0))
        else:
            then()

    def drain(self) -> None:
        """Deliver everything that was submitted."""
        self._require_sound()
        while self._entries:
            self._deliver()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.drain()
        self._cancel()

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _cancel(self) -> None:
        for entry in self._entries:
            if entry.future is not None:
                entry.future.cancel()
        self._entries.clear()

    def _append(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._in_flight += entry.weight
        self.peak_pieces = max(self.peak_pieces, len(self._entries))
        self.peak_bytes = max(self.peak_bytes, self._in_flight)

    def _make_room(self, weight: int) -> None:
        while self._entries and self._in_flight + weight > self._budget:
            self._deliver()

    def _deliver_ready(self) -> None:
        while self._entries and ((first := self._entries[0].future) is None or first.done()):
            self._deliver()

    def _deliver(self) -> None:
        try:
            self._deliver_first()
        except BaseException as error:
            self._failure = error
            self._cancel()
            raise

    def _deliver_first(self) -> None:
        entry = self._entries.popleft()
        self._in_flight -= entry.weight
        if entry.future is None:
            entry.then()
            return
        try:
            result = result_of(entry.future, self._executor.is_lost)
        except KitError as error:
            raise (error.inside(entry.where) if entry.where else error) from error.__cause__
        except BrokenExecutor as error:
            raise worker_died(error) from error
        entry.then(result)
        if self.watch is not None:
            self.watch(entry.where, entry.cost, result)
