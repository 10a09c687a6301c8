"""``--progress``: who is told of a long run, on standard error, and how.

A display where a person watches, lines where a log is kept, JSON lines where a machine reads. Laws: standard output and
everything that is written stay the same whatever is chosen; a listener that goes away stops nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from kit.engine.progress import SILENCE, Advanced, BatchDone, Event, PassDone, PassStarted, Progress
from kit.reports.progress import PassSoFar, event_json, event_line, outcomes_text
from kit.reports.spelling import printable

Command = TypeVar("Command", bound=Callable[..., Any])
Clock = Callable[[], float]
"""Seconds, from any start."""

MODES = ("auto", "rich", "plain", "json", "none")
QUIET_DOCUMENTS = 10_000
"""``auto`` says nothing where there is no terminal, until a run has looked at so many: a small kit is done before."""


def progress_option(command: Command) -> Command:
    """--progress."""
    return click.option(
        "--progress",
        "progress_mode",
        type=click.Choice(MODES),
        default="auto",
        show_default=True,
        help="How to tell, on standard error, what is done: a display, a line a batch, or JSON (schemas/progress.md).",
    )(command)


class _Closable(Progress, Protocol):
    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


@contextmanager
def progressing(mode: str, *others: Progress) -> Iterator[Progress]:
    """Give the listener that ``mode`` names, and ``others`` with it, for the time of a command."""
    shown = _listener(mode)
    listeners = [*others, *([shown] if shown is not None else [])]
    try:
        yield Several(listeners) if listeners else SILENCE
    finally:
        if shown is not None:
            shown.close()


def _listener(mode: str) -> _Closable | None:
    if mode == "none" or sys.stderr is None:
        return None
    if mode == "auto":
        watched = sys.stderr.isatty() and os.environ.get("TERM") not in {None, "dumb", "unknown"}
        mode = "rich" if watched else "quiet"
    if mode == "json":
        return JsonLines(_to_standard_error, time.monotonic)
    if mode == "rich":
        return Display(Screen(stderr=True, highlight=False), time.monotonic)
    return Lines(_to_standard_error, time.monotonic, quiet=QUIET_DOCUMENTS if mode == "quiet" else 0)


class Several:
    """Tells each of several listeners."""

    def __init__(self, listeners: Sequence[Progress]) -> None:
        self._listeners = listeners

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        for listener in self._listeners:
            listener.tell(event)


class JsonLines:
    """One JSON object a line."""

    def __init__(self, write: Callable[[str], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        self._write(json.dumps(event_json(event, self._clock() - self._began)))

    def close(self) -> None:
        """Nothing is open."""


class Lines:
    """One line of text a batch."""

    def __init__(self, write: Callable[[str], None], clock: Clock, *, quiet: int = 0) -> None:
        """Write with ``write``; hold lines back until a pass has had ``quiet`` documents, or reads on and on."""
        self._write = write
        self._clock = clock
        self._quiet = quiet
        self._held: list[str] = []
        self._so_far = PassSoFar()
        self._batches = False

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        seconds = self._clock()
        self._so_far.take(event, seconds)
        if isinstance(event, PassStarted):
            self._batches = False
        self._batches = self._batches or isinstance(event, BatchDone)
        line = event_line(event, self._so_far, seconds)
        if line is None or (isinstance(event, Advanced) and self._batches):
            return  # batches tell more
        self._held.append(f"kit: {printable(line)}")
        if self._so_far.documents >= self._quiet or isinstance(event, Advanced):
            self._quiet = 0
        if not self._quiet:
            for held in self._held:
                self._write(held)
            self._held.clear()

    def close(self) -> None:
        """Drop what was not worth telling."""
        self._held.clear()


class Screen(Console):
    """A console whose going away ends nothing: the library's own closes standard output and exits."""

    def on_broken_pipe(self) -> None:
        """Draw no more."""
        self.quiet = True


class Display:
    """Bars on a terminal, one a pass: what is done, of whom, how fast, how long still.

    Drawn only when something happened, on the thread that tells of it: a thread of its own would be in the way of the
    workers that a later pass forks.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._so_far = PassSoFar()
        self._bars: Bars | None = None
        self._task = TaskID(0)
        self._outcomes: dict[tuple[str, str, str], int] = {}

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        self._so_far.take(event, self._clock())
        with suppress(OSError, ValueError):  # the terminal went away; the run goes on
            if isinstance(event, PassStarted):
                self._begin(event)
            elif self._bars is not None:
                self._advance(self._bars, event)

    def close(self) -> None:
        """See :class:`_Closable`."""
        bars, self._bars = self._bars, None
        if bars is not None:
            with suppress(OSError, ValueError):
                bars.stop()

    def _begin(self, event: PassStarted) -> None:
        self.close()
        self._outcomes = {}
        columns = (_Words("stage"), BarColumn(bar_width=20), _Words("share"), TimeRemainingColumn(), _Words("told"))
        self._bars = Bars(*columns, console=self._console, auto_refresh=False, get_time=self._clock)
        self._bars.start()
        self._task = self._bars.add_task("", total=event.total, stage=event.stage.value, share="", told="")
        self._bars.refresh()

    def _advance(self, bars: Bars, event: Event) -> None:
        if isinstance(event, BatchDone):
            for key, count in event.outcomes.items():
                self._outcomes[key] = self._outcomes.get(key, 0) + count
        ratio = self._so_far.ratio
        member = event.member.rpartition("/")[2] if isinstance(event, BatchDone) else ""
        bars.update(
            self._task,
            completed=self._so_far.read,
            share=f"{ratio:.0%}" if ratio is not None else "",
            told=self._told(member) if isinstance(event, BatchDone | PassDone) else bars.tasks[0].fields["told"],
        )
        bars.refresh()
        if isinstance(event, PassDone):
            self.close()

    def _told(self, member: str) -> str:
        rate = self._so_far.rate(self._clock())
        speed = f" {rate:,.0f} docs/s" if rate is not None and self._so_far.documents else ""
        count = f"{self._so_far.documents:,} documents" if self._so_far.documents else ""
        outcomes = outcomes_text(self._outcomes) if self._outcomes else ""
        return f"{member + ' ' if member else ''}{count}{speed}{outcomes}"


class _Words(ProgressColumn):
    """A field of the task as plain text: names in a kit are no markup, and nothing in them is obeyed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, task: Task) -> Text:
        """Give the field."""
        return Text(printable(str(task.fields[self._name])), no_wrap=True, overflow="ellipsis")


def _to_standard_error(line: str) -> None:
    with suppress(OSError, ValueError):
        click.echo(line, err=True)
