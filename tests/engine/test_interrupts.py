"""An interrupt never leaves a lock of the library's held, and is never lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from kit.engine.interrupts import Interrupts

NEVER = 3600.0
"""Seconds: what was put off does not come again within a test."""


@contextmanager
def installing(made: Interrupts) -> Iterator[Interrupts]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # the time limit of tests has the same timer
    hook = sys.unraisablehook
    made.install()
    try:
        yield made
    finally:
        made.forget()  # waits of later tests would raise it
        sys.unraisablehook = hook
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, left)


@pytest.fixture
def installed() -> Iterator[Interrupts]:
    with installing(Interrupts()) as made:
        yield made


@pytest.fixture
def silent() -> Iterator[Interrupts]:
    with installing(Interrupts(soon=NEVER)) as made:
        yield made


def within(module: str) -> Callable[[Callable[[int, FrameType | None], None]], None]:
    """Give a function of a module called ``module``, which hands its own frame to a handler."""
    names: dict[str, Any] = {"__name__": module}
    exec("import sys\ndef call(handler):\n    handler(2, sys._getframe())", names)  # noqa: S102
    called: Callable[[Callable[[int, FrameType | None], None]], None] = names["call"]
    return called


@pytest.mark.parametrize("module", ["threading", "concurrent.futures.process", "multiprocessing.queues", "queue"])
def test_within_the_library_it_comes_again(module: str, silent: Interrupts) -> None:
    within(module)(silent.handle)
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0


@pytest.mark.parametrize("module", ["kit.engine.pipeline", "__main__", "click.termui"])
def test_elsewhere_it_is_raised_at_once(module: str, installed: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt):
        within(module)(installed.handle)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_after_some_patience_it_is_raised_wherever_it_falls() -> None:
    with installing(Interrupts(patience=0.0)) as impatient, pytest.raises(KeyboardInterrupt):
        within("threading")(impatient.handle)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("installed")
def test_a_wait_is_let_finish_and_its_lock_is_given_back(number: signal.Signals) -> None:
    condition, done = threading.Condition(), False

    def strike() -> None:
        nonlocal done
        os.kill(os.getpid(), number)
        with condition:
            done = True
            condition.notify_all()

    other = threading.Thread(target=strike)

    def wait() -> None:
        with condition:
            other.start()
            condition.wait_for(lambda: done)
        signal.pause()  # the timer

    with pytest.raises(KeyboardInterrupt):
        wait()
    other.join()
    assert done
    assert condition.acquire(blocking=False)


@pytest.mark.usefixtures("installed")
def test_what_a_finaliser_drops_comes_again() -> None:
    class Late:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the finaliser must run within
        Late()
        signal.pause()


def test_what_was_put_off_can_be_forgotten(silent: Interrupts) -> None:
    within("threading")(silent.handle)
    silent.forget()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_the_first_signal_is_answered_at_once_and_once() -> None:
    answered: list[int] = []
    made = Interrupts(soon=NEVER, notice=lambda: answered.append(1))
    with installing(made):
        within("threading")(made.handle)  # postponed, and answered all the same
        assert answered == [1]
        within("queue")(made.handle)
        assert answered == [1]
