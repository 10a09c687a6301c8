"""What can be known to fail before anything is written: all of it at once, each finding with its way out.

Obstacles. Checked, in this order, and the first gives the exit code: keys (that sign, and that seal), the place of the
result (a name that is free, also for the backup, a folder that can be written, room), memory, and the clock: the base's
time against the time that was asked for, and that against the clock. The clock needs the base's manifest and matters
only where something changes. A run without other obstacles reads the manifest anyway; where there are others, it is
looked up, so that all are reported at once. Room is the least that the run cannot do without; ``kit plan`` counts the
exact size.

The new kit. A patch makes the manifest of the new generation, reads the finished kit from its file, within the limits,
and judges it as the migration's validation demands. A plan writes no kit, so it makes the same manifest, counts the
members that there would be, and checks the documents of the base, transformed, as those of the new kit would be. Law:
the error has the text of the patch. Not predicted: what the signed statement of the step adds to the limits on bytes
that are held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kit.archive.read.headers import EntryKind
from kit.archive.read.names import MemberTree
from kit.archive.read.reader import Container, open_kit
from kit.encryption import FieldProof, Proof
from kit.engine.budget import BASE_BYTES, Allotment, Host
from kit.engine.passing import entries
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.proving import prove
from kit.engine.reading import member_runs, read_whole
from kit.engine.work import FieldsPreview, RunWork, preview_run
from kit.errors import BsonError, KitError, LimitError, OutputError, StaleError, StoppedError
from kit.manifest import MANIFEST_PATHS, LinkKind, Manifest, history_paths
from kit.migrations import Migration, Validation
from kit.output.job import Job, without_modes
from kit.output.paths import BACKUP, numbered, require_free, require_replaceable
from kit.output.switch import require_backup_free
from kit.signing import PrivateKey
from kit.transforms.allowance import Limit, Meter
from kit.transforms.coverage import Tally, TenantCoverage, is_observations
from kit.values import Codec, CollectionMember, Timestamp
from kit.verbs.patch.generation import Step, next_manifest
from kit.verbs.patch.judging import Base, field_expectation, over_limit_error, validation_error
from kit.verbs.patch.request import Output, PatchReport, PatchRequest
from kit.verbs.verify import deep
from kit.verbs.verify.field_proof import FieldExpectation, fields_error
from kit.verbs.verify.kits import OpenKit, require_outside
from kit.verbs.verify.signers import check_patchers

_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a run is to leave its result, and who is to sign it."""

    output: Path | None
    """None in place."""
    keys: Sequence[PrivateKey] = ()
    work_folder: Path | None = None
    """Where it works if not next to the result."""
    resumed: bool = False
    held_bytes: int = 0
    """Room that the resumed job has already taken."""

    def target(self, kit: Path) -> Path:
        """Return the name of the result."""
        return self.output or kit


def obstacles(
    request: PatchRequest,
    migration: Migration,
    aim: Aim,
    *,
    known: Sequence[KitError] = (),
    needed_bytes: int | None = None,
    base_created: Timestamp | None = None,
    replaced: int | None = None,
) -> tuple[KitError, ...]:
    """Return everything that would end the run, in the order of the module docstring.

    Args:
        request: What is to be done.
        migration: The same, described.
        aim: Where to.
        known: What was found before, about the keys.
        needed_bytes: Room that the run needs, where a plan has counted it.
        base_created: When the base was made, where its manifest has been read.
        replaced: Generation of the base that a run in place would keep as a backup, where a plan has read it.
    """
    host = request.environment.host
    checks: tuple[Callable[[], KitError | None], ...] = (
        lambda: _check_patchers(request, aim),
        lambda: _check_sealing_keys(request, migration, host),
        lambda: _check_place(request, aim, host, needed_bytes),
        lambda: _check_backup(request, aim, replaced),
        lambda: _check_memory(request, host),
    )
    found = [*known, *(error for error in map(_attempt, checks) if error is not None)]
    if base_created is None and (found or _is_ahead(request)):
        base_created = _read_base_time(request)
    late = clock_fault(request, base_created)
    return (*found, *([late] if late is not None else []))


def require_none(found: Sequence[KitError]) -> None:
    """End the run with everything that was found.

    Raises:
        KitError: The first, with the others as :attr:`kit.errors.KitError.also`.
    """
    if found:
        first, *others = found
        first.also = tuple(others)
        raise first


