"""Forbids sockets in this process and all it forks, so that whatever runs here is proven to need none.

CPython announces every call of the module ``socket`` to audit hooks before it is made (PEP 578), and a hook can neither
be removed nor caught by the code that is watched: what opens a socket dies.
"""

from __future__ import annotations

import os
import sys


def forbid() -> None:
    """End the process with code 99 at the first use of a socket, with a word on standard error."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        os.write(2, f"a socket was used: {event} {arguments[1:]}\n".encode("ascii", "backslashreplace"))
        os._exit(99)
