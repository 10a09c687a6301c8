"""``kit delta apply``: from a verified base and a signed delta to the target, next to the base or in its place.

Check the delta's signature and every payload → read and judge the base, and spool what is needed of it into the job
folder → make the target there → read it back and judge it as anybody would → switch names.

Laws, as those of a patch: at any instant the name holds the old kit or the new one, complete; a resumed run gives the
same bytes; a delta that is not what its signer made is refused before anything is written; a wrong base is refused
before anything is made from it, and nothing of either is left; no key signs anything here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace as with_changes
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from kit.archive.read.reader import Container
from kit.archive.write.copies import copy_kit, copy_to_stage
from kit.archive.write.folder import searchable
from kit.delta.model import ARCHIVE_SIGNATURE, ArchiveComparison, DeltaManifest
from kit.encryption import KeySource
from kit.engine.progress import Stage
from kit.errors import DigestError, KitError, LimitError, OutputError, UsageError
from kit.output.commit import KitPlaces
from kit.output.job import Job
from kit.output.journal import Asked
from kit.output.paths import require_free, require_output_apart, require_replaceable
from kit.output.switch import Switch, checksum_line, stage
from kit.values import Sha256
from kit.verbs.delta.decode import NeededSpool
from kit.verbs.delta.deltas import (
    CONTAINERS,
    OpenDelta,
    check_base,
    check_payloads,
    check_signature,
    check_target,
    open_delta,
)
from kit.verbs.delta.recipes import check_keys, check_recipe
from kit.verbs.delta.stores import BaseStores
from kit.verbs.delta.writing import write_target
from kit.verbs.jobs import Completion, Finished, JournaledPasses, Options, backup_option, completion
from kit.verbs.patch.judging import check_archive_signature
from kit.verbs.run import Run, RunResult
from kit.verbs.verify.judged import JudgedKit, judge_kit
from kit.verbs.verify.judgement import Installed, ignore
from kit.verbs.verify.kits import Environment, OpenKit, expected_copy, open_with_workers
from kit.verbs.verify.obligations import Expectation, Judgement

_AGAIN = "nothing was written; start again"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaApplyRequest:
    """What to apply to what."""

    base: Path
    delta: Path
    expectation: Expectation
    """What the base, the delta and the target must be."""
    output: Path | None = None
    """None to replace the base."""
    keep_backup: bool = True
    backup: Path | None = None
    """Where a base that is replaced is kept, if not as ``<base>.bak.N`` by its generation."""
    work_folder: Path | None = None
    """Where to work if not next to the result."""
    in_published_container: bool = False
    """Write an archive even if the base is a folder, if the delta was built from an archive."""
    keys: KeySource | None = field(default=None, repr=False)
    """From the opened keyring of the site. Needed only for a delta whose recipe encrypts."""
    environment: Environment = field(default_factory=Environment)
    asked: Asked | None = None
    """The options of the command, if a command started the run."""
    installed: Installed = ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaApplyReport:
    """What was done."""

    base: Path
    delta: Path
    manifest: DeltaManifest
    signers: tuple[str, ...]
    """Of the delta."""
    applied: bool
    """False if the kit was already the target."""
    output: Path | None
    """Where the target is; None if nothing had to be done."""
    output_bytes: int | None
    output_sha256: Sha256 | None
    archive: ArchiveComparison
    """Compares the target's container with the one that the publisher had."""
    backup: Path | None
    judgement: Judgement
    """Of the target; of the base if nothing had to be done."""

    @property
    def same_archive(self) -> bool:
        """Whether the archive itself has the bytes of the one that the publisher had."""
        return self.archive.is_same