def clock_fault(request: PatchRequest, base_created: Timestamp | None) -> StaleError | None:
    """Return an error if the new generation would be older than its base, or of the future.

    A base that is itself of the future shows that the clock is wrong; then the time asked for is accepted.
    """
    if base_created is not None and base_created > request.created_at:
        whose = "by this machine's clock it is" if request.created_now else "the new generation is to be of"
        return StaleError(
            f"the base is of {base_created}, and {whose} {request.created_at}: no kit is older than what it is made of",
            where=str(request.kit),
            hint="set the clock, or give the right time with --created-at",
        )
    if request.now is None or not _is_ahead(request) or (base_created is not None and base_created > request.now):
        return None
    return StaleError(
        f"the new generation is to be of {request.created_at}, and it is {request.now}: until then nothing could be "
        "made of it, since no kit is older than what it is made of",
        where=str(request.kit),
        hint="correct --created-at (or SOURCE_DATE_EPOCH); if the clock is wrong, set it, or give the "
        "present time with --at",
    )


def _is_ahead(request: PatchRequest) -> bool:
    """Whether the time asked for is later than a time zone can explain."""
    if request.now is None or request.created_now:
        return False
    return request.created_at.seconds - request.now.seconds > _DAY


def _attempt(check: Callable[[], KitError | None]) -> KitError | None:
    try:
        return check()
    except KitError as error:
        return error


def _check_patchers(request: PatchRequest, aim: Aim) -> KitError | None:
    if request.trust is not None and aim.keys:
        check_patchers(request.trust, aim.keys, request.created_at)
    return None


def _check_sealing_keys(request: PatchRequest, migration: Migration, host: Host) -> KitError | None:
    """Open the keyring, as the run will; its passphrase is asked for once (``kit.cli.encryption_options``)."""
    keying = request.keying
    sealing = any(transform.keyed is not None for transform in migration.transforms)
    if not sealing or keying is None or keying.keyring is None:
        return None
    file = keying.tried(keying.keyring)
    if not host.may_write(file.path.parent):
        return OutputError(
            "the keyring cannot be replaced there, which new data keys need",
            where=str(file.path),
            hint="give this user write permission on its folder",
        )
    return None


def _check_place(request: PatchRequest, aim: Aim, host: Host, needed_bytes: int | None) -> KitError | None:
    """Check the place of the result: it must be one, it must be free, and there must be room."""
    if aim.output is not None:
        require_outside(request.kit, aim.output)
        require_free(aim.output)
    else:
        with suppress(OSError):  # a kit that is missing is reported when it is read
            require_replaceable(request.kit)
    target = aim.target(request.kit)
    for folder in (target.absolute().parent, aim.work_folder):
        if folder is not None and (denied := _check_permission(folder, host)) is not None:
            return denied
    work = aim.work_folder or target.absolute().parent
    if not host.keeps_modes(work):
        return without_modes(work)
    taken = None if aim.resumed else Job(target, work_folder=aim.work_folder).obstacle()
    return taken or _check_room(request, aim, host, needed_bytes)


def _check_backup(request: PatchRequest, aim: Aim, replaced: int | None) -> KitError | None:
    """Check that the name under which the base is kept is free, as a run in place does before its work."""
    if replaced is not None and aim.output is None:
        require_backup_free(request.kit, numbered(BACKUP, replaced))
    return None


def _check_permission(folder: Path, host: Host) -> KitError | None:
    if folder.is_dir() and host.may_write(folder):
        return None
    return OutputError(
        "this user cannot make files there" if folder.is_dir() else "is no folder",
        where=str(folder),
        hint="choose another folder for the output, or make it and give this user write permission",
    )


