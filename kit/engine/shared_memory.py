"""Hands large arguments and results to forked workers through memory they share, the rest through the pool's pipes.

A run is 4 MiB each way. Through a pipe that goes by 64 KiB at a time, with a switch between processes for each; through
shared memory it is copied twice each way. Whatever offers its bytes out of band (pickle protocol 5,
PEP 574) goes this way as long as there is room; where there is none it travels in the pickle, as ever. Laws: what
arrives is what was handed over, whichever way it went; a slot is used by one piece of work at a time, from its
submission until its result has been taken out.
"""

from __future__ import annotations

import mmap
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

SLOT_BYTES = 12 * 1024 * 1024
"""Room for the bytes of one piece of work, then for those of its result; pages are only taken when they are used."""


class Slots:
    """Equal pieces of anonymous memory, made before the workers are forked, so that all see the same."""

    def __init__(self, count: int, *, size: int = SLOT_BYTES) -> None:
        """Reserve ``count`` slots of ``size`` bytes."""
        self.size = size
        self._memory = mmap.mmap(-1, count * size)
        self._free = list(range(count))
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """Take a free slot; None if there is none."""
        with self._lock:
            return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """Let a slot be taken again."""
        with self._lock:
            self._free.append(slot)

    def write(self, slot: int, parts: Sequence[pickle.PickleBuffer]) -> tuple[int, ...] | None:
        """Copy ``parts`` into a slot and give their sizes; None, and nothing is written, if there is no room."""
        views = [part.raw() for part in parts]
        if sum(view.nbytes for view in views) > self.size:
            return None
        at = slot * self.size
        for view in views:
            self._memory[at : at + view.nbytes] = view
            at += view.nbytes
        return tuple(view.nbytes for view in views)

    def read(self, slot: int, sizes: Sequence[int]) -> list[bytes]:
        """Copy out what :meth:`write` wrote."""
        parts, at = [], slot * self.size
        for size in sizes:
            parts.append(self._memory[at : at + size])
            at += size
        return parts


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A pickle and, unless it holds everything, the sizes of what lies in its slot."""

    pickled: bytes
    sizes: tuple[int, ...] = ()


def _pack(slots: Slots, slot: int, thing: object) -> _Parcel:
    """Pickle ``thing``, its large parts into the slot; bytes among the arguments of a call are such parts."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    sizes = slots.write(slot, buffers)
    return _Parcel(pickled, sizes) if sizes is not None else _Parcel(pickle.dumps(thing, protocol=5))


def _unpack(slots: Slots, slot: int, parcel: _Parcel) -> Any:
    return pickle.loads(parcel.pickled, buffers=slots.read(slot, parcel.sizes))  # noqa: S301  from our own processes


_slots: list[Slots] = []
"""Those of the executor that this process, or the one it was forked from, made last."""


def _work(slot: int, parcel: _Parcel) -> _Parcel:
    """Do a piece of work, in a worker."""
    slots = _slots[-1]
    function, arguments = _unpack(slots, slot, parcel)
    return _pack(slots, slot, function(*arguments))


class SharedMemoryExecutor(Executor):
    """An executor over a pool of forked processes."""

    def __init__(self, pool: Executor, slots: Slots) -> None:
        """Use ``pool``, whose processes were forked after ``slots`` was announced by :func:`announce`."""
        self._pool = pool
        self._slots = slots

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a worker call ``fn``; both ways through a slot, or through the pool alone when none is free."""
        slot = self._slots.take() if not kwargs else None
        if slot is None:
            return self._pool.submit(fn, *args, **kwargs)
        outer: Future[T] = Future()
        try:
            large = [pickle.PickleBuffer(arg) if type(arg) is bytes else arg for arg in args]
            inner = self._pool.submit(_work, slot, _pack(self._slots, slot, (fn, large)))
        except BaseException:
            self._slots.give_back(slot)
            raise
        inner.add_done_callback(lambda done: self._deliver(done, slot, outer))
        return outer

    def _deliver(self, inner: Future[_Parcel], slot: int, outer: Future[T]) -> None:
        if not outer.set_running_or_notify_cancel():
            self._slots.give_back(slot)
            return
        try:
            outer.set_result(_unpack(self._slots, slot, inner.result()))
        except BaseException as error:  # noqa: BLE001  whoever asks for the result gets it
            outer.set_exception(error)
        finally:
            self._slots.give_back(slot)


def announce(slots: Slots) -> None:
    """Let the processes that are forked from now on use ``slots``."""
    _slots[:] = [slots]
