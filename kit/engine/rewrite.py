"""The rewriting reading: writes every member to the destination, handled collections through the transforms.

It is the second one, or the only one where the first has nothing to find out for it (:func:`rewrite_unread`).

Untouched members are copied as they are stored where they are whole frames of this program
(:mod:`kit.archive.read.tar`), else framed anew, and never altered; the bytes read must be those the survey digested. A
handled member in which no document changed must be untouched, too: encoding it again would change a ``.bson.gz`` that
nobody asked to change. So it is reported, and the caller starts over with it named in ``leave``.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from kit.archive.frames import FRAME_BYTES, Frame, encode_frame_again
from kit.archive.read.proven import LEAST_BYTES, Body, encode_proven, known_frame
from kit.archive.read.reader import Copying, KitReader, changed_meanwhile
from kit.archive.read.tar import Member
from kit.archive.write.tar import Destination, Slot
from kit.documents import Run
from kit.engine import changes
from kit.engine.changes import MemberChange, Rewrite, SettledMember, rewrite_of_settled
from kit.engine.importability import Importing, expected_check, finish_import
from kit.engine.leaves import LeafStore
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.reading import MAX_FINDINGS, Survey, member_runs, survey_into
from kit.engine.survey import take_metadata
from kit.engine.work import RunResult, RunWork, transform_run
from kit.errors import DigestError
from kit.importing.scanning import ImportCheck
from kit.output.journal import checksum
from kit.transforms.allowance import Allowance, Limit, Meter
from kit.transforms.protocol import Transform
from kit.values import Codec, CollectionMember, MemberPath, Sha256, Timestamp, metadata_name

__all__ = [
    "MAX_FINDINGS",
    "MemberChange",
    "Request",
    "Rewrite",
    "TwoReadingsError",
    "rewrite",
    "rewrite_unread",
    "unchanged_members",
]

_AGAIN = "nothing was written; start again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to do with a kit."""

    transforms: tuple[Transform, ...]
    lookup: Path | None
    created_at: Timestamp
    limit: Limit = field(default_factory=Limit)
    """Change at most this many documents."""
    defer: frozenset[MemberPath] = frozenset()
    """Members whose content is made last; their slots stay open."""
    leave: frozenset[MemberPath] = frozenset()
    """Collection members known not to change."""
    settled: Mapping[MemberPath, SettledMember] = field(default_factory=dict)
    """Settled members of the survey: they are not looked into again, but what they hold is reported."""
    leaves: LeafStore | None = None
    """Where the leaves of every handled member go, if they are wanted."""
    importing: Importing | None = None
    """What the result is checked by, if that is wanted: whether a server takes it."""
    batch_documents: int | None = None
    """How many documents of handled members make a batch, which is committed with the run that fills it; None for
    batches of bytes only."""
    prove: bool = True
    """Whether every run is proven; only a caller that compares the result with digests may omit that."""


def rewrite(
    reader: KitReader, survey: Survey, destination: Destination, pipeline: Pipeline, request: Request
) -> Rewrite:
    """Read the kit a second time and hand every member to ``destination``.

    Raises:
        DigestError: A body is not the one the survey read: the kit changed meanwhile.
        KitError: A document is malformed, a stop rule holds, or the output cannot be written.
    """
    done = rewrite_of_settled(request.settled, survey)
    one_pass = _Pass(
        reader=reader, survey=survey, destination=destination, pipeline=pipeline, request=request, done=done
    )
    read_again(reader, survey, one_pass.visit, copying=one_pass.copying())
    one_pass.finish()
    if request.importing is not None:
        finish_import(reader, survey, request.importing, done, request.transforms[-1].name)
    return one_pass.done


class TwoReadingsError(Exception):
    """A kit cannot be rewritten while it is read for the first time, or should not be; the message is the reason."""


