"""Whoever does work, or hands it out, may be gone: then a run ends in words, and nothing is waited for without end.

What waits for ever in the standard library is waited for here too; a hang of these tests is what they would report.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from kit.archive.source import _next
from kit.engine.executors import ProcessExecutor, ThreadExecutor, WorkExecutor, ending
from kit.engine.pipeline import Pipeline
from kit.errors import StoppedError
from kit.waiting import SteadyThreads, result_of


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return a pipe with a name: who reads it waits until somebody writes."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    return gate


@pytest.fixture(params=[ThreadExecutor, ProcessExecutor])
def executor(request: pytest.FixtureRequest) -> Iterator[WorkExecutor]:
    others = set(multiprocessing.active_children())
    made = request.param(1)
    yield made
    made.shutdown()  # a second time in some tests; it may not hang in any
    assert set(multiprocessing.active_children()) <= others


ends_a_thread = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def end_whoever_delivers(executor: WorkExecutor, gate: Path) -> None:
    """End the thread that makes a future done: the worker itself, or the one that hands out work to processes."""

    def end(_: Future[bytes]) -> None:
        raise SystemExit

    future = executor.submit(gate.read_bytes)
    future.add_done_callback(end)
    gate.write_bytes(b"now")
    assert future.result() == b"now"


def run(executor: WorkExecutor, work: Callable[..., object], *arguments: object) -> None:
    with Pipeline(executor, budget=1 << 30) as pipeline:
        pipeline.submit(work, *arguments, cost=1, then=lambda _: None)


@ends_a_thread
def test_a_thread_that_is_gone_ends_the_run(executor: WorkExecutor, gate: Path) -> None:
    end_whoever_delivers(executor, gate)
    with pytest.raises(StoppedError, match="a worker died") as caught:
        run(executor, abs, -7)
    assert "--workers" in caught.value.hint
    assert executor.is_lost()
    executor.shutdown()


@ends_a_thread
def test_a_worker_that_is_killed_while_nobody_would_notice_ends_the_run(gate: Path) -> None:
    executor = ProcessExecutor(2)
    worker = executor.submit(os.getpid).result()
    end_whoever_delivers(executor, gate)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(StoppedError, match="a worker died"):
        run(executor, abs, -7)
    executor.shutdown()


def end_within_result() -> None:
    """Write the beginning of a result, of a hundred bytes that never come, and end this worker."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 100) + b"the beginning")
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_within_its_result_ends_the_run(workers: int) -> None:
    executor = ProcessExecutor(workers)
    with pytest.raises(StoppedError, match="a worker died"):
        run(executor, end_within_result)
    executor.shutdown()


def test_workers_that_are_killed_before_a_full_pipe_end_the_run() -> None:
    def fill() -> None:
        with ProcessExecutor(1) as executor, Pipeline(executor, budget=1 << 30) as pipeline:
            pipeline.submit(os._exit, 9, cost=1, then=print)
            for _ in range(4):
                pipeline.submit(len, bytes(1 << 20), cost=1 << 20, then=print)

    with pytest.raises(StoppedError, match="a worker died"):
        fill()


def test_the_interpreter_ends_beside_a_pool_that_was_lost() -> None:
    # Not shut down: that is what a run does which ends in an error of its own.
    body = """
import os, tests.engine.test_lost_workers as lost
from kit.engine.executors import ProcessExecutor
executor = ProcessExecutor(2)
try:
    lost.run(executor, lost.end_within_result)
except lost.StoppedError as error:
    print(error.what)
executor.shutdown()
"""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout[:13], done.stderr) == (0, "a worker died", "")


def test_threads_beside_one_that_is_gone_end_with_the_pool(gate: Path) -> None:
    pool = SteadyThreads(3, name="several")
    future = pool.submit(gate.read_bytes)
    future.add_done_callback(_exit)
    gate.write_bytes(b"")
    assert future.result() == b""
    pool.shutdown()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("several")]


def _exit(_: Future[Any]) -> None:
    raise SystemExit


def test_what_is_done_is_had_though_all_are_gone() -> None:
    future: Future[int] = Future()
    future.set_result(7)
    assert result_of(future, lambda: True) == 7


def test_a_timeout_of_the_work_itself_is_its_own() -> None:
    future: Future[int] = Future()
    future.set_exception(TimeoutError("of the work"))
    with pytest.raises(TimeoutError, match="of the work"):
        result_of(future, lambda: True)


def test_what_nobody_does_is_lost() -> None:
    with pytest.raises(BrokenExecutor):
        result_of(Future[int](), lambda: True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoppedError])
def test_what_processes_have_at_hand_is_not_waited_for_after_a_failure(error: type[BaseException], gate: Path) -> None:
    def fail() -> None:
        pool = ProcessExecutor(2)
        with ending(pool), Pipeline(pool, budget=1 << 30) as pipeline:
            for _ in range(7):  # at hand, in the pipe, and waiting; nobody writes to the gate
                pipeline.submit(gate.read_bytes, cost=1, then=lambda _: None)
            raise error("enough")

    with pytest.raises(error):
        fail()
    assert multiprocessing.active_children() == []


def test_an_interrupt_ends_a_wait_for_work_that_never_ends() -> None:
    program = """
import os, signal
from concurrent.futures import Future
from threading import Timer
from kit.engine.interrupts import Interrupts
from kit.waiting import result_of
interrupts = Interrupts(patience=3600.0, soon=3600.0)  # the timer alone would never raise it
interrupts.install()
Timer(0.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    result_of(Future(), lambda: False)
except KeyboardInterrupt:
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0  # and does not raise it again
    signal.raise_signal(signal.SIGALRM)
    print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_chunks_are_not_waited_for_where_their_thread_is_gone() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    queue: Queue[tuple[int] | BaseException | None] = Queue()
    queue.put((7,))
    assert _next(queue, thread) == (7,)
    with pytest.raises(MemoryError):
        _next(queue, thread)


LIMITED = """
import re, resource, sys
from kit.engine import executors
from kit.errors import StoppedError
import multiprocessing.popen_fork, multiprocessing.queues, multiprocessing.synchronize
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + {room}, -1))
try:
    with executors.local_executor(3) as one:
        print(type(one).__name__, one.submit(abs, -7).result())
except StoppedError as error:
    print(error.what)
"""
MIB = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are tried on Linux")
@pytest.mark.parametrize("core", ["on", "off"])
@pytest.mark.parametrize(
    ("room", "outcome"),
    [
        (8 * MIB, "not enough memory; the kit is as it was"),
        (64 * MIB, "InlineExecutor 7"),
        (180 * MIB, "InlineExecutor 7"),
        (4096 * MIB, "Executor 7"),
    ],
)
def test_no_worker_is_started_without_room_for_it(core: str, room: int, outcome: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(room=room)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"KIT_CORE": core},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().removeprefix("Thread").removeprefix("Process") == outcome
