"""Forbids sockets in this process and all it forks, so that whatever runs here is proven to need none.

CPython announces every call of the module ``socket`` to audit hooks before it is made (PEP 578), and a hook can neither
be removed nor caught by the code that is watched: what opens a socket dies, or is on record.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def forbid() -> None:
    """End the process with code 99 at the first use of a socket, with a word on standard error."""
    sys.addaudithook(_refuse)


class Watch:
    """What one process of the tests did with sockets, while somebody watched; a process that it forked dies instead."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._watching = False
        self._used: list[str] = []
        self._others: set[int | None] = set()
        sys.addaudithook(self._note)

    @contextmanager
    def forbidden(self) -> Iterator[None]:
        """Forbid sockets to the body.

        Raises:
            AssertionError: It used one, whatever it made of the refusal.
        """
        # A thread that an earlier test left behind (that of a cluster) is not the body's.
        self._others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        self._watching, self._used = True, []
        try:
            yield
        finally:
            self._watching = False
        assert not self._used, f"sockets were used: {self._used}"

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        # The name of the host, which a measurement of coverage puts into those of its files, takes no socket.
        if not self._watching or not event.startswith("socket.") or event == "socket.gethostname":
            return
        if threading.get_ident() in self._others:
            return
        if os.getpid() != self._process:
            _refuse(event, arguments)
        self._used.append(_told(event, arguments))
        raise PermissionError(f"a socket was used: {_told(event, arguments)}")


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        os.write(2, f"a socket was used: {_told(event, arguments)}\n".encode("ascii", "backslashreplace"))
        os._exit(99)


def _told(event: str, arguments: tuple[object, ...]) -> str:
    return f"{event} {arguments[1:]}"
