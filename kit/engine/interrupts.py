"""Ctrl-C and SIGTERM: raised as ``KeyboardInterrupt`` where that does no harm, a moment later where it would.

CPython runs a signal's handler between any two bytecodes of the main thread. Some of its own library is Python that
must not be left in the middle: an exception between the two steps in which ``threading`` takes and gives back a lock
leaves it held or gives it back twice, and the program hangs or ends in an unrelated error. And what is raised in a
finaliser is dropped. In both cases a timer repeats the interrupt until it is let through; after :data:`PATIENCE` it is
raised wherever it falls. A thread that waits for workers is within the library nearly always: the timer would find it
elsewhere by chance only, so it raises the interrupt itself between two waits (:mod:`kit.safe_point`).
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from kit.safe_point import SAFE_POINT

PATIENCE: Final = 5.0
"""Seconds for which a wait of the library may finish; a piece of work takes a fraction of one."""
SOON: Final = 0.01
"""Seconds until a postponed interrupt is repeated."""
_LIBRARY: Final = ("threading", "concurrent.futures", "multiprocessing", "queue")


class Interrupts:
    """Handles signals; one object for the program."""

    def __init__(
        self, *, patience: float = PATIENCE, soon: float = SOON, notice: Callable[[], None] | None = None
    ) -> None:
        """Postpone interrupts for ``patience`` seconds at most, by ``soon`` each time.

        ``notice`` is called at the first signal, at once: workers may take seconds to end.
        """
        self._notice = notice
        self._patience = patience
        self._soon = soon
        self._asked: float | None = None

    def install(self) -> None:
        """Take over SIGINT, where it is not ignored, SIGTERM, the timer, and what is raised in finalisers."""
        # Started with "&" by a shell without job control it is ignored: the shell excludes it from Ctrl-C.
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, self.handle)
        signal.signal(signal.SIGTERM, self.handle)
        signal.signal(signal.SIGALRM, self.handle)
        SAFE_POINT.call(self.raise_postponed)
        sys.unraisablehook = self._handle_dropped

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise the interrupt, or postpone it.

        Raises:
            KeyboardInterrupt: No code of the library is left in the middle by it.
        """
        if number == signal.SIGALRM and self._asked is None:
            return  # the timer's last, on its way when the interrupt was raised
        now = time.monotonic()
        if self._notice is not None and number != signal.SIGALRM:
            notice, self._notice = self._notice, None
            notice()
        if self._asked is None:
            self._asked = now
        if _within_library(frame) and now - self._asked < self._patience:
            signal.setitimer(signal.ITIMER_REAL, self._soon)
            return
        self._asked = None
        raise KeyboardInterrupt

    def raise_postponed(self) -> None:
        """Raise the interrupt if it was postponed.

        Raises:
            KeyboardInterrupt: It was.
        """
        if self._asked is not None:
            self.forget()
            raise KeyboardInterrupt

    def forget(self) -> None:
        """Drop a postponed interrupt: the work that it would have ended is done."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._asked = None

    def _handle_dropped(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Repeat an interrupt that fell into a callback of the interpreter; anything else is reported as usual."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._asked = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, self._soon)
        else:
            sys.__unraisablehook__(unraisable)


def _within_library(frame: FrameType | None) -> bool:
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.startswith(_LIBRARY):
            return True
        frame = frame.f_back
    return False
