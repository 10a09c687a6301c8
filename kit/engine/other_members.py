"""What transforms do besides changing documents: metadata files that they edit, collections that they make.

Metadata. The file next to a collection (``metadata.json`` of ``mongodump``) is held whole since the survey. What a
transform makes of it is undone again, and must then be what was read.

New collections. Each member of the source is read once more, and its copies are written to a member next to it, in the
same codec. The worker that made a copy has it compared with its document: elements of it, in their order, with ``_id``.
Laws: the bytes do not depend on the number of workers; a source is never written to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.archive.frames import Frame, encode, encode_again
from kit.archive.read.proven import encode_proven
from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.archive.write.tar import Destination
from kit.documents import Run, elements
from kit.documents.identity import leaf_lines
from kit.engine.changes import AddedMember, EditedFile, Rewrite
from kit.engine.leaves import LeafStore
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs
from kit.errors import ContentError, DigestError, KitError
from kit.transforms.coverage import Tally, tally
from kit.transforms.protocol import ProjectingTransform, Transform
from kit.values import Codec, CollectionMember, CollectionName, MemberPath, Sha256, Timestamp

METADATA = ".metadata.json"


def is_metadata(path: MemberPath) -> bool:
    """Return whether a member is the metadata of a collection, whatever its codec."""
    return any(path.text.endswith(f"{METADATA}{codec.value}") for codec in Codec)


def metadata_of(collection: CollectionMember) -> tuple[tuple[MemberPath, Codec], ...]:
    """Return the names that the metadata next to a collection member may have, each with its codec."""
    stem = collection.path.text.removesuffix(f".bson{collection.codec.value}")
    return tuple((MemberPath(f"{stem}{METADATA}{codec.value}"), codec) for codec in Codec)


def edit_metadata(reader: KitReader, survey: Survey, transforms: Sequence[Transform]) -> dict[MemberPath, EditedFile]:
    """Return the metadata files that transforms change, as they are to be stored.

    Raises:
        ContentError: A collection has none, has two, or has one that cannot be edited so.
        DigestError: Undone, what came out is not what was read.
    """
    found: dict[MemberPath, EditedFile] = {}
    for collection in survey.collections.values():
        editing = [one for one in transforms if one.edits_metadata and one.handles(collection.name)]
        if not editing:
            continue
        there = [(path, codec) for path, codec in metadata_of(collection) if path in survey.kept]
        if len(there) != 1:
            raise ContentError(
                f"{editing[0].name} edits the metadata next to it, and there {'is none' if not there else 'are two'}",
                where=str(collection.path),
                hint="the publisher adds the file that mongodump writes; without tighten, documents alone are demanded",
            )
        path, codec = there[0]
        content = content_of_kept(reader, path, codec, survey.kept[path])
        edited = _edit(editing, content, str(path))
        if edited != content:
            found[path] = EditedFile(
                stored=encode(codec, edited),
                base_stored=survey.kept[path],
                base_content=Sha256.of(content),
                content=Sha256.of(edited),
            )
    return found


def content_of_kept(reader: KitReader, path: MemberPath, codec: Codec, stored: bytes) -> bytes:
    """Return what a member that is held whole holds, without its own codec.

    Raises:
        KitError: It does not decode, or is over a limit.
    """
    content = b"".join(reader.decode_member(iter((stored,)), codec, where=str(path)))
    reader.limits.check("json_bytes", len(content), where=str(path))
    return content


def _edit(editing: Sequence[Transform], content: bytes, where: str) -> bytes:
    edited = content
    try:
        for transform in editing:
            before, after = edited, transform.edit_metadata(edited)
            if after is not None and transform.unedit_metadata(after) != before:
                raise DigestError("what came out does not lead back to what was read", hint="nothing was signed")
            edited = edited if after is None else after
    except KitError as error:
        raise error.inside(where) from error.__cause__
    return edited


@dataclass(slots=True, kw_only=True)
class CopiedRun:
    """The copies of one run, proven and encoded."""

    stored: bytes
    frame: bytes
    frame_sha256: bytes
    body: bytes
    tally: Tally
    leaves: bytes

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return self.tally.documents


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyWork:
    """What to do with the runs of one source."""

    transform: ProjectingTransform
    source: CollectionName
    target: CollectionName
    member_codec: Codec
    container_codec: Codec
    proves_frames: bool
    leaves: bool


def copy_run(work: CopyWork, run: Run, kept: bytes = b"") -> CopiedRun:
    """Return the copies of a run.

    Raises:
        DigestError: A copy is not made of elements of its document.
        KitError: A document has no place in the new collection.
    """
    documents = list(run)
    copies = list(work.transform.project(work.source, documents))
    check_copies(documents, copies)
    body = b"".join(copies)
    stored = encode_again(work.member_codec, body, b"") if body else b""
    made = CopiedRun(
        stored=stored,
        frame=b"",
        frame_sha256=b"",
        body=body,
        tally=tally(work.target, copies),
        leaves=leaf_lines(copies) if work.leaves else b"",
    )
    made.tally.documents, made.tally.bytes = len(copies), len(body)
    if work.proves_frames and stored:
        frame = encode_proven(work.container_codec, stored, kept)
        made.frame, made.frame_sha256 = frame.encoded, frame.sha256
    elif work.container_codec is not Codec.NONE:
        made.frame = encode_again(work.container_codec, stored, kept if stored else b"")
    return made


def check_copies(documents: Sequence[bytes], copies: Sequence[bytes]) -> None:
    """Check that copies are of documents, in order, each of elements of its own, ``_id`` among them.

    Raises:
        DigestError: One is not.
    """
    left = iter(documents)
    for copy in copies:
        wanted = [copy[one.start : one.end] for one in elements(copy)]
        if not any(_is_of(document, wanted) for document in left):
            raise DigestError("a copy is made of no document that was read", hint="nothing was signed")


def _is_of(document: bytes, wanted: Sequence[bytes]) -> bool:
    own = [(one.name, document[one.start : one.end]) for one in elements(document)]
    identity = next((data for name, data in own if name == b"_id"), None)
    if identity is None or identity not in wanted:
        return False
    left = iter(data for _, data in own)
    return all(data in left for data in wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projecting:
    """What new collections are made of, where they are written, and how."""

    reader: KitReader
    survey: Survey
    done: Rewrite
    destination: Destination
    pipeline: Pipeline
    created_at: Timestamp
    leaves: LeafStore | None = None


def target_of(collection: CollectionMember, transform: ProjectingTransform) -> CollectionMember:
    """Return the member that gets the copies of a member: next to it, in its codec."""
    folder, _, _ = collection.path.text.rpartition("/")
    name = CollectionName(database=collection.name.database, collection=transform.target)
    path = MemberPath.parse(f"{folder}/{transform.target}.bson{collection.codec.value}")
    return CollectionMember(path=path, name=name, codec=collection.codec)


def adds_collections(survey: Survey, done: Rewrite, transforms: Sequence[Transform]) -> bool:
    """Return whether there is a new collection to make.

    Raises:
        ContentError: It has a name that is taken, by something that is not the copy that it should be.
    """
    return any(bool(_targets(survey, done, one.projection)) for one in transforms)


def add_collections(projecting: Projecting, transforms: Sequence[Transform]) -> None:
    """Write the new collections, and add them to what was done; nothing where each is there already.

    Raises:
        ContentError: As :func:`adds_collections`.
        KitError: A document has no place in it, or the destination cannot be written.
    """
    for transform in transforms:
        targets = _targets(projecting.survey, projecting.done, transform.projection)
        if targets and transform.projection is not None:
            _write(projecting, transform.projection, targets)


def _targets(
    survey: Survey, done: Rewrite, transform: ProjectingTransform | None
) -> dict[MemberPath, CollectionMember]:
    """Return the member to make of each member of the source; none where all are there already."""
    targets: dict[MemberPath, CollectionMember] = {}
    if transform is None or not _is_lacking(transform, done):
        return targets
    taken = {path.collision_key: path for path in survey.members}
    for source in survey.collections.values():
        if transform.handles(source.name):
            target = targets[source.path] = target_of(source, transform)
            if (other := taken.get(target.path.collision_key)) is not None:
                raise ContentError(
                    f"is there, and lacks documents that {transform.name} copies: a copy is made anew, or is complete",
                    where=str(other),
                    hint="copy into a collection with another name",
                )
    return targets


def _is_lacking(transform: ProjectingTransform, done: Rewrite) -> bool:
    return any(
        count and transform.is_lacking(outcome)
        for (name, _, outcome), count in done.outcomes.items()
        if name == transform.name
    )


def _write(projecting: Projecting, transform: ProjectingTransform, targets: dict[MemberPath, CollectionMember]) -> None:
    reader, survey = projecting.reader, projecting.survey

    def visit(member: Member, body: Iterator[bytes]) -> None:
        target = targets.get(member.path) if member.path is not None else None
        if target is None:
            return
        source = survey.collections[member.path]  # type: ignore[index]  # a target's key is a path
        copies = _Copies(projecting, source, target, transform, mode=member.mode)
        work = CopyWork(
            transform=transform,
            source=source.name,
            target=target.name,
            member_codec=target.codec,
            container_codec=projecting.destination.codec,
            proves_frames=projecting.destination.proves,
            leaves=projecting.leaves is not None,
        )
        for run in member_runs(source, body, reader):
            copies.read(run.data, len(run))
            projecting.pipeline.submit(
                copy_run,
                *(work, run, projecting.destination.next_piece()),
                cost=len(run.data),
                weight=run.weight,
                then=copies.deliver,
                where=str(source.path),
            )
        projecting.pipeline.mark(copies.close)

    read_again(reader, survey, visit)
    projecting.pipeline.drain()


class _Copies:
    """One new member: its copies as they come back, in order."""

    def __init__(
        self,
        projecting: Projecting,
        source: CollectionMember,
        target: CollectionMember,
        transform: ProjectingTransform,
        *,
        mode: int,
    ) -> None:
        self._projecting, self._source, self._target, self._transform = projecting, source, target, transform
        self._slot = projecting.destination.open(target.path, mode=mode)
        self._stored, self._documents, self._before = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._tally, self._size, self._count = Tally(), 0, 0

    def read(self, documents: bytes, count: int) -> None:
        """Digest and count the source."""
        self._before.update(documents)
        self._count += count

    def deliver(self, result: CopiedRun) -> None:
        """Add the copies of the next run."""
        self._stored.update(result.stored)
        self._documents.update(result.body)
        self._tally.add(result.tally)
        self._size += len(result.stored)
        if result.leaves and self._projecting.leaves is not None:
            self._projecting.leaves.add(self._target.path, result.leaves)
        encoded = result.frame or result.stored
        frame = Frame(encoded=encoded, length=len(result.stored), sha256=result.frame_sha256)
        self._projecting.destination.add(self._slot, frame, piece=True)

    def close(self) -> None:
        """Record what was made."""
        self._projecting.done.added[self._target.path] = AddedMember(
            collection=self._target,
            source=self._source.path,
            transform=self._transform.name,
            tally=self._tally,
            sha256=Sha256(self._stored.hexdigest()),
            size=self._size,
            documents=Sha256(self._documents.hexdigest()),
            source_documents=Sha256(self._before.hexdigest()),
            source_count=self._count,
        )
        self._projecting.destination.close(self._slot, mtime=self._projecting.created_at)
