"""The two judgements of a patch: of the base before anything is written, and of the result before it gets its name.

Here too: whether a patched kit gets Merkle roots, and from where (schemas/merkle.md). Without an option, a patch makes
roots exactly if the base has them. To drop them silently would take from later readers what the publisher meant to be
provable.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace as with_changes
from pathlib import Path

from kit.archive.read.proven import Proven
from kit.engine.importability import Importing
from kit.engine.leaves import LeafStore
from kit.engine.lookup import LookupWriter
from kit.engine.other_members import is_metadata
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.rewrite import Rewrite
from kit.engine.survey import survey
from kit.errors import DigestError, KitError, LimitError, OutputError, StoppedError, UntrustedError, UsageError
from kit.manifest import AppliedMigration, Manifest, Shape, SnapshotsOrigin
from kit.migrations import Migration, Validation
from kit.output.commit import KitPlaces
from kit.output.scratch import real_path
from kit.transforms.protocol import KeyedTransform, Transform
from kit.trust import Anchor
from kit.values import NAMED, MemberPath, Sha256
from kit.verbs.jobs import Finished
from kit.verbs.patch.changeable import check_changeable
from kit.verbs.patch.generation import Generation, stated_rollback
from kit.verbs.patch.request import Output, PatchReport, PatchRequest
from kit.verbs.patch.snapshots import gather_snapshots
from kit.verbs.verify.field_proof import FieldExpectation, prove_fields
from kit.verbs.verify.judged import SIGNATURES, judge_kit, manifest_of
from kit.verbs.verify.kits import OpenKit, is_kept, open_with_workers
from kit.verbs.verify.obligations import Expectation, Judgement, Sidecars
from kit.verbs.verify.signers import sign_off_archive
from kit.verbs.verify.verify import examine
from kit.version import TOOL, VERSION


def wanted_roots(request: PatchRequest, base: Manifest) -> bool:
    """Return whether the new manifest is to have roots.

    Raises:
        UsageError: They are asked for, and the manifest has no place for them.
    """
    if request.merkle and base.shape is Shape.FOREIGN:
        raise UsageError(
            "a manifest of a foreign shape has no place for Merkle roots", hint="patch it without --merkle"
        )
    if request.merkle is not None:
        return request.merkle
    return any(summary.merkle_root for summary in base.collections)


def roots(kit: OpenKit, store: LeafStore, survey: Survey, base: Manifest, done: Rewrite) -> dict[MemberPath, Sha256]:
    """Return the root of every collection that the new manifest describes.

    A member that the transforms do not handle has its leaves in ``store`` where the survey gathered them; else it keeps
    its root, since it is what it was when that was signed.
    """
    pipeline = Pipeline(kit.executor, budget=kit.budget)
    found = {path: store.root(path, pipeline) for path in sorted(done.members.keys() | survey.rooted)}
    kept = {summary.path: summary.merkle_root for summary in base.collections if summary.merkle_root is not None}
    return {path: root for path, root in kept.items() if path in survey.tallies} | found


def _lacks_roots(manifest: Manifest, found: Survey) -> bool:
    rooted = {summary.path for summary in manifest.collections if summary.merkle_root is not None}
    return any(path not in rooted for path in found.collections)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The kit as it was read and judged."""

    survey: Survey
    sidecars: Sidecars
    judgement: Judgement
    manifest: Manifest
    lookup: Path | None
    lookup_bytes: int
    snapshots: SnapshotsOrigin | None
    """Where snapshots were taken from besides the kit."""
    importing: Importing
    """What a server will demand of the result."""
    leaves: LeafStore | None
    """Where the leaves of Merkle trees are sorted; None where the new manifest has no roots."""
    lacks_roots: bool
    """Whether roots are asked for that the manifest lacks, which is a change by itself."""

    @property
    def scratch_bytes(self) -> int:
        """Room taken so far next to the output."""
        return self.lookup_bytes + (self.leaves.written_bytes if self.leaves is not None else 0)


