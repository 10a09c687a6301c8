"""``kit plan`` and ``kit patch``: one path from a kit to the kit that the transforms make of it.

Read and judge the base → transform into a destination → manifest, history, provenance, signature → read the result
back and judge it as anybody would → switch names. ``plan`` takes the same path with a destination that only counts and
stops before anything is signed. Laws: a base that is not what its signers say is refused before anything is written;
outside the job folder nothing changes before the last step; where no document changes, nothing does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, Protocol

from kit.archive import (
    Container,
    CountingDestination,
    Destination,
    Job,
    add_bytes,
    backup_path,
    checksum_line,
    copy_kit,
    perform,
    require_backup_free,
    require_free,
    staged,
)
from kit.engine.progress import Stage
from kit.engine.rewrite import Request, Rewrite, rewrite, unchanged
from kit.engine.work import close_lookups
from kit.errors import DigestError, OutputError, UsageError
from kit.ops.generation import Generation, Step, make_generation, parameters_digest
from kit.ops.jobs import Completion, JournaledPasses, begin, check_options, codec_of, complete, ready, resumable
from kit.ops.judging import Base, read_base, reread
from kit.ops.keying import with_keys
from kit.ops.kits import OpenKit, opened
from kit.ops.patching import Output, PatchReport, PatchRequest
from kit.ops.signers import require_standing
from kit.signing import PrivateKey, archive_signature
from kit.transforms.encrypt_fields import EncryptFields, check_order
from kit.trust import Anchor, Role, Subject, authorised
from kit.values import CollectionMember, MemberPath, Sha256, Timestamp

__all__ = ["Output", "PatchReport", "PatchRequest", "patch", "plan", "resume"]

_NEW_FILE_MODE = 0o644
_AGAIN = "nothing was written; start again"


def plan(request: PatchRequest) -> PatchReport:
    """Do everything but writing and signing; the counts are those a patch will have.

    Raises:
        KitError: As :func:`patch`, as far as it can be told without writing.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kit-plan-")))
        kit = stack.enter_context(opened(request.kit, request.environment))
        stack.callback(close_lookups)
        base = read_base(kit, request, scratch)
        request = _keyed(request, base, live=False)
        passes = _CountingPasses(kit.reader.container)
        done = _transform(kit, request, base, passes)
        encoded = passes.latest.encoded
        return PatchReport(
            kit=request.kit,
            live=False,
            container=kit.reader.container,
            stored_bytes=kit.reader.stored_bytes,
            base=base.judgement,
            transforms=request.transforms,
            rewrite=done,
            created_at=request.created_at,
            generation=None,
            output=None,
            output_bytes=encoded if done.changed else kit.reader.stored_bytes,
            output_sha256=None,
            backup=None,
            temp_bytes=2 * encoded + base.lookup_bytes if done.changed else base.lookup_bytes,
        )


def patch(request: PatchRequest, output: Output) -> PatchReport:
    """Write the patched kit beside the base, or in its place.

    Raises:
        OutputError: The result could not be written or did not read back, or there is a job of an earlier run.
        InterruptedRunError: A signal ended the run; it can be resumed.
        KitError: The base is refused, a document is malformed, or a stop rule holds; in every case the kit and all
            beside it are as they were.
    """
    _check_request(request, output)
    if request.trust is not None:
        _check_patcher(request.trust, output.key.public.key_id, request.created_at)
    if output.path is not None:
        _require_place(request.kit, output.path)
    with ExitStack() as stack:
        kit = stack.enter_context(opened(request.kit, request.environment))
        job = stack.enter_context(Job(output.path or request.kit))
        stack.enter_context(resumable(job))
        return _run(kit, job, request, output)


def resume(request: PatchRequest, output: Output) -> PatchReport | Completion:
    """Go on with a run that was interrupted, to the bytes it would have given; what it finished is not done again.

    Raises:
        UsageError: There is nothing to resume, or the options differ; says in what.
        DigestError: It is another kit than the run began with; says in what.
        KitError: As :func:`patch`.
    """
    _check_request(request, output)
    with ExitStack() as stack:
        job = stack.enter_context(Job(output.path or request.kit, resume=True))
        stack.enter_context(resumable(job))
        job.keep = True  # until it is certain that this is the same run
        if job.journal.begun is not None and request.created_now:
            request = _at(request, Timestamp.parse(job.journal.begun.body["options"]["createdAt"]))
        check_options(job, _options(request, output))
        if request.trust is not None:
            _check_patcher(request.trust, output.key.public.key_id, request.created_at)
        completion = complete(job, request.kit)
        if completion is not None:
            job.keep = False
            return completion
        if output.path is not None:
            _require_place(request.kit, output.path)
        job.clear()
        kit = stack.enter_context(opened(request.kit, request.environment))
        return _run(kit, job, request, output)


