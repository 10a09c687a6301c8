"""``kit create`` and ``kit sign``: a first generation of files that are no kit yet, and one more signature of a kit.

Read and count the source → manifest, signature → write each file under a header of its own → read back and judge → name
it. Laws: the same files in the same order, options, time and keys give the same archive, whatever held the files and
whatever the number of workers (PS256 excepted); what is signed is what was read, and what is written is read back
before it gets its name; a failed run leaves nothing. A signature that is added changes no other byte of any member, and
refuses the kit to nobody: the archive itself (``.sig``) is signed by who signs first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from kit.archive.frames import encode_frame_again
from kit.archive.read.reader import Container
from kit.archive.read.tar import Member
from kit.archive.write.copies import copy_to_stage
from kit.archive.write.tar import Destination, add_bytes, file_header
from kit.engine.leaves import LeafStore
from kit.engine.passing import entries
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey
from kit.engine.rewrite import Request, blocks, rewrite
from kit.engine.survey import survey
from kit.errors import ContentError, KitError, OutputError, UsageError
from kit.manifest import Manifest
from kit.manifest.location import MANIFEST_PATHS, signatures_of
from kit.output.commit import perform
from kit.output.job import Job
from kit.output.paths import require_free, require_output_apart
from kit.output.switch import checksum_line, stage
from kit.signing import PrivateKey, PublicKey, archive_signature, manifests
from kit.trust import Anchor, Occasion, OverManifest, Role, Subject, authorise
from kit.values import NAMED, Collections, MemberPath, Sha256, Timestamp
from kit.values.strict_json import canonical
from kit.verbs.delta.build import open_build_job
from kit.verbs.dumps import is_dump, unpack_dump
from kit.verbs.jobs import JournaledPasses
from kit.verbs.patch.generation import summarise
from kit.verbs.verify.judged import JudgedKit, judge_kit
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers
from kit.version import TOOL, VERSION

CONTAINERS = {
    ".tar.zst": Container.TAR_ZSTD,
    ".tar.gz": Container.TAR_GZIP,
    ".tgz": Container.TAR_GZIP,
    ".tar": Container.TAR,
}
"""By the end of the name."""
_MODE = 0o644
_COLLECTION, _DATA = "collection", "data"
_MEDIA_TYPE = "application/octet-stream"
_FIRST = 1
_ABOUT_SIGNERS = frozenset({3, 4, 6})
"""Obligations that are not about the files: who signed is asked for apart, since not all need have signed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """What to make a kit of.

    Attributes:
        source: A folder, such as mongodump writes, a dump of mongodump --archive, or a tar archive of a folder.
        output: The kit; its name decides the container (:data:`CONTAINERS`).
        bundle_id: The same in every generation.
        keys: Who signs; the first also signs the archive.
        created_at: When it is made.
        generation: Its number; a publisher's next kit of the bundle has a greater one.
        version, channel, producer: Text for people, if any.
        staleness_window_hours: How long it counts as fresh.
        collections: The members that are collections although their names alone do not state it.
        work_folder: Where to work instead of next to the output.
        environment: How to work.
    """

    source: Path
    output: Path
    bundle_id: str
    keys: tuple[PrivateKey, ...]
    created_at: Timestamp
    generation: int = _FIRST
    version: str | None = None
    channel: str | None = None
    producer: str | None = None
    staleness_window_hours: int | None = None
    collections: Collections = NAMED
    work_folder: Path | None = None
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """Which kit to sign.

    Attributes:
        kit: The kit, of the publisher; one that was patched is signed by ``kit patch`` alone.
        output: The kit with the signatures added, in the same container.
        keys: Who signs.
        trusted: Who may have signed it before, by key id; None to keep signatures that nobody verified.
        trust: A policy instead, whose publishers may have; one of them is enough, whatever its threshold.
        work_folder: Where to work instead of next to the output.
        environment: How to work.
    """

    kit: Path
    output: Path
    keys: tuple[PrivateKey, ...]
    trusted: Mapping[str, PublicKey] | None
    trust: Anchor | None = None
    work_folder: Path | None = None
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReport:
    """A kit that was made or signed.

    Attributes:
        source: What it was made of.
        output: The kit.
        container: What it is.
        output_bytes: Its size; None for a folder.
        output_sha256: Its digest; None for a folder.
        manifest: What was signed.
        signers: Every signer that its signature names, sorted.
        is_archive_signed: Whether a ``.sig`` is next to it.
    """

    source: Path
    output: Path
    container: Container
    output_bytes: int | None
    output_sha256: Sha256 | None
    manifest: Manifest
    signers: tuple[str, ...]
    is_archive_signed: bool