def rewrite_unread(
    reader: KitReader,
    destination: Destination,
    pipeline: Pipeline,
    request: Request,
    *,
    keep: Callable[[MemberPath], bool],
    scratch: Path,
) -> tuple[Survey, Rewrite, Importing]:
    """Read a kit for the first time, and hand every member to ``destination`` meanwhile, as :func:`rewrite` does.

    The caller judges what was read before anything is made of what was written. The members that are held whole have
    open slots. ``request`` has no keys, limit, leaves or settled members. What a server demands of a collection may be
    known only after it, so what it was checked by is returned, too, and still has to be confirmed.

    Args:
        reader: The kit.
        destination: Where it is written to.
        pipeline: Does the work on documents.
        request: What to do with it.
        keep: Which members to hold whole.
        scratch: The folder for keys of indexes.

    Raises:
        TwoReadingsError: The kit has what the transforms look up, a member in which nothing seems to be left to do, or
            much besides one collection; or too much may follow that. What was written is void.
        KitError: As of :func:`rewrite`; the kit may be to blame, which nobody has judged.
    """
    found, checks = Survey(allowed=reader.allowed), dict[MemberPath, ImportCheck]()
    importing = Importing.ahead(checks, scratch)
    one_pass = _Pass(
        reader=reader,
        survey=found,
        destination=destination,
        pipeline=pipeline,
        request=replace(request, importing=importing),
        done=Rewrite(),
    )
    survey_into(found, reader, keep=keep, tap=_Unread(one_pass, keep, checks))
    one_pass.finish()
    return found, one_pass.done, importing


def find_untouched(reader: KitReader, survey: Survey, settled: Mapping[MemberPath, SettledMember]) -> Rewrite | None:
    """Return what :func:`rewrite` would find where every member it would transform is settled; None where it must run.

    Raises:
        DigestError: The kit changed since it was surveyed.
    """
    if survey.stored is None or not settled:
        return None  # a folder is only known to be what was surveyed once each of its files was read again
    if reader.stored_digest() != survey.stored:
        raise changed_meanwhile(reader.path)
    return rewrite_of_settled(settled, survey)


def unchanged_members(done: Rewrite) -> frozenset[MemberPath]:
    """Return the handled members in which no document changed."""
    return frozenset(path for path, change in done.members.items() if not change.changed)


