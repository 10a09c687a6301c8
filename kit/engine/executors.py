"""Who does the work: threads of this process with the core, processes of this machine without it, or the caller.

The core looks into documents without the interpreter's lock, and so do the codecs and digests; threads then use every
processor, and nothing crosses a border between processes. The reference holds that lock, so its workers are processes.
Law: results are the same, no matter which executor does the work.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kit.documents import core
from kit.errors import StoppedError
from kit.waiting import SteadyThreads

if TYPE_CHECKING:
    # For encryption; code that only reads kits does not load it.
    from kit.encryption.keys import KeySet, KeySource
    from kit.engine.process_pool import SteadyProcesses

T = TypeVar("T")

BUDGET_PER_WORKER = 24 * 1024 * 1024
"""Bytes of input in flight per worker: enough that none waits for the reader, little enough to bound memory."""
GC_THRESHOLD = 200_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 64 * 1024 * 1024
_MAPPED_BYTES = 32 * 1024 * 1024
_THREADS = 6
"""Of this process, after its first: two of the pool, one for each of two kits that decompresses, and two to spare."""
_PR_SET_PDEATHSIG = 1
_LEAST_ROOM: Final = 16 * 1024 * 1024
"""Bytes of memory without which no work is begun. An interpreter, or a core, that gets none for a small object ends in
ways that nothing here can catch; that large ones fail first takes some room."""
_AMPLE_ROOM: Final = 16 * 1024**3
"""More bytes of addresses than anything here needs."""
_WORKER_ROOM: Final = 96 * 1024 * 1024
"""Bytes of addresses for each worker: its stack, its input and its result."""


class WorkExecutor(Executor):
    """An executor that can bring keys to its workers."""

    def hand_out(self, keys: KeySource) -> KeySource:
        """Return a source of ``keys`` for the work that is submitted afterwards; none may be under way."""
        return keys

    def is_lost(self) -> bool:
        """Return whether submitted work may never be done: a worker, or the thread that hands out work, is gone."""
        return False

    def abandon(self) -> None:
        """Drop the work at hand, where that takes long and can be: nothing is submitted afterwards."""


class InlineExecutor(WorkExecutor):
    """Runs work at once on the submitting thread: one worker, no process, no pickling."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn`` and return its finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  a future carries any failure to where the result is used
            future.set_exception(error)
        return future


class ThreadExecutor(WorkExecutor):
    """Threads of this process, all of them started at once: one that cannot be started later would lose its work."""

    def __init__(self, workers: int) -> None:
        """Start ``workers`` threads.

        Raises:
            StoppedError: The system does not let them be started.
        """
        try:
            self._pool = SteadyThreads(workers, name="worker")
        except RuntimeError as error:
            raise StoppedError(f"workers cannot be started: {error}", hint="--workers 1 needs none") from error

    def is_lost(self) -> bool:
        """See :class:`WorkExecutor`."""
        return self._pool.is_lost()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Submit ``fn`` to a thread."""
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  as the base
        """End the threads."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


class ProcessExecutor(WorkExecutor):
    """Processes of this machine: a stock pool, that is started anew when there are keys to hand out.

    A forked worker has what this process had: keys are inherited with its memory, and are neither pickled nor written
    anywhere. Where processes are not forked they go through the pipe that starts a worker, once for each.
    """

    def __init__(self, workers: int) -> None:
        """Start ``workers`` processes.

        Raises:
            StoppedError: The system does not let them be started.
        """
        self._workers = workers
        self._handed: dict[int, KeySource] = {}
        self._pool = self._start_pool()

    def hand_out(self, keys: KeySource) -> KeySource:
        """See :class:`WorkExecutor`.

        Raises:
            StoppedError: The system does not let workers be started again.
        """
        number = next(_numbers)
        self._handed[number] = keys
        self._pool.shutdown()
        self._pool = self._start_pool()
        return HandedKeys(number, keys)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Submit ``fn`` to a process."""
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  as the base
        """End the processes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def is_lost(self) -> bool:
        """See :class:`WorkExecutor`."""
        return self._pool.is_lost()

    def abandon(self) -> None:
        """End the processes at once: work of theirs has no effect but its result."""
        self._pool.abandon()

    def _start_pool(self) -> SteadyProcesses:
        # Not loaded where threads do the work.
        import multiprocessing  # noqa: PLC0415

        from kit.engine.process_pool import SteadyProcesses  # noqa: PLC0415

        # A fork costs 10 ms where a fresh interpreter costs 300. It takes the locks along that other threads hold, so
        # it is only for where there are none.
        is_alone = sys.platform == "linux" and threading.active_count() == 1
        context = multiprocessing.get_context("fork" if is_alone else "spawn")
        arguments = os.getpid(), self._handed
        try:
            return SteadyProcesses(self._workers, context=context, initializer=_begin, initargs=arguments)
        except (OSError, RuntimeError) as error:  # locks of workers are files in /dev/shm, which may be missing
            raise StoppedError(f"workers cannot be started: {error}", hint="--workers 1 needs none") from error


