"""Finds the recipe of a target: the transforms that its signed provenance names, computed and compared.

The provenance names each transform with its version and the digest of its parameters, not with the parameters. So
candidates are tried: the defaults of a transform, the tenants that the manifests show, and what the user names. Law: a
recipe is returned only if computing it from the base gave exactly these members of the target; otherwise, the report
states why there is none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as with_changes
from pathlib import Path

from kit.delta.recipe import Recipe
from kit.engine.pipeline import Workers
from kit.errors import ContentError, EnvelopeError, KeyUnusableError, StoppedError
from kit.manifest import AppliedTransform, Manifest
from kit.transforms import registry
from kit.transforms.protocol import Transform
from kit.transforms.registry import parameters_digest
from kit.verbs.delta.recipes import compute, encrypts, list_names, step_of
from kit.verbs.delta.steps import NO_STEPS, Ingredients, RecipeSearch, steps_between
from kit.verbs.verify.judged import JudgedKit

_FEW_TENANTS = 8
_NO_MATCH = "the transforms that the target's provenance names do not make its members from this base"


def find_recipe(
    base: JudgedKit, target: JudgedKit, ingredients: Ingredients, workers: Callable[[], Workers], folder: Path
) -> RecipeSearch:
    """Find the recipe that makes members of ``target`` from ``base``; ``workers`` are started to compute it.

    Raises:
        KitError: The base cannot be read, or the disk is full. That there is no recipe is a result, not an error.
    """
    try:
        transforms = _identify(base, target, ingredients)
        started = workers()
        work = with_changes(base.kit, executor=started.executor, budget=started.budget)
        computed = compute(work, transforms, folder, keys=ingredients.keys)
    except (KeyUnusableError, EnvelopeError, StoppedError, ContentError) as error:
        return RecipeSearch(absence=str(error))
    known = {digest for digest, _ in base.survey.members.values()}
    members = frozenset(
        path
        for path, digest in computed.digests.items()
        if path in target.survey.members and target.survey.members[path][0] == digest and digest not in known
    )
    if not members:
        return RecipeSearch(absence=_NO_MATCH)
    recipe = Recipe(steps=tuple(map(step_of, transforms)), keys=computed.keys)
    return RecipeSearch(recipe=recipe, members=members, computed=computed)


def _identify(base: JudgedKit, target: JudgedKit, ingredients: Ingredients) -> tuple[Transform, ...]:
    """Return the transforms of all steps, as their provenance names them.

    Raises:
        StoppedError: There is no step, or the transform of one cannot be identified or reproduced, or it looked up what
            is not in the base.
        KeyUnusableError: Keys are needed and none are given.
    """
    statements = steps_between(base, target)
    if not statements:
        raise StoppedError(NO_STEPS)
    if any(statement.snapshots is not None for statement in statements):
        raise StoppedError("the target was made with snapshots from elsewhere, which a site does not have")
    found: list[Transform] = []
    for applied in itertools.chain.from_iterable(statement.transforms for statement in statements):
        own = next(candidates(applied.name, target.manifest, ingredients.transforms), None)
        if own is not None and own.extractors != applied.extractors:
            raise StoppedError(
                f"{applied.name} was applied with {list_names(applied.extractors)}, and this program has"
                f" {list_names(own.extractors)}"
            )
        among = candidates(applied.name, target.manifest, ingredients.transforms)
        transform = next((one for one in among if _is_same(one, applied)), None)
        if transform is None:
            raise StoppedError(
                f"{applied.name} version {applied.version} was applied with parameters {applied.parameters_sha256},"
                " which are not known; name them with --migration, --tenant, --cache-map or --field-map"
            )
        if not transform.is_reproducible:
            raise StoppedError(
                "the target was encrypted with random initialisation vectors, which cannot be computed again"
            )
        found.append(transform)
    if encrypts(found) and ingredients.keys is None:
        raise KeyUnusableError(
            "the target was encrypted, and to compute it again takes its keyring; name it with --keyring"
        )
    return tuple(found)


def candidates(name: str, target: Manifest, named: Sequence[Transform]) -> Iterator[Transform]:
    """Yield the transforms of this name that a step may have used: what the user names, then the defaults.

    Raises:
        UsageError: A distribution adds the transform, and it cannot be loaded.
    """
    selections = dict.fromkeys((None, *_guess_tenants(target)))
    kind = registry.find(name)
    own = kind.candidates() if kind is not None else ()
    for transform, tenants in itertools.product((*named, *own), selections):
        if transform.name == name:
            yield from transform.alternatives(tenants)


def _guess_tenants(target: Manifest) -> Iterator[frozenset[str]]:
    """Yield the tenants that a step may have been limited to: any subset of few, likely ones of many.

    A wrong guess costs the digest of its parameters, which shows that it is wrong.
    """
    tenants = [item for summary in target.collections for item in summary.tenants.items()]
    names = sorted({name for name, _ in tenants})
    if len(names) <= _FEW_TENANTS:
        for size in range(1, len(names) + 1):
            yield from map(frozenset, itertools.combinations(names, size))
        return
    yield from (frozenset({name}) for name in names)
    yield frozenset(name for name, one in tenants if one.raw_linkset is not None and one.raw_linkset.present)
    yield frozenset(name for name, one in tenants if one.encrypted is not None and any(one.encrypted.values()))


def _is_same(transform: Transform, applied: AppliedTransform) -> bool:
    # Names first: a digest of parameters costs more than a comparison.
    same = (transform.name, str(transform.version)) == (applied.name, applied.version)
    return same and parameters_digest(transform) == applied.parameters_sha256
