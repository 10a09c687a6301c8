"""A run that can be gone on with: what it was begun with, whether this is still that run, and what a failure leaves.

A job is resumed only with the options that decide its bytes and on the kit it read; what differs is said, and the job
stays. Failures that another try may not meet (the disk, the memory, a signal) leave the job; those of the content or
the options end it, since the same run would fail the same way again: schemas/journal.md "What a failure leaves".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.archive import (
    ArchiveDestination,
    Container,
    Destination,
    FolderDestination,
    Job,
    Spool,
    Switch,
    finish,
    has_begun,
    retreat,
)
from kit.archive.journal import BEGIN, FORMAT, READY, RESTART
from kit.engine.changes import Rewrite
from kit.engine.notes import pass_note, rewrite_of
from kit.errors import DigestError, InterruptedRunError, KitError, OutputError, UsageError
from kit.ops.kits import Environment
from kit.values import Codec, CollectionMember, MemberPath, Sha256
from kit.version import TOOL, VERSION

_CODECS = {
    Container.FOLDER: Codec.NONE,
    Container.TAR: Codec.NONE,
    Container.TAR_GZIP: Codec.GZIP,
    Container.TAR_ZSTD: Codec.ZSTD,
}
_RESUME = "continue with the same command and --resume, or give it up with --abandon"
_SHOWN = 3

Options = Mapping[str, Any]
"""What decides the bytes of a result besides its input, by the name a user knows it by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a resumed run did that found the new kit finished, and at most its names left to change."""

    kit: Path
    output: Path
    output_bytes: int | None
    output_sha256: Sha256 | None
    generation: int | None
    """None where nothing had to be changed and the kit was copied."""
    manifest_sha256: Sha256 | None
    signed_by: tuple[str, ...]
    backup: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandonment:
    """What was given up; None where there was nothing."""

    job: Path | None


def codec_of(container: Container) -> Codec:
    """Name the codec of a container's frames."""
    return _CODECS[container]


def check_options(job: Job, options: Options) -> None:
    """Refuse to go on with a job under other options than it was begun with.

    Raises:
        UsageError: Names each option that differs, as it was and as it is.
    """
    begun = job.journal.begun
    if begun is None:
        return
    made_by = {"format": begun.body["format"], **begun.body["tool"]}
    this = {"format": FORMAT, "name": TOOL, "version": VERSION}
    was, now = begun.body["options"], dict(options)
    differing = [name for name in now if was.get(name) != now[name]]
    if made_by != this:
        raise UsageError(
            f"the interrupted run was begun by {made_by['name']} {made_by['version']}, this is {TOOL} {VERSION}",
            where=str(job.folder),
            hint="continue it with that version, or give it up with --abandon",
        )
    if differing:
        raise UsageError(
            "the interrupted run was begun with other options: "
            + "; ".join(f"{name} was {_told(was.get(name))}, is {_told(now[name])}" for name in differing),
            where=str(job.folder),
            hint="--resume with the same options, or give it up with --abandon",
        )


def begin(job: Job, options: Options, base: Mapping[str, Any]) -> None:
    """Put on record what the job is begun with or, where it was begun before, that it is still the same kit.

    Raises:
        DigestError: It is another kit; says in what.
        OutputError: The record cannot be written.
    """
    begun = job.journal.begun
    if begun is None:
        tool = {"name": TOOL, "version": VERSION}
        job.journal.write(BEGIN, {"format": FORMAT, "tool": tool, "options": dict(options), "base": dict(base)})
        return
    was = begun.body["base"]
    differing = [name for name in base if _differs(name, was.get(name), base[name])]
    if differing:
        told = "; ".join(f"{name} {_difference(was.get(name), base[name])}" for name in differing)
        raise DigestError(
            f"is not the kit that the interrupted run read: {told}",
            where=str(job.target),
            hint="put the right one there and --resume, or give the run up with --abandon",
        )


def _differs(name: str, was: Any, now: Any) -> bool:
    # A keyring may have gained keys for others since; those that the run seals with must still be its own.
    return not set(was) <= set(now) if name == "dataKeys" else bool(was != now)


def _difference(was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        return f"differ in {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
    if isinstance(was, list):
        return "are no longer those of the keyring"
    return f"was {_told(was)}, is {_told(now)}"


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_told(item) for item in value)
    if isinstance(value, dict):
        return " ".join(str(item) for item in value.values())
    return {None: "not given", True: "yes", False: "no"}.get(value, str(value))


