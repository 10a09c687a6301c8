"""``kit delta squash``: one delta instead of a chain of them.

The chain is applied, beside the base, and the delta from the base to what comes out is built. So the one delta is what
would have been built from the two kits, whatever the chain went through in between: what was added and taken away again
is not in it. Laws: applying it gives what applying the chain gives; every link is checked as when it is applied.
"""

from __future__ import annotations

from kit.errors import UsageError
from kit.output.paths import require_free, require_output_apart
from kit.transforms.protocol import Transform
from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta
from kit.verbs.delta.build import DeltaBuildReport, DeltaBuildRequest, DeltaSquashRequest, build_within, workplace
from kit.verbs.delta.recipes import check


def squash_deltas(request: DeltaSquashRequest) -> DeltaBuildReport:
    """Make one delta of a chain.

    Raises:
        UsageError: There are fewer than two, or the output is at, in or around what is read.
        WrongBaseError: One does not go on where the one before ends; names both.
        KitError: As :func:`kit.verbs.delta.apply.apply_delta` and :func:`kit.verbs.delta.build.build_delta`.
    """
    if len(request.deltas) < 2:
        raise UsageError("a chain has at least two deltas")
    require_free(request.output)
    inputs = {"base": request.base} | {f"delta {number}": one for number, one in enumerate(request.deltas, start=1)}
    require_output_apart(request.output, inputs, kind="build")
    transforms: list[Transform] = list(request.transforms)
    with workplace(request.output, request.work_folder) as job:
        folder, kit = job.folder, request.base
        for number, delta in enumerate(request.deltas, start=1):
            # A folder of its own each: a kit that is a folder, and what stands beside one that is not, have room.
            place = folder / str(number)
            place.mkdir()
            step = DeltaApplyRequest(
                base=kit,
                delta=delta,
                expectation=request.expectation,
                output=place / "kit",
                # What the site has its base in decides nothing of a delta.
                in_published_container=True,
                keys=request.keys,
                environment=request.environment,
            )
            done = apply_delta(step)
            kit = done.output or kit
            if done.manifest.recipe is not None:
                transforms += check(done.manifest.recipe)
        work = folder / "work"
        work.mkdir()
        return build_within(
            DeltaBuildRequest(
                base=request.base,
                target=kit,
                output=request.output,
                key=request.key,
                expectation=request.expectation,
                created_at=request.created_at,
                # What a link was a recipe for may be one over the whole way: its parameters are known from it.
                recipe=request.recipe,
                transforms=tuple(transforms),
                keys=request.keys,
                environment=request.environment,
            ),
            work,
            job,
        )