def create_kit(request: CreateRequest) -> CreateReport:
    """Make a kit of files.

    Raises:
        UsageError: The source is a kit, has links, or is at or around the output; the output's name names no container.
        ContentError: There is no file, or a value of the manifest is malformed.
        OutputError: Something is at the output, or it cannot be written or does not read back.
        KitError: The source is malformed or over a limit, a document of a collection is, or the source changed.
    """
    container = container_of(request.output)
    require_free(request.output)
    require_output_apart(request.output, {"source": request.source}, kind="build")
    with open_build_job(request.output, request.work_folder) as job, ExitStack() as stack:
        source = stack.enter_context(open_with_workers(_unpacked(request, job), request.environment))
        leaves = LeafStore(job.folder / "leaves")
        source.reader.declared = request.collections
        with source.pipeline(Stage.SURVEY) as pipeline:
            found = survey(source.reader, pipeline, keep=is_kept, count=lambda _: True, leaves=leaves)
        _require_files(found, request.source)
        roots = {path: leaves.root(path, Pipeline(source.executor, budget=source.budget)) for path in found.rooted}
        data = _manifest(request, found, roots)
        signature = manifests.sign(data, request.keys)
        passes = JournaledPasses(job, container, request.environment, mode=source.reader.mode)
        stack.callback(passes.release)
        destination = passes.first()
        for path, own in ((MANIFEST_PATHS[0], data), (signatures_of(MANIFEST_PATHS[0])[0], signature)):
            add_bytes(destination, destination.open(path, mode=_MODE), own, mtime=request.created_at)
        _write(source, found, destination, request.created_at)
        work = passes.destination.assemble()
        trusted = {key.public.key_id: key.public for key in request.keys}
        return _publish(work, job, request, trusted, manifest=Sha256.of(data), container=container)


def sign_kit(request: SignRequest) -> CreateReport:
    """Add signatures to the manifest of a kit that was never patched.

    Raises:
        UsageError: The kit was patched, a key has signed already, or it is signed and nobody is trusted to have.
        OutputError: As :func:`create_kit`.
        KitError: The kit is not what its manifest lists, or a signature of a trusted key does not verify.
    """
    require_free(request.output)
    require_output_apart(request.output, {"kit": request.kit}, kind="build")
    with (
        open_build_job(request.output, request.work_folder) as job,
        open_with_workers(request.kit, request.environment) as kit,
        ExitStack() as stack,
    ):
        base = judge_kit(kit, Expectation(trusted={})).require(but=_ABOUT_SIGNERS)
        present = base.survey.kept.get(base.location.signature)
        if present is not None and (request.trusted is not None or request.trust is not None):
            _require_signers(base, present, request)
        signature = _joined(base, present, request.keys)
        passes = JournaledPasses(job, kit.reader.container, request.environment, mode=kit.reader.mode)
        stack.callback(passes.release)
        destination = passes.first()
        at = base.manifest.made_at or Timestamp(0)
        todo = Request(transforms=(), lookup=None, created_at=at, defer=frozenset({base.location.signature}))
        with kit.pipeline(Stage.REWRITE) as pipeline:
            done = rewrite(kit.reader, base.survey, destination, pipeline, todo)
        slot = done.deferred.get(base.location.signature)
        slot = slot or destination.open(base.location.signature, mode=base.survey.modes[base.location.manifest])
        add_bytes(destination, slot, signature, mtime=at)
        work = passes.destination.assemble()
        trusted = {key.public.key_id: key.public for key in request.keys}
        return _publish(work, job, request, trusted, manifest=base.manifest.sha256, container=kit.reader.container)


