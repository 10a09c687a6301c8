"""The first reading of a kit: digests of everything, the few members held whole, and what the transforms look up.

One pass over the container, through the descriptor that every later pass uses too. What is decided on the result (is
the base what its signers say?) is decided before anything is written; the second pass checks that it met the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kit.archive import KitReader, Member, decoded
from kit.documents import Run, runs
from kit.engine.leaves import LeafStore
from kit.engine.lookup import LookupWriter
from kit.engine.pipeline import Pipeline
from kit.engine.work import GatherResult, gather_run
from kit.errors import KitError
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Transform
from kit.values import CollectionMember, Limits, MemberPath, Sha256, collection_member


@dataclass(slots=True, kw_only=True)
class Survey:
    """What one reading of a kit found."""

    members: dict[MemberPath, tuple[Sha256, int]] = field(default_factory=dict)
    """Every regular file: digest and size of its body as stored."""
    kept: dict[MemberPath, bytes] = field(default_factory=dict)
    """The members held whole: manifest, signatures, history."""
    collections: dict[MemberPath, CollectionMember] = field(default_factory=dict)
    tallies: dict[MemberPath, Tally] = field(default_factory=dict)
    """Of the collection members that were asked for."""


def survey(
    reader: KitReader,
    pipeline: Pipeline,
    *,
    keep: Callable[[MemberPath], bool],
    count: Callable[[CollectionMember], bool],
    transforms: Sequence[Transform] = (),
    lookup: LookupWriter | None = None,
    leaves: LeafStore | None = None,
) -> Survey:
    """Read the whole kit once.

    Args:
        reader: The kit.
        pipeline: Does the work on documents; drained on return.
        keep: Which members to hold whole (within ``limits.json_bytes``).
        count: Which collection members to walk and tally.
        transforms: Those whose lookups are gathered into ``lookup``.
        lookup: Where gathered pairs go; needed if any transform indexes a collection of this kit.
        leaves: Where the leaves of the members that ``count`` names go, if they are wanted.

    Raises:
        KitError: The container, a member name, or a walked document is malformed or over a limit.
    """
    found = Survey()
    for member, body in reader.members():
        if member.path is None or not member.is_file:
            continue
        digest = hashlib.sha256()
        hashed = hashing(body, digest)
        collection = collection_member(member.path)
        if keep(member.path):
            found.kept[member.path] = _whole(member, hashed, reader.limits)
        elif collection is not None:
            found.collections[member.path] = collection
            gathering = tuple(t for t in transforms if t.indexes(collection.name)) if lookup is not None else ()
            counted = count(collection)
            if gathering or counted:
                into = leaves if counted else None
                deliver = _Delivery(member.path, found.tallies.setdefault(member.path, Tally()), lookup, into)
                for run in member_runs(collection, hashed, reader.limits):
                    pipeline.submit(
                        gather_run,
                        *(collection.name, gathering, run, into is not None),
                        cost=len(run.data),
                        then=deliver,
                        where=str(member.path),
                    )
        for _ in hashed:
            pass
        found.members[member.path] = (Sha256(digest.hexdigest()), member.size)
    pipeline.drain()
    return found


def hashing(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Pass chunks on, feeding ``digest`` on the way."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def member_runs(collection: CollectionMember, body: Iterator[bytes], limits: Limits) -> Iterator[Run]:
    """Cut a collection member's body into runs of whole documents.

    Raises:
        KitError: The member's codec or framing is malformed; names the member, the document and the offset.
    """
    where = str(collection.path)
    try:
        yield from runs(decoded(body, collection.codec, limits, where=where), limits=limits)
    except KitError as error:
        # Decoder and container know which stream they read; the framing only knows the document.
        raise (error.inside(where) if error.where.startswith("document ") else error) from error.__cause__


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Takes the results of one member's runs."""

    path: MemberPath
    tally: Tally
    lookup: LookupWriter | None
    leaves: LeafStore | None

    def __call__(self, result: GatherResult) -> None:
        self.tally.add(result.tally)
        if self.leaves is not None:
            self.leaves.add(self.path, result.leaves)
        if self.lookup is not None and result.pairs:
            self.lookup.put(result.pairs)


def _whole(member: Member, body: Iterator[bytes], limits: Limits) -> bytes:
    limits.check("json_bytes", member.size, where=str(member.path))
    return b"".join(body)