class JournaledPasses:
    """Makes the destination of each pass of a job, and has what an earlier process did of it."""

    def __init__(self, job: Job, container: Container, environment: Environment) -> None:
        self._job = job
        self._container = container
        self._checkpoint_bytes = environment.checkpoint_bytes
        self._spool: Spool | None = None
        self._made: ArchiveDestination | FolderDestination | None = None

    @property
    def destination(self) -> ArchiveDestination | FolderDestination:
        """The destination of the latest pass."""
        if self._made is None:
            raise OutputError("nothing was written")
        return self._made

    def found(self, collections: Mapping[MemberPath, CollectionMember]) -> Rewrite | None:
        """Give what the first pass found, where the job is in its second."""
        restarted = self._job.journal.restarted
        return rewrite_of(restarted.body, collections) if restarted is not None else None

    def first(self) -> Destination:
        """Make the destination of the first pass, at what is there of it."""
        return self._make()

    def second(self, done: Rewrite) -> Destination:
        """Put on record what the first pass found, which voids its frames, and make the destination of the second."""
        if self._job.journal.restarted is None:
            self.release()
            self._job.journal.write(RESTART, pass_note(done))
        return self._make()

    def release(self) -> None:
        """Put what was finished on record, as far as the disk lets us, and close what is open, however it ended."""
        if self._made is not None:
            with suppress(OSError, ValueError):  # closed already, or the disk is what failed
                if self._spool is not None:
                    self._spool.sync()
            self._made.release()

    def _make(self) -> Destination:
        folder = self._job.folder
        if self._container is Container.FOLDER:
            self._made = FolderDestination(folder)
        else:
            self._spool = Spool(folder, self._job.journal, checkpoint_bytes=self._checkpoint_bytes)
            self._made = ArchiveDestination(folder, self._spool, codec=codec_of(self._container))
        return self._made


@contextmanager
def resumable(job: Job) -> Iterator[None]:
    """Decide what a failure of the body leaves of ``job``; a body that ends well leaves nothing.

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
        saved = job.journal.frames or job.journal.ready is not None
        if not job.keep and saved and (job.journal.ready is not None or _may_pass(error)):
            job.keep = True
            error.hint = f"what is finished is kept: when the cause is gone, {_RESUME}"
        raise


def _may_pass(error: BaseException | None) -> bool:
    """Whether the machine failed, not the content: another try may go well."""
    met: list[BaseException] = []
    # An error that is raised again "from" itself, with more of its place, is its own cause.
    while error is not None and error not in met:
        met.append(error)
        if isinstance(error, OSError | sqlite3.Error | BrokenExecutor | MemoryError):
            return not isinstance(error, FileExistsError)
        error = error.__cause__
    return False


def ready(job: Job, switch: Switch, result: Mapping[str, Any]) -> None:
    """Put on record that the new kit is whole, synced and verified: from here on only names change.

    Raises:
        OutputError: The record cannot be written.
    """
    job.journal.write(READY, {**switch.to_json(), "result": dict(result)})


def complete(job: Job, kit: Path) -> Completion | None:
    """Finish the switch of a job whose new kit was finished; None where it was not.

    Raises:
        OutputError: As :func:`kit.archive.finish`.
    """
    record = job.journal.ready
    if record is None:
        return None
    switch = Switch.of(job.folder, job.target, record.body)
    finish(switch)
    result = record.body["result"]
    return Completion(
        kit=kit,
        output=job.target,
        output_bytes=result["outputBytes"],
        output_sha256=Sha256(result["outputSha256"]) if result["outputSha256"] else None,
        generation=result["generation"],
        manifest_sha256=Sha256(result["manifestSha256"]) if result["manifestSha256"] else None,
        signed_by=tuple(result["signedBy"]),
        backup=switch.backup,
    )


def abandon(target: Path) -> Abandonment:
    """Remove the job of a run on ``target`` that was interrupted; the kit is as it was before that run.

    Raises:
        OutputError: A live process is at work in it.
        UsageError: The switch to the new kit has begun, so that only finishing it leaves everything in order.
    """
    job = Job(target, resume=True)
    if not job.exists:
        return Abandonment(job=None)
    with job:
        record = job.journal.ready
        switch = Switch.of(job.folder, target, record.body) if record is not None else None
        job.keep = True
        if switch is not None and has_begun(switch) and not retreat(switch):
            raise UsageError(
                "the new kit is on its way into place, so the run can only be finished",
                where=str(target),
                hint="the same command with --resume finishes it; the old kit is then its backup, unless --no-backup",
            )
        job.keep = False
    return Abandonment(job=job.folder)
