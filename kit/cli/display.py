"""The display of ``--progress rich``: bars on a terminal, drawn by ``rich``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from kit.engine.progress import BatchDone, Event, PassDone, PassStarted
from kit.reports.progress import PassSoFar, outcomes_text
from kit.reports.text import printable


class Screen(Console):
    """A console that survives a broken pipe; the library's own closes standard output and exits."""

    def on_broken_pipe(self) -> None:
        """Stop drawing."""
        self.quiet = True


class Display:
    """Bars on a terminal, one per pass: stage, share, remaining time, counts and speed.

    They are drawn only on an event, on the thread that reports it. A thread of its own would disturb the workers that a
    later pass forks.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._so_far = PassSoFar()
        self._bars: Bars | None = None
        self._task = TaskID(0)
        self._outcomes: dict[tuple[str, str, str], int] = {}

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        self._so_far.take(event, self._clock())
        with suppress(OSError, ValueError):  # the terminal went away; the run continues
            if isinstance(event, PassStarted):
                self._begin(event)
            elif self._bars is not None:
                self._advance(self._bars, event)

    def close(self) -> None:
        """Leave the terminal as it was."""
        bars, self._bars = self._bars, None
        if bars is not None:
            with suppress(OSError, ValueError):
                bars.stop()

    def _begin(self, event: PassStarted) -> None:
        self.close()
        self._outcomes = {}
        columns = (
            _TextColumn("stage"),
            BarColumn(bar_width=20),
            _TextColumn("share"),
            TimeRemainingColumn(),
            _TextColumn("detail"),
        )
        self._bars = Bars(*columns, console=self._console, auto_refresh=False, get_time=self._clock)
        self._bars.start()
        self._task = self._bars.add_task("", total=event.total, stage=event.stage.value, share="", detail="")
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
            detail=self._detail(member) if isinstance(event, BatchDone | PassDone) else bars.tasks[0].fields["detail"],
        )
        bars.refresh()
        if isinstance(event, PassDone):
            self.close()

    def _detail(self, member: str) -> str:
        rate = self._so_far.rate(self._clock())
        speed = f" {rate:,.0f} docs/s" if rate is not None and self._so_far.documents else ""
        count = f"{self._so_far.documents:,} documents" if self._so_far.documents else ""
        outcomes = outcomes_text(self._outcomes) if self._outcomes else ""
        return f"{member + ' ' if member else ''}{count}{speed}{outcomes}"


class _TextColumn(ProgressColumn):
    """A field of the task as plain text: names in a kit are neither markup nor control sequences."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, task: Task) -> Text:
        """Return the field."""
        return Text(printable(str(task.fields[self._name])), no_wrap=True, overflow="ellipsis")
