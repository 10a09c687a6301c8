"""Resumable runs: the recorded options, the identity check on ``--resume``, and what a failure leaves behind.

A job is resumed only with the options that decide its bytes and on the kit it read; the error names what
differs, and the job stays. A failure that may pass (disk, memory, a signal) leaves the job. A failure of the content or
the options removes it, since the same run would fail again: schemas/journal.md "What a failure leaves".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.archive.read.proven import Proven
from kit.archive.read.reader import Container
from kit.archive.write.folder import FolderDestination
from kit.archive.write.tar import ArchiveDestination, CountingDestination, Destination
from kit.errors import DigestError, InterruptedRunError, KitError, ManifestError, OutputError, UsageError
from kit.output.commit import KitPlaces, find_kits, put_back
from kit.output.job import Job
from kit.output.journal import BEGIN, FORMAT, JUDGED, RESTART, BeginRecord, JudgedRecord
from kit.output.paths import absolute
from kit.output.spool import Spool
from kit.output.switch import Switch, has_begun
from kit.values import Codec, MemberPath, Sha256, Timestamp
from kit.values.fields import ManifestFields
from kit.verbs.verify.judgement import Judgement
from kit.verbs.verify.kits import Environment
from kit.version import TOOL, VERSION

if TYPE_CHECKING:
    from kit.delta.model import ArchiveComparison

_CODECS = {
    Container.FOLDER: Codec.NONE,
    Container.TAR: Codec.NONE,
    Container.TAR_GZIP: Codec.GZIP,
    Container.TAR_ZSTD: Codec.ZSTD,
}
_RESUME = "continue with the same command and --resume, or give it up with --abandon"
_SHOWN = 3

Options = Mapping[str, Any]
"""What decides the bytes of a result besides its input, by the names that users know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A kit that an interrupted run finished, read and judged again; nothing of it comes from the journal."""

    judgement: Judgement
    stored_bytes: int | None
    replaced: int | None = None
    """Generation of the kit that it replaces; None where it replaces none."""
    copied: bool = False
    """Whether it is the base, byte for byte."""
    archive: ArchiveComparison | None = None
    """Of a delta: the container compared with the one that the publisher had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a resumed run did that found the new kit finished and at most had to rename."""

    kit: Path
    output: Path
    output_bytes: int | None
    output_sha256: Sha256 | None
    generation: int | None
    """None where nothing had to change and the kit was copied."""
    manifest_sha256: Sha256 | None
    signed_by: tuple[str, ...]
    backup: Path | None
    judgement: Judgement
    archive: ArchiveComparison | None = None
    """As in :class:`Finished`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandonment:
    """The job that was removed; None where there was none."""

    job: Path | None


def backup_option(place: Path | None, *, keeps: bool) -> bool | str:
    """Return what a journal has of the backup: whether there is one, or the place that the user named."""
    return absolute(place) if keeps and place is not None else keeps


def codec_of(container: Container) -> Codec:
    """Return the codec of a container's frames."""
    return _CODECS[container]


def check_options(job: Job, options: Options) -> None:
    """Check that a job is resumed with the options with which it began.

    Raises:
        UsageError: Options differ; names each, as it was and as it is.
    """
    begun = job.journal.begun
    if begun is None:
        return
    was, now = begun.options, dict(options)
    differing = [name for name in now if name not in was or was[name] != now[name]]
    if (begun.format, begun.tool, begun.version) != (FORMAT, TOOL, VERSION):
        raise UsageError(
            f"the interrupted run was begun by {begun.tool} {begun.version}, this is {TOOL} {VERSION}",
            where=str(job.named),
            hint="continue it with that version, or give it up with --abandon",
        )
    if differing:
        raise UsageError(
            "the interrupted run was begun with other options: "
            + "; ".join(f"{name} was {_describe(was.get(name))}, is {_describe(now[name])}" for name in differing),
            where=str(job.named),
            hint="--resume with the same options, or give it up with --abandon",
        )


def begin(job: Job, options: Options) -> None:
    """Record the options with which a job begins, if it has not begun.

    Raises:
        OutputError: The record cannot be written.
    """
    if job.journal.begun is None:
        this = BeginRecord(format=FORMAT, tool=TOOL, version=VERSION, options=options)
        job.journal.write(BEGIN, this.to_json())


