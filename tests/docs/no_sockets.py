"""Forbids sockets in this process and all it forks, so that whatever runs here is proven to need none."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

_NAMES = ("getaddrinfo", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo")
"""What of the module asks a resolver, which opens sockets of its own."""

_METHODS = ("__init__", "bind", "connect", "connect_ex", "listen", "sendto")
"""How a socket is made, and what one that was there before could still do."""


def forbid() -> None:
    """End the process with code 99 at the first use of a socket, with a word on standard error.

    CPython announces every call of the module ``socket`` to audit hooks before it is made (PEP 578), and a hook can
    neither be removed nor caught by the code that is watched.
    """
    sys.addaudithook(_refuse)


class Watch:
    """What one process of the tests did with sockets, while somebody watched; a process that it forked dies instead.

    Not by an audit hook as above: it would stay behind in a process that measures coverage, where two threads that
    start at once then meet in ``sys.settrace`` (it asks the hooks, which may change threads) and one of them dies of
    "another trace function is being installed".
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._used: list[str] = []
        self._others: set[int | None] = set()

    @contextmanager
    def forbidden(self) -> Iterator[None]:
        """Forbid sockets to the body.

        Raises:
            AssertionError: It used one, whatever it made of the refusal.
        """
        # A thread that an earlier test left behind (that of a cluster) is not the body's.
        self._others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        self._used = []
        with ExitStack() as replaced:
            for place, names in ((socket, _NAMES), (socket.socket, _METHODS)):
                for name in names:
                    replaced.enter_context(mock.patch.object(place, name, self._noting(name, getattr(place, name))))
            yield
        assert not self._used, f"sockets were used: {self._used}"

    def _noting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() in self._others:
                return real(*arguments, **options)
            if os.getpid() != self._process:
                _refuse(f"socket.{name}", arguments)
            self._used.append(name)
            raise PermissionError(f"a socket was used: {name}")

        return noting


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        os.write(2, f"a socket was used: {event} {arguments[1:]}\n".encode("ascii", "backslashreplace"))
        os._exit(99)
