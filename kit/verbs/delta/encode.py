"""Encodes each member of a target kit against a base: copied, computed, document delta, binary delta, or in full.

``kit delta build`` does this once both kits are read and judged. What is needed of the base is stored on disk. Then the
members of the target are encoded in the order of its container, each by the method with the smallest result. Members
that were spooled during the first pass over the target (:mod:`kit.verbs.delta.stores`) are not read again; there is a
second pass only if another member has changed. Laws: what is stored or encoded has the digest that the survey found; a
member that is no smaller when encoded as documents is encoded in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

from kit.archive.read.codecs import Framing, decode_member, find_framing
from kit.archive.read.reader import Container, KitReader, changed_meanwhile
from kit.archive.write.tar import END
from kit.delta import prefix
from kit.delta.layout import encode_lengths
from kit.delta.model import Method
from kit.delta.packing import END as NO_MORE, frame_piece
from kit.engine.executors import WorkExecutor
from kit.engine.passing import entries, hashing
from kit.engine.pipeline import Pipeline, Workers
from kit.engine.reading import Survey, cut_documents
from kit.errors import ArchiveError, ContentError
from kit.output.scratch import ScratchFile
from kit.values import Codec, CollectionMember, MemberPath, Sha256
from kit.verbs.delta.documents import DocumentStore, match_documents
from kit.verbs.delta.segments import MAX_DOCUMENT_BYTES, encode_segment, plan_segments
from kit.verbs.delta.stores import BaseStores, Stored, TargetSpool, put_collection, read_all, source_of, store_bytes

_CHUNK = 1024 * 1024
_THOROUGH_BYTES = 16 * 1024 * 1024
_THOROUGH, _FAST = 17, 6
_WORTH_A_LOOK = 4
"""A delta of documents is compared with the member in full if it is larger than this fraction (1/n) of the member."""
_FEW_SEGMENTS = 3
"""Up to so many segments are encoded in this process, since starting two workers costs as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedMember:
    """How a member is made, and its payload if it has one."""

    method: Method
    source: MemberPath | None = None
    chunks: Iterator[bytes] | None = None


class Work(Protocol):
    """An open kit and its workers."""

    @property
    def reader(self) -> KitReader:
        """The kit."""
        ...

    @property
    def executor(self) -> WorkExecutor:
        """Runs the work."""
        ...

    @property
    def budget(self) -> int:
        """Maximum bytes of input in flight."""
        ...