def _run(kit: OpenKit, job: Job, request: PatchRequest, output: Output) -> PatchReport:
    """Do what both have in common: everything, or what the journal of ``job`` leaves to do."""
    target = output.path or request.kit
    with ExitStack() as stack:
        stack.callback(close_lookups)
        base = read_base(kit, request, job.folder)
        request = _keyed(request, base, live=True)
        begin(job, _options(request, output), _identity(kit, request, base))
        job.keep = False
        passes = JournaledPasses(job, kit.reader.container, request.environment)
        stack.callback(passes.release)
        done = _transform(kit, request, base, passes)
        report = PatchReport(
            kit=request.kit,
            live=True,
            container=kit.reader.container,
            stored_bytes=kit.reader.stored_bytes,
            base=base.judgement,
            transforms=request.transforms,
            rewrite=done,
            created_at=request.created_at,
            generation=None,
            output=output.path,
            output_bytes=kit.reader.stored_bytes,
            output_sha256=base.beside.archive,
            backup=None,
            temp_bytes=base.lookup_bytes,
        )
        if not done.changed:
            if output.path is not None:
                switch = copy_kit(kit.reader, job.folder, output.path)
                ready(job, switch, _result(report))
                perform(switch)
            return report
        in_place = output.path is None
        if in_place and output.keep_backup:
            # Only now: a run that changes nothing needs no backup, and is not refused for the one an earlier run left.
            require_backup_free(request.kit)
        generation = _finish(request, output, base, done, passes.destination)
        work = passes.destination.assemble()
        size, digest = reread(work, request, output, generation)
        if in_place and not kit.reader.is_still_named():
            raise DigestError("was replaced while it was being patched", where=str(request.kit), hint=_AGAIN)
        report = with_changes(
            report,
            generation=generation,
            output=target,
            output_bytes=size,
            output_sha256=digest,
            backup=backup_path(request.kit) if in_place and output.keep_backup else None,
            temp_bytes=2 * (size or 0) + base.lookup_bytes,
        )
        switch = staged(
            work,
            target,
            _sidecars(target, digest, output.key),
            new=digest,
            old=base.beside.archive,
            in_place=in_place,
            keep_backup=output.keep_backup,
        )
        ready(job, switch, _result(report))
        perform(switch)
        return report


def _keyed(request: PatchRequest, base: Base, *, live: bool) -> PatchRequest:
    transforms = with_keys(request.transforms, base.survey.needs, request.keying, live=live)
    return with_changes(request, transforms=transforms)


def _at(request: PatchRequest, time: Timestamp) -> PatchRequest:
    keying = with_changes(request.keying, now=time) if request.keying is not None else None
    return with_changes(request, created_at=time, keying=keying)


def _options(request: PatchRequest, output: Output) -> dict[str, Any]:
    """Name all that decides the bytes of the result and its names, besides the kit: a resumed run must agree."""
    return {
        "transforms": [
            {"name": t.name, "version": t.version, "parameters": str(parameters_digest(t))} for t in request.transforms
        ],
        "limit": request.limit,
        "createdAt": str(request.created_at),
        "in-place": output.path is None,
        "backup": output.path is None and output.keep_backup,
        "signing-key": output.key.public.key_id,
        "operator": output.operator,
        "environment": output.place,
        "rollback-note": output.rollback_note,
    }


def _identity(kit: OpenKit, request: PatchRequest, base: Base) -> dict[str, Any]:
    """Name the kit that is read, and the data keys it is sealed with."""
    archive = base.beside.archive
    facts: dict[str, Any] = {
        "container": kit.reader.container.value,
        "manifest": base.manifest.sha256.hex,
        "dataKeys": sorted(
            key for t in request.transforms if isinstance(t, EncryptFields) for key in t.keys.sealing.values()
        ),
    }
    if archive is not None:
        return facts | {"size": kit.reader.stored_bytes, "sha256": archive.hex}
    return facts | {"members": {path.text: digest.hex for path, (digest, _) in sorted(base.survey.members.items())}}


def _result(report: PatchReport) -> dict[str, Any]:
    """Name what is known of the result before it gets its name, for a process that only has to finish that."""
    generation = report.generation
    return {
        "outputBytes": report.output_bytes,
        "outputSha256": report.output_sha256.hex if report.output_sha256 is not None else None,
        "generation": generation.number if generation is not None else None,
        "manifestSha256": generation.manifest_sha256.hex if generation is not None else None,
        "signedBy": generation.key_id if generation is not None else None,
    }


