"""The second reading: everything goes to the destination, handled collections through the transforms.

Untouched members are re-framed, never altered; the bytes met must be those the survey digested. A handled member in
which no document changed is untouched too, so it is reported, and the caller starts over with it named in ``leave``:
re-encoding it would change a ``.bson.gz`` that nobody asked to change.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.archive import FRAME_BYTES, Destination, Frame, KitReader, Member, Slot, encode_frame
from kit.engine.pipeline import Pipeline
from kit.engine.survey import Survey, hashing, member_runs
from kit.engine.work import RunResult, RunWork, transform_run
from kit.errors import DigestError
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Finding, Transform
from kit.values import CollectionMember, MemberPath, Sha256, Timestamp

MAX_FINDINGS = 10_000
"""Findings kept for the report, so that its size is bounded; the counts are always exact."""


@dataclass(slots=True, kw_only=True)
class MemberChange:
    """One collection member that went through the transforms."""

    collection: CollectionMember
    tally: Tally = field(default_factory=Tally)
    changed: int = 0
    added_bytes: int = 0
    sha256: Sha256 | None = None
    size: int = 0
    """Digest and size of the new body as stored."""


@dataclass(slots=True, kw_only=True)
class Rewrite:
    """What one rewriting pass did."""

    members: dict[MemberPath, MemberChange] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(transform, tenant, outcome) → documents."""
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    findings: list[tuple[MemberPath, str, Finding]] = field(default_factory=list)
    """(member, transform, finding), in the order of the kit; at most MAX_FINDINGS."""
    omitted_findings: int = 0
    deferred: dict[MemberPath, Slot] = field(default_factory=dict)
    """Slots left open for members that are made last."""

    @property
    def changed(self) -> int:
        """Documents changed."""
        return sum(change.changed for change in self.members.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to do with a kit."""

    transforms: tuple[Transform, ...]
    lookup: Path | None
    created_at: Timestamp
    limit: int | None = None
    """Change at most this many documents."""
    defer: frozenset[MemberPath] = frozenset()
    """Members whose content is made last; their slots stay open."""
    leave: frozenset[MemberPath] = frozenset()
    """Collection members known not to change."""


def rewrite(
    reader: KitReader, survey: Survey, destination: Destination, pipeline: Pipeline, request: Request
) -> Rewrite:
    """Read the kit a second time and hand every member to ``destination``.

    Raises:
        DigestError: A body is not the one the survey read: the kit changed meanwhile.
        KitError: A document is malformed, a stop rule holds, or the output cannot be written.
    """
    done = Rewrite()
    for member, body in reader.members():
        collection = survey.collections.get(member.path) if member.path is not None else None
        chain = _chain(request, collection)
        if member.path in request.defer:
            done.deferred[member.path] = destination.open(member.path, mode=member.mode)
        elif collection is not None and chain:
            checked = _checked(member, body, survey.members)
            _transform(reader, member, collection, checked, destination, pipeline, request, done)
        else:
            checked = _checked(member, body, survey.members) if member.is_file else body
            _carry(member, checked, destination, pipeline, request.created_at)
    pipeline.drain()
    return done


def _chain(request: Request, collection: CollectionMember | None) -> tuple[Transform, ...]:
    if collection is None or collection.path in request.leave:
        return ()
    return tuple(transform for transform in request.transforms if transform.handles(collection.name))


def _checked(
    member: Member, body: Iterable[bytes], members: Mapping[MemberPath, tuple[Sha256, int]]
) -> Iterator[bytes]:
    """Pass a body on; at its end it must have been the one that was surveyed."""
    digest = hashlib.sha256()
    yield from hashing(body, digest)
    expected = members.get(member.path) if member.path is not None else None
    if expected is None or expected[0].hex != digest.hexdigest():
        raise DigestError(
            "the kit changed while it was being read", where=str(member.path), hint="nothing was written; start again"
        )


def _carry(
    member: Member, body: Iterator[bytes], destination: Destination, pipeline: Pipeline, created_at: Timestamp
) -> None:
    slot, content = destination.carry(member, body)
    for block in _blocks(content):
        pipeline.submit(
            encode_frame,
            destination.codec,
            block,
            cost=len(block),
            then=lambda frame: destination.add(slot, frame),
            where=str(member.path),
        )
    pipeline.mark(lambda: destination.close(slot, mtime=created_at))


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream into blocks of FRAME_BYTES, the last one shorter, however it came."""
    parts: list[bytes] = []
    held = 0
    for chunk in chunks:
        start = 0
        while held + len(chunk) - start >= FRAME_BYTES:
            end = start + FRAME_BYTES - held
            yield b"".join([*parts, chunk[start:end]])
            parts, held, start = [], 0, end
        if start < len(chunk):
            parts.append(chunk[start:])
            held += len(chunk) - start
    if parts:
        yield b"".join(parts)


def _transform(
    reader: KitReader,
    member: Member,
    collection: CollectionMember,
    body: Iterator[bytes],
    destination: Destination,
    pipeline: Pipeline,
    request: Request,
    done: Rewrite,
) -> None:
    change = done.members[collection.path] = MemberChange(collection=collection)
    work = RunWork(
        name=collection.name,
        transforms=_chain(request, collection),
        lookup=request.lookup,
        member_codec=collection.codec,
        container_codec=destination.codec,
    )
    slot = destination.open(collection.path, mode=member.mode)
    digest = hashlib.sha256()

    def deliver(result: RunResult) -> None:
        digest.update(result.stored)
        change.size += len(result.stored)
        change.changed += result.changed
        change.added_bytes += result.added_bytes
        change.tally.add(result.tally)
        destination.add(slot, Frame(encoded=result.frame or result.stored, length=len(result.stored)))
        _collect(done, collection.path, result)

    for run in member_runs(collection, body, reader.limits):
        if request.limit is not None:
            # How many are left is only known once all before it are done: a limited run goes one run at a time.
            pipeline.drain()
        left = None if request.limit is None else request.limit - done.changed
        pipeline.submit(transform_run, work, run, left, cost=len(run.data), then=deliver, where=str(collection.path))

    def close() -> None:
        change.sha256 = Sha256(digest.hexdigest())
        destination.close(slot, mtime=request.created_at)

    pipeline.mark(close)


def _collect(done: Rewrite, path: MemberPath, result: RunResult) -> None:
    done.outcomes.update(result.outcomes)
    done.counts.update(result.counts)
    room = MAX_FINDINGS - len(done.findings)
    done.findings.extend((path, transform, finding) for transform, finding in result.findings[:room])
    done.omitted_findings += max(0, len(result.findings) - room)


def unchanged(done: Rewrite) -> Collection[MemberPath]:
    """Name the handled members in which no document changed."""
    return [path for path, change in done.members.items() if not change.changed]


def transforms_for(transforms: Sequence[Transform], collections: Iterable[CollectionMember]) -> bool:
    """Whether any of ``transforms`` handles any of ``collections``."""
    return any(transform.handles(collection.name) for transform in transforms for collection in collections)
