"""``kit rollback``: restores the backup that a patch or a delta in place left, if it is the base of the present kit.

Read the present kit and judge its manifest, signature and lineage → read and judge the backup like any kit → check that
the backup's manifest is the one that the present kit's lineage, or the signed delta that made it, names as its base →
copy the backup and switch by the same steps as a patch (:mod:`kit.output.commit`) → remove the backup's own name. Laws:
at any instant the kit's name holds the complete present kit or the complete backup; the present kit is kept as
``<kit>.rolled-back.N``, N its generation, so that a rollback can itself be undone; if the two do not belong together,
nothing changes.

The backup is ``<kit>.bak.N`` of the present kit's base, or ``<kit>.bak`` of earlier versions of this program, whichever
has the manifest of that base. A backup that the user names is read and stays.

The present kit may be damaged: its members do not matter, only the signed record of its base.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.archive.read.reader import KitReader
from kit.archive.write.copies import Verified, retire, stage_backup
from kit.delta.model import End
from kit.errors import DigestError, KitError, OutputError, UnreadableError, UsageError, WrongBaseError
from kit.manifest import Manifest
from kit.output.commit import KitPlaces
from kit.output.disk import writing
from kit.output.journal import Asked
from kit.output.paths import BACKUP, ROLLED_BACK, backup_path, numbered, require_replaceable
from kit.output.switch import Switch, tree_digest
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.values import Sha256
from kit.verbs.delta.verify import DeltaVerifyRequest, verify_delta
from kit.verbs.jobs import Finished, Options
from kit.verbs.patch.judging import check_archive_signature
from kit.verbs.run import Run, RunResult
from kit.verbs.verify.judged import SIGNATURES, JudgedKit, judge_kit, manifest_of, require_trust
from kit.verbs.verify.judgement import Expectation, Installed, Judgement, ignore
from kit.verbs.verify.kits import Environment, OpenKit, expected_copy, open_with_workers

_OF_THE_MEMBERS = frozenset({4, 5, 7, 8})
"""Obligations that the present kit may fail: its age and its members do not change what its base was."""
_JOB = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """Which kit to roll back, and whose signatures count."""

    kit: Path
    trusted: Mapping[str, PublicKey] | None
    """By key id; None skips signatures (``--insecure-unverified-base``), but never digests."""
    trust: Anchor | None = None
    """A policy replaces ``trusted``; its state refuses the older kit unless an override permits it."""
    backup: Path | None = None
    """The backup, if it is not next to the kit; it stays."""
    delta: Path | None = None
    """The delta that made the present kit, if no patch did; its signers then name the base."""
    work_folder: Path | None = None
    """Where to work if not next to the kit."""
    environment: Environment = field(default_factory=Environment)
    asked: Asked | None = None
    """The options of the command, if a command started the run."""
    installed: Installed = ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """What was restored, and where the replaced kit is kept."""

    kit: Path
    restored: Judgement
    """The judgement of the backup, which is the kit now."""
    resumed: bool = field(default=False, kw_only=True)
    """Whether this only finished an interrupted run."""
    generation: int
    manifest_sha256: Sha256
    kept: Path
    kept_generation: int
    output_bytes: int | None
    output_sha256: Sha256 | None
    """None for a folder."""


def rollback(request: RollbackRequest, *, again: bool = False) -> RollbackReport:
    """Replace a kit by its backup; ``again`` resumes an interrupted run.

    Raises:
        UnreadableError: There is no backup.
        UsageError: The kit was never patched; or there is nothing to resume, or a run of another command.
        DigestError: The backup is not the base of the present kit, or not what its own manifest lists.
        WrongBaseError: The delta does not lead to the present kit.
        OutputError: It cannot be written, a name is taken, or another run is at work or was interrupted.
        KitError: A signature or the policy refuses one of them; in every case nothing is changed.
    """
    require_trust(request.trusted, request.trust)
    with suppress(OSError):  # reading it reports that it is missing
        require_replaceable(request.kit)
    run = _Rollback(request)
    return run.resume() if again else run.start()


class _Rollback(Run[ExitStack, RollbackReport, RollbackReport]):
    """The run of a rollback, which opens two kits: the backup only after the present kit was judged."""

    keeps = ROLLED_BACK

    def __init__(self, request: RollbackRequest) -> None:
        super().__init__(request.kit, None, keep_backup=True, work_folder=request.work_folder)
        self._request = request
        self._options: dict[str, Any] = {}
        """Known once the backup is judged; a resumed run judges it first."""
        self._present: Manifest | None = None
        self._origin: End | None = None
        self._backup: KitReader | None = None

    def asked(self) -> Asked | None:
        return self._request.asked

    def options(self) -> Options:
        return self._options

    def open(self) -> ExitStack:
        return ExitStack()

    def take_up(self) -> None:
        begun = self.job.journal.begun
        if begun is not None and _JOB not in begun.options:
            raise self.foreign()

    def foreign(self) -> KitError:
        return UsageError("the interrupted run was no rollback", where=str(self.job.named), hint="kit patch … --resume")

    def judge_finished(self, where: KitPlaces) -> Finished:
        finished, self._present, self._origin = _judge_finished(where, self._request)
        return finished

    def report_finished(self, finished: Finished, switch: Switch) -> RollbackReport:  # noqa: ARG002
        return self._report(finished.judgement, finished.stored_bytes, resumed=True)

    def remember(self, judgement: Judgement) -> None:
        self._request.installed(judgement)

    def settle(self, switch: Switch) -> None:
        """Remove the backup's own name, if it still names the restored kit; a path that the user named stays."""
        if self._request.backup is not None or self._origin is None:
            return
        for backup in _backup_places(self.job.place, self._origin):
            read = self._backup
            is_restored = read.is_still_named(backup) if read is not None else _is_restored(backup, switch)
            if is_restored:  # else somebody has put another file there
                retire(backup, self.job.stage)
                return

    def work(self, source: ExitStack) -> RunResult[RollbackReport]:
        request, job = self._request, self.job
        kit = source.enter_context(open_with_workers(request.kit, request.environment))
        self._present, archive = _judge_present(kit, request)
        self.require_kept_free(self._present.generation)
        self._origin = _find_base(self._present, request)
        old, judgement, manifest, found = _find_backup(source, self._origin, request)
        self._backup = old.reader
        self._options = {_JOB: str(manifest.sha256)}
        self.begin({"manifest": str(self._present.sha256)})
        switch = stage_backup(old.reader, found, job, old=archive, kept_as=self.kept_as(self._present.generation))
        at = request.backup or job.place.with_name(old.reader.path.name)
        for reader, place in ((kit.reader, job.place), (old.reader, at)):
            if not reader.is_still_named(place):
                raise DigestError("was replaced while it was read", where=str(reader.path), hint="start again")
        report = self._report(judgement, old.reader.stored_bytes)
        return RunResult(report=report, switch=switch, judgement=judgement)

    def _report(self, judgement: Judgement, stored_bytes: int | None, *, resumed: bool = False) -> RollbackReport:
        manifest = manifest_of(judgement)
        if self._present is None:
            raise OutputError("the present kit was not judged")
        return RollbackReport(
            kit=self.kit,
            restored=judgement,
            resumed=resumed,
            generation=manifest.generation,
            manifest_sha256=manifest.sha256,
            kept=backup_path(self.kit, numbered(ROLLED_BACK, self._present.generation)),
            kept_generation=self._present.generation,
            output_bytes=stored_bytes,
            output_sha256=judgement.archive,
        )