def read_base(
    kit: OpenKit,
    request: PatchRequest,
    transforms: tuple[Transform, ...],
    scratch: Path,
    *,
    meanwhile: Callable[[Pipeline, Path], Survey] | None = None,
) -> Base:
    """Read the kit once, gather the lookups, and refuse it unless it is what its signers signed.

    Args:
        kit: The kit.
        request: The whole request.
        transforms: Its transforms.
        scratch: The folder for lookups and leaves.
        meanwhile: Reads the kit instead, with an empty lookup (:mod:`kit.verbs.patch.one_reading`).

    Raises:
        KitError: The first obligation that failed.
    """
    if request.trust is None and request.trusted is not None and not request.trusted:
        raise UntrustedError(
            "no key is trusted, so no base can be valid", hint="name the publisher's key with --trusted-key"
        )
    leaves, origins = LeafStore(scratch / "leaves"), list[SnapshotsOrigin | None]()
    kit.reader.declared = request.migration.collections if request.migration is not None else NAMED
    edits = any(transform.edits_metadata for transform in transforms)
    with LookupWriter(scratch / "lookup") as lookup:
        # Workers on other machines can only open it by its name.
        place = real_path(lookup.path) if kit.environment.executor is not None else lookup.path

        def read(pipeline: Pipeline) -> Survey:
            if meanwhile is not None:
                lookup.finish()
                origins.append(None)
                return meanwhile(pipeline, place)
            found = survey(
                *(kit.reader, pipeline),
                keep=lambda path: is_kept(path) or (edits and is_metadata(path)),
                count=lambda member: not any(transform.handles(member.name) for transform in transforms),
                transforms=transforms,
                lookup=lookup,
                leaves=leaves if request.merkle else None,
            )
            origins.append(gather_snapshots(request, transforms, pipeline, lookup, found))
            lookup.finish()
            return found

        expectation = Expectation(
            trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=request.trusted is None
        )
        judged = judge_kit(kit, expectation, stage=Stage.REWRITE if meanwhile else Stage.SURVEY, read=read)
    judged.require(but=_ignored_obligations(request))
    check_changeable(judged, transforms)
    return Base(
        survey=judged.survey,
        sidecars=judged.sidecars,
        judgement=judged.judgement,
        manifest=judged.manifest,
        lookup=place,
        lookup_bytes=lookup.path.stat().st_size,
        snapshots=origins[0],
        importing=Importing.of(judged.survey, transforms, kit.reader.limits, scratch),
        leaves=leaves if wanted_roots(request, judged.manifest) else None,
        lacks_roots=request.merkle is True and _lacks_roots(judged.manifest, judged.survey),
    )


def _ignored_obligations(request: PatchRequest) -> frozenset[int]:
    """Return the obligations that the base may fail: none, or where the user accepts that, signatures."""
    return SIGNATURES if request.trusted is None else frozenset()


def reread(
    work: Path,
    request: PatchRequest,
    done: PatchReport,
    output: Output,
    generation: Generation,
    *,
    proven: Proven | None,
) -> tuple[int | None, Judgement]:
    """Read the finished kit from its file and judge it as a user will, before it gets its name.

    Returns its size as stored, None where that is not known, and the judgement.

    Args:
        work: The kit.
        request: What was to be done.
        done: What was.
        output: Where the result is to go, and who signs it.
        generation: What was signed.
        proven: What is known of the archive, where no document is to be read (:func:`looks_inside`).

    Raises:
        OutputError: It does not read back as what was to be written.
        LimitError: What is added to the kit takes it over a limit.
        StoppedError: Memory or a worker was lost while it was read.
        KitError: It is not what the migration's validation demands.
    """
    wanted = done.migration.validation
    # Where no document is read, no workers are needed.
    environment = request.environment
    if not looks_inside(done.migration):
        environment = with_changes(environment, workers=1, executor=None)
    with ExitStack() as stack:
        try:
            kit = stack.enter_context(open_with_workers(work, environment))
            judgement = _judge_again(kit, request, done, output, generation, proven=proven)
            size = kit.reader.stored_bytes
        except LimitError as error:
            raise over_limit_error(error) from error
        except StoppedError:
            raise  # for want of memory or a worker: nothing is known of the new kit
        except KitError as error:
            raise OutputError(
                f"the new kit does not read back: {error}",
                where=str(work),
                hint="the kit is untouched; check the disk and try again",
            ) from error
        if Validation.FIELDS in wanted:
            for transform in done.transforms:
                if transform.keyed is not None:
                    prove_fields(kit, judgement, field_expectation(transform.keyed))
        for obligation in judgement.obligations:
            if obligation.error is not None and obligation.number in _VALIDATED:
                raise validation_error(done.migration, obligation.error)
    return size, judgement


