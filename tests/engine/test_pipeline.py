"""The order, the budget and the failures of a pipeline, on every executor alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
from hypothesis import given, strategies as st

from kit.engine.executors import InlineExecutor, ProcessExecutor, ThreadExecutor, WorkExecutor
from kit.engine.pipeline import Pipeline
from kit.errors import BsonError, KitError, StoppedError

T = TypeVar("T")


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise BsonError(f"number {number}", where="document 7", hint="none")


def divide(number: int) -> float:
    return number / 0


@pytest.fixture(params=["inline", "threads", "processes"], scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[WorkExecutor]:
    made: dict[str, Callable[[], WorkExecutor]] = {
        "inline": InlineExecutor,
        "threads": lambda: ThreadExecutor(3),
        "processes": lambda: ProcessExecutor(2),
    }
    with made[request.param]() as one:
        yield one


class Recording(WorkExecutor):
    """Does nothing until it is asked for a result; remembers how many bytes were in flight at most."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.most = 0
        self.done: list[int] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        size = len(args[0])
        self.in_flight += size
        self.most = max(self.most, self.in_flight)
        recording = self

        class Lazy(Future[T]):
            def result(self, timeout: float | None = None) -> T:  # noqa: ARG002  the overridden signature
                recording.in_flight -= size
                recording.done.append(size)
                return fn(*args, **kwargs)

        return Lazy()


def test_results_come_in_the_order_of_submission(executor: WorkExecutor) -> None:
    met: list[int] = []
    with Pipeline(executor, budget=10) as pipeline:
        for number in range(100):
            pipeline.submit(square, number, cost=3, then=met.append)
    assert met == [number * number for number in range(100)]


def test_a_mark_comes_after_all_that_was_submitted_before_it_and_before_the_rest(executor: WorkExecutor) -> None:
    met: list[object] = []
    with Pipeline(executor, budget=1000) as pipeline:
        pipeline.mark(lambda: met.append("start"))
        for number in range(3):
            for part in range(number):
                pipeline.submit(square, part, cost=1, then=met.append)
            pipeline.mark(lambda number=number: met.append(f"end {number}"))  # type: ignore[misc]
    assert met == ["start", "end 0", 0, "end 1", 0, 1, "end 2"]


def test_what_is_handed_on_without_work_keeps_its_turn_and_counts_in_the_budget(executor: WorkExecutor) -> None:
    met: list[int] = []
    with Pipeline(executor, budget=10) as pipeline:
        for number in range(100):
            if number % 3:
                pipeline.hand_on(number * number, cost=4, then=met.append)
            else:
                pipeline.submit(square, number, cost=4, then=met.append)
        assert pipeline.peak_bytes <= 10
    assert met == [number * number for number in range(100)]


@given(sizes=st.lists(st.integers(0, 30), max_size=40), budget=st.integers(1, 50))
def test_no_more_than_the_budget_is_in_flight_but_for_one_oversized_piece(sizes: list[int], budget: int) -> None:
    recording = Recording()
    met: list[int] = []
    with Pipeline(recording, budget=budget) as pipeline:
        for size in sizes:
            pipeline.submit(len, bytes(size), cost=size, then=met.append)
    assert met == sizes
    assert recording.most <= max(budget, *sizes, 0)


def test_the_first_failure_wins_is_placed_and_nothing_after_it_is_delivered(executor: WorkExecutor) -> None:
    met: list[int] = []

    def run() -> None:
        with Pipeline(executor, budget=1000) as pipeline:
            pipeline.submit(square, 2, cost=1, then=met.append)
            pipeline.submit(refuse, 1, cost=1, then=met.append, where="a/b.bson")
            pipeline.submit(refuse, 2, cost=1, then=met.append, where="other")
            pipeline.submit(square, 3, cost=1, then=met.append)

    with pytest.raises(BsonError, match=r"a/b\.bson: document 7: number 1") as caught:
        run()
    assert caught.value.hint == "none"
    assert met == [4]


def test_a_failed_pipeline_stays_failed() -> None:
    met: list[int] = []
    pipeline = Pipeline(Recording(), budget=100)
    pipeline.submit(lambda _: refuse(1), b"x", cost=1, then=met.append)
    pipeline.submit(len, b"xx", cost=1, then=met.append)
    for use in (
        pipeline.drain,
        pipeline.drain,
        lambda: pipeline.submit(len, b"x", cost=1, then=met.append),
        lambda: pipeline.mark(lambda: met.append(0)),
    ):
        with pytest.raises(BsonError, match="number 1"):
            use()
    assert met == []


def test_a_failure_of_the_one_who_takes_the_results_ends_the_pipeline_too() -> None:
    def full(_: int) -> None:
        raise KitError("the disk is full")

    pipeline = Pipeline(InlineExecutor(), budget=100)
    with pytest.raises(KitError, match="the disk is full"):
        pipeline.submit(square, 1, cost=1, then=full)
    with pytest.raises(KitError, match="the disk is full"):
        pipeline.drain()


def test_a_foreign_exception_of_the_work_arrives_as_it_is(executor: WorkExecutor) -> None:
    def run() -> None:
        with Pipeline(executor, budget=1000) as pipeline:
            pipeline.submit(divide, 1, cost=1, then=print)

    with pytest.raises(ZeroDivisionError):
        run()


def test_leaving_with_an_error_delivers_nothing_more() -> None:
    met: list[int] = []

    def run() -> None:
        with Pipeline(Recording(), budget=100) as pipeline:
            pipeline.submit(len, b"x", cost=1, then=met.append)
            raise KitError("elsewhere")

    with pytest.raises(KitError, match="elsewhere"):
        run()
    assert met == []


def test_a_worker_that_dies_is_said_so_with_a_way_out() -> None:
    def run() -> None:
        with ProcessExecutor(2) as pool, Pipeline(pool, budget=100) as pipeline:
            pipeline.submit(os._exit, 9, cost=1, then=print)

    with pytest.raises(StoppedError, match="a worker died") as caught:
        run()
    assert "--workers" in caught.value.hint


def test_a_worker_that_died_before_is_met_at_the_next_submission() -> None:
    with ProcessExecutor(1) as pool:
        assert pool.submit(os._exit, 9).exception() is not None
        with pytest.raises(StoppedError, match="a worker died"):
            Pipeline(pool, budget=100).submit(square, 1, cost=1, then=print)