_numbers = itertools.count()
_received: dict[int, KeySource] = {}
"""In a worker that is another process: the keys that were handed out before it was started, or to it."""


class HandedKeys:
    """Keys that a worker has already, by their number; see :class:`kit.encryption.keys.KeySource`."""

    def __init__(self, number: int, keys: KeySource) -> None:
        """Represent ``keys``, which were handed out as ``number``."""
        self._number = number
        self._keys: KeySource | None = keys
        self.complete = keys.complete
        self.names: tuple[str, ...] = keys.names

    def key_set(self) -> KeySet:
        """Return the keys.

        Raises:
            StoppedError: They were never handed out to this one.
        """
        keys = self._keys or _received.get(self._number)
        if keys is None:
            raise StoppedError("a worker was started too late to have the keys of this run", hint="start the run again")
        return keys.key_set()

    def __repr__(self) -> str:
        return f"HandedKeys({self._number})"

    def __reduce__(self) -> tuple[object, ...]:
        # Without the names: there may be a million.
        return _handed_keys, (self._number, self.complete)


def _handed_keys(number: int, complete: bool) -> HandedKeys:  # noqa: FBT001  for pickle
    keys = HandedKeys.__new__(HandedKeys)
    keys._number, keys._keys, keys.complete, keys.names = number, None, complete, ()  # noqa: SLF001  its own class
    return keys


def receive(number: int, keys: KeySource) -> None:
    """Take keys that were handed out as ``number``, in a worker."""
    _received[number] = keys


def forget() -> None:
    """Drop all keys that were received, in a worker that outlives the run."""
    _received.clear()


def next_number() -> int:
    """Return a number that no keys of this process were handed out as."""
    return next(_numbers)


@contextmanager
def local_executor(workers: int) -> Iterator[WorkExecutor]:
    """Start up to ``workers`` workers, as many as the system lets be started; they end with the context.

    For one worker, or where not even two can be had, there are none: the work is done where it is submitted.

    Raises:
        StoppedError: A limit of memory leaves no room for any work.
    """
    _keep_freed_memory()
    if not has_room(_LEAST_ROOM):
        raise StoppedError("not enough memory; the kit is as it was", hint="raise the limit (ulimit -v)")
    executor = _start_workers(workers) if workers > 1 else None
    if executor is None:
        yield InlineExecutor()
        return
    with ending(executor):
        yield executor


@contextmanager
def ending(executor: WorkExecutor) -> Iterator[None]:
    """End the workers with the context; after a failure or an interrupt without the work that processes have at hand.

    A run takes a second and more of theirs, and each has another one in its pipe. A thread's takes a fraction of that.
    """
    try:
        yield
    except BaseException:
        executor.abandon()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_workers(workers: int) -> WorkExecutor | None:
    # The first thread's own work needs room, too.
    workers = next((fewer for fewer in range(workers, 1, -1) if has_room(_LEAST_ROOM + fewer * _WORKER_ROOM)), 1)
    if workers == 1:
        return None
    try:
        if not core.ABSENCE:
            return ThreadExecutor(workers)
        fewer = min(workers, count_startable(workers))
        return ProcessExecutor(fewer) if fewer > 1 else None
    except StoppedError:
        return None  # another process took what was free a moment ago, or there is no place for locks


def has_room(size: int) -> bool:
    """Return whether this process may take ``size`` bytes of addresses more (``ulimit -v``): tried, and given back."""
    if sys.platform != "linux":
        return True
    try:
        # Without access no page of it is counted as used, whatever the system thinks of overcommitting.
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, MemoryError):
        return False
    return True


def count_startable(workers: int) -> int:
    """Return how many of ``workers`` processes the system lets be started next to the threads of this one.

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


def _begin(parent: int, handed: dict[int, KeySource]) -> None:
    """Prepare a worker: it lives as long as the process that started it, which alone decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _received.update(handed)
    # Objects from before the work never become garbage; and documents are many small objects without cycles.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    if sys.platform == "linux":
        # A parent that is killed cannot end its workers; without this they wait for work for ever (prctl(2)).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory, up to a bound, in this process and in the workers forked from it.

    Runs and frames are megabytes each: given back and mapped anew every time (mallopt(3)), their pages are
    zeroed by the kernel for each run. Where addresses are limited, threads share one heap: glibc reserves 64 MiB of
    them for a heap of each thread's own, and keeps them when the thread ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        if not has_room(_AMPLE_ROOM):
            mallopt(_M_ARENA_MAX, 1)
