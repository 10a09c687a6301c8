"""The steps from one kit to another, as signed provenance has them, and the result of a search for a recipe.

Without a step there is no recipe. So the transforms, which :mod:`kit.verbs.delta.recipe_search` tries, are loaded only
where there is a step: half the time of a small delta was loading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.manifest import PatchStatement
from kit.values import MemberPath
from kit.verbs.verify.judged import JudgedKit

if TYPE_CHECKING:
    from kit.delta.recipe import Recipe
    from kit.encryption import KeySource
    from kit.transforms.protocol import Transform
    from kit.verbs.delta.recipes import Computed

NO_STEPS = "the target's provenance does not lead from the base to it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search for a recipe came to."""

    recipe: Recipe | None = None
    members: frozenset[MemberPath] = frozenset()
    """That it makes."""
    computed: Computed | None = None
    """What computing it gave."""
    absence: str | None = None
    """Why there is none; None where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What a builder has besides the two kits."""

    transforms: tuple[Transform, ...] = ()
    """What the target may have been made by, where its provenance alone does not tell the parameters."""
    keys: KeySource | None = None
    """Of the keyring that it was encrypted with."""


def steps_between(base: JudgedKit, target: JudgedKit) -> tuple[PatchStatement, ...]:
    """Return the signed statements of the steps from one generation to a later one of its line; otherwise none."""
    lineage, statements = target.manifest.lineage, target.judgement.statements
    if len(lineage) != len(statements):
        return ()
    for number, entry in enumerate(lineage):
        if entry.manifest_sha256 == base.manifest.sha256:
            return statements[number:]
    return ()
