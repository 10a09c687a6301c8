"""``kit plan`` and ``kit patch``: one path from a kit to the kit that the transforms make of it.

Read and judge the base → transform into a destination, proving every run → manifest, history, provenance, signature →
read the result back and judge it as a user will → switch names. ``plan`` takes the same path with a destination that
only counts and stops before anything is signed. Laws: a base that is not what its signers signed is refused before
anything is written; outside the job folder nothing changes before the last step; where no document changes, nothing
does; nothing is signed that was not proven (docs/design/self-proof.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace as with_changes
from pathlib import Path

from kit.archive.read.reader import Container
from kit.archive.write.copies import copy_kit, copy_to_stage
from kit.archive.write.tar import Destination, add_bytes
from kit.engine.lookup import close_lookups
from kit.engine.rewrite import Rewrite
from kit.errors import DigestError, UsageError
from kit.manifest.rollback import Tick
from kit.migrations import Decision, Migration
from kit.output.commit import KitPlaces
from kit.output.job import Job
from kit.output.journal import Asked
from kit.output.paths import require_output_apart
from kit.output.scratch import scratch_folder
from kit.output.switch import Switch, checksum_line, stage
from kit.signing import PrivateKey, archive_signature
from kit.transforms.protocol import Transform
from kit.values import MemberPath, Sha256
from kit.verbs.jobs import Completion, Finished, JournaledPasses, Options, completion, recorded_time
from kit.verbs.patch.checklist import require_ticked, tick_off
from kit.verbs.patch.generation import Generation, make_generation
from kit.verbs.patch.judging import Base, judge_finished, looks_inside, read_base, reread
from kit.verbs.patch.one_reading import read_in_one
from kit.verbs.patch.passes import (
    CountingPasses,
    at_time,
    broken_rules,
    identity_of,
    options_of,
    require_tenants,
    transform_kit,
    unimportable_error,
)
from kit.verbs.patch.plan import Aim, clock_fault, obstacles, predict_error, require_none, step_of
from kit.verbs.patch.request import Output, PatchReport, PatchRequest, with_keys
from kit.verbs.run import Run, RunResult
from kit.verbs.verify.judgement import Judgement
from kit.verbs.verify.kits import OpenKit, expected_copy, is_kept, open_with_workers
from kit.verbs.verify.signers import check_patchers

__all__ = ["Output", "PatchReport", "PatchRequest", "Planned", "patch", "plan", "planning", "resume"]

_NEW_MEMBER_MODE = 0o644
_AGAIN = "nothing was written; start again"


def plan(request: PatchRequest, signers: Sequence[PrivateKey] = (), aim: Aim | None = None) -> PatchReport:
    """Plan a patch: everything but writing and signing; the counts are those a patch will have.

    Args:
        request: What to do to which kit.
        signers: Who is to sign, where that is to be checked, too, by the policy if there is one.
        aim: Where a patch would leave its result, and with which keys; None where its obstacles are not to be reported.

    Raises:
        UsageError: The selection names a tenant that no document has which the transforms look at.
        KitError: As :func:`patch`, as far as it can be known without writing.
    """
    with planning(request, signers, aim) as planned:
        return planned.report


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and the kit that it is of, still open."""

    kit: OpenKit
    base: Base
    report: PatchReport


@contextmanager
def planning(request: PatchRequest, signers: Sequence[PrivateKey] = (), aim: Aim | None = None) -> Iterator[Planned]:
    """Plan a patch, and keep the kit and its lookups open for a verb that makes something else of the same changes.

    Raises:
        KitError: As :func:`plan`.
    """
    migration = request.described()
    _check_limit(request, migration)
    _check_distinct(signers)
    if request.trust is not None and signers:
        check_patchers(request.trust, signers, request.created_at)
    request = _with_pace(request, migration)
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(None))
        kit = stack.enter_context(open_with_workers(request.kit, request.environment))
        stack.callback(close_lookups)
        base = read_base(kit, request, migration.transforms, scratch)
        passes = CountingPasses(kit.reader.container)
        transforms, done = _count_changes(kit, request, migration, base, passes)
        report = _dry_report(kit, request, migration, base, transforms=transforms, rewrite=done)
        if done.makes_generation:
            encoded = passes.latest.encoded
            report = with_changes(report, output_bytes=encoded, temp_bytes=2 * encoded + base.scratch_bytes)
        refusal = done.refusals.error() or unimportable_error(request, done)
        report = with_changes(report, refusal=refusal, stops=broken_rules(migration, done))
        if done.makes_generation and report.refusal is None and not report.stops:
            report = with_changes(report, refusal=predict_error(kit, report, base, request.most))
        if aim is not None:
            found = obstacles(
                *(request, migration, aim),
                needed_bytes=report.temp_bytes,
                base_created=base.manifest.made_at,
                replaced=base.manifest.generation if done.makes_generation else None,
            )
            report = with_changes(report, preflight=True, obstacles=found)
        yield Planned(kit=kit, base=base, report=report)


