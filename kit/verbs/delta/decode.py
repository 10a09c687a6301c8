"""Makes the target's container from a base and the payloads of a delta: a stream of the bytes of a tar archive.

The result, an archive or a folder, is always made from this one stream. What the delta needs of the base is spooled
while the base is judged. The base is read again only for large members that are copied, and in its own order. Law:
every member has the size and digest that the delta's signed manifest names, or the stream ends in an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from kit.archive.frames import encode
from kit.archive.read.codecs import cut
from kit.archive.read.reader import KitReader, changed_meanwhile
from kit.archive.read.tar import Member
from kit.archive.write.tar import END, padding
from kit.delta import prefix
from kit.delta.layout import Layout, parse_lengths
from kit.delta.model import DeltaManifest, Entry, Method, Payload
from kit.delta.packing import Reader, read_pieces
from kit.engine.passing import entries, read_again
from kit.engine.pipeline import Workers
from kit.engine.reading import Survey
from kit.errors import ArchiveError, DigestError
from kit.values import Codec, CollectionMember, Limits, MemberPath, codec_of, collection_member, declarable_formats
from kit.verbs.delta.joining import join_segments
from kit.verbs.delta.stores import BaseStores, header_of, read_all, store_bytes

Take = Callable[[Payload], Iterator[bytes]]
"""Returns the chunks of a payload; payloads are taken in the order of the manifest."""
_OF_COLLECTIONS = frozenset({Method.DOCUMENTS, Method.TEXTS})
_MAX_SMALL_BYTES, _MAX_ALL_SMALL_BYTES = 64 * 1024, 16 * 1024 * 1024
"""Bytes of members that are stored to be copied: of one, and of all together."""


class NeededSpool:
    """Spools what a delta needs of its base: a :class:`kit.engine.reading.BodyTap` for the pass that judges it.

    Nothing spooled is trusted yet. A collection that cannot be cut into documents is not spooled;
    :meth:`TargetDecoder.prepare` raises its error.
    """

    def __init__(self, manifest: DeltaManifest, stores: BaseStores, limits: Limits) -> None:
        """Store into ``stores`` what ``manifest`` names."""
        self._stores = stores
        self._limits = limits
        self._room = _MAX_ALL_SMALL_BYTES
        self._stored = {entry.source for entry in manifest.members if _is_stored(entry)}
        self._copied = {entry.source for entry in manifest.members if entry.method is Method.COPY}

    def note(self, member: Member) -> None:
        """Ignore it: the container of a base decides nothing about the target."""

    def take(
        self, member: Member, path: MemberPath, body: Iterator[bytes], collection: CollectionMember | None
    ) -> None:
        """Store a member if it is read out of order, or is small and copied.

        Raises:
            KitError: The body ends early; or the disk is full.
        """
        if path in self._stored:
            if collection is not None:
                self._stores.put_if_sound(collection, body, member.size, self._limits)
            else:
                self._stores.put(path, None, body, self._limits)
        elif path in self._copied and member.size <= min(_MAX_SMALL_BYTES, self._room):
            self._room -= member.size
            self._stores.put_small(path, body)


class TargetDecoder:
    """Makes the target's stream; :meth:`prepare` fills ``stores`` before :meth:`stream` is read."""

    def __init__(
        self, manifest: DeltaManifest, reader: KitReader, survey: Survey, stores: BaseStores, *, workers: Workers
    ) -> None:
        """Decode the target of ``manifest`` against the base in ``reader``, whose survey is ``survey``.

        ``stores`` may already hold what is needed of the base; ``workers`` decode documents.
        """
        self._workers = workers
        self._manifest = manifest
        self._reader = reader
        self._survey = survey
        self._stores = stores
        self._limits: Limits = reader.limits
        self._copies: dict[MemberPath, Path] = {}
        self._held: Mapping[MemberPath, bytes] = survey.kept
        self._streamed: frozenset[MemberPath] = frozenset()
        self._taken: set[MemberPath] = set()

    def check(self) -> None:
        """Check that the base has every member that the delta needs.

        Raises:
            DigestError: One is missing, or is to be copied and has another digest or size.
        """
        for entry in self._manifest.members:
            if entry.source is None:
                continue
            actual = self._survey.members.get(entry.source)
            if actual is None:
                raise DigestError("is needed by the delta, and missing in the base", where=str(entry.source))
            if entry.method is Method.COPY and actual != (entry.sha256, entry.size):
                raise DigestError(f"is {actual[0]}, but the delta copies {entry.sha256}", where=str(entry.source))

    def prepare(self, folder: Path) -> list[bytes]:
        """Store in ``folder`` what is needed out of order, and return the headers that the layout needs.

        Raises:
            KitError: The base changed, or the disk is full.
        """
        stored, copied = self._plan_reads()
        headers: list[bytes] = []
        if not (stored or copied or self._manifest.layout_of_base):
            return headers

        def visit(member: Member, body: Iterator[bytes]) -> None:
            if self._manifest.layout_of_base:
                headers.append(header_of(member))
            if member.path is None:
                return
            if member.path in copied:
                body = read_file(self._store_copy(folder, member.path, body))
            if member.path in stored:
                self._stores.put(member.path, self._survey.collections.get(member.path), body, self._limits)

        read_again(self._reader, self._survey, visit)
        return headers

    def _plan_reads(self) -> tuple[set[MemberPath], set[MemberPath]]:
        """Return the base members to store: those that others are encoded against, and those copied out of order."""
        order = {path: place for place, path in enumerate(self._survey.members)}
        streamed: set[MemberPath] = set()
        stored: set[MemberPath] = set()
        copied: set[MemberPath] = set()
        last = -1
        for entry in self._manifest.members:
            if entry.source is None or entry.method is Method.RECIPE:
                continue
            if _is_stored(entry):
                if not self._is_stored(entry.source):
                    stored.add(entry.source)
            elif self._is_at_hand(entry.source):
                continue
            elif order[entry.source] > last:
                last = order[entry.source]
                streamed.add(entry.source)
            else:
                copied.add(entry.source)
        self._streamed = frozenset(streamed)
        return stored, copied

    def _is_stored(self, path: MemberPath) -> bool:
        return path in self._stores.documents or path in self._stores.bytes

    def _is_at_hand(self, path: MemberPath) -> bool:
        """Return whether the bytes of a member are stored, so that the base need not be read."""
        return path in self._held or path in self._stores.bytes

    def _store_copy(self, folder: Path, path: MemberPath, body: Iterator[bytes]) -> Path:
        place = self._copies[path] = folder / f"copy-{len(self._copies)}"
        store_bytes(place, body).close()
        return place

    def stream(self, layout: Layout, take: Take) -> Iterator[bytes]:
        """Yield the target's tar archive, in chunks.

        Raises:
            DigestError: A member is not made as the delta states.
            ArchiveError: A payload is malformed or does not fit the base, or layout and members do not match.
        """
        base = entries(self._reader)  # each member is compared with what the delta states

        def read_stored(path: MemberPath) -> Iterator[bytes]:
            for member, body in base:
                if member.path == path:
                    return body
            raise changed_meanwhile(path)

        members = iter(self._manifest.members)
        for header in layout.headers:
            yield header.data
            if not header.has_body:
                continue
            entry = next(members, None)
            if entry is None:
                raise ArchiveError("the layout of a delta has more files than its manifest")
            yield from self._report_progress(_check_body(entry, self._make_body(entry, read_stored, take)))
            yield padding(entry.size)
        if next(members, None) is not None:
            raise ArchiveError("the layout of a delta has fewer files than its manifest")
        yield END

    def _report_progress(self, body: Iterator[bytes]) -> Iterator[bytes]:
        watch = self._reader.watch
        for chunk in body:
            if watch is not None:
                watch(len(chunk))
            yield chunk

    def _make_body(self, entry: Entry, stored: Callable[[MemberPath], Iterator[bytes]], take: Take) -> Iterator[bytes]:
        if entry.method is Method.COPY and entry.source is not None:
            return self._read_copy(entry.source, stored)
        if entry.method is Method.RECIPE:
            made = self._stores.made.get(entry.path)
            return read_all(made) if made is not None else iter(())
        if entry.payload is None:
            raise ArchiveError(f"{entry.path}: the delta has no payload to make it from")
        payload = take(entry.payload)
        if entry.method in _OF_COLLECTIONS and entry.source is not None:
            return self._decode_documents(entry, entry.source, payload)
        return self._decode_bytes(entry, payload)

    def _read_copy(self, source: MemberPath, stored: Callable[[MemberPath], Iterator[bytes]]) -> Iterator[bytes]:
        if source in self._held:
            return iter((self._held[source],))
        if source in self._stores.bytes:
            return read_all(self._stores.bytes[source])
        if source in self._streamed and source not in self._taken:
            self._taken.add(source)
            return stored(source)
        return read_file(self._copies[source])

    def _decode_documents(self, entry: Entry, source: MemberPath, payload: Iterator[bytes]) -> Iterator[bytes]:
        base = self._stores.documents.get(source)
        has_texts = entry.method is Method.TEXTS
        is_named = declarable_formats(entry.path) if has_texts else collection_member(entry.path)
        if base is None or base.has_texts != has_texts or not is_named:
            raise ArchiveError(f"{entry.path}: is encoded as {entry.method}, but it or {source} is no such collection")
        codec = codec_of(entry.path)
        parts = read_pieces(payload)
        outer = Reader(next(parts, b""), "the frames of a member")
        lengths = parse_lengths(outer, most=self._limits.json_bytes)
        outer.finish()
        if codec is Codec.NONE:
            return join_segments(base, parts, most=entry.size, workers=self._workers)
        most = sum(lengths)
        self._limits.check("expanded_bytes", most, where=str(entry.path))
        made = join_segments(base, parts, most=most, workers=self._workers)
        return (encode(codec, part) for part in cut(made, lengths))

    def _decode_bytes(self, entry: Entry, payload: Iterator[bytes]) -> Iterator[bytes]:
        base = self._stores.bytes.get(entry.source) if entry.source is not None else None
        for part in read_pieces(payload):
            stretch, reader = prefix.parse_stretch(part)
            if stretch.size and base is None:
                raise ArchiveError(f"{entry.path}: a piece refers to a member of the base, and none is named")
            yield prefix.unpack_piece(reader, base.read(stretch.start, stretch.size) if base is not None else b"")


def _is_stored(entry: Entry) -> bool:
    """Return whether this member is made from a stored member of the base, read out of order."""
    return entry.method is Method.BINARY or entry.method in _OF_COLLECTIONS


def read_file(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file of this run, in chunks."""
    with path.open("rb") as file:
        while data := file.read(1024 * 1024):
            yield data


def _check_body(entry: Entry, body: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a member's bytes as long as they can be what the delta states, and check that they are."""
    digest = hashlib.sha256()
    size = 0
    for chunk in body:
        size += len(chunk)
        if size > entry.size:
            break
        digest.update(chunk)
        yield chunk
    if size != entry.size or digest.hexdigest() != entry.sha256.hex:
        raise DigestError(
            f"was made with {size:,} bytes and digest {digest.hexdigest()}, but the delta states {entry.size:,} and"
            f" {entry.sha256}",
            where=str(entry.path),
        )