def apply_delta(request: DeltaApplyRequest) -> DeltaApplyReport:
    """Apply a delta.

    In every case of an error the kit and all files next to it are unchanged.

    Raises:
        UnsignedError: The delta is not signed; likewise the other signature errors.
        WrongBaseError: It is for another kit.
        RollbackError: It is for an older kit than this one.
        UsageError: The output is at, in or around what is read.
        OutputError: The target could not be written or did not read back, or there is a job of an earlier run.
        InterruptedRunError: A signal ended the run; it can be resumed.
        KitError: The base or the delta is refused.
    """
    if request.output is not None:
        _require_place(request.base, request.output)
        require_output_apart(request.output, {"base": request.base, "delta": request.delta})
    else:
        with suppress(OSError):  # reading it reports that it is missing
            require_replaceable(request.base)
    with ExitStack() as stack:
        delta = stack.enter_context(open_delta(request.delta, request.environment.limits))
        signers = _check_delta(delta, request)
        return _Application(delta, signers, request).start()


def resume_delta(request: DeltaApplyRequest) -> DeltaApplyReport | Completion:
    """Resume an interrupted run, with the bytes that it would have given.

    Raises:
        UsageError: There is nothing to resume, or the options differ.
        DigestError: The kit or the delta is not the one that the run began with.
        KitError: As :func:`apply_delta`.
    """
    with ExitStack() as stack:
        delta = stack.enter_context(open_delta(request.delta, request.environment.limits))
        signers = _check_delta(delta, request)
        return _Application(delta, signers, request).resume()


def _check_delta(delta: OpenDelta, request: DeltaApplyRequest) -> tuple[str, ...]:
    signers = check_signature(delta, request.expectation.anchor)
    if delta.manifest.recipe is not None:
        check_recipe(delta.manifest.recipe)
        check_keys(delta.manifest.recipe, request.keys)
    check_target(delta, check_payloads(delta), request.expectation.anchor)
    return signers


class _Application(Run[OpenKit, DeltaApplyReport, Completion]):
    """The run that applies a delta, which is open and checked."""

    def __init__(self, delta: OpenDelta, signers: tuple[str, ...], request: DeltaApplyRequest) -> None:
        super().__init__(
            *(request.base, request.output),
            keep_backup=request.keep_backup,
            work_folder=request.work_folder,
            backup=request.backup,
        )
        self._delta = delta
        self._signers = signers
        self._request = request

    def asked(self) -> Asked | None:
        return self._request.asked

    def options(self) -> Options:
        return {
            "delta": Sha256.of(self._delta.manifest_bytes).hex,
            "in-place": self.in_place,
            "backup": backup_option(self._request.backup, keeps=self.keep_backup),
        }

    def open(self) -> AbstractContextManager[OpenKit]:
        secrets = self._request.keys is not None
        return open_with_workers(self.kit, with_changes(self._request.environment, secrets=secrets))

    def recheck(self) -> None:
        if not self.in_place:
            _require_place(self.kit, self.target)

    def judge_finished(self, where: KitPlaces) -> Finished:
        return _judge_finished(where, self._delta.manifest, self._request)

    def report_finished(self, finished: Finished, switch: Switch) -> Completion:  # noqa: ARG002
        backup = self.kept_path(finished.replaced) if finished.replaced is not None else None
        return completion(finished, kit=self.kit, output=self.target, backup=backup)

    def remember(self, judgement: Judgement) -> None:
        self._request.installed(judgement)

    def work(self, source: OpenKit) -> RunResult[DeltaApplyReport]:
        request, delta, job, manifest = self._request, self._delta, self.job, self._delta.manifest
        with ExitStack() as stack:
            stores = stack.enter_context(BaseStores(job.folder))
            spool = NeededSpool(manifest, stores, source.reader.limits)
            base = judge_kit(source, _expect_of_base(request.expectation), tap=spool).require(where=str(request.base))
            self.begin(_identify(base, manifest, request))
            report = _report_unchanged(request, manifest, self._signers, base)
            if base.manifest.sha256 == manifest.target.manifest_sha256:
                switch = (
                    None if self.in_place else copy_kit(source.reader, expected_copy(base.survey, base.sidecars), job)
                )
                return RunResult(report=report, switch=switch, judgement=report.judgement)
            check_base(manifest, base.manifest, str(request.base))
            container = _choose_container(base, manifest, request)
            was = base.manifest.generation
            self.require_kept_free(was)
            passes = JournaledPasses(job, container, request.environment, **_limit_modes(base, delta, container))
            stack.callback(passes.release)
            sig = write_target(base, delta, stores, job, passes, keys=request.keys)
            work = passes.destination.assemble()
            size, archive, judgement = _reread(work, request, manifest)
            if archive.is_same:
                _check_carried(sig, judgement, request)
            if self.in_place and not source.reader.is_still_named(job.place):
                raise DigestError("was replaced while the delta was applied", where=str(request.base), hint=_AGAIN)
            report = _report_applied(report, request, judgement, size=size, archive=archive, backup=self.kept_path(was))
            work, kept_as = copy_to_stage(work, job.stage), self.kept_as(was)
            switch = _stage(work, job, report, request, sig, old=base.sidecars.archive, kept_as=kept_as)
            return RunResult(report=report, switch=switch, judgement=judgement)


