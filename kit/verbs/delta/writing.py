"""Writes the target of a delta into a job folder: its stream made from the base and the payloads, and stored anew.

What the delta is a recipe for is computed first → what of the base is needed is stored → layout and members give the
target's stream → of an archive it is cut and encoded, of a folder it is unpacked. Laws: where the layout says how the
target was cut, it is cut there, so that its very bytes come back; members that a recipe makes are compared with what
the target has before any of it is written.
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
from kit.verbs.delta.decode import Making
from kit.verbs.delta.deltas import OpenDelta, Payloads
from kit.verbs.delta.recipes import Computed, check as check_recipe, compute
from kit.verbs.delta.stores import BaseStores
from kit.verbs.jobs import JournaledPasses
from kit.verbs.verify.judged import JudgedKit
from kit.verbs.verify.kits import OpenKit


def write_target(
    base: JudgedKit, delta: OpenDelta, stores: BaseStores, job: Job, passes: JournaledPasses, *, keys: KeySource | None
) -> bytes | None:
    """Make the target in the job folder; gives the signature that belongs beside its archive.

    Args:
        base: What the delta is applied to, judged.
        delta: Its signature and payloads checked.
        stores: What of the base was spooled while it was judged.
        job: Where the base's documents, and what a recipe makes, are kept meanwhile.
        passes: Makes the destination, or has what an earlier process wrote to it.
        keys: Of the site, where the delta is a recipe that encrypts.

    Raises:
        DigestError: A member comes out otherwise than the delta says.
        WrongBaseError: An earlier version built the delta, for a kit that was packed otherwise.
        KeyUnusableError: A data key is missing, or the site would seal with others.
        OutputError: The target cannot be written.
        KitError: A payload does not decode to what the delta says.
    """
    manifest, kit = delta.manifest, base.kit
    with kit.pipeline(Stage.MAKE, reads=False) as pipeline:
        # The other half is for frames: those wait while documents are put together, and the other way round.
        workers = Workers(executor=kit.executor, budget=kit.budget // 2)
        making = Making(manifest, kit.reader, base.survey, stores, workers=workers)
        making.check()
        computed = _computed(manifest, kit, job.folder, keys)
        stores.made.update(computed.files if computed is not None else {})
        made = computed.frames_of(manifest.members) if computed is not None else ()
        headers = making.prepare(job.folder)
        payloads = Payloads(delta)
        data = b"".join(payloads.take(manifest.layout))
        layout = _layout(base, delta, data, headers, made)
        sig = b"".join(payloads.take(manifest.archive.signature)) if manifest.archive.signature is not None else None
        stream = making.stream(layout, payloads.take)
        destination = passes.first()
        if isinstance(destination, FolderDestination):
            _unpack(stream, destination, kit, manifest.created_at)
        elif isinstance(destination, ArchiveDestination):
            _pack(stream, layout, destination, pipeline)
            pipeline.drain()
        return sig


def _layout(base: JudgedKit, delta: OpenDelta, data: bytes, headers: Sequence[bytes], made: Sequence[int]) -> Layout:
    """Read the layout of the target.

    Raises:
        WrongBaseError: It is packed against the headers of the base's container, and this one has others.
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
            f"is {base.what}, for which the delta is; but an earlier version built that, for this kit as it was packed"
            f" then: unpacked, or packed again, it cannot be used ({error.what})",
            where=str(base.kit.reader.path),
            hint="apply it to the archive or folder that it was built from, or have it built again by this version",
        ) from error
    return layout


def _check_headers(layout: Layout, manifest: DeltaManifest, limits: Limits, allowed: Allowed) -> None:
    """Check that headers, read as any, are of the members that the manifest names: another dictionary gives others.

    Raises:
        ArchiveError: One is not.
    """
    due = [(entry.path, entry.size) for entry in manifest.members]
    met = []
    for header in layout.headers:
        blocks = ChunkReader(iter((header.data,)), where="a header")
        member = next((member for member, _ in read_tar(blocks, limits, where="a header", allowed=allowed)), None)
        if member is None or member.is_file != header.has_body:
            raise ArchiveError("a header of the layout is none")
        if member.is_file and member.path is not None:
            met.append((member.path, member.size))
    if met != due:
        raise ArchiveError("the headers of the layout are of other members")


def _computed(manifest: DeltaManifest, kit: OpenKit, folder: Path, keys: KeySource | None) -> Computed | None:
    """Compute what the delta is a recipe for; every member must be what the target has, before any of it is written.

    Raises:
        KeyUnusableError: A data key is missing, or the site would seal with others.
        DigestError: A member comes out otherwise.
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
                f"comes out of the recipe with digest {made.digests.get(path, 'of the base')}, and is {digest} in the"
                " target",
                where=str(path),
                hint="the kit is untouched; ask its builder for a delta made by kit delta build --no-recipe",
            )
    return made


def _pack(stream: Iterator[bytes], layout: Layout, destination: ArchiveDestination, pipeline: Pipeline) -> None:
    """Cut the stream as the target was cut, else every few MiB, and encode it; the destination adds the end."""
    slot = destination.open(MANIFEST, mode=0)
    parts = cut(stream, layout.frames) if layout.frames else _blocks(stream)
    last = b""
    for part in parts:
        if last:
            _frame(last, slot, destination, pipeline)
        last = part


def _frame(part: bytes, slot: Slot, destination: ArchiveDestination, pipeline: Pipeline) -> None:
    pipeline.submit(
        encode_frame_again,
        *(destination.codec, part, destination.next_piece()),
        cost=len(part),
        then=lambda frame: destination.add(slot, frame, piece=True),
    )


def _blocks(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream every FRAME_BYTES, its last block, the end of the archive, apart."""
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
    """Write the stream's members as files."""
    limits = kit.reader.limits
    reader = ChunkReader(stream, where="the target")
    for member, body in read_tar(reader, limits, where="the target", allowed=kit.environment.allowed):
        slot, content = destination.carry(member, body)
        for chunk in content:
            destination.add(slot, encode_frame(destination.codec, chunk))
        destination.close(slot, mtime=at)