def container_of(output: Path) -> Container:
    """Return the container that the name of a new kit names.

    Raises:
        UsageError: It names none.
    """
    for suffix, container in CONTAINERS.items():
        if output.name.endswith(suffix):
            return container
    raise UsageError(f"its name must end in {', '.join(CONTAINERS)}, which decides the container", where=str(output))


def _unpacked(request: CreateRequest, job: Job) -> Path:
    """Return where the files are: of a dump in one stream, the folder that it is unpacked to."""
    if not is_dump(request.source):
        return request.source
    folder = job.folder / "dump"
    unpack_dump(request.source, folder, request.environment.limits)
    return folder


def _require_files(found: Survey, source: Path) -> None:
    if found.kept:
        path = min(found.kept)
        raise UsageError(f"has {path}, so it is a kit already", where=str(source), hint=f"kit sign {source} --help")
    if found.links:
        raise UsageError(
            "is a link, and a new kit has none", where=str(min(found.links)), hint="put a copy in its place"
        )
    if found.dumps:
        raise UsageError(
            "is a dump of mongodump --archive, whose collections are not read where it is one file of several",
            where=str(min(found.dumps)),
            hint="make a kit of the dump itself: kit create --help",
        )
    if not found.members:
        raise ContentError("has no file to make a kit of", where=str(source))


def _manifest(request: CreateRequest, found: Survey, roots: Mapping[MemberPath, Sha256]) -> bytes:
    """Return the manifest of the files that were read.

    Raises:
        ContentError: A value of the request is malformed, or a file has a name that no manifest may list.
    """
    texts = {"version": request.version, "channel": request.channel, "producer": request.producer}
    document = {
        "schemaVersion": "1",
        "bundleId": request.bundle_id,
        "generation": request.generation,
        "createdAt": str(request.created_at),
        "files": [
            {
                "path": str(path),
                "sha256": str(digest),
                "size": size,
                "mediaType": _MEDIA_TYPE,
                "kind": _COLLECTION if path in found.collections else _DATA,
            }
            for path, (digest, size) in sorted(found.members.items())
        ],
        "collections": [
            summarise(found.collections[path], tally, {}, roots.get(path)).to_json()
            for path, tally in sorted(found.tallies.items())
        ],
        "lineage": [],
        **{name: text for name, text in texts.items() if text is not None},
    }
    document.setdefault("producer", f"{TOOL} {VERSION}")
    if request.staleness_window_hours is not None:
        document["stalenessWindowHours"] = request.staleness_window_hours
    data = canonical(document)
    Manifest.parse(data, limits=request.environment.limits, where="the new manifest")
    return data


def _write(source: OpenKit, found: Survey, destination: Destination, at: Timestamp) -> None:
    """Write every file under a header of its own: what held it before has no part in the result."""
    with source.pipeline(Stage.REWRITE) as pipeline:
        for member, body in entries(source.reader, found):
            if member.path is None or not member.is_file:
                continue
            header = file_header(member.path, size=member.size, mode=_MODE, mtime=at)
            slot, content = destination.carry(_headed(member, header), body)
            for block in blocks(content):
                pipeline.submit(
                    encode_frame_again,
                    *(destination.codec, block, b""),
                    cost=len(block),
                    then=partial(destination.add, slot),
                    where=str(member.path),
                )
            pipeline.mark(partial(destination.close, slot, mtime=at))


def _headed(member: Member, header: bytes) -> Member:
    return replace(member, header=header, mode=_MODE)


