"""``kit delta squash``: one delta instead of a chain of them.

The chain is applied next to the output, and the delta from the base to the result is built. So the new delta is the one
that would have been built from these two kits: what the chain adds and later removes is not in it. Laws: applying it
gives what applying the chain gives; every delta of the chain is checked as when it is applied; the publisher's archive
is the one recorded in the last delta, not the one that was packed on the way.
"""

from __future__ import annotations

from kit.errors import UsageError
from kit.output.paths import require_free, require_output_apart
from kit.transforms.protocol import Transform
from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta
from kit.verbs.delta.build import DeltaBuildReport, DeltaBuildRequest, DeltaSquashRequest, build_within, open_build_job
from kit.verbs.delta.recipes import check_recipe


def squash_deltas(request: DeltaSquashRequest) -> DeltaBuildReport:
    """Build one delta that replaces a chain.

    Raises:
        UsageError: There are fewer than two, or the output is at, in or around an input.
        WrongBaseError: The base of one is not the target of the previous one; names both.
        KitError: As in :func:`kit.verbs.delta.apply.apply_delta` and :func:`kit.verbs.delta.build.build_delta`.
    """
    if len(request.deltas) < 2:
        raise UsageError("a chain has at least two deltas")
    require_free(request.output)
    inputs = {"base": request.base} | {f"delta {number}": one for number, one in enumerate(request.deltas, start=1)}
    require_output_apart(request.output, inputs, kind="build")
    transforms: list[Transform] = list(request.transforms)
    with open_build_job(request.output, request.work_folder) as job:
        folder, kit, published = job.folder, request.base, None
        for number, delta in enumerate(request.deltas, start=1):
            # Each result has a folder of its own, with room for a kit that is a folder, and for sidecars.
            place = folder / str(number)
            place.mkdir()
            step = DeltaApplyRequest(
                base=kit,
                delta=delta,
                expectation=request.expectation,
                output=place / "kit",
                # The container of the base decides nothing about a delta.
                in_published_container=True,
                keys=request.keys,
                environment=request.environment,
            )
            done = apply_delta(step)
            kit, published = done.output or kit, done.manifest.archive
            if done.manifest.recipe is not None:
                transforms += check_recipe(done.manifest.recipe)
        work = folder / "work"
        work.mkdir()
        return build_within(
            DeltaBuildRequest(
                base=request.base,
                target=kit,
                published=published,
                output=request.output,
                key=request.key,
                expectation=request.expectation,
                created_at=request.created_at,
                # A transform of a recipe in the chain may be in the new recipe; its parameters are known from there.
                recipe=request.recipe,
                transforms=tuple(transforms),
                keys=request.keys,
                environment=request.environment,
            ),
            work,
            job,
        )