def record_judged(job: Job, base: Mapping[str, Any]) -> None:
    """Record the kit that a job judged or, of a job that had judged it, check that the kit is still the same.

    Raises:
        DigestError: The kit is another one; names what differs.
        OutputError: The record cannot be written.
    """
    judged = job.journal.judged
    if judged is None:
        job.journal.write(JUDGED, JudgedRecord(base=base).to_json())
        return
    was = judged.base
    differing = [name for name in base if _differs(name, was.get(name), base[name])]
    if differing:
        changes = "; ".join(f"{name} {_difference(was.get(name), base[name])}" for name in differing)
        raise DigestError(
            f"is not the kit that the interrupted run read: {changes}",
            where=str(job.target),
            hint="put the right one there and --resume, or give the run up with --abandon",
        )


def _differs(name: str, was: Any, now: Any) -> bool:
    # A keyring may have gained keys since; those that the run seals with must still be in it.
    if name == "dataKeys" and isinstance(was, list):
        return any(key not in now for key in was)
    return bool(was != now)


def _difference(was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        return f"differ in {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
    if isinstance(was, list):
        return "are no longer those of the keyring"
    return f"was {_describe(was)}, is {_describe(now)}"


def _describe(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_describe(item) for item in value)
    if isinstance(value, dict):
        return " ".join(map(_describe, value.values()))
    return (
        "not given" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    )


class JournaledPasses:
    """Opens the destination of each pass of a job, with what an earlier process wrote of it."""

    def __init__(
        self,
        job: Job,
        container: Container,
        environment: Environment,
        *,
        mode: int,
        most: int = 0o777,
        proves: bool = False,
    ) -> None:
        """Write into the folder of ``job``.

        Args:
            job: The job.
            container: The container to write.
            environment: How to work.
            mode: The widest mode of the archive or of the folder's root.
            most: The widest mode of anything in a folder.
            proves: Whether to prove frames, for :meth:`proven`.
        """
        self._job = job
        self._container = container
        self._mode, self._most = mode, most
        self._proves = proves
        self._checkpoint_bytes = environment.checkpoint_bytes
        self._spool: Spool | None = None
        self._made: ArchiveDestination | FolderDestination | None = None

    @property
    def destination(self) -> ArchiveDestination | FolderDestination:
        """The destination of the latest pass."""
        if self._made is None:
            raise OutputError("nothing was written")
        return self._made

    def first(self) -> Destination:
        """Open the destination of the first pass, with what an earlier process wrote.

        If the job is in its second pass, the first writes nothing and only collects its results again.
        """
        return self._make() if self._job.journal.restarted is None else CountingDestination(codec=Codec.NONE)

    def second(self) -> Destination:
        """Record that the first pass is over, which voids its frames, and open the destination of the second."""
        if self._job.journal.restarted is None:
            self.release()
            self._job.journal.write(RESTART, {})
        return self._make()

    def proven(self, digests: Mapping[MemberPath, tuple[Sha256, int]]) -> Proven | None:
        """Return what is known of the assembled archive; None where frames are not proven.

        Args:
            digests: As in :meth:`kit.archive.write.tar.ArchiveDestination.proven`.
        """
        made = self._made
        return made.proven(digests) if isinstance(made, ArchiveDestination) and made.proves else None

    def release(self) -> None:
        """Record the finished work, as far as the disk permits, and close what is open, however the pass ended."""
        if self._made is not None:
            with suppress(OSError, ValueError):  # closed already, or the disk is what failed
                if self._spool is not None:
                    self._spool.sync()
            self._made.release()

    def _make(self) -> Destination:
        folder = self._job.folder
        if self._container is Container.FOLDER:
            self._made = FolderDestination(folder, mode=self._mode, most=self._most)
        else:
            self._spool = Spool(folder, self._job.journal, checkpoint_bytes=self._checkpoint_bytes)
            self._made = ArchiveDestination(
                *(folder, self._spool), codec=codec_of(self._container), mode=self._mode, proves=self._proves
            )
        return self._made


@contextmanager
def keep_if_resumable(job: Job) -> Iterator[None]:
    """Decide whether a failure of the body leaves ``job``, and name ``--resume`` in its hint if so.

    Raises:
        InterruptedRunError: A signal ended the body.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        what = "interrupted; the kit is as it was"
        if job.journal.ready is not None:
            what = "interrupted while the new kit was put in its place"
        job.keep = True
        raise InterruptedRunError(what, where=str(job.target), hint=_RESUME) from error
    except KitError as error:
        # Frames of a base that nobody has judged are not worth another try by themselves.
        saved = (job.journal.frames and job.journal.judged is not None) or job.journal.ready is not None
        if not job.keep and saved and (job.journal.ready is not None or is_transient(error)):
            job.keep = True
            error.hint = f"what is finished is kept: when the cause is gone, {_RESUME}"
        raise


def is_transient(error: BaseException | None) -> bool:
    """Return whether the machine failed, not the content, so that another try may succeed."""
    seen: list[BaseException] = []
    # An error that is raised again "from" itself, with more of its place, is its own cause.
    while error is not None and error not in seen:
        seen.append(error)
        if isinstance(error, OSError | sqlite3.Error | BrokenExecutor | MemoryError):
            return not isinstance(error, FileExistsError)
        error = error.__cause__
    return False


def interrupted_switch(job: Job) -> Switch | None:
    """Return the switch of a job whose new kit is finished; None where it is not.

    Raises:
        OutputError: The record of the switch is not one that a run writes.
    """
    record = job.journal.ready
    if record is None:
        return None
    try:
        return Switch.of(job.stage, job.place, record.body)
    except ManifestError as error:
        raise unusable(job, error) from error


def completion(finished: Finished, *, kit: Path, output: Path, backup: Path | None) -> Completion:
    """Return what a resumed run from ``kit`` to ``output`` did that only had a switch to finish."""
    judgement, manifest = finished.judgement, finished.judgement.manifest
    changed = manifest if not finished.copied else None
    return Completion(
        kit=kit,
        output=output,
        output_bytes=finished.stored_bytes,
        output_sha256=judgement.archive,
        generation=changed.generation if changed is not None else None,
        manifest_sha256=changed.sha256 if changed is not None else None,
        signed_by=judgement.signers if changed is not None else (),
        backup=backup,
        judgement=judgement,
        archive=finished.archive,
    )


def judge_switch(switch: Switch, judge: Callable[[KitPlaces], Finished]) -> Finished:
    """Judge the finished kit of an interrupted switch, wherever it is.

    Raises:
        KitError: The kit is refused, and no name was changed.
    """
    where = find_kits(switch)
    try:
        finished = judge(where)
        archive = finished.judgement.archive
        if archive is not None and archive != switch.new_digest:
            raise DigestError("changed while it was read", where=str(where.new))
    except KitError as error:
        error.hint = error.hint or "nothing was changed; give the run up with --abandon, and begin it again"
        raise error.inside("the kit that the interrupted run recorded as finished") from error.__cause__
    return finished


def recorded_time(job: Job) -> Timestamp | None:
    """Return the recorded time of the generation that a job makes; None where nothing is recorded.

    Raises:
        OutputError: The recorded options have no time.
    """
    begun = job.journal.begun
    if begun is None:
        return None
    try:
        return ManifestFields.of(dict(begun.options), "options").timestamp("createdAt")
    except ManifestError as error:
        raise unusable(job, error) from error


def unusable(job: Job, why: object) -> OutputError:
    """Return the error for a job whose journal no run of this program wrote."""
    return OutputError(
        f"its journal was not written by this program: {why}",
        where=str(job.named),
        hint="give the run up with --abandon, and begin it again",
    )


def abandon(target: Path, work_folder: Path | None = None) -> Abandonment:
    """Remove the job of an interrupted run on ``target``; the kit is as it was before that run.

    Raises:
        OutputError: A live process works in the job.
        UsageError: The switch to the new kit has begun, so the run can only be finished.
    """
    job = Job(target, resume=True, work_folder=work_folder)
    if not job.exists:
        return Abandonment(job=None)
    with job:
        job.keep = True
        try:
            switch = interrupted_switch(job)
        except OutputError:
            switch = None  # no run wrote that journal, so no run owns the names around it
        if switch is not None and has_begun(switch) and not put_back(switch):
            raise UsageError(
                "the switch to the new kit has begun, so the run can only be finished",
                where=str(target),
                hint="the same command with --resume finishes it; the old kit is then its backup, unless --no-backup",
            )
        job.keep = False
    return Abandonment(job=job.named)