def patch(request: PatchRequest, output: Output) -> PatchReport:
    """Write the patched kit next to the base, or in its place.

    Raises:
        OutputError: The result could not be written or did not read back, or there is a job of an earlier run.
        InterruptedRunError: A signal ended the run; it can be resumed.
        UsageError: As of :func:`plan`, or the output is at, in or around the kit.
        KitError: The base is refused, a document is malformed, or a stop rule holds; in every case the kit and all
            next to it are as they were.
    """
    migration = request.described(output.rollback_note)
    _check_limit(request, migration)
    _check_request(migration, output)
    require_none(
        obstacles(request, migration, Aim(output=output.path, keys=output.keys, work_folder=output.work_folder))
    )
    if output.path is not None:
        require_output_apart(output.path, {"kit": request.kit})
    return _Patch(request, migration, output).start()


def resume(request: PatchRequest, output: Output) -> PatchReport | Completion:
    """Continue a run that was interrupted, to the bytes it would have given; what it finished is proven, not trusted.

    Raises:
        UsageError: There is nothing to resume, or the options differ; names those.
        DigestError: It is another kit than the run began with; names what differs.
        KitError: As :func:`patch`.
    """
    migration = request.described(output.rollback_note)
    _check_limit(request, migration)
    _check_request(migration, output)
    return _Patch(request, migration, output).resume()


class _Patch(Run[OpenKit, PatchReport, Completion]):
    """The run of a patch."""

    def __init__(self, request: PatchRequest, migration: Migration, output: Output) -> None:
        super().__init__(
            *(request.kit, output.path),
            keep_backup=output.keep_backup,
            work_folder=output.work_folder,
            backup=output.backup,
        )
        self._request = _with_pace(request, migration)
        self._migration = migration
        self._output = output

    def asked(self) -> Asked | None:
        return self._output.asked

    def options(self) -> Options:
        return options_of(self._request, self._migration, self._output)

    def open(self) -> AbstractContextManager[OpenKit]:
        return open_with_workers(self.kit, self._request.environment)

    def take_up(self) -> None:
        if self._request.created_now and (time := recorded_time(self.job)) is not None:
            self._request = at_time(self._request, time)

    def recheck(self) -> None:
        output = self._output
        aim = Aim(
            output=output.path,
            keys=output.keys,
            work_folder=output.work_folder,
            resumed=True,
            held_bytes=self.job.stored_bytes,
        )
        require_none(obstacles(self._request, self._migration, aim))

    def judge_finished(self, where: KitPlaces) -> Finished:
        return judge_finished(where, self._request, self._migration, self._output)

    def report_finished(self, finished: Finished, switch: Switch) -> Completion:  # noqa: ARG002
        backup = self.kept_path(finished.replaced) if finished.replaced is not None else None
        return completion(finished, kit=self.kit, output=self.target, backup=backup)

    def remember(self, judgement: Judgement) -> None:
        if self.in_place:
            self._output.installed(judgement)

    def work(self, source: OpenKit) -> RunResult[PatchReport]:
        request, migration, output, job = self._request, self._migration, self._output, self.job
        with ExitStack() as stack:
            stack.callback(close_lookups)
            passes = JournaledPasses(
                *(job, source.reader.container, request.environment),
                mode=source.reader.mode,
                proves=not looks_inside(migration),
            )
            stack.callback(passes.release)
            reading = read_in_one(
                *(source, request, _reading_on(migration)), job=job, passes=passes, options=self.options()
            )
            base = reading.base
            was = base.manifest.generation
            self.require_kept_free(was)  # before any work: no later run could finish what this one began
            _require_sealable(source, request, migration, base)
            transforms = with_keys(
                *(_reading_on(migration), base.survey.needs, request.keying, migration),
                workers=source.executor,
                live=True,
            )
            reading.begin(lambda: self.begin(identity_of(source, base, transforms)))
            done = reading.made or transform_kit(source, request, transforms, base, passes)
            require_tenants(migration, done)
            refusals = done.refusals.error(), unimportable_error(request, done)
            for broken in (*refusals, *broken_rules(migration, done)):
                if broken is not None:
                    raise broken
            report = _dry_report(source, request, migration, base, transforms=transforms, rewrite=done)
            report = with_changes(report, live=True, output=output.path, output_sha256=base.sidecars.archive)
            if not done.makes_generation:
                switch = (
                    None if self.in_place else copy_kit(source.reader, expected_copy(base.survey, base.sidecars), job)
                )
                return RunResult(report=report, switch=switch, judgement=None)
            if (late := clock_fault(request, base.manifest.made_at)) is not None:
                raise late  # only now: a run that changes nothing has no time of its own
            ticks = _ticks(migration, output, done)
            require_ticked(migration, ticks)
            report = with_changes(report, checklist=ticks)
            generation = _write_generation(report, output, base, passes.destination)
            work = passes.destination.assemble()
            proven = passes.proven(_digests(base, done))
            size, judgement = reread(work, request, report, output, generation, proven=proven)
            if self.in_place and not source.reader.is_still_named(job.place):
                raise DigestError("was replaced while it was being patched", where=str(request.kit), hint=_AGAIN)
            report = _new_report(
                report, output, base, generation, size=size, digest=judgement.archive, backup=self.kept_path(was)
            )
            work = copy_to_stage(work, job.stage)
            switch = _stage(work, job, report, base, output, kept_as=self.kept_as(was))
            return RunResult(report=report, switch=switch, judgement=judgement)


