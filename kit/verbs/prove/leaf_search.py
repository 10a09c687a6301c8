"""Finds a key among the leaves of collections: its own leaves, or its neighbours if it is absent.

One reading of the kit collects the leaves in a :class:`LeafStore`, and the digests of the documents concerned, which
leaves do not contain. Law: the result depends on the documents alone, not on runs or workers.
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

MAX_LEAVES = 1000
"""Leaves with one ``_id`` in one member; a collection of MongoDB has one."""


@dataclass(frozen=True, slots=True, order=True)
class HashedDocument:
    """One document, ordered as its leaf is."""

    key: bytes
    leaf: bytes
    document: bytes
    """The digest of the document."""


@dataclass(slots=True, kw_only=True)
class RunLeaves:
    """The leaves of one run, and those at or next to the key."""

    lines: bytes
    equal: list[HashedDocument]
    below: HashedDocument | None
    above: HashedDocument | None


def search_run(run: Run, key: bytes) -> RunLeaves:
    """Return the leaves of a run, with those of its documents that are at or next to ``key``."""
    documents = list(run)
    lines = leaf_lines(documents, run.originals)
    found = RunLeaves(lines=lines, equal=[], below=None, above=None)
    for document, original in zip(documents, run.originals, strict=True):
        one = _hash_document(document, original)
        if one.key == key:
            found.equal.append(one)
        elif one.key < key:
            found.below = max(found.below or one, one)
        else:
            found.above = min(found.above or one, one)
    return found


def _hash_document(document: bytes, original: bytes) -> HashedDocument:
    key, digest = identity_key(document), hashlib.sha256(original).digest()
    return HashedDocument(key, leaf_hash(leaf_data(key, digest)), digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One leaf and its path to the root."""

    index: int
    key: bytes
    document: Sha256
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeaves:
    """The result in one member: the leaves with the key, else the one or two between which it would be."""

    size: int
    root: Sha256
    present: bool
    leaves: tuple[Leaf, ...]


@dataclass(slots=True)
class _Candidates:
    equal: list[HashedDocument] = field(default_factory=list)
    below: HashedDocument | None = None
    above: HashedDocument | None = None

    def add(self, result: RunLeaves) -> None:
        self.equal.extend(result.equal)
        if len(self.equal) > MAX_LEAVES:
            raise LimitError(f"more than {MAX_LEAVES:,} documents have this _id")
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
    """Read the given members of a surveyed kit, and find ``key`` in each.

    Raises:
        DigestError: The kit changed since it was surveyed.
        KitError: A document is malformed, more than :data:`MAX_LEAVES` have the key, or the disk is full.
    """
    found = {path: _Candidates() for path in members}

    def visit(member: Member, body: Iterator[bytes]) -> None:
        collection = members.get(member.path) if member.path is not None else None
        if collection is None:
            return
        path = collection.path

        def deliver(result: RunLeaves) -> None:
            store.add(path, result.lines)
            found[path].add(result)

        for run in member_runs(collection, body, reader):
            pipeline.submit(search_run, run, key, cost=len(run.data), weight=run.weight, then=deliver, where=str(path))

    read_again(reader, survey, visit)
    pipeline.drain()
    return {path: _member_leaves(path, one, key, store, pipeline) for path, one in found.items()}


def _member_leaves(
    path: MemberPath, found: _Candidates, key: bytes, store: LeafStore, pipeline: Pipeline
) -> MemberLeaves:
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
            Leaf(index=index, key=one.key, document=Sha256(one.document.hex()), path=paths[index])
            for index, one in wanted
        ),
    )


def is_stored(store: LeafStore, path: MemberPath, key: bytes) -> bool:
    """Return whether a document with this key is among the collected leaves."""
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
