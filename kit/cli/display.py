"""The display of ``--progress rich``: bars on a terminal, drawn by ``rich``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from kit.engine.progress import BatchDone, Event, PassDone, PassStarted
from kit.reports.progress import PassSoFar, RunSoFar, outcomes_text
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

    def __init__(self, console: Console, clock: Callable[[], float], passes: tuple[str, ...] = ()) -> None:
        """Draw on ``console``; ``passes`` are the stages that the command is to go through, if they are known."""
        self._console = console
        self._run = RunSoFar(passes) if passes else None
        self._clock = clock
        self._so_far = PassSoFar()
        self._bars: Bars | None = None
        self._task = TaskID(0)
        self._outcomes: dict[tuple[str, str, str], int] = {}

    def tell(self, event: Event) -> None:
        """See :class:`kit.engine.progress.Progress`."""
        seconds = self._clock()
        self._so_far.take(event, seconds)
        if self._run is not None:
            self._run.take(event, self._so_far.ratio, seconds)
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
            *([TimeRemainingColumn()] if self._run is None else [_TextColumn("left")]),
            _TextColumn("detail"),
        )
        self._bars = Bars(*columns, console=self._console, auto_refresh=False, get_time=self._clock)
        self._bars.start()
        stage = event.stage.value if self._run is None else f"{event.stage.value} {self._run.place}"
        total = event.total if self._run is None else 1.0
        self._task = self._bars.add_task("", total=total, stage=stage, share="", left="", detail="")
        self._bars.refresh()

    def _advance(self, bars: Bars, event: Event) -> None:
        if isinstance(event, BatchDone):
            for key, count in event.outcomes.items():
                self._outcomes[key] = self._outcomes.get(key, 0) + count
        ratio = self._so_far.ratio
        member = event.member.rpartition("/")[2] if isinstance(event, BatchDone) else ""
        left = None
        if self._run is not None:
            ratio, left = self._run.share, self._run.left(self._clock())
        bars.update(
            self._task,
            completed=self._so_far.read if self._run is None else self._run.share,
            left=f"{int(left) // 60}:{int(left) % 60:02} left" if left is not None else "",
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
