"""The two judgements of a patch: of the base before anything is written, of the result before it gets its name."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace as with_changes
from pathlib import Path

from kit.engine.leaves import LeafStore
from kit.engine.lookup import LookupWriter
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.errors import DigestError, KitError, LimitError, OutputError, UntrustedError
from kit.manifest import Manifest
from kit.migrations import Validation
from kit.ops import rooting
from kit.ops.field_proof import FieldExpectation, prove_fields
from kit.ops.generation import Generation
from kit.ops.kits import OpenKit, beside, is_kept, opened
from kit.ops.obligations import Beside, Expectation, Judgement, judge
from kit.ops.patching import Output, PatchReport, PatchRequest
from kit.ops.verify import examine
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Transform
from kit.values import Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The kit as it was found and judged."""

    survey: Survey
    beside: Beside
    judgement: Judgement
    manifest: Manifest
    lookup: Path | None
    lookup_bytes: int
    leaves: LeafStore | None
    """Where the leaves of Merkle trees are sorted; None where the new manifest has no roots."""

    @property
    def scratch_bytes(self) -> int:
        """Room taken so far beside the output."""
        return self.lookup_bytes + (self.leaves.written_bytes if self.leaves is not None else 0)


def read_base(kit: OpenKit, request: PatchRequest, transforms: tuple[Transform, ...], scratch: Path) -> Base:
    """Read the kit once, gather the lookups, and refuse it unless it is what its signers say.

    Raises:
        KitError: The first obligation that failed.
    """
    if request.trust is None and request.trusted is not None and not request.trusted:
        raise UntrustedError(
            "no key is trusted, so no base can be valid", hint="name the publisher's key with --trusted-key"
        )
    path, leaves = scratch / "lookup", LeafStore(scratch / "leaves")
    with kit.pipeline(Stage.SURVEY) as pipeline, LookupWriter(path) as lookup:
        found = survey(
            kit.reader,
            pipeline,
            keep=is_kept,
            count=lambda member: not any(transform.handles(member.name) for transform in transforms),
            transforms=transforms,
            lookup=lookup,
            leaves=leaves if request.merkle else None,
        )
        lookup.finish()
    around = beside(kit.reader, found.stored)
    expectation = Expectation(
        trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=request.trusted is None
    )
    judgement = judge(found, around, expectation, limits=request.environment.limits)
    for obligation in judgement.obligations:
        if obligation.error is not None and decides(obligation.number, request):
            raise obligation.error
    if judgement.manifest is None:
        raise OutputError("a judged kit without a manifest")
    return Base(
        survey=found,
        beside=around,
        judgement=judgement,
        manifest=judgement.manifest,
        lookup=path,
        lookup_bytes=path.stat().st_size,
        leaves=leaves if rooting.wanted(request, judgement.manifest) else None,
    )


def decides(number: int, request: PatchRequest) -> bool:
    """Whether an obligation's failure refuses the base: all do, signatures only unless they were said not to matter."""
    return request.trusted is not None or number not in {3, 6}


def reread(
    work: Path, request: PatchRequest, done: PatchReport, output: Output, generation: Generation
) -> tuple[int | None, Sha256 | None]:
    """Read the finished kit from its file and judge it as a user will, before it gets its name.

    Raises:
        OutputError: It does not read back as what was to be written.
        LimitError: What is added to the kit takes it over a limit.
        KitError: It is not what the migration's validation demands.
    """
    wanted = done.migration.validation
    looks_inside = bool(wanted - {Validation.INTEGRITY})
    # Where no document is looked into, no workers are needed.
    environment = request.environment if looks_inside else with_changes(request.environment, workers=1, executor=None)
    with ExitStack() as stack:
        try:
            kit = stack.enter_context(opened(work, environment))
            judgement = _judge_again(kit, request, done, output, generation)
            size = kit.reader.stored_bytes
        except LimitError as error:
            raise LimitError(f"the new kit would be over a limit: {error.what}", hint=error.hint) from error
        except KitError as error:
            raise OutputError(
                f"the new kit does not read back: {error}",
                where=str(work),
                hint="the kit is untouched; check the disk and try again",
            ) from error
        if Validation.FIELDS in wanted:
            for transform in done.transforms:
                if isinstance(transform, EncryptFields):
                    prove_fields(kit, judgement, _fields_expected(transform))
        for obligation in judgement.obligations:
            if obligation.error is not None and obligation.number in _VALIDATED:
                failed = obligation.error
                failed.what = f"the new kit fails the validation of {done.migration.id}: {failed.what}"
                failed.hint = (
                    "nothing was changed; the migration demands what this kit cannot have, or the run is wrong"
                )
                raise failed
    return size, judgement.archive


_VALIDATED = frozenset({7, 8})
"""The obligations that a migration may demand or not; the others are always demanded."""


def _fields_expected(transform: EncryptFields) -> FieldExpectation:
    # With a key locked (another master key's, or one sealed to a public key alone) only the form can be judged.
    keys = transform.keys if transform.keys.complete else None
    return FieldExpectation(
        field_map=transform.field_map, profile=transform.profile, keys=keys, tenants=transform.partitions
    )


def _judge_again(
    kit: OpenKit, request: PatchRequest, done: PatchReport, output: Output, generation: Generation
) -> Judgement:
    wanted = done.migration.validation
    expectation = Expectation(
        trusted={**(request.trusted or {}), **{key.public.key_id: key.public for key in output.keys}},
        trust=request.trust,
        allow_unsigned_history=request.trusted is None,
        deep=Validation.DEEP in wanted,
        require_raw_linkset=Validation.COVERAGE in wanted,
        tenants=done.migration.tenants,
    )
    judgement, _ = examine(kit, expectation, Stage.REREAD)
    for obligation in judgement.obligations:
        if obligation.error is None or obligation.number in _VALIDATED:
            continue
        if obligation.number == 3 or decides(obligation.number, request):
            raise obligation.error
    if judgement.manifest is None or judgement.manifest.sha256 != generation.manifest_sha256:
        raise DigestError("it has another manifest than was written")
    return judgement
