"""Undoes a step of a finished kit, from its record: documents, metadata, and copies in new collections.

The documents that the statement names as changed are led back in the workers, each by its way on record; what comes
out is digested in order, as a stream. A copy is made again of the source and digested. Nothing is decided here: the
caller compares the digests with what was signed. Law: whatever the record states, a reading ends in digests or in a
:class:`~kit.errors.KitError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.documents import Run
from kit.engine.other_members import CopiedRun, CopyWork, content_of_kept, copy_run, metadata_of
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs, read_whole
from kit.engine.reencoding import Reencoding, sizes_when_cut
from kit.transforms.protocol import ProjectingTransform, Transform
from kit.transforms.undoing import take_way
from kit.values import Codec, CollectionMember, CollectionName, MemberPath, RunLengths, RunLengthsReader, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoneMember:
    """What the statement and the record state of one collection member.

    Attributes:
        changed: Which documents changed.
        ways: By which ways they lead back, as (documents, way).
        cut: Which had an element appended since their frames were cut, where the member has a codec.
    """

    changed: RunLengths
    ways: tuple[tuple[int, int], ...]
    cut: RunLengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """What is to be undone."""

    transforms: tuple[Transform, ...]
    members: Mapping[MemberPath, UndoneMember]
    metadata: frozenset[MemberPath]
    metadata_before: Mapping[MemberPath, bytes]
    """Compressed metadata as it was, by the record; nothing of it is believed."""
    copied: Mapping[MemberPath, tuple[ProjectingTransform, CollectionMember]]
    """By source: by which transform, and into which member."""


@dataclass(slots=True, kw_only=True)
class Undone:
    """Digests of what a member was before the step."""

    documents: int = 0
    changed: int = 0
    failed: int = 0
    """Documents that have no such way back."""
    content: Sha256 | None = None
    """Of the documents, or of the metadata; without the member's own codec."""
    stored: Sha256 | None = None
    """Of what this program would have stored of them; None of a member without a codec."""


@dataclass(slots=True, kw_only=True)
class Copied:
    """What copies of a source, made again, are."""

    source_documents: int = 0
    source: Sha256 | None = None
    documents: int = 0
    target: Sha256 | None = None


@dataclass(slots=True, kw_only=True)
class UndoneStep:
    """All that was found."""

    members: dict[MemberPath, Undone] = field(default_factory=dict)
    copies: dict[MemberPath, Copied] = field(default_factory=dict)
    """By source."""
    targets: dict[MemberPath, tuple[int, Sha256]] = field(default_factory=dict)
    """By target: how many documents there are, and their digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The part of an :class:`UndoneMember` that one run is about."""

    changed: RunLengths
    ways: tuple[int, ...]
    """One for each document that changed."""
    cut: RunLengths | None


@dataclass(slots=True, kw_only=True)
class UndoneRun:
    """One run as it was."""

    count: int
    failed: int
    data: bytes
    sizes: bytes

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return self.count


def undo_run(transforms: Sequence[Transform], name: CollectionName, run: Run, piece: Piece) -> UndoneRun:
    """Return a run as it was before the step; a document without the way back is counted, and kept as it is."""
    # Documents beyond what the statement counts are kept as they are: the digest then shows it.
    flags = piece.changed.flags() + [False] * (len(run) - piece.changed.total)
    left, failed, before = iter(piece.ways), 0, list[bytes]()
    for document, flag in zip(run, flags, strict=True):
        way = next(left, None) if flag else None
        earlier = take_way(name, transforms, document, way) if way is not None else None
        failed += flag and earlier is None
        before.append(document if earlier is None else earlier)
    sizes = sizes_when_cut(before, piece.cut) if piece.cut is not None else b""
    return UndoneRun(count=len(run), failed=failed, data=b"".join(before), sizes=sizes)


def undo_step(reader: KitReader, survey: Survey, pipeline: Pipeline, undoing: Undoing) -> UndoneStep:
    """Read a surveyed kit again, and undo its last step.

    Raises:
        DigestError: The kit changed since it was surveyed.
        KitError: A member does not decode, or a document has no place in the new collection.
    """
    found = UndoneStep()

    def visit(member: Member, body: Iterator[bytes]) -> None:
        if member.path is None or not member.is_file:
            return
        where = str(member.path)
        if member.path in undoing.metadata:
            stored = read_whole(member, body, reader.limits)
            found.members[member.path] = _undo_metadata(reader, undoing, member.path, stored)
        collection = survey.collections.get(member.path)
        takers = _takers(undoing, collection, found) if collection is not None else ()
        if collection is None or not takers:
            return
        for run in member_runs(collection, body, reader):
            for taker in takers:
                taker.submit(run, pipeline, where)
        for taker in takers:
            pipeline.mark(taker.close)

    read_again(reader, survey, visit)
    pipeline.drain()
    return found