def _dry_report(
    kit: OpenKit,
    request: PatchRequest,
    migration: Migration,
    base: Base,
    *,
    transforms: tuple[Transform, ...],
    rewrite: Rewrite,
) -> PatchReport:
    """Return the report of a dry run that changes nothing: what plan and patch report in common."""
    return PatchReport(
        kit=request.kit,
        live=False,
        container=kit.reader.container,
        stored_bytes=kit.reader.stored_bytes,
        base=base.judgement,
        migration=migration,
        transforms=transforms,
        rewrite=rewrite,
        created_at=request.created_at,
        generation=None,
        output=None,
        output_bytes=kit.reader.stored_bytes,
        output_sha256=None,
        backup=None,
        snapshots=base.snapshots,
        temp_bytes=base.scratch_bytes,
    )


def _check_request(migration: Migration, output: Output) -> None:
    _check_distinct(output.keys)
    # What the run itself may still tick off counts as done here; it is decided once the documents were counted.
    require_ticked(migration, _ticks(migration, output, Rewrite()))
    if migration.needs_note and not migration.rollback.note:
        raise UsageError(
            f"{migration.id} is of the kind {migration.kind}, which changes what readers see, so it needs a note on how"
            " to go back",
            hint="give it with --rollback-note; it becomes part of the signed provenance",
        )
    if migration.rollback.decision is Decision.RESTORE_BACKUP and output.path is None and not output.keep_backup:
        raise UsageError(
            "the way back is to restore the backup, and none would be kept",
            hint="omit --no-backup, or decide to restore a copy of your own (restore-copy)",
        )


def _ticks(migration: Migration, output: Output, done: Rewrite) -> tuple[Tick, ...]:
    return tick_off(migration, output.stated, done, keeps_base=output.path is not None or output.keep_backup)


def _check_limit(request: PatchRequest, migration: Migration) -> None:
    whole = [transform.name for transform in migration.transforms if transform.is_whole]
    if request.most and whole:
        option = "--limit" if request.limit is not None else "--limit-per-tenant"
        raise UsageError(f"{whole[0]} does all or nothing, so no {option} goes with it", hint="rehearse with --tenant")


def _check_distinct(keys: Sequence[PrivateKey]) -> None:
    if len({key.public.key_id for key in keys}) != len(keys):
        raise UsageError("the same signing key is given twice", hint="a threshold counts keys, each once")


