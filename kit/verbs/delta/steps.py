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
    from kit.verbs.delta.recipes import ComputedMembers

NO_STEPS = "the target's provenance does not lead from this base to the target"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSearch:
    """The result of a search for a recipe."""

    recipe: Recipe | None = None
    members: frozenset[MemberPath] = frozenset()
    """The members that it makes."""
    computed: ComputedMembers | None = None
    """The result of computing it."""
    absence: str | None = None
    """Why there is no recipe; None if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What the user gives to a search in addition to the two kits."""

    transforms: tuple[Transform, ...] = ()
    """Transforms that may have made the target with parameters that its provenance does not have."""
    keys: KeySource | None = None
    """From the keyring that the target was encrypted with."""


def steps_between(base: JudgedKit, target: JudgedKit) -> tuple[PatchStatement, ...]:
    """Return the signed statements of the steps from ``base`` to ``target``; none if it is no later generation."""
    lineage, statements = target.manifest.lineage, target.judgement.statements
    if len(lineage) != len(statements):
        return ()
    for number, entry in enumerate(lineage):
        if entry.manifest_sha256 == base.manifest.sha256:
            return statements[number:]
    return ()