def _judge_finished(where: KitPlaces, request: RollbackRequest) -> tuple[Finished, Manifest, End]:
    """Judge both kits of an interrupted rollback as it did; return the replaced one's manifest and base, too."""
    if where.old is None:
        raise OutputError(
            "the replaced kit is no longer there, so nothing shows that the two belong together",
            where=str(request.kit),
            hint="put it back as .rolled-back.N and --resume; or verify the kit by itself and remove the job folder by"
            " hand",
        )
    with open_with_workers(where.old, request.environment) as kit:
        present, _ = _judge_present(kit, request)
    with open_with_workers(where.new, request.environment) as kit:
        origin = _find_base(present, request)
        judgement, _, _ = _judge_backup(judge_kit(kit, _expectation(request)), origin, request)
        if not _ignored_obligations(request):
            expectation = Expectation(trusted=request.trusted or {}, trust=request.trust)
            check_archive_signature(where.signature, judgement, expectation.anchor)
        size = kit.reader.stored_bytes
        return Finished(judgement=judgement, stored_bytes=size, replaced=present.generation), present, origin


def _is_restored(backup: Path, switch: Switch) -> bool:
    """Return whether the backup's name holds what was restored, so that removing it loses nothing."""
    with writing(backup):
        if switch.content:
            return backup.is_dir() and not backup.is_symlink() and tree_digest(backup).hex == switch.content
        return switch.identity(backup) == switch.new


def _judge_present(kit: OpenKit, request: RollbackRequest) -> tuple[Manifest, Sha256 | None]:
    """Judge the signed record of the present kit's base; return its manifest and the digest of its archive."""
    try:
        # The sidecars are over the archive's bytes, which may be damaged; the record of its base is not over them.
        judged = judge_kit(kit, _expectation(request), is_alone=True)
    except KitError as error:
        error.hint = f"its base is unknown; verify a backup by itself: kit verify {_bak(request)}"
        raise
    judged.require(but=_OF_THE_MEMBERS | _ignored_obligations(request))
    return judged.manifest, judged.judgement.archive


