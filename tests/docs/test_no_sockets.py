"""What watches over the tests of tests/end_to_end notices a socket, in each way to use one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import pytest

from tests.docs.no_sockets import Watch


def in_a_thread() -> None:
    thread = Thread(target=lambda: _swallowed(socket.socket))
    thread.start()
    thread.join()


def _swallowed(use: Callable[[], object]) -> None:
    with suppress(PermissionError):
        use()


@pytest.mark.parametrize(
    "use",
    [
        lambda: _swallowed(socket.socket),
        lambda: _swallowed(lambda: socket.getaddrinfo("localhost", 80)),
        in_a_thread,
    ],
    ids=["socket", "name", "thread"],
)
def test_a_socket_is_noticed_whatever_is_made_of_the_refusal(use: Callable[[], None]) -> None:
    watch = Watch()
    with pytest.raises(AssertionError, match="sockets were used"), watch.forbidden():
        use()


def test_a_process_that_is_forked_dies_of_it() -> None:
    with Watch().forbidden():
        child = os.fork()
        if not child:
            with suppress(BaseException):
                socket.socket()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 99


def test_a_socket_that_was_there_before_is_not_used() -> None:
    watch = Watch()
    with (
        socket.socket() as there,
        pytest.raises(AssertionError, match=r"sockets were used: \['connect'\]"),
        watch.forbidden(),
    ):
        _swallowed(lambda: there.connect(("127.0.0.1", 9)))


def test_afterwards_sockets_are_what_they_were() -> None:
    before = dict(vars(socket.socket)), socket.getaddrinfo
    with Watch().forbidden():
        pass
    assert (dict(vars(socket.socket)), socket.getaddrinfo) == before
