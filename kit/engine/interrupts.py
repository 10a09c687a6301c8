"""Ctrl-C and SIGTERM: raised as ``KeyboardInterrupt`` where that does no harm, a moment later where it would.

CPython runs a signal's handler between any two bytecodes of the main thread, and some of its own library is Python
that must not be left in the middle: ``threading`` takes and gives back its locks there, so that an exception between
the two leaves one held, or gives back one twice, and the program hangs or ends in an error that is none of its own.
What is raised in a finaliser is dropped altogether. In both cases the interrupt comes again soon, by a timer, until it
is let through; after :data:`PATIENCE` it is raised wherever it falls.
"""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import Final

PATIENCE: Final = 5.0
"""Seconds for which a wait of the library's is let finish; a piece of work takes a fraction of one."""
SOON: Final = 0.01
"""Seconds until what was put off comes again."""
_LIBRARY: Final = ("threading", "concurrent.futures", "multiprocessing", "queue")


class Interrupts:
    """What becomes of a signal; one for the program."""

    def __init__(self, *, patience: float = PATIENCE, soon: float = SOON) -> None:
        """Nothing was asked yet; put off for ``patience`` seconds at most, by ``soon`` each time."""
        self._patience = patience
        self._soon = soon
        self._asked: float | None = None

    def install(self) -> None:
        """Take over SIGINT, where it is not ignored, SIGTERM, the timer, and what is raised in finalisers."""
        # Started with "&" by a shell without job control it is ignored, which is that shell's word for "not this one".
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, self.arrived)
        signal.signal(signal.SIGTERM, self.arrived)
        signal.signal(signal.SIGALRM, self.arrived)
        sys.unraisablehook = self._dropped

    def arrived(self, _number: int, frame: FrameType | None) -> None:
        """Raise, or come again.

        Raises:
            KeyboardInterrupt: Nothing of the library is left in the middle by that.
        """
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        if _within_library(frame) and now - self._asked < self._patience:
            signal.setitimer(signal.ITIMER_REAL, self._soon)
            return
        self._asked = None
        raise KeyboardInterrupt

    def forget(self) -> None:
        """Drop what was put off: all that it would have ended is done."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._asked = None

    def _dropped(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Let an interrupt that fell into a callback of the interpreter come again; anything else is told as ever."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
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
