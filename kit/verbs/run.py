"""The run: what every verb has in common that makes a kit in a job folder, and can be resumed.

Open what is read → lock the job folder → put on record what the run is begun with → make the new kit in the folder →
put on record that it is ready → switch names. A resumed run first checks that it is the same one, then finishes an
interrupted switch; where there was none it does what the journal leaves to do. A verb fills in what is its own.

Laws: nothing outside the job folder changes before the switch; a kit that an interrupted run finished is judged as the
run judged it, whatever the journal states, before it gets its name; the job folder stays exactly where a resumed run
can use it (:func:`kit.verbs.jobs.resumable`).
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
from kit.output.journal import READY
from kit.output.paths import BACKUP
from kit.output.switch import Switch
from kit.verbs.jobs import (
    Finished,
    Options,
    begin,
    check_options,
    interrupted_switch,
    judged_switch,
    resumable,
    unusable,
)
from kit.verbs.verify.judgement import Judgement

Source = TypeVar("Source")
"""What a run reads, opened."""
Report = TypeVar("Report")
Ended = TypeVar("Ended")
"""The report of a resumed run that only had a switch to finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(Generic[Report]):
    """What the work of a run came to."""

    report: Report
    switch: Switch | None
    """To the new kit, staged; None where no name is to change."""
    judgement: Judgement | None
    """Of the kit that the target is now, to be remembered; None where nothing is."""


class Run(ABC, Generic[Source, Report, Ended]):
    """See the module docstring; a run is started or resumed once."""

    kept_as = BACKUP
    """Suffix under which a kit that is replaced is kept."""

    def __init__(self, kit: Path, output: Path | None, *, keep_backup: bool, work_folder: Path | None) -> None:
        """Prepare a run that reads ``kit``; nothing is touched before it is started or resumed.

        Args:
            kit: The kit.
            output: Where the new kit goes; None to replace ``kit``.
            keep_backup: Whether a kit that is replaced is kept.
            work_folder: Where to work if not next to the result.
        """
        self.kit = kit
        self.target = output or kit
        self.in_place = output is None
        self.keep_backup = self.in_place and keep_backup
        self._work_folder = work_folder
        self._job: Job | None = None

    @abstractmethod
    def options(self) -> Options:
        """Return all that decides the bytes of the result, besides the kit: a resumed run must agree."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Source]:
        """Open what is read; of a new run before it has a job folder.

        Raises:
            KitError: It cannot be opened.
        """

    @abstractmethod
    def work(self, source: Source) -> RunResult[Report]:
        """Read, judge, call :meth:`begin`, and make the new kit in the job folder, as far as the journal has not.

        Raises:
            KitError: The run has failed; nothing outside the job folder was changed.
        """

    @abstractmethod
    def judge_finished(self, where: KitPlaces) -> Finished:
        """Judge a kit that an interrupted run finished: as the run does, and that it is what this run makes.

        Raises:
            KitError: It is not.
        """

    @abstractmethod
    def report_finished(self, finished: Finished, switch: Switch) -> Ended:
        """Report a run that only had a switch to finish."""

    def remember(self, judgement: Judgement) -> None:
        """Remember what the target is now, where a trust policy does."""

    def take_up(self) -> None:
        """Take from the journal what this run is to repeat, or refuse the job of another verb.

        Raises:
            KitError: It is another verb's.
        """

    def recheck(self) -> None:
        """Check what may have come in the way of a run since it was interrupted.

        Raises:
            KitError: Something has.
        """

    def settle(self, switch: Switch) -> None:
        """Finish what is left once all names are changed."""

    def foreign(self) -> KitError:
        """Return the refusal of a switch on record that this run would not have put there."""
        return unusable(self.job, "the switch on record is not one of this run")

    @property
    def job(self) -> Job:
        """The job folder; only while the run goes on."""
        if self._job is None:
            raise OutputError("the run has not begun")
        return self._job

    def start(self) -> Report:
        """Run from the beginning.

        Raises:
            OutputError: It cannot be written, or there is a job of an earlier run.
            InterruptedRunError: A signal ended the run; it can be resumed.
            KitError: As :meth:`work`.
        """
        with ExitStack() as stack:
            source = stack.enter_context(self.open())
            stack.enter_context(self._locked(resume=False))
            return self._finish(self.work(source))

    def resume(self) -> Report | Ended:
        """Continue an interrupted run, to the bytes it would have given.

        Raises:
            UsageError: There is nothing to resume, or the options differ; names those.
            DigestError: It is another kit than the run began with; names what differs.
            KitError: As :meth:`start`.
        """
        with self._locked(resume=True) as job:
            job.keep = True  # until it is certain that this is the same run
            self.take_up()
            check_options(job, self.options())
            switch = interrupted_switch(job)
            if switch is not None:
                return self._complete(switch)
            self.recheck()
            job.clear()
            with self.open() as source:
                return self._finish(self.work(source))

    def begin(self, base: Mapping[str, Any]) -> None:
        """Record what the run is begun with or, of a resumed one, check that it still reads the same kit.

        Args:
            base: What names the kit.

        Raises:
            DigestError: It is another kit; names what differs.
            OutputError: The record cannot be written.
        """
        begin(self.job, self.options(), base)
        self.job.keep = False

    @contextmanager
    def _locked(self, *, resume: bool) -> Iterator[Job]:
        with Job(self.target, resume=resume, work_folder=self._work_folder) as job, resumable(job):
            self._job = job
            yield job

    def _finish(self, made: RunResult[Report]) -> Report:
        if made.switch is not None:
            # The new kit is whole, synced and verified: from here on only names change.
            self.job.journal.write(READY, made.switch.to_json())
            perform(made.switch)
            self.settle(made.switch)
        if made.judgement is not None:
            self.remember(made.judgement)
        return made.report

    def _complete(self, switch: Switch) -> Ended:
        """Finish a switch.

        The journal names the file of the new kit, and anybody who may write a journal may write any file next to it. So
        the kit is judged as the run judged it before it was recorded, and only then gets its name.
        """
        keeps_backup = switch.in_place and switch.keep_backup  # of a new file the record may say either
        if (switch.in_place, keeps_backup, switch.kept_as) != (self.in_place, self.keep_backup, self.kept_as):
            raise self.foreign()
        finished = judged_switch(switch, self.judge_finished)
        finish(switch)
        self.settle(switch)
        self.remember(finished.judgement)
        self.job.keep = False
        return self.report_finished(finished, switch)
