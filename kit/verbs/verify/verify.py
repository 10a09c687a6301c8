"""``kit verify``: is this kit what its signers signed?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.archive import Container, Proven
from kit.engine.gap import Gap
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.errors import KitError, OutputError, StoppedError, UnreadableError, UntrustedError
from kit.ops.claims import levels
from kit.ops.judged import judge_kit
from kit.ops.kits import Environment, OpenKit, is_kept, opened
from kit.ops.obligations import Expectation, Judgement, coverage_of, refused
from kit.transforms.coverage import TenantCoverage, is_observations
from kit.values import CollectionMember, MemberPath

if TYPE_CHECKING:
    from kit.engine.proving import MemberReading, Wanted
    from kit.ops.field_proof import FieldExpectation, MemberFields


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was checked of a kit, and the verdict."""

    kit: Path
    container: Container | None
    judgement: Judgement
    coverage: Mapping[str, TenantCoverage]
    """Per tenant; empty unless coverage was asked for."""
    fields: tuple[MemberFields, ...] = ()
    """Of the mapped collections, in the order of the kit; empty unless asked for."""
    of_tenants: bool = False
    """Whether coverage and mapped fields were asked for of some tenants only."""

    @property
    def levels(self) -> tuple[str, ...]:
        """What the verdict claims; nothing of a kit that is not valid."""
        return levels(self.judgement, of_tenants=self.of_tenants)

    @property
    def failure(self) -> KitError | None:
        """The error that decides; None for a valid kit."""
        return self.judgement.failure


def verify(
    path: Path,
    expectation: Expectation,
    environment: Environment | None = None,
    *,
    mapped: FieldExpectation | None = None,
) -> VerifyReport:
    """Check every obligation of the kit at ``path``; of mapped fields where ``mapped`` names them.

    Raises:
        UntrustedError: No key is trusted at all: under an empty policy nothing can be valid.
        UnreadableError: The kit is not there or not readable.
        StoppedError: A worker died.
    """
    if not expectation.anchor.policy.keys:
        raise UntrustedError("no key is trusted, so nothing can be valid", hint="name one with --trusted-key")
    container: Container | None = None
    fields: tuple[MemberFields, ...] = ()
    try:
        with opened(path, environment or Environment()) as kit:
            container = kit.reader.container
            judgement, coverage = examine(kit, expectation, explain=True)
            if mapped is not None:
                from kit.ops.field_proof import prove_fields  # noqa: PLC0415  not for every verdict

                fields = prove_fields(kit, judgement, mapped)
    except (UnreadableError, StoppedError, OutputError):
        raise  # nothing was found out about the kit
    except KitError as error:
        judgement, coverage = refused(error), {}
    return VerifyReport(
        kit=path,
        container=container,
        judgement=judgement,
        coverage=coverage,
        fields=fields,
        of_tenants=expectation.tenants is not None,
    )


def examine(
    kit: OpenKit,
    expectation: Expectation,
    stage: Stage = Stage.SURVEY,
    *,
    explain: bool = False,
    proven: Proven | None = None,
) -> tuple[Judgement, dict[str, TenantCoverage]]:
    """Read a kit and judge it; coverage is counted only if it is asked for, documents are walked only if asked for.

    With ``explain``, observations that lack a projection and must have both are looked into. With ``proven``, which is
    for what asks nothing of documents, bodies are known that this process has just written.

    Raises:
        KitError: The container, or a document that must be walked for coverage, is malformed.
    """
    reader = kit.reader

    def read(pipeline: Pipeline) -> Survey:
        def count(member: CollectionMember) -> bool:
            return expectation.require_raw_linkset and is_observations(member.name)

        return survey(reader, pipeline, keep=is_kept, count=count, proven=proven)

    def read_deep(found: Survey, wanted: Mapping[MemberPath, Wanted]) -> Mapping[MemberPath, MemberReading]:
        from kit.engine.leaves import LeafStore  # noqa: PLC0415  not for every verdict
        from kit.engine.proving import prove  # noqa: PLC0415  not for every verdict
        from kit.engine.scratch import scratch_folder  # noqa: PLC0415  not for every verdict

        count = 1 + max((len(one.earlier) for one in wanted.values()), default=0)
        with scratch_folder(None) as scratch, kit.pipeline(Stage.DEEP) as pipeline:
            stores = [LeafStore(scratch / str(number)) for number in range(count)]
            return prove(reader, found, pipeline, wanted, stores)

    def explained(found: Survey, tenants: frozenset[str]) -> tuple[Gap, ...]:
        from kit.engine.gaps import find_gaps, gather  # noqa: PLC0415  not for every verdict
        from kit.engine.lookup import close_lookups  # noqa: PLC0415  not for every verdict
        from kit.engine.scratch import scratch_folder  # noqa: PLC0415  not for every verdict
        from kit.transforms.raw_linkset import RawLinkset  # noqa: PLC0415  not for every verdict

        with scratch_folder(None) as scratch, ExitStack() as stack:
            stack.callback(close_lookups)
            transform = RawLinkset(tenants=tenants)
            with kit.pipeline(Stage.EXPLAIN) as pipeline:
                lookup = gather(reader, found, pipeline, transform, scratch)
            with kit.pipeline(Stage.EXPLAIN) as pipeline:
                return find_gaps(reader, found, pipeline, transform, lookup)

    judged = judge_kit(
        *(kit, expectation), stage=stage, read=read, read_deep=read_deep, explain=explained if explain else None
    )
    judgement, coverage = judged.judgement, coverage_of(judged.survey)
    for gap in judgement.gaps:
        if gap.unresolvable:
            coverage[gap.tenant].unresolvable += gap.documents
    return judgement, coverage