def _find_base(present: Manifest, request: RollbackRequest) -> End:
    """Return the base of the present kit, by its lineage or by the delta that made it."""
    if request.delta is not None:
        return _find_base_by_delta(request.delta, present, request)
    if not present.lineage:
        raise UsageError(
            "was never patched, so its manifest names no base",
            where=str(request.kit),
            hint="name the delta that made it, if one did: --delta DELTA; or verify a backup by itself: "
            f"kit verify {_bak(request)}",
        )
    return End(generation=present.lineage[-1].generation, manifest_sha256=present.lineage[-1].manifest_sha256)


def _find_base_by_delta(path: Path, present: Manifest, request: RollbackRequest) -> End:
    if request.trust is None and request.trusted is None:
        raise UsageError(
            "the base that a delta names is only believed by its signature",
            where=str(path),
            hint="name keys or a policy",
        )
    expectation = Expectation(trusted=request.trusted or {}, trust=request.trust)
    delta = verify_delta(DeltaVerifyRequest(delta=path, anchor=expectation.anchor, environment=request.environment))
    target = delta.manifest.target
    if target.manifest_sha256 != present.sha256:
        raise WrongBaseError(
            f"leads to {target}, and {request.kit.name} is generation {present.generation} (manifest {present.sha256})",
            where=str(path),
            hint="name the delta that made this generation; after a patch, omit it",
        )
    return delta.manifest.base


def _backup_places(kit: Path, origin: End) -> list[Path]:
    """Return where a patch in place keeps a kit of that generation, and where earlier versions of this program did."""
    return [backup_path(kit, numbered(BACKUP, origin.generation)), backup_path(kit)]


def _find_backup(
    stack: ExitStack, origin: End, request: RollbackRequest
) -> tuple[OpenKit, Judgement, Manifest, Verified]:
    """Open and judge the backup that is the base of the present kit.

    Raises:
        UnreadableError: There is none.
        DigestError: What is there is another kit; of several, the error is that of the first.
        KitError: As for :func:`_judge_backup`.
    """
    names = _backup_places(request.kit, origin) if request.backup is None else [request.backup]
    there = [name for name in names if os.path.lexists(name)]
    if not there:
        raise UnreadableError(
            f"there is no backup of generation {origin.generation}",
            where=str(names[0]),
            hint="put the old kit there, or name it where it is: --backup PATH; a step of several generations that a"
            " delta made needs --delta DELTA; it is verified before use",
        )
    others: list[KitError] = []
    for name in there:
        if request.backup is None:
            require_replaceable(name)  # its name goes
        with ExitStack() as attempt:
            old = attempt.enter_context(open_with_workers(name, request.environment))
            judged = judge_kit(old, _expectation(request))
            if (other := _mismatch(judged, origin, request)) is not None:
                others.append(other)
                continue
            stack.push(attempt.pop_all())
            return old, *_judge_backup(judged, origin, request)
    raise others[0]


def _mismatch(judged: JudgedKit, base: End, request: RollbackRequest) -> DigestError | None:
    """Return the error for a backup that is not the base of the present kit; None if it is."""
    manifest = judged.judgement.manifest
    if manifest is None or manifest.sha256 == base.manifest_sha256:
        return None
    return DigestError(
        f"is generation {manifest.generation} with manifest {manifest.sha256}, but the base of {request.kit.name} "
        f"is generation {base.generation} with manifest {base.manifest_sha256}",
        where=str(judged.kit.reader.path),
        hint="put the base of this kit there, or name it: --backup PATH; nothing was changed",
    )


def _judge_backup(judged: JudgedKit, base: End, request: RollbackRequest) -> tuple[Judgement, Manifest, Verified]:
    """Check that the backup is complete, signed, and the base of the present kit."""
    if (other := _mismatch(judged, base, request)) is not None:
        raise other
    judged.require(but=_ignored_obligations(request), where=str(judged.kit.reader.path))
    return judged.judgement, judged.manifest, expected_copy(judged.survey, judged.sidecars)


def _expectation(request: RollbackRequest) -> Expectation:
    return Expectation(
        trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=bool(_ignored_obligations(request))
    )


def _ignored_obligations(request: RollbackRequest) -> frozenset[int]:
    return SIGNATURES if request.trust is None and request.trusted is None else frozenset()


def _bak(request: RollbackRequest) -> str:
    """Return the backup to name where it is not known of which generation it must be: the newest that there is."""
    there = (
        (int(number), str(path))
        for path in request.kit.parent.glob(f"{glob.escape(request.kit.name)}{BACKUP}.*")
        if (number := path.name.removeprefix(f"{request.kit.name}{BACKUP}.")).isdecimal()
    )
    return str(request.backup or max(there, default=(0, f"{request.kit}{BACKUP}"))[1])