def looks_inside(migration: Migration) -> bool:
    """Return whether the validation of a migration reads the documents of the new kit, and not only its bytes."""
    return bool(migration.validation - {Validation.INTEGRITY})


def validation_error(migration: Migration, error: KitError) -> KitError:
    """Return an error as one of the migration's validation of the new kit."""
    error.what = f"the new kit fails the validation of {migration.id}: {error.what}"
    error.hint = "nothing was changed; the migration demands what this kit cannot have, or the run is wrong"
    return error


def over_limit_error(error: LimitError) -> LimitError:
    """Return an error of a limit as one of the new kit, which is larger than its base."""
    return LimitError(f"the new kit would be over a limit: {error.what}", hint=error.hint)


_VALIDATED = frozenset({7, 8})
"""The obligations that a migration may demand or not; the others are always demanded."""


def field_expectation(transform: KeyedTransform) -> FieldExpectation:
    """Return what the validation ``fields`` demands of what ``transform`` made."""
    # With a key locked (another master key's, or one sealed to a public key alone) only the form can be judged.
    keys = transform.keys if transform.keys.complete else None
    return FieldExpectation(
        field_map=transform.field_map,
        profile=transform.profile,
        keys=keys,
        tenants=transform.tenants,
        replaced=transform.replaced,
    )


def judge_finished(where: KitPlaces, request: PatchRequest, migration: Migration, output: Output) -> Finished:
    """Judge a kit that an interrupted run finished: as the run would, and that it is what this run makes of this base.

    A forged journal can put any kit there: an unsigned one, somebody else's, or one of this site that is older or was
    made in another way. So the signatures, the base, and the step in the signed statement must all be those of the run.

    Raises:
        DigestError: It was made of another kit, or in another way.
        KitError: It is not what its signers signed, or a signature is missing.
    """
    with open_with_workers(where.new, request.environment) as kit:
        judgement = _judge_new(kit, request, migration, output)
        manifest, size = manifest_of(judgement), kit.reader.stored_bytes
        if Validation.FIELDS in migration.validation:
            for transform in migration.transforms:
                if transform.keyed is not None:
                    prove_fields(kit, judgement, field_expectation(transform.keyed))
    for obligation in judgement.obligations:
        if obligation.error is not None and obligation.number in _VALIDATED:
            raise obligation.error
    check_archive_signature(where.signature, judgement, _new_expectation(request, migration, output).anchor)
    path = where.old if output.path is None else request.kit
    base = _base_manifest(path, request) if path is not None and not where.is_placed else None
    copied = output.path is not None and base is not None and base.sha256 == manifest.sha256
    if not copied:
        if base is not None and (not manifest.lineage or manifest.lineage[-1].manifest_sha256 != base.sha256):
            raise DigestError(f"was not made of this kit, whose manifest is {base.sha256}")
        _check_step(judgement, request, migration, output)
    replaced = manifest.lineage[-1].generation if output.path is None and manifest.lineage else None
    return Finished(judgement=judgement, stored_bytes=size, replaced=replaced, copied=copied)


