"""The base is transformed while it is judged, where that is possible and seems to pay; else it is read twice.

Only kits of other programs are transformed so. Of its own, a patch copies the frames of what stays, and a first reading
finds where these are. And all that the transforms need besides the documents must be known before them: nothing
is looked up, sealed, limited or sorted into a tree (docs/design/readings.md).

Laws: nothing gets a name, and nothing is signed, before the base is judged. The result, the error and what is left are
those of two readings: whatever goes wrong in the one is void, and the two are made. Only the failure of a machine is
reported as it was, once the base was found good. A run that is resumed reads twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kit.archive.read.reader import Container
from kit.engine.importability import Importing, finish_import
from kit.engine.lookup import close_lookups
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.rewrite import Request, Rewrite, TwoReadingsError, rewrite_unread, unchanged_members
from kit.errors import KitError, OutputError
from kit.output.job import Job
from kit.transforms.protocol import Transform
from kit.verbs.jobs import JournaledPasses, Options, begin, is_transient
from kit.verbs.patch.judging import Base, read_base
from kit.verbs.patch.request import PatchRequest
from kit.verbs.verify.kits import OpenKit, is_kept


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseReading:
    """The base, read and judged, and what came of it meanwhile."""

    base: Base
    made: Rewrite | None = None
    """What was made of it; None where that is still to be done."""
    failure: KitError | None = None
    """The failure of the machine that ended that, if one did: another run may go on from there."""

    def begin(self, record: Callable[[], None]) -> None:
        """Record what was judged, by ``record``, before the work that is left.

        Raises:
            KitError: The machine failed before, or does so now.
        """
        try:
            record()
        except OutputError:
            if self.failure is None:
                raise
        if self.failure is not None:
            raise self.failure from self.failure.__cause__


def read_in_one(
    kit: OpenKit,
    request: PatchRequest,
    transforms: tuple[Transform, ...],
    *,
    job: Job,
    passes: JournaledPasses,
    options: Options,
) -> BaseReading:
    """Read the base, judge it, and transform it meanwhile where that is possible.

    Args:
        kit: The base.
        request: What is to be done to it.
        transforms: The chain.
        job: The job, which begins here if the base is transformed.
        passes: Where the first pass writes to.
        options: What the job begins with.

    Raises:
        KitError: As :func:`kit.verbs.patch.judging.read_base`.
    """
    failure: KitError | None = None
    if _is_possible(kit, request, transforms, job):
        begin(job, options)
        try:
            base, made = _transform(kit, request, transforms, job.folder, passes)
            return BaseReading(base=base, made=made)
        except TwoReadingsError:
            pass
        except KitError as error:
            failure = error
        passes.release()
        close_lookups()
        job.clear()
    lasting = failure if failure is not None and is_transient(failure) else None
    try:
        base = read_base(kit, request, transforms, job.folder)
    except KitError as error:
        if lasting is not None and is_transient(error):
            raise lasting from lasting.__cause__
        raise
    return BaseReading(base=base, failure=lasting)


def _is_possible(kit: OpenKit, request: PatchRequest, transforms: tuple[Transform, ...], job: Job) -> bool:
    return (
        kit.reader.container in {Container.TAR_ZSTD, Container.TAR_GZIP}
        and job.journal.begun is None
        and request.snapshots is None
        and not (request.most or request.merkle)
        and not any(one.keyed or one.edits_metadata or one.projection for one in transforms)
        and not kit.reader.may_be_ours()
    )


def _transform(
    kit: OpenKit, request: PatchRequest, transforms: tuple[Transform, ...], scratch: Path, passes: JournaledPasses
) -> tuple[Base, Rewrite]:
    """Read the base, hand every member to the first pass meanwhile, and judge it.

    Raises:
        TwoReadingsError: It turned out to be of the wrong kind.
        KitError: It is refused, or cannot be transformed.
    """
    made: list[tuple[Rewrite, Importing]] = []

    def meanwhile(pipeline: Pipeline, lookup: Path) -> Survey:
        wanted = Request(transforms=transforms, lookup=lookup, created_at=request.created_at)
        found, done, importing = rewrite_unread(
            *(kit.reader, passes.first(), pipeline, wanted), keep=is_kept, scratch=scratch
        )
        made.append((done, importing))
        return found

    base = read_base(kit, request, transforms, scratch, meanwhile=meanwhile)
    (done, importing), location = made[0], base.judgement.location
    checked = importing.confirmed(base.importing)
    own = {location.manifest, location.signature} if location is not None else set()
    if checked is None or done.deferred.keys() - own:
        raise TwoReadingsError("what a server demands, or where the manifest is, was not foreseen")
    if base.leaves is not None or unchanged_members(done) or kit.reader.layout() is not None:
        raise TwoReadingsError("a tree is wanted, or there is something to be copied")
    finish_import(kit.reader, base.survey, checked, done, transforms[-1].name)
    return replace(base, importing=checked), done