def _require_signers(base: JudgedKit, present: bytes, request: SignRequest) -> None:
    """Check that somebody signed the kit who may publish it.

    Raises:
        UsageError: Nobody is trusted.
        UntrustedError: Nobody who is trusted signed it.
        SignatureError: A signature of somebody who is trusted does not verify.
        StaleError: The signer's key is out of its time.
    """
    where = str(request.kit)
    anchor = Expectation(trusted=request.trusted or {}, trust=request.trust).anchor
    if not anchor.policy.keys:
        signers = ", ".join(claim.key_id for claim in manifests.claims(present))
        raise UsageError(
            f"claims to be signed by {signers}, and no key is trusted to verify that",
            where=where,
            hint="name their keys with --trusted-key",
        )
    subject = Subject(
        what="the kit",
        role=Role.PUBLISHER,
        bundle_id=base.manifest.bundle_id,
        members=tuple(entry.path for entry in base.manifest.entries),
        collections=base.manifest.table,
        single=True,
    )
    signature = OverManifest(
        document=present, manifest=base.survey.kept[base.location.manifest], name=str(base.location.signature)
    )
    occasion = Occasion(signed_at=base.manifest.made_at, manifest=base.manifest.sha256)
    try:
        authorise(anchor, subject, signature, occasion)
    except KitError as error:
        raise error.inside(where) from error.__cause__


def _joined(base: JudgedKit, present: bytes | None, keys: Sequence[PrivateKey]) -> bytes:
    """Return the signatures of the kit with those of ``keys``."""
    if base.manifest.lineage:
        raise UsageError(
            f"is {base.what}, which a patch made; its statement names its signers, and cannot get another",
            where=str(base.kit.reader.path),
            hint="give kit patch every --signing-key",
        )
    data = base.survey.kept[base.location.manifest]
    if present is None:
        return manifests.sign(data, keys)
    signers = {claim.key_id for claim in manifests.claims(present)}
    for key in keys:
        if key.public.key_id in signers:
            raise UsageError(f"key {key.public.key_id} has signed this kit already", where=str(base.kit.reader.path))
    return manifests.add(present, data, keys)


def _publish(
    work: Path,
    job: Job,
    request: CreateRequest | SignRequest,
    trusted: Mapping[str, PublicKey],
    *,
    manifest: Sha256,
    container: Container,
) -> CreateReport:
    """Read the finished kit and judge it as a user will; then name it, with its checksum and signature.

    Raises:
        OutputError: It does not read back as what was to be written.
        KitError: It is refused.
    """
    with open_with_workers(work, request.environment) as kit:
        judged = judge_kit(kit, Expectation(trusted=trusted), stage=Stage.REREAD, is_alone=True).require()
        if judged.manifest.sha256 != manifest:
            raise OutputError("the kit does not read back", where=str(work))
        digest, size = judged.sidecars.archive, kit.reader.stored_bytes
        signers = tuple(
            sorted(claim.key_id for claim in manifests.claims(judged.survey.kept[judged.location.signature]))
        )
    source = request.source if isinstance(request, CreateRequest) else request.kit
    sidecars: dict[str, bytes] = {}
    if digest is not None:
        sidecars[".sha256"] = checksum_line(digest, request.output.name)
        # One of the archive by a later signer would refuse the kit to who trusts the earlier ones.
        is_first = {key.public.key_id for key in request.keys} == set(signers)
        signature = archive_signature.sign(digest, request.keys[0]) if is_first else None
        sidecars |= {".sig": signature} if signature is not None else {}
    place = copy_to_stage(work, job.stage if job.is_elsewhere else job.folder)
    perform(stage(place, job.place, sidecars, new=digest, by_content=job.is_elsewhere))
    return CreateReport(
        source=source,
        output=request.output,
        container=container,
        output_bytes=size,
        output_sha256=digest,
        manifest=judged.manifest,
        signers=signers,
        is_archive_signed=".sig" in sidecars,
    )