def _with_pace(request: PatchRequest, migration: Migration) -> PatchRequest:
    """Return the request with the batch size of the migration, and whether workers get keys."""
    secrets = any(transform.keyed is not None for transform in migration.transforms)
    environment = with_changes(request.environment, batch_documents=migration.batch_size, secrets=secrets)
    return with_changes(request, environment=environment)


def _reading_on(migration: Migration) -> tuple[Transform, ...]:
    """Return the transforms of a run that reads on after a document that stops it, to name all of these."""
    return tuple(transform.reading_on() for transform in migration.transforms)


def _count_changes(
    kit: OpenKit,
    request: PatchRequest,
    migration: Migration,
    base: Base,
    passes: CountingPasses,
) -> tuple[tuple[Transform, ...], Rewrite]:
    """Return the transforms with their keys, and what they would make of the kit; nothing is written."""
    transforms = with_keys(_reading_on(migration), base.survey.needs, request.keying, migration, workers=kit.executor)
    done = transform_kit(kit, request, transforms, base, passes)
    require_tenants(migration, done)
    return transforms, done


def _require_sealable(kit: OpenKit, request: PatchRequest, migration: Migration, base: Base) -> None:
    """End a run that cannot succeed, as the first reading found, before the keyring is written.

    Raises:
        KitError: A document stops it; the text is that of the plan.
    """
    failures = [needs.failure for needs in base.survey.needs.values() if needs.failure is not None]
    if failures:
        passes = CountingPasses(kit.reader.container)
        _, done = _count_changes(kit, request, migration, base, passes)
        raise done.refusals.error() or failures[0]


def _write_generation(report: PatchReport, output: Output, base: Base, destination: Destination) -> Generation:
    """Make the new generation's own members and write them: those of the base in their places, new ones last."""
    done, step = report.rewrite, step_of(report, base, output)
    generation = make_generation(step, output.keys)
    for path in generation.files:
        if path not in done.deferred and path in base.survey.members:
            raise DigestError("is there already, though lineage does not name it", where=str(path))
    mode = _NEW_MEMBER_MODE
    if report.container is Container.FOLDER:  # a new file can be read by those who can read the manifest
        mode &= base.survey.modes[step.location.manifest]
    # What a transform changed besides collections has its slot; all others are new.
    for path, data in sorted(generation.files.items()):
        slot = done.deferred.get(path) or destination.open(path, mode=mode)
        add_bytes(destination, slot, data, mtime=report.created_at)
    return generation


def _digests(base: Base, done: Rewrite) -> dict[MemberPath, tuple[Sha256, int]]:
    """Return digest and size of the files that the destination was given, except those that are held whole."""
    files = {path: found for path, found in base.survey.members.items() if not is_kept(path)}
    for path, change in done.members.items():
        if change.changed and change.sha256 is not None:
            files[path] = change.sha256, change.size
    files |= {path: (one.sha256, one.size) for path, one in done.added.items()}
    return {path: found for path, found in files.items() if path not in done.files}


def _new_report(
    report: PatchReport,
    output: Output,
    base: Base,
    generation: Generation,
    *,
    size: int | None,
    digest: Sha256 | None,
    backup: Path | None,
) -> PatchReport:
    """Return the report with the new generation, under the name that it is to get."""
    return with_changes(
        report,
        generation=generation,
        output=output.path or report.kit,
        output_bytes=size,
        output_sha256=digest,
        backup=backup,
        # The new kit twice, as frames and assembled, and what was sorted on the way.
        temp_bytes=2 * (size or 0) + base.scratch_bytes,
    )


def _stage(work: Path, job: Job, report: PatchReport, base: Base, output: Output, *, kept_as: str) -> Switch:
    """Stage the sidecars of the finished kit, and return the switch to its name."""
    digest = report.output_sha256
    return stage(
        work,
        job.place,
        _sidecars(job.place, digest, output.key),
        new=digest,
        old=base.sidecars.archive,
        in_place=output.path is None,
        keep_backup=output.keep_backup,
        kept_as=kept_as,
        by_content=job.is_elsewhere,
    )


def _sidecars(target: Path, digest: Sha256 | None, key: PrivateKey) -> dict[str, bytes]:
    if digest is None:
        return {}
    sidecars = {".sha256": checksum_line(digest, target.name)}
    signature = archive_signature.sign(digest, key)
    if signature is not None:
        sidecars[".sig"] = signature
    return sidecars
