"""``kit rollback``: the kit that a patch or a delta in place replaced takes its place again, if it is the one.

Present kit read, its manifest, signature and lineage judged → backup read and judged like any kit → the backup's
manifest is the very one that the present kit's lineage, or the signed delta that made it, names as its base → backup
copied, switched by the same steps as a patch (:mod:`kit.output.commit`) → only then the backup's own name goes. Laws:
at any instant the kit's name holds the present kit or the backup, whole; the present kit is kept as
``<kit>.rolled-back``; where the two do not belong together, nothing changes.

The present kit may be damaged: its members are not asked about, only who signed what it was made of.
"""

from __future__ import annotations

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
from kit.output.paths import ROLLED_BACK, backup_path, require_free, require_replaceable
from kit.output.switch import Switch, tree_digest
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.values import Sha256
from kit.verbs.delta.verify import DeltaVerifyRequest, verify_delta
from kit.verbs.jobs import Finished, Options
from kit.verbs.patch.judging import check_archive_signature
from kit.verbs.run import Run, RunResult
from kit.verbs.verify.judged import SIGNATURES, judge_kit, manifest_of, require_trust
from kit.verbs.verify.judgement import Expectation, Installed, Judgement, ignore
from kit.verbs.verify.kits import Environment, OpenKit, expected_copy, open_with_workers

_OF_THE_MEMBERS = frozenset({4, 5, 7, 8})
"""Obligations that the present kit may fail: its age and its members do not matter for what it was made of."""
_JOB = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """Which kit to take back, and whose signatures count."""

    kit: Path
    trusted: Mapping[str, PublicKey] | None
    """By key id; None does not check signatures (``--insecure-unverified-base``), digests always."""
    trust: Anchor | None = None
    """A policy goes before ``trusted``; what it remembers refuses the older kit unless its override permits it."""
    delta: Path | None = None
    """What made the present kit, where that is no patch: its signers then name its base."""
    work_folder: Path | None = None
    """Where to work if not next to the kit."""
    environment: Environment = field(default_factory=Environment)
    installed: Installed = ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """What was restored, and where that is kept which was there before."""

    kit: Path
    restored: Judgement
    """Of the backup, which is the kit now."""
    resumed: bool = field(default=False, kw_only=True)
    """Whether an interrupted run was only finished."""
    generation: int
    manifest_sha256: Sha256
    kept: Path
    kept_generation: int
    output_bytes: int | None
    output_sha256: Sha256 | None
    """None for a folder."""


def rollback(request: RollbackRequest, *, again: bool = False) -> RollbackReport:
    """Put the backup of a kit in its place; ``again`` resumes a run that was interrupted.

    Raises:
        UnreadableError: There is no backup.
        UsageError: The kit was never patched; or there is nothing to resume, or a run of another command.
        DigestError: The backup is not what the present kit was made of, or not what its own manifest lists.
        WrongBaseError: The delta does not lead to the present kit.
        OutputError: It cannot be written, a name is taken, or another run is at work or was interrupted.
        KitError: A signature, or the policy, refuses one of them; in every case all is as it was.
    """
    require_trust(request.trusted, request.trust)
    with suppress(OSError):  # that it is not there, reading it will say
        require_replaceable(request.kit)
        require_replaceable(backup_path(request.kit))  # which gets the kit's name
    run = _Rollback(request)
    return run.resume() if again else run.start()


class _Rollback(Run[ExitStack, RollbackReport, RollbackReport]):
    """The run of a rollback, which opens two kits: the backup only once the present kit was judged."""

    kept_as = ROLLED_BACK

    def __init__(self, request: RollbackRequest) -> None:
        super().__init__(request.kit, None, keep_backup=True, work_folder=request.work_folder)
        self._request = request
        self._options: dict[str, Any] = {}
        """Known once the backup was judged; a resumed run judges it before it goes on."""
        self._present: Manifest | None = None
        self._backup: KitReader | None = None

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
        finished, self._present = _judge_finished(where, self._request)
        return finished

    def report_finished(self, finished: Finished, switch: Switch) -> RollbackReport:  # noqa: ARG002
        return self._report(finished.judgement, finished.stored_bytes, resumed=True)

    def remember(self, judgement: Judgement) -> None:
        self._request.installed(judgement)

    def settle(self, switch: Switch) -> None:
        """Remove the backup's own name, if it still names what was restored."""
        backup = backup_path(self.job.place)
        is_restored = self._backup.is_still_named(backup) if self._backup is not None else _is_restored(backup, switch)
        if is_restored:  # else somebody has put another there meanwhile
            retire(backup, self.job.stage)

    def work(self, source: ExitStack) -> RunResult[RollbackReport]:
        request, job = self._request, self.job
        require_free(backup_path(request.kit, ROLLED_BACK))
        kit = source.enter_context(open_with_workers(request.kit, request.environment))
        self._present, archive = _present(kit, request)
        origin = _origin(self._present, request)
        old = _opened_backup(source, request)
        self._backup = old.reader
        judgement, manifest, found = _restorable(old, origin, request)
        self._options = {_JOB: str(manifest.sha256)}
        self.begin({"manifest": str(self._present.sha256)})
        switch = stage_backup(old.reader, found, job, old=archive)
        for reader, place in ((kit.reader, job.place), (old.reader, backup_path(job.place))):
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
            kept=backup_path(self.kit, ROLLED_BACK),
            kept_generation=self._present.generation,
            output_bytes=stored_bytes,
            output_sha256=judgement.archive,
        )


