"""``kit verify``: is this kit what its signers signed?

The generations of a kit, from its publisher's to the one it is in: who signed each, and what made it of the last.

What the manifest says about itself and what was proven are kept apart: a link names signers only where their
signatures were checked and count. Pure: a judgement in, links out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.archive.read.proven import Proven
from kit.archive.read.reader import Container
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.errors import KitError, OutputError, StoppedError, UnreadableError, UntrustedError
from kit.manifest import Difference, PatchStatement
from kit.transforms.coverage import TenantCoverage, is_observations
from kit.values import CollectionMember, MemberPath, Sha256, Timestamp
from kit.verbs.verify.appending import says_it_appends
from kit.verbs.verify.ends import levels
from kit.verbs.verify.judged import judge_kit
from kit.verbs.verify.judgement import CheckedStep, Gap, Status
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers
from kit.verbs.verify.obligations import Expectation, Judgement, coverage_of, refused

if TYPE_CHECKING:
    from kit.engine.proving import MemberReading, Wanted
    from kit.verbs.verify.field_proof import FieldExpectation, MemberFields


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
        with open_with_workers(path, environment or Environment()) as kit:
            container = kit.reader.container
            judgement, coverage = examine(kit, expectation, explain=True)
            if mapped is not None:
                from kit.verbs.verify.field_proof import prove_fields  # noqa: PLC0415  not for every verdict

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
        from kit.output.scratch import scratch_folder  # noqa: PLC0415  not for every verdict

        count = 1 + max((len(one.earlier) for one in wanted.values()), default=0)
        with scratch_folder(None) as scratch, kit.pipeline(Stage.DEEP) as pipeline:
            stores = [LeafStore(scratch / str(number)) for number in range(count)]
            return prove(reader, found, pipeline, wanted, stores)

    def explained(found: Survey, tenants: frozenset[str]) -> tuple[Gap, ...]:
        from kit.engine.lookup import close_lookups  # noqa: PLC0415  not for every verdict
        from kit.output.scratch import scratch_folder  # noqa: PLC0415  not for every verdict
        from kit.transforms.raw_linkset import RawLinkset  # noqa: PLC0415  not for every verdict
        from kit.verbs.verify.gaps import find_gaps, gather  # noqa: PLC0415  not for every verdict

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


PUBLISHED = "published"
MAX_DIFFERENCES = 100
"""Named of one step in a report or a receipt; what is more is counted."""


class Ground(enum.StrEnum):
    """What a generation rests on, as far as the bytes at hand go."""

    SIGNATURE = "signature"
    """The first one: those who may have signed all of it."""
    DOCUMENTS = "documents"
    """Besides, the documents themselves show what the step to it did."""
    STATEMENT = "statement"
    """The signed statement of the step: which members changed, as both manifests have them; inside of them it is the
    signer's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One generation.

    Attributes:
        generation: Its number.
        manifest_sha256: Of its manifest, as lineage or the kit itself has it.
        made_at: When it was made, as its lineage entry or its own manifest says; None where neither can be believed.
        operation: What made it: ``published`` for the first, else as lineage says (``patch``).
        tool: Name and version of the program that made it of the one before; None for the first.
        signers: Key ids that signed it in the role it needs; empty where that is not proven.
        statement_signers: Key ids that signed the statement of the step to it; empty where that is not proven.
        statement: Of the step to it, where that is proven.
        differences: In what its manifest differs from the one before, besides what every patch changes.
        ground: What it rests on; None where it is not proven.
        remedy: What would prove more of the step; "" where nothing here would.
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
        """Whether those who may signed it, and signed how it came of the generation before."""
        return bool(self.signers) and (self.operation == PUBLISHED or bool(self.statement_signers))

    @property
    def transforms(self) -> tuple[str, ...]:
        """What the step to it applied, in order; empty where that is not proven."""
        return tuple(applied.name for applied in self.statement.transforms) if self.statement is not None else ()


def chain(judgement: Judgement) -> tuple[Link, ...]:
    """Give the generations of a judged kit, oldest first, the current one last; none without a manifest."""
    manifest = judgement.manifest
    if manifest is None:
        return ()
    steps: list[CheckedStep | None] = [*judgement.steps]
    steps += [None] * (len(manifest.lineage) - len(steps))
    # Of every generation: its number and digest, and the step that replaced it, which proves who signed it.
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
    # Only the documents of this generation are at hand; what an earlier step did to them has been done to since.
    shown = last and judgement.appended is not None and judgement.appended.since is not None
    return Ground.DOCUMENTS if shown else Ground.STATEMENT


def _remedy(judgement: Judgement, step: CheckedStep | None) -> str:
    if step is not None and step.statement is not None and says_it_appends(step.statement):
        return "--deep looks at the documents" if judgement.appended is None else ""
    return "--field-map and --keyring prove what was sealed"


def _published_at(judgement: Judgement) -> Timestamp | None:
    manifest = judgement.manifest
    if manifest is None or manifest.lineage:
        return judgement.steps[0].base.created_at if judgement.steps else None
    return manifest.created_at