def _check_request(request: PatchRequest, output: Output) -> None:
    check_order([transform.name for transform in request.transforms])
    mutating = [transform.name for transform in request.transforms if transform.kind != "additive-optional"]
    if mutating and not output.rollback_note:
        raise UsageError(
            f"{mutating[0]} changes what readers see, so it needs a note on how to go back",
            hint="say it with --rollback-note; it becomes part of the signed provenance",
        )


def _check_patcher(trust: Anchor, key_id: str, created_at: Timestamp) -> None:
    """Refuse at once what would be refused under the policy when it is read back."""
    subject = Subject(what="the signing key", role=Role.PATCHER, bundle_id=None)
    key = trust.policy.key(key_id)
    if key is not None:
        # Which bundle and collections it will be is not known yet.
        unlimited = with_changes(key, bundle_ids=None, collections=None)
        trust = with_changes(trust, policy=with_changes(trust.policy, keys=(unlimited,)))
    signing = authorised(trust.policy, subject, [key_id])
    require_standing(trust, signing, created_at, vouched_for=False)


def _require_place(kit: Path, place: Path) -> None:
    """Refuse before any work an output that could not be given its name, or that would change what is read.

    Raises:
        OutputError: Something already has a name that the run will give.
        UsageError: It would be inside the kit.
    """
    if kit.resolve() in (place.parent.resolve() / place.name).parents:
        raise UsageError("would be inside the kit that is read", where=str(place), hint="choose a place outside")
    require_free(place)


class _Passes(Protocol):
    """Where the passes of a run write to."""

    def found(self, collections: Mapping[MemberPath, CollectionMember]) -> Rewrite | None:
        """Give what the first pass found, where only the second is left to do."""
        ...

    def first(self) -> Destination:
        """Make the destination of the first pass."""
        ...

    def second(self, done: Rewrite) -> Destination:
        """Make the destination of the second pass, after a first that did ``done``."""
        ...


class _CountingPasses:
    """The passes of a plan."""

    def __init__(self, container: Container) -> None:
        self._codec = codec_of(container)
        self.latest = CountingDestination(codec=self._codec)

    def found(self, collections: Mapping[MemberPath, CollectionMember]) -> Rewrite | None:  # noqa: ARG002
        """See :class:`_Passes`."""
        return None

    def first(self) -> Destination:
        """See :class:`_Passes`."""
        return self.latest

    def second(self, done: Rewrite) -> Destination:  # noqa: ARG002
        """See :class:`_Passes`."""
        self.latest = CountingDestination(codec=self._codec)
        return self.latest


def _transform(kit: OpenKit, request: PatchRequest, base: Base, passes: _Passes) -> Rewrite:
    """Rewrite the kit into a destination; a second time where a handled member turned out not to change.

    The first pass has the counts of every member; the second only differs in carrying the idle ones verbatim.
    """
    location = base.judgement.location
    defer = frozenset({location.manifest, location.signature}) if location is not None else frozenset[MemberPath]()
    todo = Request(
        transforms=request.transforms,
        lookup=base.lookup,
        created_at=request.created_at,
        limit=request.limit,
        defer=defer,
    )
    done = passes.found(base.survey.collections)
    if done is None:
        with kit.pipeline(Stage.REWRITE) as pipeline:
            done = rewrite(kit.reader, base.survey, passes.first(), pipeline, todo)
    idle = unchanged(done)
    if not idle or not done.changed:
        return done
    with kit.pipeline(Stage.CARRY) as pipeline:
        again = rewrite(kit.reader, base.survey, passes.second(done), pipeline, with_changes(todo, leave=idle))
    return with_changes(done, deferred=again.deferred)


def _finish(request: PatchRequest, output: Output, base: Base, done: Rewrite, destination: Destination) -> Generation:
    """Make the new generation's own members and write them: those of the base in their places, new ones last."""
    if base.judgement.location is None:
        raise OutputError("a judged kit without a manifest")
    generation = make_generation(
        Step(
            survey=base.survey,
            location=base.judgement.location,
            manifest=base.manifest,
            rewrite=done,
            transforms=request.transforms,
            created_at=request.created_at,
            operator=output.operator,
            environment=output.place,
            rollback_note=output.rollback_note,
        ),
        output.key,
    )
    for path in generation.files:
        if path not in done.deferred and path in base.survey.members:
            raise DigestError("is there already, though lineage does not name it", where=str(path))
    for path, data in sorted(generation.files.items()):
        slot = done.deferred.get(path) or destination.open(path, mode=_NEW_FILE_MODE)
        add_bytes(destination, slot, data, mtime=request.created_at)
    return generation


def _sidecars(target: Path, digest: Sha256 | None, key: PrivateKey) -> dict[str, bytes]:
    if digest is None:
        return {}
    sidecars = {".sha256": checksum_line(digest, target.name)}
    signature = archive_signature.sign(digest, key)
    if signature is not None:
        sidecars[".sig"] = signature
    return sidecars
