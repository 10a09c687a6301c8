"""``kit plan`` and ``kit patch``: one path from a kit to the kit that the transforms make of it.

Read and judge the base → transform into a destination → manifest, history, provenance, signature → read the result
back and judge it as anybody would → switch names. ``plan`` takes the same path with a destination that only counts and
stops before anything is signed. Laws: a base that is not what its signers say is refused before anything is written;
outside the job folder nothing changes before the last step; where no document changes, nothing does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace as with_changes
from pathlib import Path

from kit.archive import (
    ArchiveDestination,
    Container,
    CountingDestination,
    Destination,
    FolderDestination,
    Job,
    add_bytes,
    backup_path,
    checksum_line,
    copy_kit,
    publish,
    replace,
    require_backup_free,
    require_free,
)
from kit.engine.lookup import LookupWriter
from kit.engine.rewrite import Request, Rewrite, rewrite, unchanged
from kit.engine.survey import Survey, survey
from kit.engine.work import close_lookups
from kit.errors import DigestError, KitError, LimitError, OutputError, UntrustedError, UsageError
from kit.manifest import Manifest
from kit.ops.generation import Generation, Step, make_generation
from kit.ops.keying import Keying, with_keys
from kit.ops.kits import Environment, OpenKit, beside, is_kept, opened
from kit.ops.obligations import Beside, Expectation, Judgement, judge
from kit.ops.signers import require_standing
from kit.ops.verify import examine
from kit.signing import PrivateKey, PublicKey, archive_signature
from kit.transforms.encrypt_fields import check_order
from kit.transforms.protocol import Transform
from kit.trust import Anchor, Role, Subject, authorised
from kit.values import Codec, MemberPath, Sha256, Timestamp

_CODECS = {
    Container.FOLDER: Codec.NONE,
    Container.TAR: Codec.NONE,
    Container.TAR_GZIP: Codec.GZIP,
    Container.TAR_ZSTD: Codec.ZSTD,
}
_NEW_FILE_MODE = 0o644
_AGAIN = "nothing was written; start again"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRequest:
    """What to do to which kit, and how; the same for plan and patch."""

    kit: Path
    transforms: tuple[Transform, ...]
    trusted: Mapping[str, PublicKey] | None
    """By key id; None accepts a base whose signatures were not verified (``--insecure-unverified-base``)."""
    created_at: Timestamp
    trust: Anchor | None = None
    """A policy goes before ``trusted``; then the result must be valid under it too."""
    keying: Keying | None = None
    """Needed by encrypt-fields."""
    limit: int | None = None
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the result goes and who signs it."""

    path: Path | None
    """None to patch in place."""
    key: PrivateKey
    keep_backup: bool = True
    operator: str | None = None
    place: str | None = None
    """The environment it is done in, as the operator names it."""
    rollback_note: str | None = None
    """How to go back; a step that changes what readers see is refused without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReport:
    """What was done, or what would be."""

    kit: Path
    live: bool
    container: Container
    stored_bytes: int | None
    base: Judgement
    transforms: tuple[Transform, ...]
    rewrite: Rewrite
    created_at: Timestamp
    generation: Generation | None
    """None for a plan, and where nothing changed."""
    output: Path | None
    """Where the new kit is; None for a plan, and where nothing changed in place."""
    output_bytes: int | None
    """Exact after a patch; for a plan, without the manifest and its history."""
    output_sha256: Sha256 | None
    backup: Path | None
    temp_bytes: int
    """Room the run needed beside the output, or would need."""

    @property
    def changed(self) -> int:
        """Documents changed."""
        return self.rewrite.changed


def plan(request: PatchRequest) -> PatchReport:
    """Do everything but writing and signing; the counts are those a patch will have.

    Raises:
        KitError: As :func:`patch`, as far as it can be told without writing.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kit-plan-")))
        kit = stack.enter_context(opened(request.kit, request.environment))
        stack.callback(close_lookups)
        base = _base(kit, request, scratch)
        request = with_changes(request, transforms=with_keys(kit, request.transforms, request.keying, live=False))
        passes: list[CountingDestination] = []

        def start() -> Destination:
            passes.append(CountingDestination(codec=_CODECS[kit.reader.container]))
            return passes[-1]

        done = _transform(kit, request, base, start)
        encoded = passes[-1].encoded
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
        KitError: The base is refused, a document is malformed, a stop rule holds, or the result could not be written or
            did not read back; the kit and everything beside it are as they were.
    """
    _check_request(request, output)
    if request.trust is not None:
        _check_patcher(request.trust, output.key.public.key_id, request.created_at)
    target = output.path or request.kit
    if output.path is not None:
        _require_place(request.kit, output.path)
    with ExitStack() as stack:
        kit = stack.enter_context(opened(request.kit, request.environment))
        job = stack.enter_context(Job(target))
        stack.callback(close_lookups)
        base = _base(kit, request, job.folder)
        request = with_changes(request, transforms=with_keys(kit, request.transforms, request.keying, live=True))
        container = kit.reader.container
        writer = _Writer(job.folder, container)
        stack.callback(writer.release)
        done = _transform(kit, request, base, writer.start)
        report = PatchReport(
            kit=request.kit,
            live=True,
            container=container,
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
                copy_kit(kit.reader, job.folder, output.path)
            return report
        if output.path is None and output.keep_backup:
            # Only now: a run that changes nothing needs no backup, and is not refused for the one an earlier run left.
            require_backup_free(request.kit)
        generation = _finish(request, output, base, done, writer.destination)
        work = writer.destination.assemble()
        size, digest = _reread(work, request, output, generation)
        sidecars = _sidecars(target, digest, output.key)
        if output.path is not None:
            publish(work, output.path, sidecars)
        else:
            if not kit.reader.is_still_named():
                raise DigestError("was replaced while it was being patched", where=str(request.kit), hint=_AGAIN)
            replace(work, request.kit, sidecars, old=base.beside.archive, keep_backup=output.keep_backup)
        return with_changes(
            report,
            generation=generation,
            output=target,
            output_bytes=size,
            output_sha256=digest,
            backup=backup_path(request.kit) if output.path is None and output.keep_backup else None,
            temp_bytes=2 * (size or 0) + base.lookup_bytes,
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """The kit as it was found and judged."""

    survey: Survey
    beside: Beside
    judgement: Judgement
    manifest: Manifest
    lookup: Path | None
    lookup_bytes: int


def _base(kit: OpenKit, request: PatchRequest, scratch: Path) -> _Base:
    """Read the kit once, gather the lookups, and refuse it unless it is what its signers say.

    Raises:
        KitError: The first obligation that failed.
    """
    if request.trust is None and request.trusted is not None and not request.trusted:
        raise UntrustedError(
            "no key is trusted, so no base can be valid", hint="name the publisher's key with --trusted-key"
        )
    path = scratch / "lookup"
    with kit.pipeline() as pipeline, LookupWriter(path) as lookup:
        found = survey(
            kit.reader,
            pipeline,
            keep=is_kept,
            count=lambda member: not any(transform.handles(member.name) for transform in request.transforms),
            transforms=request.transforms,
            lookup=lookup,
        )
        lookup.finish()
    around = beside(kit.reader)
    expectation = Expectation(
        trusted=request.trusted or {}, trust=request.trust, allow_unsigned_history=request.trusted is None
    )
    judgement = judge(found, around, expectation, limits=request.environment.limits)
    for obligation in judgement.obligations:
        if obligation.error is not None and _decides(obligation.number, request):
            raise obligation.error
    if judgement.manifest is None:
        raise OutputError("a judged kit without a manifest")
    return _Base(
        survey=found,
        beside=around,
        judgement=judgement,
        manifest=judgement.manifest,
        lookup=path,
        lookup_bytes=path.stat().st_size,
    )


def _decides(number: int, request: PatchRequest) -> bool:
    """Whether an obligation's failure refuses the base: all do, signatures only unless they were said not to matter."""
    return request.trusted is not None or number not in {3, 6}