def _check_step(judgement: Judgement, request: PatchRequest, migration: Migration, output: Output) -> None:
    """Check that the last step of a kit is the one that this run takes.

    Raises:
        DigestError: It is another.
        UntrustedError: Not all who are to sign it have.
    """
    if not judgement.statements:
        raise DigestError("has no signed statement of how it was made")
    step, keys = judgement.statements[-1], sorted(key.public.key_id for key in output.keys)
    if not set(keys) <= set(judgement.signers) or list(step.key_ids) != keys:
        raise UntrustedError(f"is signed by {', '.join(judgement.signers)}, and this run signs by {', '.join(keys)}")
    applied = AppliedMigration(id=migration.id, kind=migration.kind.value, sha256=migration.sha256)
    facts = {
        "migration": (step.migration, applied),
        "time": (step.created_at, request.created_at),
        "operator": (step.operator, output.operator),
        "environment": (step.environment, output.place),
        "rollback note": (step.rollback_note, migration.rollback.note or None),
        "snapshots": (step.snapshots is not None, request.snapshots is not None),
        "rollback": (step.rollback, stated_rollback(migration)),
        "checklist": ([one for one in step.checklist if one.by and one not in output.stated.ticks], []),
        "tool": ((step.tool_name, step.tool_version), (TOOL, VERSION)),
    }
    differing = [name for name, (stated, due) in facts.items() if stated != due]
    if differing:
        raise DigestError(f"was made otherwise than this run makes it: its statement differs in {', '.join(differing)}")


def _base_manifest(path: Path, request: PatchRequest) -> Manifest:
    """Return the manifest of the base, which is judged as when the run began."""
    expectation = Expectation(
        trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=request.trusted is None
    )
    with open_with_workers(path, with_changes(request.environment, workers=1, executor=None)) as kit:
        return judge_kit(kit, expectation).require(but=_ignored_obligations(request)).manifest


def check_archive_signature(signature: bytes | None, judgement: Judgement, anchor: Anchor) -> None:
    """Check the signature that belongs next to a judged archive, where there is one.

    Raises:
        SignatureError: It is not over this archive.
        KitError: Its signer may not sign such a kit, or the key does not count.
    """
    if signature is not None and judgement.archive is not None and judgement.manifest is not None:
        sign_off_archive(anchor, judgement.manifest, judgement.archive, signature).require()


def _new_expectation(request: PatchRequest, migration: Migration, output: Output) -> Expectation:
    """Return what the new kit must satisfy: the migration, and signatures as of the base or by the present signers."""
    wanted = migration.validation
    return Expectation(
        trusted={**(request.trusted or {}), **{key.public.key_id: key.public for key in output.keys}},
        trust=request.trust,
        allow_unsigned_history=request.trusted is None,
        deep=Validation.DEEP in wanted,
        require_raw_linkset=Validation.COVERAGE in wanted,
        tenants=migration.tenants,
    )


def _judge_new(
    kit: OpenKit, request: PatchRequest, migration: Migration, output: Output, proven: Proven | None = None
) -> Judgement:
    judgement, _ = examine(kit, _new_expectation(request, migration, output), Stage.REREAD, proven=proven)
    for obligation in judgement.obligations:
        if obligation.error is None or obligation.number in _VALIDATED:
            continue
        if obligation.number not in _ignored_obligations(request) - {3}:
            raise obligation.error
    return judgement


def _judge_again(
    kit: OpenKit,
    request: PatchRequest,
    done: PatchReport,
    output: Output,
    generation: Generation,
    *,
    proven: Proven | None,
) -> Judgement:
    judgement = _judge_new(kit, request, done.migration, output, proven)
    if judgement.manifest is None or judgement.manifest.sha256 != generation.manifest_sha256:
        raise DigestError("it has another manifest than was written")
    return judgement