def _check_carried(sig: bytes | None, judgement: Judgement, request: DeltaApplyRequest) -> None:
    """Check the ``.sig`` that the delta carries, as a verifier of the kit will, before it is put next to the kit.

    Raises:
        KitError: As :func:`kit.verbs.patch.judging.check_archive_signature`.
    """
    try:
        check_archive_signature(sig, judgement, request.expectation.anchor)
    except KitError as error:
        error.hint = error.hint or "the kit is untouched; ask for a delta that was built from a kit that verifies"
        raise error.inside(f"{request.delta}: {ARCHIVE_SIGNATURE}") from error.__cause__


def _report_unchanged(
    request: DeltaApplyRequest, manifest: DeltaManifest, signers: tuple[str, ...], base: JudgedKit
) -> DeltaApplyReport:
    """Return the report of a run whose base is already the target."""
    return DeltaApplyReport(
        base=request.base,
        delta=request.delta,
        manifest=manifest,
        signers=signers,
        applied=False,
        output=request.output,
        output_bytes=base.kit.reader.stored_bytes,
        output_sha256=base.sidecars.archive,
        archive=_compare_archive(manifest, base.kit.reader.container, base.sidecars.archive),
        backup=None,
        judgement=base.judgement,
    )


def _report_applied(
    report: DeltaApplyReport,
    request: DeltaApplyRequest,
    judgement: Judgement,
    *,
    size: int | None,
    archive: ArchiveComparison,
    backup: Path | None,
) -> DeltaApplyReport:
    """Return the report of the finished target under its final name."""
    return with_changes(
        report,
        applied=True,
        output=request.output or request.base,
        output_bytes=size,
        output_sha256=archive.sha256,
        archive=archive,
        backup=backup,
        judgement=judgement,
    )


def _stage(
    work: Path,
    job: Job,
    report: DeltaApplyReport,
    request: DeltaApplyRequest,
    sig: bytes | None,
    *,
    old: Sha256 | None,
    kept_as: str,
) -> Switch:
    """Stage the sidecars of the finished target, and return the switch to its name."""
    digest = report.output_sha256
    sidecars = {".sha256": checksum_line(digest, job.place.name)} if digest is not None else {}
    if report.archive.is_same and sig is not None:
        sidecars[".sig"] = sig
    return stage(
        work,
        job.place,
        sidecars,
        new=digest,
        old=old,
        in_place=request.output is None,
        keep_backup=request.keep_backup,
        kept_as=kept_as,
        by_content=job.is_elsewhere,
    )


def _expect_of_base(expectation: Expectation) -> Expectation:
    """Return what is expected of the base: that it is trusted. Checks of documents are made on the target."""
    return with_changes(expectation, deep=False, require_raw_linkset=False, tenants=None)