class DeltaEncoder:
    """Encodes the members of a target against a base."""

    def __init__(
        self,
        reader: KitReader,
        base: Survey,
        target: Survey,
        *,
        stores: BaseStores,
        spool: TargetSpool,
        workers: Callable[[], Workers],
        folder: Path,
        verbatim: frozenset[MemberPath],
        unbound: frozenset[MemberPath],
        links: frozenset[MemberPath] = frozenset(),
        recipe: frozenset[MemberPath] = frozenset(),
    ) -> None:
        """Encode the target in ``reader``, whose survey is ``target``, against the members in ``stores``.

        Args:
            reader: The target.
            base: The survey of the base.
            target: The survey of the target.
            stores: What is stored of the base.
            spool: Filled during the survey of the target.
            workers: Starts the workers for large members; called while no other thread runs.
            folder: Where scratch files go.
            verbatim: Members to encode in full.
            unbound: Members of the base that another packing of it may have otherwise; nothing is made from them.
            links: Files of an unpacked target that are hard links, and so no members.
            recipe: Members that the site computes.
        """
        self._recipe = recipe
        self._reader = reader
        self._verbatim = verbatim
        self._unbound = unbound
        self._links = links
        self._base = base
        self._target = target
        self._stores = stores
        self._spool = spool
        self._workers = workers
        self._folder = folder
        self._limits = reader.limits
        # In the order of names, since the order of a container is not fixed.
        self._by_digest: dict[Sha256, MemberPath] = {}
        for path in sorted(base.members.keys() - unbound):
            self._by_digest.setdefault(base.members[path][0], path)

    def members(self) -> Iterator[tuple[MemberPath, Sha256, int, EncodedMember]]:
        """Yield each file of the target, in the order of its container, and how it is made.

        The payload of one must be read before the next is taken.

        Raises:
            KitError: The kit changed since it was surveyed, or the disk is full.
        """
        if all(map(self._is_spooled, self._target.members)):
            for path, (digest, size) in self._target.members.items():
                if path in self._links:
                    continue
                yield path, digest, size, self._encode(path, digest, iter(()))
            return
        self._workers()  # before a thread reads ahead
        for member, body in entries(self._reader, self._target):
            if member.path is None or not member.is_file or member.path in self._links:
                continue
            digest, size = self._target.members[member.path]
            yield member.path, digest, size, self._encode(member.path, digest, body)

    def _is_spooled(self, path: MemberPath) -> bool:
        """Return whether a member can be encoded without reading the target again."""
        digest, _ = self._target.members[path]
        is_known_by_name = path in self._verbatim or path in self._recipe or digest in self._by_digest
        return is_known_by_name or path in self._spool.documents or path in self._spool.bytes

    def framing(self) -> tuple[int, ...] | None:
        """Return how the container is cut into frames of this program; None if its bytes cannot be reproduced.

        The strict reader accounted for every byte as header, body, padding or zeros at the end. So the container is
        what will be made from its members, if it is no longer than that.

        Raises:
            DigestError: The kit changed since it was surveyed.
        """
        reader = self._reader
        if reader.container is Container.FOLDER:
            return None
        if reader.container is Container.TAR:
            return () if reader.stored_bytes == self._spool.length else None
        if reader.is_foreign():
            return None
        codec = Codec.ZSTD if reader.container is Container.TAR_ZSTD else Codec.GZIP
        digest = hashlib.sha256()
        framing = find_framing(hashing(reader.stored_chunks(), digest), codec, self._limits, table=True)
        # The end is a frame of its own.
        if framing is None or framing.lengths[-1] != len(END) or sum(framing.lengths) != self._spool.length:
            return None
        if Sha256(digest.hexdigest()) != self._target.stored:
            raise changed_meanwhile(reader.path)
        return framing.lengths

    def _encode(self, path: MemberPath, digest: Sha256, body: Iterator[bytes]) -> EncodedMember:
        """Encode a member; its ``body`` is read only if it was not spooled."""
        if path in self._verbatim:
            kept = store_bytes(self._folder / "member", iter((self._target.kept[path],)))
            return EncodedMember(method=Method.FULL, chunks=_close_after(self._encode_bytes(kept, None), kept))
        source = self._by_digest.get(digest)
        if source is not None:
            same_name = path in self._base.members and self._base.members[path][0] == digest
            return EncodedMember(method=Method.COPY, source=path if same_name else source)
        if path in self._recipe:
            return EncodedMember(method=Method.RECIPE, source=path)
        source = source_of(path, self._base, self._target)
        if source in self._unbound:
            source = None
        collection = self._target.collections.get(path)
        if collection is not None and source is not None and source in self._stores.documents:
            return self._encode_collection(collection, source, body)
        like = self._stores.bytes.get(source) if source is not None else None
        chunks = _close_after(self._encode_bytes(stored := self._store_bytes(path, body), like), stored)
        if like is None:
            return EncodedMember(method=Method.FULL, chunks=chunks)
        return EncodedMember(method=Method.BINARY, source=source, chunks=chunks)

    def _store_bytes(self, path: MemberPath, body: Iterator[bytes]) -> Stored:
        """Return the bytes of a member; the caller closes them."""
        if path in self._spool.documents:
            return self._spool.documents[path].store.data
        return self._spool.bytes.get(path) or store_bytes(self._folder / "member", body)

    def _encode_collection(
        self, collection: CollectionMember, source: MemberPath, body: Iterator[bytes]
    ) -> EncodedMember:
        """Encode a collection as documents; in full if its bytes would not come back, or if that is smaller."""
        stored: Stored
        framing: Framing | None = Framing(lengths=())
        if collection.codec is Codec.NONE:
            target, sound = self._store_documents(collection, body)
            stored = target.data
        else:
            target = DocumentStore(self._folder, "target", collection.format)
            stored = self._store_bytes(collection.path, body)
            framing = find_framing(read_all(stored), collection.codec, self._limits, table=False)
            sound = framing is not None and self._cut(collection, target, stored)
        payload = None
        base = self._stores.documents[source]
        if sound and framing is not None and max(base.largest_run, target.largest_run) <= MAX_DOCUMENT_BYTES:
            payload = self._encode_segments(base, target, framing)
        chosen = payload
        if chosen is None or chosen.size * _WORTH_A_LOOK > stored.size:
            chosen = store_bytes(self._folder / "full", self._encode_bytes(stored, None))
            if payload is not None and payload.size <= chosen.size:
                chosen.close()
                chosen = payload
            elif payload is not None:
                payload.close()
        target.close()
        stored.close()
        if chosen is payload:
            method = Method.TEXTS if base.has_texts else Method.DOCUMENTS
            return EncodedMember(method=method, source=source, chunks=_close_after(read_all(chosen), chosen))
        return EncodedMember(method=Method.FULL, chunks=_close_after(read_all(chosen), chosen))

    def _store_documents(self, collection: CollectionMember, body: Iterator[bytes]) -> tuple[DocumentStore, bool]:
        spooled = self._spool.documents.get(collection.path)
        if spooled is not None:
            return spooled.store, spooled.sound
        target = DocumentStore(self._folder, "target", collection.format)
        return target, put_collection(target, body, self._target.members[collection.path][1], self._limits)

    def _cut(self, collection: CollectionMember, target: DocumentStore, stored: Stored) -> bool:
        """Cut the content of a compressed collection into documents and store them; return whether it can be cut."""
        chunks = decode_member(read_all(stored), collection.codec, self._limits, where=str(collection.path))
        try:
            target.put(cut_documents(collection.format, chunks, self._limits))
        except (ContentError, ArchiveError):
            return False
        return True

    def _encode_segments(self, base: DocumentStore, target: DocumentStore, framing: Framing) -> ScratchFile:
        payload = ScratchFile(self._folder / "payload")
        payload.append(frame_piece(encode_lengths(framing.lengths)))
        matching = match_documents(base, target)
        plans = plan_segments(base, target, matching)
        first = list(islice(plans, _FEW_SEGMENTS + 1))
        if len(first) <= _FEW_SEGMENTS:
            for plan in first:
                payload.append(frame_piece(encode_segment(plan)))
        else:
            workers = self._workers()
            with Pipeline(workers.executor, budget=workers.budget) as pipeline:
                for plan in chain(first, plans):
                    pipeline.submit(
                        encode_segment, plan, cost=plan.size, then=lambda made: payload.append(frame_piece(made))
                    )
        matching.close()
        payload.append(NO_MORE)
        payload.flush()
        return payload

    def _encode_bytes(self, stored: Stored, base: Stored | None) -> Iterator[bytes]:
        """Yield pieces packed against a base, or against nothing."""
        level = _THOROUGH if stored.size <= _THOROUGH_BYTES else _FAST
        for at in range(0, stored.size, prefix.PIECE_BYTES):
            data = stored.read(at, prefix.PIECE_BYTES)
            stretch = prefix.Stretch(start=0, size=0)
            if base is not None:
                stretch = prefix.choose_stretch(at, base_size=base.size, target_size=stored.size)
            like = base.read(stretch.start, stretch.size) if base is not None else b""
            yield frame_piece(prefix.pack_piece(data, stretch, like, level))
        yield NO_MORE


def _close_after(chunks: Iterator[bytes], file: Stored) -> Iterator[bytes]:
    yield from chunks
    file.close()
