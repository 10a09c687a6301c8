"""``kit verify``: opens a kit, judges whether it is what its signers signed, and lists its generations.

:func:`verify` judges the kit at a path, :func:`examine` one that is open. :func:`chain` lists the generations from the
publisher's to the current one: who signed each, and which step made it from the one before. It is pure, and separates
claims of a manifest from what was proven: a link names signers only if their signatures were checked and count.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.archive.read.proven import Proven
from kit.archive.read.reader import Container, changed_meanwhile
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.errors import KitError, OutputError, StoppedError, UnreadableError, UntrustedError
from kit.manifest import Difference, PatchStatement
from kit.transforms.coverage import TenantCoverage, is_observations
from kit.values import CollectionMember, MemberPath, Sha256, Timestamp
from kit.verbs.verify.appending import is_declared_append_only
from kit.verbs.verify.ends import levels
from kit.verbs.verify.judged import judge_kit
from kit.verbs.verify.judgement import CheckedStep, Gap, Status
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers
from kit.verbs.verify.obligations import Expectation, Judgement, coverage_of, refused_judgement

if TYPE_CHECKING:
    from kit.engine.proving import MemberReading, Wanted
    from kit.engine.undoing import Undoing, UndoneStep
    from kit.transforms.raw_linkset import RawLinkset
    from kit.verbs.verify.copies import Copies
    from kit.verbs.verify.field_proof import FieldExpectation, MemberFields
    from kit.verbs.verify.rederiving import Rederived


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was checked of a kit, and the verdict."""

    kit: Path
    container: Container | None
    judgement: Judgement
    coverage: Mapping[str, TenantCoverage]
    """By tenant; empty unless coverage was required."""
    fields: tuple[MemberFields, ...] = ()
    """The findings of the mapped collections, in the kit's order; empty unless required."""
    copies: Copies | None = None
    """The copies of sealed values in the clear; None unless the kit was judged deeply, with keys."""
    rederived: Rederived | None = None
    """How each ``rawLinkset`` compares with the one derived again; None unless asked for, and of a refused kit."""
    of_tenants: bool = False
    """Whether coverage and mapped fields were required for some tenants only."""
    tenants: frozenset[str] | None = None
    """The tenants that coverage was required for; None for all."""

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that the verdict claims; none if the kit is not valid."""
        return levels(self.judgement, of_tenants=self.of_tenants)

    @property
    def failure(self) -> KitError | None:
        """The error that decides; None for a valid kit."""
        return self.judgement.failure

    @property
    def valid(self) -> bool:
        """Whether every obligation that was asked for holds: exactly where there is no :attr:`failure`."""
        return self.failure is None


def verify(
    path: Path,
    expectation: Expectation,
    environment: Environment | None = None,
    *,
    mapped: FieldExpectation | None = None,
    rederive: RawLinkset | None = None,
) -> VerifyReport:
    """Check every obligation of the kit at ``path``.

    Args:
        path: The kit.
        expectation: What is required of it.
        environment: How it is read.
        mapped: The fields that must be encrypted; None for none.
        rederive: The backfill, limited to the tenants in question, by which every ``rawLinkset`` is derived again; None
            for no comparison.

    Raises:
        UntrustedError: No key is trusted, so nothing can be valid.
        UnreadableError: The kit does not exist or is not readable.
        StoppedError: A worker died.
    """
    if not expectation.anchor.policy.keys:
        raise UntrustedError("no key is trusted, so nothing can be valid", hint="name one with --trusted-key")
    container: Container | None = None
    fields: tuple[MemberFields, ...] = ()
    copies: Copies | None = None
    rederived: Rederived | None = None
    try:
        with open_with_workers(path, environment or Environment()) as kit:
            container = kit.reader.container
            judgement, coverage = examine(kit, expectation, explain=True)
            if mapped is not None:
                from kit.verbs.verify.field_proof import prove_fields  # noqa: PLC0415  not for every verdict

                fields = prove_fields(kit, judgement, mapped)
                if fields and expectation.deep:
                    from kit.verbs.verify.copies import search_copies  # noqa: PLC0415  not for every verdict

                    copies = search_copies(kit, judgement, mapped)
            if rederive is not None:
                from kit.verbs.verify.rederiving import rederive_kit  # noqa: PLC0415  not for every verdict

                rederived = rederive_kit(kit, judgement, rederive)
    except (UnreadableError, StoppedError, OutputError):
        raise  # there is no verdict on the kit
    except KitError as error:
        judgement, coverage = refused_judgement(error), {}
    return VerifyReport(
        kit=path,
        container=container,
        judgement=judgement,
        coverage=coverage,
        fields=fields,
        copies=copies,
        rederived=rederived,
        of_tenants=expectation.tenants is not None,
        tenants=expectation.tenants,
    )


def examine(
    kit: OpenKit,
    expectation: Expectation,
    stage: Stage = Stage.SURVEY,
    *,
    explain: bool = False,
    proven: Proven | None = None,
) -> tuple[Judgement, dict[str, TenantCoverage]]:
    """Read a kit and judge it; coverage is only counted, and documents are only read one by one, if required.

    Args:
        kit: The kit.
        expectation: What is required of it.
        stage: The stage that progress reports.
        explain: Whether to find out why required observations lack a projection.
        proven: What is known of bodies that this process has just written; only if nothing is required of documents.

    Raises:
        KitError: The container, or a document that must be read for coverage, is malformed.
    """
    reader = kit.reader

    def read(pipeline: Pipeline) -> Survey:
        def count(member: CollectionMember) -> bool:
            return expectation.require_raw_linkset and is_observations(member.name)

        return survey(reader, pipeline, keep=is_kept, count=count, proven=proven)

    def read_deep(found: Survey, wanted: Mapping[MemberPath, Wanted]) -> Mapping[MemberPath, MemberReading]:
        from kit.engine.leaves import LeafStore  # noqa: PLC0415  not for every verdict
        from kit.engine.proving import prove  # noqa: PLC0415  not for every verdict
        from kit.output.scratch import scratch_folder  # noqa: PLC0415  not for every verdict

        count = 1 + max((len(one.earlier) for one in wanted.values()), default=0)
        with scratch_folder(None) as scratch, kit.pipeline(Stage.DEEP) as pipeline:
            stores = [LeafStore(scratch / str(number)) for number in range(count)]
            return prove(reader, found, pipeline, wanted, stores)

    def undo(found: Survey, undoing: Undoing) -> UndoneStep:
        from kit.engine.undoing import undo_step  # noqa: PLC0415  not for every verdict

        with kit.pipeline(Stage.DEEP) as pipeline:
            return undo_step(reader, found, pipeline, undoing)

    def explain_missing(found: Survey, tenants: frozenset[str]) -> tuple[Gap, ...]:
        from kit.engine.lookup import close_lookups  # noqa: PLC0415  not for every verdict
        from kit.output.scratch import scratch_folder  # noqa: PLC0415  not for every verdict
        from kit.transforms.raw_linkset import RawLinkset  # noqa: PLC0415  not for every verdict
        from kit.verbs.verify.gaps import find_gaps, gather  # noqa: PLC0415  not for every verdict

        with scratch_folder(None) as scratch, ExitStack() as stack:
            stack.callback(close_lookups)
            transform = RawLinkset(tenants=tenants)
            with kit.pipeline(Stage.EXPLAIN) as pipeline:
                lookup, again = gather(reader, pipeline, transform, scratch)
            if again.members != found.members:
                raise changed_meanwhile(reader.path)
            with kit.pipeline(Stage.EXPLAIN) as pipeline:
                return find_gaps(reader, found, pipeline, transform, lookup)

    judged = judge_kit(
        *(kit, expectation),
        stage=stage,
        read=read,
        read_deep=read_deep,
        explain=explain_missing if explain else None,
        undo=undo,
    )
    judgement, coverage = judged.judgement, coverage_of(judged.survey)
    for gap in judgement.gaps:
        if gap.unresolvable:
            coverage[gap.tenant].unresolvable += gap.documents
    return judgement, coverage


PUBLISHED = "published"
MAX_DIFFERENCES = 100
"""The most differences of one step that a report or a receipt names; further ones are counted."""


class Ground(enum.StrEnum):
    """The evidence for a generation, as far as the available bytes go."""

    SIGNATURE = "signature"
    """The first generation: permitted keys signed all of it."""
    DOCUMENTS = "documents"
    """The signed statement, and the documents themselves show what the step to it did."""
    STATEMENT = "statement"
    """The signed statement of the step: both manifests show which members changed; how is the signer's claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One generation.

    Attributes:
        generation: Its number.
        manifest_sha256: The digest of its manifest, from the lineage or the kit itself.
        made_at: When it was made, by its lineage entry or its own manifest; None if neither can be believed.
        operation: What made it: ``published`` for the first, else the operation in the lineage (``patch``).
        tool: Name and version of the program that made it from the one before; None for the first.
        signers: Key ids that signed it in the role it needs; empty if that is not proven.
        statement_signers: Key ids that signed the statement of the step to it; empty if that is not proven.
        statement: The statement of the step to it; None if that is not proven.
        differences: The differences of its manifest from the one before, besides those that every patch makes.
        ground: The evidence for it; None if it is not proven.
        remedy: The option that would prove more of the step; "" if none would.
    """

    generation: int
    manifest_sha256: Sha256
    made_at: Timestamp | None
    operation: str
    tool: str | None
    signers: tuple[str, ...]
    statement_signers: tuple[str, ...]
    statement: PatchStatement | None
    differences: tuple[Difference, ...]
    ground: Ground | None
    remedy: str

    @property
    def proven(self) -> bool:
        """Whether permitted keys signed it, and the statement of the step that made it."""
        return bool(self.signers) and (self.operation == PUBLISHED or bool(self.statement_signers))

    @property
    def transforms(self) -> tuple[str, ...]:
        """The transforms of the step to it, in order; empty if that is not proven."""
        return tuple(applied.name for applied in self.statement.transforms) if self.statement is not None else ()


def chain(judgement: Judgement) -> tuple[Link, ...]:
    """Return the generations of a judged kit, oldest first, the current one last; none without a manifest."""
    manifest = judgement.manifest
    if manifest is None:
        return ()
    steps: list[CheckedStep | None] = [*judgement.steps]
    steps += [None] * (len(manifest.lineage) - len(steps))
    # Of every generation: its number and digest, and its signers, which the step that replaced it proves.
    ends = [
        *(
            (entry.generation, entry.manifest_sha256, step.signers if step else ())
            for entry, step in zip(manifest.lineage, steps, strict=True)
        ),
        (manifest.generation, manifest.sha256, judgement.signers),
    ]
    links: list[Link] = []
    for number, (generation, digest, signers) in enumerate(ends):
        entry = manifest.lineage[number - 1] if number else None
        step = steps[number - 1] if number else None
        last = number == len(ends) - 1
        ground = _ground(judgement, step, last=last, first=not number, signed=bool(signers))
        links.append(
            Link(
                generation=generation,
                manifest_sha256=digest,
                made_at=entry.at if entry is not None else _published_at(judgement),
                operation=entry.operation if entry is not None else PUBLISHED,
                tool=entry.tool if entry is not None else None,
                signers=signers,
                statement_signers=step.statement_signers if step is not None else (),
                statement=step.statement if step is not None else None,
                differences=step.differences if step is not None else (),
                ground=ground,
                remedy=_remedy(judgement, step) if last and ground is Ground.STATEMENT else "",
            )
        )
    return tuple(links)


def _ground(judgement: Judgement, step: CheckedStep | None, *, last: bool, first: bool, signed: bool) -> Ground | None:
    if not signed:
        return None
    if first:
        return Ground.SIGNATURE
    refuted = last and any(one.number == 7 and one.status is Status.FAILED for one in judgement.obligations)
    if step is None or not step.statement_signers or refuted:
        return None
    # Only the current documents are available, and later steps have changed what an earlier step did to them.
    appended, reshaped = judgement.appended, judgement.reshaped
    shown = last and (
        (appended is not None and appended.since is not None) or (reshaped is not None and reshaped.is_proven)
    )
    return Ground.DOCUMENTS if shown else Ground.STATEMENT


def _remedy(judgement: Judgement, step: CheckedStep | None) -> str:
    if step is not None and step.statement is not None and is_declared_append_only(step.statement):
        return "--deep looks at the documents" if judgement.appended is None else ""
    if step is not None and step.record is not None:
        return "--deep undoes it" if judgement.appended is None else ""
    return "--field-map and --keyring prove what was sealed"


def _published_at(judgement: Judgement) -> Timestamp | None:
    manifest = judgement.manifest
    if manifest is None or manifest.lineage:
        return judgement.steps[0].base.created_at if judgement.steps else None
    return manifest.created_at