def _choose_container(base: JudgedKit, manifest: DeltaManifest, request: DeltaApplyRequest) -> Container:
    """Return the container to write: the published one; but a folder stays a folder, and so an archive in place."""
    actual, published = base.kit.reader.container, CONTAINERS[manifest.archive.container]
    if actual is Container.FOLDER and not request.in_published_container:
        return Container.FOLDER
    if published is Container.FOLDER and request.output is None:
        return actual
    return published


def _compare_archive(manifest: DeltaManifest, container: Container, digest: Sha256 | None) -> ArchiveComparison:
    return ArchiveComparison(container=container.value, sha256=digest, target=manifest.archive)


class _Modes(TypedDict):
    mode: int
    most: NotRequired[int]


def _limit_modes(base: JudgedKit, delta: OpenDelta, container: Container) -> _Modes:
    """Return the target's modes: closed to anybody who cannot read base and delta (schemas/kit-delta.md, "Modes")."""
    reader, most = base.kit.reader, delta.reader.mode
    if container is not Container.FOLDER:
        return {"mode": reader.mode & most}
    if reader.container is Container.FOLDER:
        return {"mode": reader.mode & searchable(most), "most": base.survey.modes[base.location.manifest] & most}
    return {"mode": searchable(reader.mode & most), "most": reader.mode & most}


def _identify(base: JudgedKit, manifest: DeltaManifest, request: DeltaApplyRequest) -> dict[str, Any]:
    """Return what of the base decides the result: its manifest, and the container that is written for it."""
    return {
        "container": _choose_container(base, manifest, request).value,
        "manifest": base.manifest.sha256.hex,
    }


def _require_place(kit: Path, place: Path) -> None:
    if kit.resolve() in (place.parent.resolve() / place.name).parents:
        raise UsageError("would be inside the kit that is read", where=str(place), hint="choose a place outside")
    require_free(place)


def _judge_finished(where: KitPlaces, manifest: DeltaManifest, request: DeltaApplyRequest) -> Finished:
    """Judge a target that an interrupted run finished: as the run does, and check that it is made from this base.

    Raises:
        KitError: It is not the target of the delta, or the kit it would replace is not the delta's base.
    """
    base = where.old if request.output is None else request.base
    if base is not None and not where.is_placed:
        with open_with_workers(base, with_changes(request.environment, workers=1)) as kit:
            found = judge_kit(kit, _expect_of_base(request.expectation)).require(where=str(base))
            # A base that is already the target was copied to the output.
            if request.output is None or found.manifest.sha256 != manifest.target.manifest_sha256:
                check_base(manifest, found.manifest, str(request.base))
    size, archive, judgement = _reread(where.new, request, manifest)
    check_archive_signature(where.signature, judgement, request.expectation.anchor)
    replaced = manifest.base.generation if request.output is None else None
    return Finished(judgement=judgement, stored_bytes=size, replaced=replaced, archive=archive)


def _reread(
    work: Path, request: DeltaApplyRequest, manifest: DeltaManifest
) -> tuple[int | None, ArchiveComparison, Judgement]:
    """Read the finished target from its file and judge it as a user will, before it gets its name.

    Raises:
        OutputError: It does not read back as what was to be written.
        KitError: It is not what its signers signed, or is refused by the policy.
    """
    try:
        with open_with_workers(work, with_changes(request.environment, workers=1)) as kit:
            found = judge_kit(kit, request.expectation, stage=Stage.REREAD).require(where=str(work))
            if found.manifest.sha256 != manifest.target.manifest_sha256:
                raise DigestError("its manifest is not the one that the delta states")
            archive = _compare_archive(manifest, kit.reader.container, found.sidecars.archive)
            return kit.reader.stored_bytes, archive, found.judgement
    except LimitError as error:
        raise LimitError(f"the target would be over a limit: {error.what}", hint=error.hint) from error
    except OutputError:
        raise
    except KitError as error:
        error.hint = error.hint or "the kit is untouched"
        raise error.inside("the target") from error.__cause__
