"""``--record`` and ``--metrics``: the release record and the metrics of a run, however it ends.

Both files are replaced atomically, even if the run fails, is stopped by a rule, or is interrupted. If they cannot be
written, a successful run ends with exit code 74, and a failed one with its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kit.cli.commands import OK, exit_code
from kit.cli.output import note_done, print_text, print_warning, require_writable
from kit.cli.paths import EXCHANGED, EXCHANGED_OR_STREAM, STREAM
from kit.errors import InterruptedRunError, KitError, UsageError
from kit.reports.text import well_formed
from kit.values import Timestamp
from kit.version import tool_commit

if TYPE_CHECKING:
    from kit.verbs.jobs import Completion
    from kit.verbs.patch.request import Output, PatchReport, PatchRequest

Command = TypeVar("Command", bound=Callable[..., Any])

DONE = "the kit is patched"
_MODE = 0o644
_MAX_RECORD_BYTES = 64 * 1024 * 1024


def recording_options(command: Command) -> Command:
    """Add ``--record`` and ``--metrics``."""
    for option in reversed(
        (
            click.option(
                "--record",
                type=EXCHANGED,
                metavar="F",
                help="Write a release record to F, even if the run fails. patch extends the record that plan wrote.",
            ),
            click.option(
                "--metrics",
                type=EXCHANGED_OR_STREAM,
                metavar="F",
                help="Write metrics to F as OpenMetrics text, even if the run fails. - is standard output.",
            ),
        )
    ):
        command = option(command)
    return command


class Recording:
    """Collects what is recorded of a run; see :func:`record_run`."""

    def __init__(self, command: str, record: Path | None, metrics: Path | None) -> None:
        from kit.reports.metrics import RunLog

        self.log = RunLog(clock=time.monotonic)
        self._command = command
        self._record = record
        self._metrics = metrics
        self._began = time.monotonic()
        self._start = Timestamp(int(time.time()))
        self._asked: tuple[PatchRequest, Output | None] | None = None
        self._known: dict[str, Any] | None = None
        self._report: PatchReport | Completion | None = None
        self._code = OK

    @property
    def takes_standard_output(self) -> bool:
        """Whether metrics go to standard output."""
        return self._metrics == STREAM

    @property
    def has_record(self) -> bool:
        """Whether a release record is written."""
        return self._record is not None

    @property
    def has_dry_run(self) -> bool:
        """Whether the record, once the run began, has a dry run of the same job."""
        return self._known is not None and self._known.get("dryRun") is not None

    @property
    def done(self) -> str:
        """What the command has done; empty for a plan."""
        return DONE if self._asked is not None and self._asked[1] is not None and self._report is not None else ""

    def begin(self, request: PatchRequest, output: Output | None = None) -> None:
        """Set what is run. From here on, the files are written.

        Raises:
            UsageError: The record is of another job.
            OutputError: A file cannot be written.
            ContentError: The existing file is not a record.
        """
        from kit.archive.source import read_small
        from kit.reports.release_record import read_record

        for path in (self._record, self._metrics):
            if path not in {None, STREAM}:
                require_writable(path)
        if self._record is not None:
            data = read_small(self._record, at_most=_MAX_RECORD_BYTES)
            migration = request.described(output.rollback_note if output is not None else None)
            self._known = read_record(data, request, migration, where=str(self._record)) if data is not None else None
        self._asked = request, output

    def end(self, report: PatchReport | Completion, code: int = OK) -> None:
        """Set the result of the run."""
        self._report, self._code = report, code

    def write(self, error: KitError | None) -> None:
        """Write the files that were asked for, if the run began.

        Raises:
            OutputError: One cannot be written.
        """
        if self._asked is None:
            return
        self.log.finish()
        code = exit_code(error) if error is not None else self._code
        if self._metrics is not None:
            self._write_metrics(self._metrics, self._asked[0], code)
        if self._record is not None:
            self._write_record(self._record, *self._asked, error, code)

    def _write_metrics(self, place: Path, request: PatchRequest, code: int) -> None:
        from kit.output import publish
        from kit.reports.metrics import RunFacts, metrics_text
        from kit.verbs.patch.request import PatchReport

        migration = request.described()
        report = self._report
        counted = report if isinstance(report, PatchReport) else None
        facts = RunFacts(
            command=self._command,
            migration=migration.id,
            migration_sha256=migration.sha256.hex,
            seconds=time.monotonic() - self._began,
            exit_code=code,
            base_bytes=counted.stored_bytes if counted is not None else None,
            output_bytes=report.output_bytes if report is not None else None,
            temp_bytes=counted.temp_bytes if counted is not None else None,
        )
        text = metrics_text(self.log, facts)
        if place == STREAM:
            print_text(text.rstrip("\n"))
        else:
            publish.replace(place, text.encode(), what="metrics", mode=_MODE)

    def _write_record(
        self, place: Path, request: PatchRequest, output: Output | None, error: KitError | None, code: int
    ) -> None:
        from kit.encryption import load
        from kit.output import publish
        from kit.reports.release_record import Attempt, release_record
        from kit.values import strict_json

        attempt = Attempt(
            command=self._command,
            start=self._start,
            end=Timestamp(int(time.time())),
            seconds=time.monotonic() - self._began,
            exit_code=code,
            report=self._report,
            error=error,
        )
        keyring = None
        if request.keying is not None and request.keying.keyring is not None:
            with suppress(KitError):  # an unreadable keyring is already the error of the run
                keyring = load(request.keying.keyring)
        document = release_record(self._known, request, output, attempt, commit=tool_commit(), keyring=keyring)
        publish.replace(place, strict_json.canonical(well_formed(document)), what="release record", mode=_MODE)


@contextmanager
def record_run(command: str, record: Path | None, metrics: Path | None, *, as_json: bool) -> Iterator[Recording]:
    """Yield the recording of a command, and write it when the command ends, however it ends.

    Raises:
        UsageError: Both the report and the metrics are for standard output.
    """
    if metrics == STREAM and as_json:
        raise click.UsageError("--metrics - and --json exclude each other: both are for standard output")
    run = Recording(command, record, metrics)
    try:
        yield run
    except BaseException as error:
        try:
            run.write(_as_kit_error(error))
        except KitError as second:
            # The first failure counts.
            print_warning(f"error: {second}")
        raise
    with note_done(run.done):
        run.write(None)


def _as_kit_error(error: BaseException) -> KitError:
    if isinstance(error, KitError):
        return error
    if isinstance(error, KeyboardInterrupt | EOFError | click.Abort):
        return InterruptedRunError("interrupted; the kit is as it was")
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    return KitError(f"internal error: {type(error).__name__}: {error}")
