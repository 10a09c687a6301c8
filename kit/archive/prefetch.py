"""Runs an iterator of chunks ahead in a thread, so that decompressing overlaps with whatever uses the chunks.

The decoders release the interpreter's lock while they work, as hashing and compressing do, so one thread more is one
core more. Where no thread can be had, the chunks are made when they are asked for. Laws: the chunks, their order and
the error at their end are those of the iterator; a thread that is gone is not waited for; at most ``ahead`` chunks
wait; closing the generator (or dropping it) ends the thread before it returns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import TypeVar

from kit.archive.steady import LOOK_SECONDS

T = TypeVar("T")

_AHEAD = 4


def prefetched(chunks: Iterator[T], *, ahead: int = _AHEAD) -> Iterator[T]:
    """Give ``chunks``, of which up to ``ahead`` are made in advance.

    Raises:
        KitError: What ``chunks`` raises, in its place.
        MemoryError: The thread ended without a word, as one does that gets no memory to hand its error over.
    """
    queue: Queue[tuple[T] | BaseException | None] = Queue(ahead)
    stopped = threading.Event()

    def fill() -> None:
        try:
            for chunk in chunks:
                queue.put((chunk,))
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  handed over, raised where the chunk would have been used
            queue.put(error)
        else:
            queue.put(None)

    thread = threading.Thread(target=fill, name="prefetch", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system allows no more of them
        yield from chunks
        return
    try:
        while (item := _next(queue, thread)) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()
        _end(thread, queue)


def _next(queue: Queue[tuple[T] | BaseException | None], thread: threading.Thread) -> tuple[T] | BaseException | None:
    while True:
        try:
            return queue.get(timeout=LOOK_SECONDS)
        except Empty:
            # What it put there before it ended is still there.
            if not thread.is_alive() and queue.empty():
                raise MemoryError from None


def _end(thread: threading.Thread, queue: Queue[tuple[T] | BaseException | None]) -> None:
    """Wait for a thread that was told to stop; it may wait for room, and what it has left is no longer wanted."""
    while thread.is_alive():
        while not queue.empty():
            queue.get_nowait()
        if thread is threading.current_thread():
            return  # the garbage collector ended the generator from within the thread, which now ends by itself
        thread.join(0.01)
