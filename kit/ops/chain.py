"""The generations of a kit, from its publisher's to the one it is in: who signed each, and what made it of the last.

What the manifest says about itself and what was proven are kept apart: a link names signers only where their
signatures were checked and count. Pure: a judgement in, links out.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.manifest import PatchStatement
from kit.ops.judgement import CheckedStep, Judgement
from kit.values import Sha256, Timestamp

PUBLISHED = "published"


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
    """

    generation: int
    manifest_sha256: Sha256
    made_at: Timestamp | None
    operation: str
    tool: str | None
    signers: tuple[str, ...]
    statement_signers: tuple[str, ...]
    statement: PatchStatement | None

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
            )
        )
    return tuple(links)


def _published_at(judgement: Judgement) -> Timestamp | None:
    manifest = judgement.manifest
    if manifest is None or manifest.lineage:
        return judgement.steps[0].base.created_at if judgement.steps else None
    return manifest.created_at
