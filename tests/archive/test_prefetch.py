from __future__ import annotations

import threading
from collections.abc import Iterator

from kit.archive.source import prefetch


def test_a_reader_that_is_dropped_within_its_own_thread_ends_it() -> None:
    # The collector runs in whatever thread allocates, so it may be the one that the reader would wait for.
    held: list[Iterator[bytes]] = []
    dropped, thread = threading.Event(), []

    def chunks() -> Iterator[bytes]:
        yield b"first"
        thread.append(threading.current_thread())
        dropped.wait(10)
        held.clear()
        for _ in range(100):
            yield b"more"

    held.append(prefetch(chunks()))
    assert next(held[0]) == b"first"
    dropped.set()
    while not thread:
        threading.Event().wait(0.001)
    thread[0].join(10)
    assert not thread[0].is_alive()
