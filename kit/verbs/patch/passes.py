"""The rewriting of a kit, in one pass or two: the same for a plan, a patch and a resumed one, but for where it writes.

The first pass has the counts of every member; a second one is made where a handled member turned out not to change, and
only differs in carrying such members verbatim. Where the survey found that nothing is left to do, none is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from kit.archive import Container, CountingDestination, Destination
from kit.engine.progress import Stage
from kit.engine.rewrite import Request, Rewrite, rewrite, unchanged, untouched
from kit.engine.settled import tell
from kit.ops import rooting
from kit.ops.jobs import codec_of
from kit.ops.judging import Base
from kit.ops.kits import OpenKit
from kit.ops.patching import PatchRequest
from kit.transforms.protocol import Transform
from kit.values import MemberPath


class Passes(Protocol):
    """Where the passes of a run write to."""

    def first(self) -> Destination:
        """Make the destination of the first pass."""
        ...

    def second(self) -> Destination:
        """Make the destination of the second pass."""
        ...


class CountingPasses:
    """The passes of a plan."""

    def __init__(self, container: Container) -> None:
        """Count what would be written to a container of this kind."""
        self._codec = codec_of(container)
        self.latest = CountingDestination(codec=self._codec)

    def first(self) -> Destination:
        """See :class:`Passes`."""
        return self.latest

    def second(self) -> Destination:
        """See :class:`Passes`."""
        self.latest = CountingDestination(codec=self._codec)
        return self.latest


def transform_kit(
    kit: OpenKit, request: PatchRequest, transforms: tuple[Transform, ...], base: Base, passes: Passes
) -> Rewrite:
    """Rewrite the kit into the destination of ``passes``.

    Raises:
        KitError: As :func:`kit.engine.rewrite.rewrite`.
    """
    location = base.judgement.location
    defer = frozenset({location.manifest, location.signature}) if location is not None else frozenset[MemberPath]()
    # Where leaves are wanted, they are made of every handled member while it is rewritten.
    settled = base.survey.settled if base.leaves is None else {}
    handled = [path for path, one in base.survey.collections.items() if any(t.handles(one.name) for t in transforms)]
    if len(settled) == len(handled) and (found := untouched(kit.reader, base.survey, settled)) is not None:
        with kit.pipeline(Stage.REWRITE) as pipeline:
            tell(settled, pipeline)
        return found
    todo = Request(
        transforms=transforms,
        lookup=base.lookup,
        settled=settled,
        created_at=request.created_at,
        limit=request.limit,
        defer=defer,
        leaves=base.leaves,
    )
    with kit.pipeline(Stage.REWRITE) as pipeline:
        tell(settled, pipeline)
        done = rewrite(kit.reader, base.survey, passes.first(), pipeline, todo)
    if base.leaves is not None and done.changed:
        done.roots = rooting.roots(kit, base.leaves, base.survey, base.manifest, done)
    idle = unchanged(done) - settled.keys()
    if not idle or not done.changed or done.refusals.total:
        return done
    with kit.pipeline(Stage.CARRY) as pipeline:
        todo = replace(todo, leave=idle, leaves=None)
        again = rewrite(kit.reader, base.survey, passes.second(), pipeline, todo)
    return replace(done, deferred=again.deferred, members=done.members | again.members)