def _transform(kit: OpenKit, request: PatchRequest, base: _Base, start: Callable[[], Destination]) -> Rewrite:
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
    with kit.pipeline() as pipeline:
        done = rewrite(kit.reader, base.survey, start(), pipeline, todo)
    idle = frozenset(unchanged(done))
    if not idle or not done.changed:
        return done
    with kit.pipeline() as pipeline:
        again = rewrite(kit.reader, base.survey, start(), pipeline, with_changes(todo, leave=idle))
    return with_changes(done, deferred=again.deferred)


class _Writer:
    """Makes the destination of a run, and makes it anew when a pass starts over."""

    def __init__(self, folder: Path, container: Container) -> None:
        self._folder = folder
        self._container = container
        self._made: ArchiveDestination | FolderDestination | None = None

    @property
    def destination(self) -> ArchiveDestination | FolderDestination:
        """The destination of the latest pass."""
        if self._made is None:
            raise OutputError("nothing was written")
        return self._made

    def release(self) -> None:
        """Close what the latest pass left open, however it ended."""
        if self._made is not None:
            self._made.release()

    def start(self) -> Destination:
        """Drop what an earlier pass wrote, and make a new destination."""
        if self._made is not None:
            self._made.discard()
        if self._container is Container.FOLDER:
            self._made = FolderDestination(self._folder)
        else:
            self._made = ArchiveDestination(self._folder, codec=_CODECS[self._container])
        return self._made


def _finish(request: PatchRequest, output: Output, base: _Base, done: Rewrite, destination: Destination) -> Generation:
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


def _reread(
    work: Path, request: PatchRequest, output: Output, generation: Generation
) -> tuple[int | None, Sha256 | None]:
    """Read the finished kit from its file and judge it as a user will, before it gets its name.

    Raises:
        OutputError: It does not read back as what was to be written.
        LimitError: What is added to the kit takes it over a limit.
    """
    try:
        return _judge_again(work, request, output, generation)
    except LimitError as error:
        raise LimitError(f"the new kit would be over a limit: {error.what}", hint=error.hint) from error
    except KitError as error:
        raise OutputError(
            f"the new kit does not read back: {error}",
            where=str(work),
            hint="the kit is untouched; check the disk and try again",
        ) from error


def _judge_again(
    work: Path, request: PatchRequest, output: Output, generation: Generation
) -> tuple[int | None, Sha256 | None]:
    public = output.key.public
    expectation = Expectation(
        trusted={**(request.trusted or {}), public.key_id: public},
        trust=request.trust,
        allow_unsigned_history=request.trusted is None,
    )
    # No document is looked into, so no workers are needed.
    with opened(work, with_changes(request.environment, workers=1)) as kit:
        judgement, _ = examine(kit, expectation)
        for obligation in judgement.obligations:
            if obligation.error is not None and (obligation.number == 3 or _decides(obligation.number, request)):
                raise obligation.error
        if judgement.manifest is None or judgement.manifest.sha256 != generation.manifest_sha256:
            raise DigestError("it has another manifest than was written")
        digest = kit.reader.stored_digest() if kit.reader.container is not Container.FOLDER else None
        return kit.reader.stored_bytes, digest


def _sidecars(target: Path, digest: Sha256 | None, key: PrivateKey) -> dict[str, bytes]:
    if digest is None:
        return {}
    sidecars = {".sha256": checksum_line(digest, target.name)}
    signature = archive_signature.sign(digest, key)
    if signature is not None:
        sidecars[".sig"] = signature
    return sidecars
