"""The generations of a kit, from its publisher's to the one it is in: who signed each, and what made it of the last.

What the manifest says about itself and what was proven are kept apart: a link names signers only where their
signatures were checked and count. Pure: a judgement in, links out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kit.manifest import Difference, PatchStatement
from kit.ops.appending import says_it_appends
from kit.ops.judgement import CheckedStep, Judgement, Status
from kit.values import Sha256, Timestamp

PUBLISHED = "published"
MOST_DIFFERENCES = 100
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