def _judge_finished(where: KitPlaces, request: RollbackRequest) -> tuple[Finished, Manifest]:
    """Judge the two kits of an interrupted rollback as when it began; return the manifest of the replaced one, too."""
    if where.old is None:
        raise OutputError(
            "the kit that was replaced is no longer there, so it cannot be told that the two belong together",
            where=str(backup_path(request.kit, ROLLED_BACK)),
            hint="put it back there and --resume; or verify the kit by itself, and remove the job folder by hand",
        )
    with open_with_workers(where.old, request.environment) as kit:
        present, _ = _present(kit, request)
    with open_with_workers(where.new, request.environment) as kit:
        judgement, _, _ = _restorable(kit, _origin(present, request), request)
        if not _ignored(request):
            expectation = Expectation(trusted=request.trusted or {}, trust=request.trust)
            check_archive_signature(where.signature, judgement, expectation.anchor)
        return Finished(judgement=judgement, stored_bytes=kit.reader.stored_bytes), present


def _is_restored(backup: Path, switch: Switch) -> bool:
    """Whether what is under the backup's name is what was restored, so that nothing is lost with it."""
    with writing(backup):
        if switch.content:
            return backup.is_dir() and not backup.is_symlink() and tree_digest(backup).hex == switch.content
        return switch.identity(backup) == switch.new


def _present(kit: OpenKit, request: RollbackRequest) -> tuple[Manifest, Sha256 | None]:
    """Find out what the present kit was made of, from what its signers signed."""
    try:
        # What stands beside it is over its bytes, which may be damaged; what it was made of is not.
        judged = judge_kit(kit, _expectation(request), is_alone=True)
    except KitError as error:
        error.hint = f"what it was made of cannot be told; verify the backup by itself: kit verify {_bak(request)}"
        raise
    judged.require(but=_OF_THE_MEMBERS | _ignored(request))
    return judged.manifest, judged.judgement.archive


def _origin(present: Manifest, request: RollbackRequest) -> End:
    """Return what the present kit was made of: by its lineage, or by the delta that led to it."""
    if request.delta is not None:
        return _origin_by_delta(request.delta, present, request)
    if not present.lineage:
        raise UsageError(
            "was never patched, so it does not say what was there before",
            where=str(request.kit),
            hint=f"name the delta that made it, if one did: --delta DELTA; a kit under the backup's name is judged by "
            f"itself: kit verify {_bak(request)}",
        )
    return End(generation=present.lineage[-1].generation, manifest_sha256=present.lineage[-1].manifest_sha256)


def _origin_by_delta(path: Path, present: Manifest, request: RollbackRequest) -> End:
    if request.trust is None and request.trusted is None:
        raise UsageError(
            "a delta says of what a kit was made only by its signature", where=str(path), hint="name keys or a policy"
        )
    expectation = Expectation(trusted=request.trusted or {}, trust=request.trust)
    delta = verify_delta(DeltaVerifyRequest(delta=path, anchor=expectation.anchor, environment=request.environment))
    target = delta.manifest.target
    if target.manifest_sha256 != present.sha256:
        raise WrongBaseError(
            f"leads to {target}, and {request.kit.name} is generation {present.generation} (manifest {present.sha256})",
            where=str(path),
            hint="name the delta that made this very kit; one that was patched is taken back without a delta",
        )
    return delta.manifest.base


def _opened_backup(stack: ExitStack, request: RollbackRequest) -> OpenKit:
    backup = _bak(request)
    if not os.path.lexists(backup):
        raise UnreadableError(
            "there is no backup",
            where=str(backup),
            hint="put the old kit there, from your other medium; it is checked before it is used",
        )
    return stack.enter_context(open_with_workers(backup, request.environment))


def _restorable(old: OpenKit, base: End, request: RollbackRequest) -> tuple[Judgement, Manifest, Verified]:
    """Check that the backup is whole, signed, and the very kit that the present one was made of."""
    judged = judge_kit(old, _expectation(request))
    manifest = judged.judgement.manifest
    if manifest is not None and manifest.sha256 != base.manifest_sha256:
        raise DigestError(
            f"is generation {manifest.generation} with manifest {manifest.sha256}, but {request.kit.name} was made of"
            f" generation {base.generation} with manifest {base.manifest_sha256}",
            where=str(_bak(request)),
            hint="put the kit there that this one was made of; nothing was changed",
        )
    judged.require(but=_ignored(request), where=str(_bak(request)))
    return judged.judgement, judged.manifest, expected_copy(judged.survey, judged.sidecars)


def _expectation(request: RollbackRequest) -> Expectation:
    return Expectation(
        trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=bool(_ignored(request))
    )


def _ignored(request: RollbackRequest) -> frozenset[int]:
    return SIGNATURES if request.trust is None and request.trusted is None else frozenset()


def _bak(request: RollbackRequest) -> Path:
    return backup_path(request.kit)
