"""The run: the steps shared by every verb that makes a kit in a job folder and can be resumed.

Open the input → lock the job folder → record what the run begins with → make the new kit in the folder → record that it
is ready → switch names. A resumed run first checks that it is the same one. Then it finishes an interrupted switch or,
without one, the work that the journal lacks. Each verb supplies the steps that are its own.

Laws: nothing outside the job folder changes before the switch; a kit that an interrupted run finished is judged again,
as that run judged it, before it gets its name, whatever the journal states; the job folder stays exactly when a resumed
run can use it (:func:`kit.verbs.jobs.keep_if_resumable`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from kit.errors import KitError, OutputError
from kit.output.commit import KitPlaces, finish, perform
from kit.output.job import Job
from kit.output.journal import ASKED, READY, Asked
from kit.output.paths import BACKUP, absolute, backup_path, numbered
from kit.output.switch import Switch, require_backup_free
from kit.verbs.jobs import (
    Finished,
    Options,
    begin,
    check_options,
    interrupted_switch,
    judge_switch,
    keep_if_resumable,
    record_judged,
    unusable,
)
from kit.verbs.verify.judgement import Judgement

Source = TypeVar("Source")
"""The input of a run, opened."""
Report = TypeVar("Report")
Ended = TypeVar("Ended")
"""The report of a resumed run that only had a switch to finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(Generic[Report]):
    """The result of a run's work."""

    report: Report
    switch: Switch | None
    """The switch to the new kit, which is staged; None where no name changes."""
    judgement: Judgement | None
    """The judgement to remember, of the kit that the target is now; None where nothing is remembered."""