def _takers(
    undoing: Undoing, collection: CollectionMember, found: UndoneStep
) -> tuple[_Undoer | _Copier | _Digester, ...]:
    takers: list[_Undoer | _Copier | _Digester] = []
    if collection.path in undoing.members:
        takers.append(_Undoer(undoing, collection, found))
    if collection.path in undoing.copied:
        takers.append(_Copier(undoing, collection, found))
    if any(target.path == collection.path for _, target in undoing.copied.values()):
        takers.append(_Digester(collection.path, found))
    return tuple(takers)


def _undo_metadata(reader: KitReader, undoing: Undoing, path: MemberPath, stored: bytes) -> Undone:
    codec = next(codec for codec in reversed(Codec) if path.text.endswith(codec.value))
    content: bytes | None = content_of_kept(reader, path, codec, stored)
    for transform in reversed([one for one in undoing.transforms if one.edits_metadata]):
        content = transform.unedit_metadata(content) if content is not None else None
    if content is None:
        return Undone(failed=1)
    if codec is Codec.NONE:
        return Undone(content=Sha256.of(content))
    before = undoing.metadata_before.get(path)
    if before is None:
        return Undone(content=Sha256.of(content), stored=Sha256.of(b""))
    if content_of_kept(reader, path, codec, before) != content:
        return Undone(failed=1)
    return Undone(content=Sha256.of(content), stored=Sha256.of(before))


class _Undoer:
    """Undoes the runs of one member, and digests them in order."""

    def __init__(self, undoing: Undoing, collection: CollectionMember, found: UndoneStep) -> None:
        self._of, self._transforms, self._collection = undoing.members[collection.path], undoing.transforms, collection
        self._changed, self._cut = RunLengthsReader(self._of.changed), RunLengthsReader(self._of.cut)
        self._ways = (way for count, way in self._of.ways for _ in range(count))
        self._digest, self._undone = hashlib.sha256(), Undone()
        plain = collection.codec is Codec.NONE
        self._again = None if plain else Reencoding(collection.codec)
        found.members[collection.path] = self._undone

    def submit(self, run: Run, pipeline: Pipeline, where: str) -> None:
        """Hand a run to a worker."""
        changed = self._changed.take(len(run))
        ways = tuple(way for _, way in zip(range(changed.chosen), self._ways, strict=False))
        cut = self._cut.take(len(run)) if self._again is not None else None
        self._undone.changed += changed.chosen
        pipeline.submit(
            undo_run,
            *(self._transforms, self._collection.name, run, Piece(changed=changed, ways=ways, cut=cut)),
            cost=len(run.data),
            weight=run.weight,
            then=self._deliver,
            where=where,
        )

    def _deliver(self, result: UndoneRun) -> None:
        self._undone.documents += result.count
        self._undone.failed += result.failed
        self._digest.update(result.data)
        if self._again is not None:
            self._again.update(result.data, result.sizes)

    def close(self) -> None:
        """End the member."""
        self._undone.content = Sha256(self._digest.hexdigest())
        self._undone.stored = self._again.digest() if self._again is not None else None


class _Copier:
    """Makes the copies of one source again, and digests them."""

    def __init__(self, undoing: Undoing, collection: CollectionMember, found: UndoneStep) -> None:
        transform, target = undoing.copied[collection.path]
        self._work = CopyWork(
            transform=transform,
            source=collection.name,
            target=target.name,
            member_codec=Codec.NONE,
            container_codec=Codec.NONE,
            proves_frames=False,
            leaves=False,
        )
        self._copied = found.copies[collection.path] = Copied()
        self._source, self._target = hashlib.sha256(), hashlib.sha256()

    def submit(self, run: Run, pipeline: Pipeline, where: str) -> None:
        """Hand a run to a worker."""
        self._source.update(run.data)
        self._copied.source_documents += len(run)
        then = self._deliver
        pipeline.submit(copy_run, self._work, run, cost=len(run.data), weight=run.weight, then=then, where=where)

    def _deliver(self, result: CopiedRun) -> None:
        self._copied.documents += result.documents
        self._target.update(result.body)

    def close(self) -> None:
        """End the source."""
        self._copied.source = Sha256(self._source.hexdigest())
        self._copied.target = Sha256(self._target.hexdigest())


class _Digester:
    """Digests the documents of a new collection as they are."""

    def __init__(self, path: MemberPath, found: UndoneStep) -> None:
        self._path, self._found, self._count, self._digest = path, found, 0, hashlib.sha256()

    def submit(self, run: Run, pipeline: Pipeline, where: str) -> None:  # noqa: ARG002
        """Digest a run."""
        self._count += len(run)
        self._digest.update(run.data)

    def close(self) -> None:
        """End the member."""
        self._found.targets[self._path] = self._count, Sha256(self._digest.hexdigest())


def metadata_paths(members: Sequence[CollectionMember], transforms: Sequence[Transform]) -> frozenset[MemberPath]:
    """Return the names that metadata which the transforms edit may have."""
    return frozenset(
        path
        for member in members
        if any(one.edits_metadata and one.handles(member.name) for one in transforms)
        for path, _ in metadata_of(member)
    )