@dataclass(slots=True, kw_only=True)
class _Pass:
    """One pass over the members, in the order of the container."""

    reader: KitReader
    survey: Survey
    destination: Destination
    pipeline: Pipeline
    request: Request
    done: Rewrite
    look: Callable[[Member, CollectionMember, Run], None] | None = None
    """Gets the first run of each member that goes through the transforms, before it does."""
    copies: Slot | None = None
    """The slot that frames are copied to, until another entry comes."""
    bodies: Iterator[tuple[Body, ...]] = field(default_factory=lambda: iter(()))
    """The known bodies in each stretch that is still to be copied."""
    ahead: deque[Body] = field(default_factory=deque)
    """The bodies in the stretch being copied that have not ended yet."""
    copied: int = 0
    """Decoded bytes of that stretch so far."""
    uncommitted: int = 0
    """Documents of handled members since the last commit."""

    def copying(self) -> Copying | None:
        """Return what is copied as it is stored; None where nothing can be.

        Only in an archive whose stored bytes the survey has digested: at the end of the pass they must be the same, and
        then a copied frame holds what the survey decoded and digested.
        """
        layout = self.survey.layout
        if layout is None or layout.codec is not self.destination.codec or self.survey.stored is None:
            return None
        files = iter(self.survey.members)
        stays = (self._stays(next(files)) if is_file else True for is_file in layout.files)
        stretches = tuple(layout.stretches(stays))
        if not stretches:
            return None
        if self.destination.proves:
            sizes = ((path, size) for path, (_, size) in self.survey.members.items())
            self.bodies = layout.bodies(stretches, sizes, least=LEAST_BYTES)
        return Copying(layout=layout, stretches=stretches, take=self._copy)

    def _stays(self, path: MemberPath) -> bool:
        collection = self.survey.collections.get(path)
        return path not in self.request.defer and (collection is None or not self._chain(collection))

    def _copy(self, frame: Frame) -> None:
        if self.copies is None:
            bodies = next(self.bodies, ())  # between two stretches is another entry, so each has a slot of its own
            self.copies, self.ahead, self.copied = self.destination.copy(bodies), deque(bodies), 0
        slot, ahead = self.copies, self.ahead
        self.copied += frame.length
        if ahead and ahead[0].start < self.copied:
            frame = known_frame(frame.encoded, frame.length)
        while ahead and ahead[0].start + ahead[0].size <= self.copied:
            ahead.popleft()
        self.pipeline.hand_on(frame, cost=len(frame.encoded), then=lambda frame: self.destination.add(slot, frame))

    def visit(self, member: Member, body: Iterator[bytes]) -> None:
        """Defer, transform or carry one member."""
        self.copies = None
        collection = self.survey.collections.get(member.path) if member.path is not None else None
        if member.path is not None and member.path in self.request.defer:
            self.done.deferred[member.path] = self.destination.open(member.path, mode=member.mode)
        elif collection is not None and (chain := self._chain(collection)):
            self._transform(member, collection, chain, body)
        else:
            self._carry(member, body)

    def _chain(self, collection: CollectionMember) -> tuple[Transform, ...]:
        if collection.path in self.request.leave or collection.path in self.request.settled:
            return ()
        return tuple(transform for transform in self.request.transforms if transform.handles(collection.name))

    def _carry(self, member: Member, body: Iterator[bytes]) -> None:
        """Re-frame a member that stays as it is."""
        destination = self.destination
        slot, content = destination.carry(member, body)
        for block in blocks(content):
            if destination.codec is Codec.NONE:
                frame = Frame(encoded=block, length=len(block))
                self.pipeline.hand_on(frame, cost=len(block), then=lambda frame: destination.add(slot, frame))
                continue
            self.pipeline.submit(
                encode_proven if destination.proves and member.size >= LEAST_BYTES else encode_frame_again,
                *(destination.codec, block, destination.next_piece()),
                cost=len(block),
                then=lambda frame: destination.add(slot, frame, piece=True),
                where=str(member.path),
            )
        self.pipeline.mark(lambda: destination.close(slot, mtime=self.request.created_at))

    def _transform(
        self, member: Member, collection: CollectionMember, chain: tuple[Transform, ...], body: Iterator[bytes]
    ) -> None:
        """Put a member's documents through the chain, run by run."""
        handled = _Handled(self, collection, mode=member.mode)
        work = RunWork(
            name=collection.name,
            transforms=chain,
            lookup=self.request.lookup,
            member_codec=collection.codec,
            container_codec=self.destination.codec,
            limits=self.reader.limits,
            importing=self.request.importing.checks.get(collection.path) if self.request.importing else None,
            leaves=self.request.leaves is not None,
            prove=self.request.prove,
            prove_frame=self.destination.proves and member.size >= LEAST_BYTES,
        )
        for run in member_runs(collection, body, self.reader):
            if self.look is not None and not run.first:
                self.look(member, collection, run)
            handled.read(run.stored)
            self.pipeline.submit(
                transform_run,
                *(work, run, self._allowance(), self.destination.next_piece()),
                cost=len(run.data),
                weight=run.weight,
                then=partial(handled.deliver, checksum(run.stored)),
                where=str(collection.path),
            )
        self.pipeline.mark(handled.close)

    def finish(self) -> None:
        """Deliver what is left, and name the documents of members that have no codec by the digest of their bodies."""
        self.pipeline.drain()
        for path, change in self.done.members.items():
            if change.base_documents is None:
                change.base_documents, _ = self.survey.members[path]

    def count_batch(self, documents: int) -> None:
        """Count documents whose frame was added, and commit what was added if they fill a batch."""
        batch = self.request.batch_documents
        self.uncommitted += documents
        if batch is not None and self.uncommitted >= batch:
            self.uncommitted = 0
            self.destination.commit()

    def _allowance(self) -> Allowance | None:
        """Return how many documents may still change; with a limit, that is only known once all before are done."""
        if not self.request.limit:
            return None
        self.pipeline.drain()
        meter = Meter(limit=self.request.limit)
        for change in self.done.members.values():
            meter.take(change.changed, change.allowed)
        return meter.allowance()