class Run(ABC, Generic[Source, Report, Ended]):
    """See the module docstring; a run is started or resumed once."""

    keeps = BACKUP
    """Suffix under which a kit that is replaced is kept, before its generation."""

    def __init__(
        self,
        kit: Path,
        output: Path | None,
        *,
        keep_backup: bool,
        work_folder: Path | None,
        backup: Path | None = None,
    ) -> None:
        """Prepare a run that reads ``kit``; nothing is opened before it is started or resumed.

        Args:
            kit: The kit.
            output: Where the new kit goes; None to replace ``kit``.
            keep_backup: Whether a kit that is replaced is kept.
            work_folder: Where to work if not next to the result.
            backup: Where a kit that is replaced is kept, if not next to it.
        """
        self.kit = kit
        self._backup_place = backup
        self.target = output or kit
        self.in_place = output is None
        self.keep_backup = self.in_place and keep_backup
        self._work_folder = work_folder
        self._job: Job | None = None

    @abstractmethod
    def options(self) -> Options:
        """Return all that decides the bytes of the result besides the kit; those of a resumed run must be equal."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Source]:
        """Open the input; a new run has no job folder yet.

        Raises:
            KitError: The input cannot be opened.
        """

    @abstractmethod
    def work(self, source: Source) -> RunResult[Report]:
        """Read, judge, call :meth:`begin`, and make what the journal lacks of the new kit in the job folder.

        Raises:
            KitError: The run has failed; nothing outside the job folder was changed.
        """

    @abstractmethod
    def judge_finished(self, where: KitPlaces) -> Finished:
        """Judge a kit that an interrupted run finished as this run would, and check that this run makes it.

        Raises:
            KitError: The kit is refused, or is not what this run makes.
        """

    @abstractmethod
    def report_finished(self, finished: Finished, switch: Switch) -> Ended:
        """Report a run that only had a switch to finish."""

    def remember(self, judgement: Judgement) -> None:
        """Record what the target is now in the state of a trust policy, if there is one."""

    def asked(self) -> Asked | None:
        """Return the options of the command, to be recorded from the start; None if the library was called."""
        return None

    def take_up(self) -> None:
        """Read from the journal what this run must repeat, and check that the job is of this verb.

        Raises:
            KitError: The job is another verb's.
        """

    def recheck(self) -> None:
        """Check that nothing prevents the run since it was interrupted.

        Raises:
            KitError: Something does.
        """

    def settle(self, switch: Switch) -> None:
        """Finish what remains after all names are changed."""

    def foreign(self) -> KitError:
        """Return the error for a recorded switch that this run would not have written."""
        return unusable(self.job, "the recorded switch is not one of this run")

    def kept_as(self, generation: int) -> str:
        """Return the suffix or the path under which the kit that is replaced, of that generation, is kept."""
        if self._backup_place is not None:
            return absolute(self._backup_place)
        return numbered(self.keeps, generation)

    def kept_path(self, generation: int) -> Path | None:
        """Return where the kit that is replaced is kept, as the user knows it; None where it is not."""
        if not self.keep_backup:
            return None
        return self._backup_place or backup_path(self.kit, self.kept_as(generation))

    def require_kept_free(self, generation: int) -> None:
        """Refuse another file where the kit that is replaced is to be kept.

        Raises:
            OutputError: There is one, or no kit can be kept there.
        """
        if self.keep_backup:
            require_backup_free(self.kit, self.kept_as(generation))

    @property
    def job(self) -> Job:
        """The job folder; only during the run."""
        if self._job is None:
            raise OutputError("the run has not begun")
        return self._job

    def start(self) -> Report:
        """Run from the beginning.

        Raises:
            OutputError: The output cannot be written, or there is a job of an earlier run.
            InterruptedRunError: A signal ended the run; it can be resumed.
            KitError: As :meth:`work`.
        """
        with ExitStack() as stack:
            source = stack.enter_context(self.open())
            stack.enter_context(self._lock(resume=False))
            self._record_asked()
            return self._finish(self.work(source))

    def resume(self) -> Report | Ended:
        """Continue an interrupted run; the result has the same bytes as without the interruption.

        Raises:
            UsageError: There is nothing to resume, or options differ; names those.
            DigestError: The kit is not the one with which the run began; names what differs.
            KitError: As :meth:`start`.
        """
        with self._lock(resume=True) as job:
            job.keep = True  # until it is certain that this is the same run
            self.take_up()
            check_options(job, self.options())
            switch = interrupted_switch(job)
            if switch is not None:
                return self._complete(switch)
            self.recheck()
            job.clear()
            self._record_asked()
            with self.open() as source:
                return self._finish(self.work(source))

    def begin(self, base: Mapping[str, Any]) -> None:
        """Record what the run begins with or, when it is resumed, check that it still reads the same kit.

        Args:
            base: What identifies the kit, which was judged.

        Raises:
            DigestError: The kit is another one; names what differs.
            OutputError: The record cannot be written.
        """
        begin(self.job, self.options())
        record_judged(self.job, base)
        self.job.keep = False

    def _record_asked(self) -> None:
        asked, journal = self.asked(), self.job.journal
        if asked is not None and journal.asked is None and journal.begun is None:
            journal.write(ASKED, asked.to_json())

    @contextmanager
    def _lock(self, *, resume: bool) -> Iterator[Job]:
        with Job(self.target, resume=resume, work_folder=self._work_folder) as job, keep_if_resumable(job):
            self._job = job
            yield job

    def _finish(self, made: RunResult[Report]) -> Report:
        if made.switch is not None:
            # The new kit is complete, synced and verified: from here on only names change.
            self.job.journal.write(READY, made.switch.to_json())
            perform(made.switch)
            self.settle(made.switch)
        if made.judgement is not None:
            self.remember(made.judgement)
        return made.report

    def _complete(self, switch: Switch) -> Ended:
        """Finish a switch.

        The journal names the file of the new kit, and anybody who can write a journal can write any file next to it. So
        the kit is judged again as it was before it was recorded, and only then gets its name.
        """
        keeps_backup = switch.in_place and switch.keep_backup  # for a new file the record may have either
        is_own = self._backup_place is not None or switch.kept_as.startswith(f"{self.keeps}.") or not keeps_backup
        if (switch.in_place, keeps_backup, is_own) != (self.in_place, self.keep_backup, True):
            raise self.foreign()
        finished = judge_switch(switch, self.judge_finished)
        if keeps_backup and (finished.replaced is None or switch.kept_as != self.kept_as(finished.replaced)):
            raise self.foreign()
        finish(switch)
        self.settle(switch)
        self.remember(finished.judgement)
        self.job.keep = False
        return self.report_finished(finished, switch)
