"""Writes the target of a delta into a job folder, from the base and the payloads.

Compute the members of the recipe → store what is needed of the base → make the target's stream from layout and members
→ cut and encode it for an archive, or unpack it for a folder. Laws: if the layout states how the target was cut, it is
cut there, so that the same bytes come back; members that a recipe makes are compared with the target's digests before
any of the target is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kit.archive.frames import FRAME_BYTES, encode_frame, encode_frame_again
from kit.archive.read.codecs import cut
from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.archive.write.folder import FolderDestination
from kit.archive.write.tar import ArchiveDestination, Slot
from kit.delta.layout import Layout, parse_layout, parse_layout_of_base
from kit.delta.model import MANIFEST, DeltaManifest, Method
from kit.encryption import KeySource
from kit.engine.pipeline import Pipeline, Workers
from kit.engine.progress import Stage
from kit.errors import ArchiveError, DigestError, WrongBaseError
from kit.output.job import Job
from kit.values import Allowed, Limits, Timestamp
from kit.verbs.delta.decode import TargetDecoder
from kit.verbs.delta.deltas import OpenDelta, Payloads
from kit.verbs.delta.recipes import ComputedMembers, check_recipe, compute
from kit.verbs.delta.stores import BaseStores
from kit.verbs.jobs import JournaledPasses
from kit.verbs.verify.judged import JudgedKit
from kit.verbs.verify.kits import OpenKit


def write_target(
    base: JudgedKit, delta: OpenDelta, stores: BaseStores, job: Job, passes: JournaledPasses, *, keys: KeySource | None
) -> bytes | None:
    """Write the target into the job folder, and return the signature that belongs next to its archive.

    Args:
        base: The judged base.
        delta: The delta, its signature and payloads checked.
        stores: What was spooled of the base while it was judged.
        job: Holds the base's documents and the members of a recipe meanwhile.
        passes: Makes the destination, or has what an earlier process wrote to it.
        keys: Of the site, if the recipe encrypts.

    Raises:
        DigestError: A member is not made as the delta states.
        WrongBaseError: An earlier version built the delta, for another packing of this kit.
        KeyUnusableError: A data key is missing, or the site would seal with others.
        OutputError: The target cannot be written.
        KitError: A payload does not decode to what the delta states.
    """
    manifest, kit = delta.manifest, base.kit
    with kit.pipeline(Stage.MAKE, reads=False) as pipeline:
        # The other half is for frames: they wait while documents are decoded, and the other way round.
        workers = Workers(executor=kit.executor, budget=kit.budget // 2)
        making = TargetDecoder(manifest, kit.reader, base.survey, stores, workers=workers)
        making.check()
        computed = _compute_recipe(manifest, kit, job.folder, keys)
        stores.made.update(computed.files if computed is not None else {})
        made = computed.frames_of(manifest.members) if computed is not None else ()
        headers = making.prepare(job.folder)
        payloads = Payloads(delta)
        data = b"".join(payloads.take(manifest.layout))
        layout = _read_layout(base, delta, data, headers, made)
        sig = b"".join(payloads.take(manifest.archive.signature)) if manifest.archive.signature is not None else None
        stream = making.stream(layout, payloads.take)
        destination = passes.first()
        if isinstance(destination, FolderDestination):
            _unpack(stream, destination, kit, manifest.created_at)
        elif isinstance(destination, ArchiveDestination):
            _pack(stream, layout, destination, pipeline)
            pipeline.drain()
        return sig


def _read_layout(
    base: JudgedKit, delta: OpenDelta, data: bytes, headers: Sequence[bytes], made: Sequence[int]
) -> Layout:
    """Return the layout of the target.

    Raises:
        WrongBaseError: It is packed against headers of the base's container, and this container has others.
        ArchiveError: It is malformed.
    """
    manifest, limits = delta.manifest, base.kit.reader.limits
    if not manifest.layout_of_base:
        return parse_layout(data, manifest.members, made, most=limits.json_bytes)
    try:
        layout = parse_layout_of_base(data, headers, made, most=limits.json_bytes)
        _check_headers(layout, manifest, limits, base.kit.environment.allowed)
    except ArchiveError as error:
        raise WrongBaseError(
            f"is {base.what}, the base of the delta; but an earlier version built that, and it needs the kit as it was"
            f" packed then, not unpacked or packed again ({error.what})",
            where=str(base.kit.reader.path),
            hint="apply the delta to the archive or folder that it was built from, or build it again with this version",
        ) from error
    return layout


def _check_headers(layout: Layout, manifest: DeltaManifest, limits: Limits, allowed: Allowed) -> None:
    """Check that the headers are of the members that the manifest names; a wrong dictionary makes others.

    Raises:
        ArchiveError: A header is malformed, or of another member.
    """
    due = [(entry.path, entry.size) for entry in manifest.members]
    actual = []
    for header in layout.headers:
        blocks = ChunkReader(iter((header.data,)), where="a header")
        member = next((member for member, _ in read_tar(blocks, limits, where="a header", allowed=allowed)), None)
        if member is None or member.is_file != header.has_body:
            raise ArchiveError("a header of the layout is malformed")
        if member.is_file and member.path is not None:
            actual.append((member.path, member.size))
    if actual != due:
        raise ArchiveError("the headers of the layout are of other members")


def _compute_recipe(
    manifest: DeltaManifest, kit: OpenKit, folder: Path, keys: KeySource | None
) -> ComputedMembers | None:
    """Compute the members of the recipe, and check each against the target's digest; None if there is no recipe.

    Raises:
        KeyUnusableError: A data key is missing, or the site would seal with others.
        DigestError: A member is not as in the target.
    """
    if manifest.recipe is None:
        return None
    wanted = {entry.path: entry.sha256 for entry in manifest.members if entry.method is Method.RECIPE}
    made = compute(
        *(kit, check_recipe(manifest.recipe), folder), keep=frozenset(wanted), keys=keys, due=manifest.recipe.keys
    )
    for path, digest in sorted(wanted.items()):
        if made.digests.get(path) != digest:
            for file in made.files.values():
                file.close()
            raise DigestError(
                f"is made by the recipe with digest {made.digests.get(path, 'of the base')}, but is {digest} in the"
                " target",
                where=str(path),
                hint="the kit is untouched; ask for a delta that was built with kit delta build --no-recipe",
            )
    return made


def _pack(stream: Iterator[bytes], layout: Layout, destination: ArchiveDestination, pipeline: Pipeline) -> None:
    """Cut the stream as the target was cut, or else every few MiB, and encode it; the destination adds the end."""
    slot = destination.open(MANIFEST, mode=0)
    parts = cut(stream, layout.frames) if layout.frames else _cut_blocks(stream)
    last = b""
    for part in parts:
        if last:
            _submit_frame(last, slot, destination, pipeline)
        last = part


def _submit_frame(part: bytes, slot: Slot, destination: ArchiveDestination, pipeline: Pipeline) -> None:
    pipeline.submit(
        encode_frame_again,
        *(destination.codec, part, destination.next_piece()),
        cost=len(part),
        then=lambda frame: destination.add(slot, frame, piece=True),
    )


def _cut_blocks(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a stream in blocks of FRAME_BYTES; the end of the archive is a block of its own."""
    reader = ChunkReader(_without_end(stream), where="")
    while data := reader.read_up_to(FRAME_BYTES):
        yield data
    yield b"end"


def _without_end(stream: Iterable[bytes]) -> Iterator[bytes]:
    held: bytes | None = None
    for chunk in stream:
        if held is not None:
            yield held
        held = chunk


def _unpack(stream: Iterator[bytes], destination: FolderDestination, kit: OpenKit, at: Timestamp) -> None:
    """Write the members of the stream as files."""
    limits = kit.reader.limits
    reader = ChunkReader(stream, where="the target")
    for member, body in read_tar(reader, limits, where="the target", allowed=kit.environment.allowed):
        slot, content = destination.carry(member, body)
        for chunk in content:
            destination.add(slot, encode_frame(destination.codec, chunk))
        destination.close(slot, mtime=at)