def _check_room(request: PatchRequest, aim: Aim, host: Host, needed_bytes: int | None) -> KitError | None:
    target = aim.target(request.kit).absolute().parent
    needed = needed_bytes if needed_bytes is not None else _least_bytes(request)
    least = "" if needed_bytes is not None else " at least"
    if aim.work_folder is None:
        return _check_free(host, target, needed - aim.held_bytes, f"needs{least}", "next to the output")
    # The work folder has frames and archive, or the copy of a folder; next to the target the result waits for its name.
    return _check_free(
        host, aim.work_folder, needed - aim.held_bytes, f"needs{least}", "in the work folder"
    ) or _check_free(host, target, needed // 2, f"needs{least}", "next to the output")


def _check_free(host: Host, folder: Path, needed: int, verb: str, where: str) -> KitError | None:
    free = host.free_bytes(folder)
    if free is None or free >= needed:
        return None
    return OutputError(
        f"not enough room: the run {verb} {needed:,} bytes {where}, and {free:,} are free",
        where=str(folder),
        hint="make room, or write to another file system with --output",
    )


def _least_bytes(request: PatchRequest) -> int:
    """Return the room that every run needs: an archive twice, as frames and assembled, and a folder once."""
    with open_kit(request.kit, limits=request.environment.limits, allowed=request.environment.allowed) as reader:
        copies = 1 if reader.container is Container.FOLDER else 2
        return copies * (reader.stored_bytes or 0)


def _check_memory(request: PatchRequest, host: Host) -> KitError | None:
    environment = request.environment
    if environment.executor is not None:
        return None  # the work is done on other machines
    needed = Allotment(workers=environment.workers, budget=environment.budget_per_worker).peak_bytes
    free = host.free_memory()
    if free is None or free >= needed:
        return None
    return StoppedError(
        f"not enough memory: {environment.workers} workers take up to {needed >> 20:,} MiB, {free >> 20:,} are free",
        hint=f"--max-memory {free >> 20}M makes the run fit" if free >= BASE_BYTES else "end other programs",
    )


def _read_base_time(request: PatchRequest) -> Timestamp | None:
    """Return when the base was made; None where it cannot be read, which the run itself will report."""
    environment = request.environment
    try:
        with open_kit(request.kit, limits=environment.limits, allowed=environment.allowed) as reader:
            for member, body in entries(reader):
                if member.path in MANIFEST_PATHS:
                    data = read_whole(member, body, reader.limits)
                    return Manifest.parse(data, limits=reader.limits, where=str(member.path)).made_at
    except KitError:
        return None
    return None


_LINKS = {LinkKind.SYMBOLIC: EntryKind.SYMLINK, LinkKind.HARD: EntryKind.HARDLINK}


def step_of(report: PatchReport, base: Base, output: Output | None = None) -> Step:
    """Return the step that leads from the base to the new generation; without an output, that of a plan."""
    if base.judgement.location is None:
        raise OutputError("a judged kit without a manifest")
    return Step(
        survey=base.survey,
        location=base.judgement.location,
        manifest=base.manifest,
        rewrite=report.rewrite,
        migration=report.migration,
        transforms=report.transforms,
        created_at=report.created_at,
        snapshots=base.snapshots,
        operator=output.operator if output is not None else None,
        environment=output.place if output is not None else None,
        checklist=report.checklist,
    )


def predict_error(kit: OpenKit, report: PatchReport, base: Base, limit: Limit) -> KitError | None:
    """Return the error that would end a patch after its pass over the documents; None where none is predicted.

    Args:
        kit: The base.
        report: The report of the plan, its transforms with their keys.
        base: What was found when the base was judged.
        limit: How many documents may change at most.

    Raises:
        UnreadableError: The kit cannot be read again.
    """
    step = step_of(report, base)
    try:
        manifest = next_manifest(step)
        _check_limits(kit, step, manifest)
    except LimitError as error:
        return over_limit_error(error)
    except KitError as error:
        return error
    return _validation_error(kit, report, base, limit)


def _check_limits(kit: OpenKit, step: Step, manifest: bytes) -> None:
    """Check the members that there would be, and the manifest, by the limits that the new kit is read back with.

    Raises:
        LimitError: One is over.
    """
    limits, survey = replace(kit.reader.limits, meter=None), step.survey
    history = history_paths(step.manifest.generation)
    added = {step.location.manifest, step.location.signature, history.manifest, history.statement}
    if step.location.signature in survey.kept:
        added.add(step.location.kept_signature(step.manifest.generation))
    if any(transform.is_recorded for transform in step.transforms):
        added.add(history.record)
    added |= step.rewrite.added.keys()
    tree = MemberTree(limits)
    for folder in sorted(survey.folders):
        tree.add(folder, EntryKind.DIRECTORY)
    for path in (*survey.members, *sorted(added - survey.members.keys())):
        tree.add(path, EntryKind.FILE)
    for path, link in survey.links.items():
        tree.add(path, _LINKS[link.kind])
    limits.check("json_bytes", len(manifest))


def _validation_error(kit: OpenKit, report: PatchReport, base: Base, limit: Limit) -> KitError | None:
    """Return the error of the migration's validation of the new kit; None where it would pass."""
    wanted = report.migration.validation
    found: KitError | None = None
    if Validation.FIELDS in wanted:
        found = _fields_error(kit, report, base, limit)
    if found is None and Validation.DEEP in wanted:
        try:
            with kit.pipeline(Stage.DEEP) as pipeline:
                prove(kit.reader, base.survey, pipeline, {}, [])
        except (BsonError, LimitError) as error:
            found = error
    if found is None and Validation.COVERAGE in wanted:
        try:
            found = deep.check_gate(_coverage(report, base), report.migration.tenants).error
        except KitError as error:
            found = error
    return validation_error(report.migration, found) if found is not None else None


def _fields_error(kit: OpenKit, report: PatchReport, base: Base, limit: Limit) -> KitError | None:
    """Return the error of the new kit's mapped fields: its documents are made again, and proven."""
    for transform in report.transforms:
        if (keyed := transform.keyed) is not None:
            preview = _Preview(kit=kit, report=report, base=base, meter=Meter(limit=limit))
            expectation = field_expectation(keyed)
            if (error := fields_error(preview.proofs(expectation), expectation)) is not None:
                return error
    return None


@dataclass(slots=True, kw_only=True)
class _Preview:
    """The documents of mapped collections, made as a patch would make them."""

    kit: OpenKit
    report: PatchReport
    base: Base
    meter: Meter

    def proofs(self, expectation: FieldExpectation) -> list[tuple[CollectionMember, Proof]]:
        """Return the proofs of the mapped values, by member."""
        found: list[tuple[CollectionMember, Proof]] = []
        with self.kit.pipeline(Stage.FIELDS) as pipeline:
            for member, body in entries(self.kit.reader, self.base.survey):
                collection = self.base.survey.collections.get(member.path) if member.path is not None else None
                if collection is None:
                    continue
                mapped = expectation.mapped(collection)
                if mapped is None:
                    self._pass_over(collection, pipeline)
                    continue
                proof = Proof(fields={str(one): FieldProof() for one in mapped.fields})
                found.append((collection, proof))
                work = self._work(collection)
                for run in member_runs(collection, body, self.kit.reader):
                    if self.meter.limit:
                        pipeline.drain()  # how many may still change is only known once all before are done
                    pipeline.submit(
                        preview_run,
                        *(work, run, self.meter.allowance(), mapped, expectation.keys),
                        cost=len(run.data),
                        weight=run.weight,
                        then=partial(self._take, proof),
                        where=str(collection.path),
                    )
        return found

    def _pass_over(self, collection: CollectionMember, pipeline: Pipeline) -> None:
        """Count what changes in a member without mapped fields, which a limit counts, too."""
        change = self.report.rewrite.members.get(collection.path)
        if self.meter.limit and change is not None:
            pipeline.drain()
            self.meter.take(change.changed, change.allowed)

    def _work(self, collection: CollectionMember) -> RunWork:
        return RunWork(
            name=collection.name,
            transforms=tuple(one for one in self.report.transforms if one.handles(collection.name)),
            lookup=self.base.lookup,
            member_codec=Codec.NONE,
            container_codec=Codec.NONE,
            limits=self.kit.reader.limits,
            prove=False,
        )

    def _take(self, proof: Proof, result: FieldsPreview) -> None:
        self.meter.take(result.changed, result.allowed)
        proof.add(result.proof)


def _coverage(report: PatchReport, base: Base) -> dict[str, TenantCoverage]:
    """Add up what the observations of the new kit have, by tenant."""
    total = Tally()
    for path, collection in base.survey.collections.items():
        if is_observations(collection.name):
            change = report.rewrite.members.get(path)
            total.add(change.tally if change is not None else base.survey.tallies.get(path, Tally()))
    return total.tenants
