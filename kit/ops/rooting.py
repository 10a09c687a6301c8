"""Which collections of a patched kit get a Merkle root, and from where (schemas/merkle.md).

Asked for or not, a patch gives roots where the base has them: one that dropped them silently would take from whoever
comes later what the publisher meant to be provable.
"""

from __future__ import annotations

from kit.engine.leaves import LeafStore
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.rewrite import Rewrite
from kit.errors import UsageError
from kit.manifest import Manifest, Shape
from kit.ops.kits import OpenKit
from kit.ops.patching import PatchRequest
from kit.values import MemberPath, Sha256


def wanted(request: PatchRequest, base: Manifest) -> bool:
    """Whether the new manifest is to have roots.

    Raises:
        UsageError: They are asked for, and the manifest has no place for them.
    """
    if request.merkle and base.shape is Shape.FOREIGN:
        raise UsageError(
            "a manifest of a foreign shape has no place for Merkle roots", hint="patch it without --merkle"
        )
    if request.merkle is not None:
        return request.merkle
    return any(summary.merkle_root for summary in base.collections)


def roots(kit: OpenKit, store: LeafStore, survey: Survey, base: Manifest, done: Rewrite) -> dict[MemberPath, Sha256]:
    """Give the root of every collection that the new manifest tells of.

    A member that the transforms left alone has its leaves in ``store`` where the survey was told to gather them; else
    it keeps the root it had, since it is what it was when that was signed.
    """
    pipeline = Pipeline(kit.executor, budget=kit.budget)
    found = {path: store.root(path, pipeline) for path in sorted(done.members.keys() | survey.rooted)}
    kept = {summary.path: summary.merkle_root for summary in base.collections if summary.merkle_root is not None}
    return {path: root for path, root in kept.items() if path in survey.tallies} | found
