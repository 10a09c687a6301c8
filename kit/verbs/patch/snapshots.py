"""Snapshots from elsewhere: what a patch looks up in another kit, or in a dump, besides its base.

A kit is judged as the base is, by the same keys or policy, before anything of it counts. A dump has no signature, so
its user has to permit that (``--insecure-unverified-snapshots``), and the provenance states that it was not verified.
Either is recorded by a digest, so that the step can be followed, and a resumed run reads the same. Laws: what is
gathered is what :func:`kit.engine.survey.survey` gathers of the base, under the same keys; where a kit has another
snapshot of a revision than the base, the transform finds both, and refuses to choose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace as with_changes

from kit.engine.lookup import LookupWriter
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.errors import KitError, UsageError
from kit.manifest import SnapshotsOrigin
from kit.transforms.protocol import Transform
from kit.values import Sha256
from kit.verbs.patch.request import PatchRequest
from kit.verbs.verify.judged import judge_kit
from kit.verbs.verify.kits import OpenKit, is_kept, open_with_workers
from kit.verbs.verify.obligations import Expectation

_VERIFY_HINT = "name its publisher's key, too, with --trusted-key; a dump needs --insecure-unverified-snapshots"


def gather_snapshots(
    request: PatchRequest, transforms: Sequence[Transform], pipeline: Pipeline, lookup: LookupWriter, into: Survey
) -> SnapshotsOrigin | None:
    """Gather what ``transforms`` look up in the kit or dump that the request names; None where it names none.

    Args:
        request: What is to be done.
        transforms: The chain.
        pipeline: Does the work on documents.
        lookup: Where pairs go.
        into: The survey of the base, which gets the findings.

    Raises:
        UsageError: Nothing in it is looked up.
        KitError: It is not what its signers signed, or cannot be read.
    """
    path = request.snapshots
    if path is None:
        return None
    gathering = tuple(one for one in transforms if one.keyed is None)
    environment = with_changes(request.environment, workers=1, executor=None)
    try:
        with open_with_workers(path, environment) as other:
            found, origin = _read(other, request, gathering, pipeline, lookup)
    except UsageError:
        raise
    except KitError as error:
        raise error.inside(f"snapshots {path}") from error.__cause__
    if not any(one.indexes(collection.name) for one in gathering for collection in found.collections.values()):
        raise UsageError(
            f"has no collection that {' or '.join(one.name for one in transforms)} looks up",
            where=str(path),
            hint="omit --snapshots, or name a place that has snapshots",
        )
    for member, transform, finding in found.findings:
        into.take_findings(member, [(transform, finding)])
    into.omitted_findings += found.omitted_findings
    return origin


def _read(
    other: OpenKit,
    request: PatchRequest,
    gathering: tuple[Transform, ...],
    pipeline: Pipeline,
    lookup: LookupWriter,
) -> tuple[Survey, SnapshotsOrigin]:
    def read(_: Pipeline) -> Survey:
        return survey(
            *(other.reader, pipeline),
            keep=is_kept,
            count=lambda _: False,
            transforms=gathering,
            lookup=lookup,
        )

    if request.unverified_snapshots:
        found = read(pipeline)
        return found, SnapshotsOrigin(members=_digest(found))
    if request.trust is None and not request.trusted:
        raise UsageError(
            "no key is trusted, so no snapshots can be valid", where=str(request.snapshots), hint=_VERIFY_HINT
        )
    expectation = Expectation(trusted=request.trusted or {}, trust=request.trust)
    judged = judge_kit(other, expectation, read=read)
    try:
        judged.require()
    except KitError as error:
        if judged.judgement.manifest is None or not error.hint:
            error.hint = _VERIFY_HINT
        raise
    return judged.survey, SnapshotsOrigin(manifest=judged.manifest.sha256)


def _digest(found: Survey) -> Sha256:
    """Return the digest of a dump: over a line for each file, as ``sha256sum`` prints it, by path."""
    lines = (f"{digest.hex}  {path}\n" for path, (digest, _) in sorted(found.members.items()))
    return Sha256(hashlib.sha256("".join(lines).encode()).hexdigest())
