"""The place where a thread that waits for others may be interrupted: :mod:`kit.waiting` reaches it between two waits.

It is a module of its own since every command handles signals, and most load nothing that waits. Law: a postponed
interrupt is raised here once, in the main thread, and nowhere within a wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final


class SafePoint:
    """The place between two waits: no lock of the library is held, so a postponed interrupt may be raised there.

    A thread that only waits is in the library's code at any other time (:mod:`kit.engine.interrupts`).
    """

    def __init__(self) -> None:
        self._raise_postponed: Callable[[], None] | None = None

    def call(self, raise_postponed: Callable[[], None]) -> None:
        """Call ``raise_postponed`` whenever this place is reached."""
        self._raise_postponed = raise_postponed

    def reach(self) -> None:
        """Raise the interrupt that was postponed, if there is one, in the main thread, which alone gets signals.

        Raises:
            KeyboardInterrupt: There is.
        """
        if self._raise_postponed is not None and threading.current_thread() is threading.main_thread():
            self._raise_postponed()


SAFE_POINT: Final = SafePoint()
"""Of this process."""