class _Unread:
    """Rewrites a kit during its first reading."""

    def __init__(
        self, one_pass: _Pass, keep: Callable[[MemberPath], bool], checks: dict[MemberPath, ImportCheck]
    ) -> None:
        self.one_pass = one_pass
        one_pass.look = self._look
        self._keep = keep
        self._checks = checks
        self._carried = 0
        """Bytes of members that stay, before the first that goes through the transforms."""

    def note(self, member: Member) -> None:
        """Write an entry that has no body, and make room for a member that is held whole."""
        one_pass, path = self.one_pass, member.path
        if path is None or not member.is_file:
            one_pass.visit(member, iter(()))
        elif self._keep(path):
            one_pass.done.deferred[path] = one_pass.destination.open(path, mode=member.mode)

    def take(
        self, member: Member, path: MemberPath, body: Iterator[bytes], collection: CollectionMember | None
    ) -> None:
        """Write any other file."""
        one_pass, transforms = self.one_pass, self.one_pass.request.transforms
        if collection is None:
            self._carry(member, path, body)
            return
        if any(transform.indexes(collection.name) for transform in transforms):
            raise TwoReadingsError(f"{path} is looked up")
        if not any(transform.handles(collection.name) for transform in transforms):
            self._carry(member, path, body)
            return
        self._checks[path] = expected_check(collection, len(self._checks))
        one_pass.visit(member, body)

    def _carry(self, member: Member, path: MemberPath, body: Iterator[bytes]) -> None:
        one_pass = self.one_pass
        self._carried += member.size
        if not one_pass.done.members and self._carried > FRAME_BYTES:
            raise TwoReadingsError(f"{path} comes before what changes")
        if metadata_name(path) is not None:
            if member.size > one_pass.reader.limits.json_bytes:
                raise TwoReadingsError(f"{path} is too large to be held")
            chunks = list(body)
            take_metadata(one_pass.survey, one_pass.reader, one_pass.request.transforms, path, iter(chunks))
            body = iter(chunks)
        one_pass.visit(member, body)

    def _look(self, member: Member, collection: CollectionMember, run: Run) -> None:
        """Stop before work is wasted: where nothing is left to do in a member, or sources are likely to follow."""
        one_pass = self.one_pass
        probe = changes.probe(collection, one_pass.request.transforms)
        if probe is not None and probe.sample(run):
            raise TwoReadingsError(f"{collection.path} seems to be done")
        outlook = one_pass.reader.outlook
        if outlook is None or not outlook.is_near_end(member.offset + len(member.header) + member.size):
            raise TwoReadingsError(f"much follows {collection.path}")


class _Handled:
    """One member that goes through the transforms: its runs as they are read, their results as they come back."""

    def __init__(self, one_pass: _Pass, collection: CollectionMember, *, mode: int) -> None:
        self._pass = one_pass
        self._collection = collection
        self._change = one_pass.done.members[collection.path] = MemberChange(collection=collection)
        self._slot = one_pass.destination.open(collection.path, mode=mode)
        self._after = hashlib.sha256()
        # The body of a member without a codec is its documents, and the first pass digests it.
        self._before = hashlib.sha256() if collection.codec is not Codec.NONE else None

    def read(self, documents: bytes) -> None:
        """Digest what the member held before."""
        if self._before is not None:
            self._before.update(documents)

    def deliver(self, base: int, result: RunResult) -> None:
        """Count the result of the run whose documents have the checksum ``base``, and add its frame to the destination.

        Raises:
            DigestError: The result is another run's.
        """
        one_pass = self._pass
        if one_pass.request.prove and result.proven != (base, checksum(result.stored)):
            raise DigestError("what came back from a worker is not what was proven there", hint=_AGAIN)
        self._after.update(result.stored)
        self.keep_leaves(result.leaves)
        if one_pass.request.importing is not None:
            one_pass.request.importing.keys.put(result.unimportable.keys)
        self._change.take(result)
        one_pass.done.take(self._collection.path, result)
        encoded = result.frame or result.stored
        frame = Frame(encoded=encoded, length=len(result.stored), sha256=result.frame_sha256)
        one_pass.destination.add(self._slot, frame, piece=True)
        one_pass.count_batch(result.documents)

    def keep_leaves(self, lines: bytes) -> None:
        """Store leaves, where they are wanted."""
        if lines and self._pass.request.leaves is not None:
            self._pass.request.leaves.add(self._collection.path, lines)

    def close(self) -> None:
        """Record what the member held and what it holds, and end it."""
        self._change.sha256 = Sha256(self._after.hexdigest())
        self._change.proven = self._pass.request.prove
        if self._before is not None:
            self._change.base_documents = Sha256(self._before.hexdigest())
        self._pass.destination.close(self._slot, mtime=self._pass.request.created_at)


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
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
