"""``--progress``: listeners that show the progress of a long run on standard error.

A display is for people, lines are for logs, JSON lines are for programs. Laws: standard output and everything that is
written are the same for every choice; a reader that goes away stops nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from kit.cli.manual import is_quiet, is_verbose
from kit.reports.text import printable

if TYPE_CHECKING:
    from kit.engine.progress import Event, Progress

Command = TypeVar("Command", bound=Callable[..., Any])
Clock = Callable[[], float]
"""Seconds, from any start."""

MODES = ("auto", "rich", "plain", "json", "none")
QUIET_DOCUMENTS = 10_000
"""Without a terminal, ``auto`` prints nothing before this many documents: a small kit is done by then."""


def progress_option(command: Command) -> Command:
    """Add ``--progress``."""
    return click.option(
        "--progress",
        "progress_mode",
        type=click.Choice(MODES),
        default="auto",
        show_default=True,
        help="How to show progress on standard error: a display, a line per batch, or JSON (schemas/progress.md).",
    )(command)


class _Closable(Protocol):
    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


@contextmanager
def show_progress(mode: str, *others: Progress) -> Iterator[Progress]:
    """Yield the listener that ``mode`` names, together with ``others``, while a command runs."""
    from kit.engine.progress import SILENCE

    shown = _listener(mode)
    listeners = [*others, *([shown] if shown is not None else [])]
    try:
        yield Listeners(listeners) if listeners else SILENCE
    finally:
        if shown is not None:
            shown.close()


def _listener(mode: str) -> _Closable | None:
    if mode == "none" or sys.stderr is None:
        return None
    if mode == "auto" and is_quiet():
        return None
    if mode == "auto" and is_verbose():
        mode = "plain"
    if mode == "auto":
        watched = sys.stderr.isatty() and os.environ.get("TERM") not in {None, "dumb", "unknown"}
        mode = "rich" if watched else "quiet"
    if mode == "json":
        return JsonLines(_to_standard_error, time.monotonic)
    if mode == "rich":
        # Imported here: it takes a tenth of a second, which no other command should pay.
        from kit.cli.display import Display, Screen
        from kit.reports.progress import expected_passes

        context = click.get_current_context(silent=True)
        passes = expected_passes(_command_words(context), context.params) if context is not None else ()
        return Display(Screen(stderr=True, highlight=False), time.monotonic, passes)
    return TextLines(_to_standard_error, time.monotonic, quiet=QUIET_DOCUMENTS if mode == "quiet" else 0)


def _command_words(context: click.Context) -> str:
    """Return the words of the command after the program's name, as in ``delta build``."""
    return context.command_path.partition(" ")[2]


class Listeners:
    """Passes events to several listeners."""

    def __init__(self, listeners: Sequence[Progress]) -> None:
        self._listeners = listeners

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        for listener in self._listeners:
            listener.tell(event)


class JsonLines:
    """Prints one JSON object per event."""

    def __init__(self, write: Callable[[str], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        from kit.reports.progress import event_json

        self._write(json.dumps(event_json(event, self._clock() - self._began)))

    def close(self) -> None:
        """Close nothing: nothing is open."""


class TextLines:
    """Prints one line of text per batch."""

    def __init__(self, write: Callable[[str], None], clock: Clock, *, quiet: int = 0) -> None:
        """Write with ``write``; hold lines back until a pass has had ``quiet`` documents, or reads without any."""
        from kit.reports.progress import PassSoFar

        self._write = write
        self._clock = clock
        self._quiet = quiet
        self._held: list[str] = []
        self._so_far = PassSoFar()
        self._batches = False

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        from kit.engine.progress import Advanced, BatchDone, PassStarted
        from kit.reports.progress import event_line

        seconds = self._clock()
        self._so_far.take(event, seconds)
        if isinstance(event, PassStarted):
            self._batches = False
        self._batches = self._batches or isinstance(event, BatchDone)
        line = event_line(event, self._so_far, seconds)
        if line is None or (isinstance(event, Advanced) and self._batches):
            return  # batches have more detail
        self._held.append(f"kit: {printable(line)}")
        if self._so_far.documents >= self._quiet or isinstance(event, Advanced):
            self._quiet = 0
        if not self._quiet:
            for held in self._held:
                self._write(held)
            self._held.clear()

    def close(self) -> None:
        """Drop the lines that were held back."""
        self._held.clear()


def _to_standard_error(line: str) -> None:
    with suppress(OSError, ValueError):
        click.echo(line, err=True)
