"""Finds the recipe of a target: what the signed provenance says was done to the base, computed and compared.

The provenance names each transform with its version and the digest of its parameters, not with these themselves. So
candidates are tried: what a transform has by default, what the manifests show of the tenants, and what whoever builds
the delta names. Law: a recipe is given only where computing it from the base gave the very members of the target; where
there is none, the report says why.
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
from kit.verbs.delta.recipes import compute, encrypts, step_of
from kit.verbs.delta.steps import NO_STEPS, Found, Ingredients, steps_between
from kit.verbs.verify.judged import JudgedKit

_FEW_TENANTS = 8
_NOTHING_MET = "the transforms that the target's provenance names do not give its members from this base"


def find(
    base: JudgedKit, target: JudgedKit, ingredients: Ingredients, workers: Callable[[], Workers], folder: Path
) -> Found:
    """Find the recipe that leads from ``base`` to members of ``target``; ``workers`` are asked for to compute it.

    Raises:
        KitError: The base cannot be read, or the disk is full. What only tells that there is no recipe is no error.
    """
    try:
        transforms = _identified(base, target, ingredients)
        started = workers()
        work = with_changes(base.kit, executor=started.executor, budget=started.budget)
        computed = compute(work, transforms, folder, keys=ingredients.keys)
    except (KeyUnusableError, EnvelopeError, StoppedError, ContentError) as error:
        return Found(absence=str(error))
    known = {digest for digest, _ in base.survey.members.values()}
    met = frozenset(
        path
        for path, digest in computed.digests.items()
        if path in target.survey.members and target.survey.members[path][0] == digest and digest not in known
    )
    if not met:
        return Found(absence=_NOTHING_MET)
    recipe = Recipe(steps=tuple(map(step_of, transforms)), keys=computed.keys)
    return Found(recipe=recipe, members=met, computed=computed)


def _identified(base: JudgedKit, target: JudgedKit, ingredients: Ingredients) -> tuple[Transform, ...]:
    """Give the transforms of all steps, as their provenance names them.

    Raises:
        StoppedError: There is no step, one was done by what cannot be told, or by what does not come out again.
        KeyUnusableError: Keys are needed and none are given.
    """
    statements = steps_between(base, target)
    if not statements:
        raise StoppedError(NO_STEPS)
    found: list[Transform] = []
    for applied in itertools.chain.from_iterable(statement.transforms for statement in statements):
        among = candidates(applied.name, target.manifest, ingredients.transforms)
        transform = next((one for one in among if _is(one, applied)), None)
        if transform is None:
            raise StoppedError(
                f"{applied.name} version {applied.version} was applied with parameters {applied.parameters_sha256},"
                " which are not known here; --migration, --tenant, --cache-map and --field-map name them"
            )
        if not transform.is_reproducible:
            raise StoppedError(
                "the target was encrypted with random initialisation vectors, which do not come out again"
            )
        found.append(transform)
    if encrypts(found) and ingredients.keys is None:
        raise KeyUnusableError("the target was encrypted, and computing that again needs its keyring: --keyring")
    return tuple(found)


def candidates(name: str, target: Manifest, named: Sequence[Transform]) -> Iterator[Transform]:
    """Return what a step by the transform ``name`` may have been: what is named, then what is done by default.

    Raises:
        UsageError: A distribution adds it, and it cannot be loaded.
    """
    selections = dict.fromkeys((None, *_selections(target)))
    kind = registry.find(name)
    own = kind.candidates() if kind is not None else ()
    for transform, tenants in itertools.product((*named, *own), selections):
        if transform.name == name:
            yield from transform.alternatives(tenants)


def _selections(target: Manifest) -> Iterator[frozenset[str]]:
    """Give what a step may have been limited to: of few tenants any of them, of many those that have what is made.

    A wrong guess costs a digest of parameters, and is found out by it.
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


def _is(transform: Transform, applied: AppliedTransform) -> bool:
    # Names first: a digest of parameters costs more than a comparison.
    same = (transform.name, str(transform.version)) == (applied.name, applied.version)
    return same and parameters_digest(transform) == applied.parameters_sha256
