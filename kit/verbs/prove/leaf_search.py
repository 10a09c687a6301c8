"""Finds one key among the leaves of collections: its own leaves where it is there, its neighbours where it is not.

One reading of the kit gathers the leaves into a :class:`LeafStore`; the digests of the documents concerned, which
leaves do not show, are gathered on the way. Law: what is found depends on the documents alone, not on runs or workers.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.documents import Run
from kit.documents.identity import hash_digits, identity_key, leaf_data, leaf_lines
from kit.engine.leaves import BLOCK, LeafStore, leaf_hashes
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs
from kit.errors import LimitError
from kit.values import CollectionMember, MemberPath, Sha256
from kit.values.digest import leaf_hash, path_of, root_of

MOST_LEAVES = 1000
"""With one ``_id`` in one member; a collection of MongoDB has one."""


@dataclass(frozen=True, slots=True, order=True)
class Met:
    """One document, in the order of leaves."""

    key: bytes
    leaf: bytes
    document: bytes
    """Its digest."""


@dataclass(slots=True, kw_only=True)
class LeavesOfRun:
    """What one run gave."""

    lines: bytes
    equal: list[Met]
    below: Met | None
    above: Met | None


def search_run(run: Run, key: bytes) -> LeavesOfRun:
    """Return the leaves of a run, and those of its documents that are at or next to ``key``."""
    documents = list(run)
    lines = leaf_lines(documents)
    found = LeavesOfRun(lines=lines, equal=[], below=None, above=None)
    for document in documents:
        met = _met(document)
        if met.key == key:
            found.equal.append(met)
        elif met.key < key:
            found.below = max(found.below or met, met)
        else:
            found.above = min(found.above or met, met)
    return found


def _met(document: bytes) -> Met:
    key, digest = identity_key(document), hashlib.sha256(document).digest()
    return Met(key, leaf_hash(leaf_data(key, digest)), digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One leaf and its way to the root."""

    index: int
    key: bytes
    document: Sha256
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeaves:
    """What was found in one member: the leaves with the key, else the one or two between which it would be."""

    size: int
    root: Sha256
    present: bool
    leaves: tuple[Leaf, ...]


@dataclass(slots=True)
class _Found:
    equal: list[Met] = field(default_factory=list)
    below: Met | None = None
    above: Met | None = None

    def add(self, result: LeavesOfRun) -> None:
        self.equal.extend(result.equal)
        if len(self.equal) > MOST_LEAVES:
            raise LimitError(f"more than {MOST_LEAVES:,} documents have this _id")
        if result.below is not None:
            self.below = max(self.below or result.below, result.below)
        if result.above is not None:
            self.above = min(self.above or result.above, result.above)


def search(
    reader: KitReader,
    survey: Survey,
    pipeline: Pipeline,
    members: dict[MemberPath, CollectionMember],
    *,
    key: bytes,
    store: LeafStore,
) -> dict[MemberPath, MemberLeaves]:
    """Read the named members of a surveyed kit, and find ``key`` in each.

    Raises:
        DigestError: The kit changed since it was surveyed.
        KitError: A document is malformed, more than :data:`MOST_LEAVES` have the key, or the disk is full.
    """
    found = {path: _Found() for path in members}

    def visit(member: Member, body: Iterator[bytes]) -> None:
        collection = members.get(member.path) if member.path is not None else None
        if collection is None:
            return
        path = collection.path

        def deliver(result: LeavesOfRun) -> None:
            store.add(path, result.lines)
            found[path].add(result)

        for run in member_runs(collection, body, reader):
            pipeline.submit(search_run, run, key, cost=len(run.data), weight=run.weight, then=deliver, where=str(path))

    read_again(reader, survey, visit)
    pipeline.drain()
    return {path: _member_leaves(path, one, key, store, pipeline) for path, one in found.items()}


def _member_leaves(path: MemberPath, found: _Found, key: bytes, store: LeafStore, pipeline: Pipeline) -> MemberLeaves:
    blocks = store.block_roots(path, pipeline)
    size, first = _position(store, path, key)
    if found.equal:
        wanted = list(enumerate(sorted(found.equal), start=first))
    else:
        wanted = [(first - 1, found.below)] if found.below is not None else []
        wanted += [(first, found.above)] if found.above is not None else []
    paths = _audit_paths(store, path, blocks, {index for index, _ in wanted})
    return MemberLeaves(
        size=size,
        root=Sha256(root_of(blocks).hex()),
        present=bool(found.equal),
        leaves=tuple(
            Leaf(index=index, key=met.key, document=Sha256(met.document.hex()), path=paths[index])
            for index, met in wanted
        ),
    )


def holds(store: LeafStore, path: MemberPath, key: bytes) -> bool:
    """Whether a document with this key is among the leaves that were gathered."""
    prefix = _prefix(key)
    return any(line.startswith(prefix) for line in store.lines(path))


def _prefix(key: bytes) -> bytes:
    return f"{key.hex()} ".encode("ascii")


def _position(store: LeafStore, path: MemberPath, key: bytes) -> tuple[int, int]:
    """Return the number of leaves, and how many are before ``key``."""
    size = before = 0
    for block in _blocks(store.lines(path)):
        size += len(block)
        before += bisect_left(block, _prefix(key))
    return size, before


def _audit_paths(
    store: LeafStore, path: MemberPath, blocks: list[bytes], wanted: set[int]
) -> dict[int, tuple[bytes, ...]]:
    paths: dict[int, tuple[bytes, ...]] = {}
    for number, block in enumerate(_blocks(store.lines(path))):
        inside = [index for index in wanted if index // BLOCK == number]
        if inside:
            hashes = leaf_hashes(b"".join(map(hash_digits, block)))
            above = path_of(number, blocks)
            paths |= {index: (*path_of(index % BLOCK, hashes), *above) for index in inside}
    return paths


def _blocks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while block := list(islice(lines, BLOCK)):
        yield block
