"""Members of kits on disk for random access: documents of collections, bytes of all other members.

Both kits are spooled during their first pass, so that most of what a delta needs is not read again:

- Of the base, its collections are spooled on a guess, up to :data:`MAX_BASE_BYTES`, since they seldom stay the same.
- Of the target, a member is spooled if it has surely changed: its size or its first bytes differ from those of the
  member of the same name in the base. Whether any other member has changed is only known at its end.

Laws: what is spooled is the body that the pass digests; nothing spooled is trusted yet; what is stored later has the
digest that the survey found, and a member that changed meanwhile is an error; of each kit, the files of at most
:data:`MAX_COLLECTIONS` collections are open, and one file for everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kit.archive.read.codecs import decode_member
from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.archive.write.tar import END, entry_header, padding
from kit.delta.layout import Header
from kit.delta.model import Method
from kit.engine.passing import read_again
from kit.engine.reading import Survey, cut_documents
from kit.errors import ArchiveError, ContentError
from kit.manifest import Link
from kit.output.scratch import ScratchFile
from kit.values import Codec, CollectionFormat, CollectionMember, Limits, MemberPath
from kit.verbs.delta.documents import DocumentStore

_CHUNK = 1024 * 1024


class Stored(Protocol):
    """Bytes on disk."""

    @property
    def size(self) -> int:
        """Number of bytes."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on; fewer only at the end."""
        ...

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file that holds several members."""

    file: ScratchFile
    start: int
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the part; offsets are within it."""
        return self.file.read(self.start + offset, max(0, min(size, self.size - offset)))

    def close(self) -> None:
        """Leave the file open: its maker owns it."""


class BaseStores:
    """The stored members of a base: documents of collections, bytes of other members."""

    def __init__(self, folder: Path) -> None:
        """Keep files in ``folder``."""
        self._folder = folder
        self.documents: dict[MemberPath, DocumentStore] = {}
        self.bytes: dict[MemberPath, Stored] = {}
        self.made: dict[MemberPath, ScratchFile] = {}
        """Members of the target that a recipe made."""
        self._small: ScratchFile | None = None
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self.documents.values():
            store.close()
        for file in (*self.bytes.values(), *self.made.values(), self._small):
            if file is not None:
                file.close()

    def fill(
        self, reader: KitReader, base: Survey, target: Survey, *, besides: frozenset[MemberPath] = frozenset()
    ) -> None:
        """Store the members that something is encoded against.

        Members of the target in ``besides`` are not encoded against any. What was spooled and is not needed is removed;
        the base is read again only for what was not spooled. A collection that cannot be cut into documents is not
        stored, and its successor is encoded in full.

        Raises:
            KitError: A member changed since it was surveyed; or the disk is full.
        """
        wanted = sources(base, target, besides)
        for path in self.documents.keys() - wanted:
            self.documents.pop(path).remove()
        missing = wanted - self.documents.keys() - self.bytes.keys()
        if not missing:
            return

        def visit(member: Member, body: Iterator[bytes]) -> None:
            if member.path is not None and member.path in missing:
                collection = base.collections.get(member.path)
                if collection is not None:
                    self.put_if_sound(collection, body, member.size, reader.limits)
                else:
                    self.put(member.path, None, body, reader.limits)

        read_again(reader, base, visit)

    def put(self, path: MemberPath, collection: CollectionMember | None, body: Iterator[bytes], limits: Limits) -> None:
        """Store one member: the documents of a collection, the bytes of any other member.

        Raises:
            KitError: It is malformed.
        """
        if collection is not None:
            store = self.documents[path] = self._new(collection.format)
            store.put(
                cut_documents(collection.format, decode_member(body, collection.codec, limits, where=str(path)), limits)
            )
            return
        self.bytes[path] = store_bytes(self._folder / f"bytes-{len(self.bytes)}", body)

    def put_if_sound(self, collection: CollectionMember, body: Iterator[bytes], size: int, limits: Limits) -> None:
        """Store the documents of a collection; nothing if it cannot be cut into documents.

        Raises:
            KitError: The body ends before ``size`` bytes; or the disk is full.
        """
        store = self._new(collection.format)
        if collection.codec is Codec.NONE:
            is_sound = put_collection(store, body, size, limits)
        else:
            is_sound = _put_decoded(store, collection, body, size, limits)
        if is_sound:
            self.documents[collection.path] = store
        else:
            store.remove()

    def put_small(self, path: MemberPath, body: Iterator[bytes]) -> None:
        """Store a small member in a file with others.

        Raises:
            KitError: The container is malformed; or the disk is full.
        """
        if self._small is None:
            self._small = ScratchFile(self._folder / "small")
        self.bytes[path] = append_stretch(self._small, body)

    def _new(self, format_: CollectionFormat) -> DocumentStore:
        self._made += 1
        return DocumentStore(self._folder, f"base-{self._made - 1}", format_)


def store_bytes(path: Path, body: Iterator[bytes]) -> ScratchFile:
    """Write bytes to a new file, and return it."""
    file = ScratchFile(path)
    for chunk in body:
        file.append(chunk)
    file.flush()
    return file


def sources(base: Survey, target: Survey, besides: frozenset[MemberPath]) -> frozenset[MemberPath]:
    """Return the members of the base that something is encoded against, other than copies."""
    known = {digest for digest, _ in base.members.values()}
    changed = [path for path, (digest, _) in target.members.items() if digest not in known and path not in besides]
    return frozenset(found for path in changed if (found := source_of(path, base, target)) is not None)


def source_of(path: MemberPath, base: Survey, target: Survey) -> MemberPath | None:
    """Return the base member to encode a member against: the one of its name, or the only one of its collection."""
    collection = target.collections.get(path)
    if path in base.members:
        return path if _kind(base.collections.get(path)) == _kind(collection) else None
    if collection is None:
        return None
    parts = [one for one in base.collections.values() if one.name == collection.name]
    return parts[0].path if len(parts) == 1 and _kind(parts[0]) == _kind(collection) else None


def _kind(collection: CollectionMember | None) -> Method | None:
    """Return how a member is encoded against another of its kind; None for one that is no collection."""
    if collection is None:
        return None
    return Method.DOCUMENTS if collection.format is CollectionFormat.BSON else Method.TEXTS


def header_of(member: Member) -> bytes:
    """Return the header blocks of an entry: its own or, for one from a folder, those that it would get."""
    return member.header or entry_header(member)


def read_all(file: Stored) -> Iterator[bytes]:
    """Yield all bytes of a file, in chunks."""
    for at in range(0, file.size, _CHUNK):
        yield file.read(at, _CHUNK)


def append_stretch(file: ScratchFile, body: Iterator[bytes]) -> Stretch:
    """Append bytes to a file that holds several members.

    Raises:
        OutputError: The disk is full or failed.
    """
    start = file.size
    for chunk in body:
        file.append(chunk)
    file.flush()
    return Stretch(file, start, file.size - start)


def put_collection(store: DocumentStore, body: Iterator[bytes], size: int, limits: Limits) -> bool:
    """Store all bytes of a collection, and its documents if it can be cut into some; return whether it can.

    Raises:
        KitError: The body ends before ``size`` bytes; or the disk is full. The store is closed.
    """
    chunks = store.spool_bytes(body)
    try:
        return _put(store, chunks, size, limits)
    except BaseException:
        store.close()
        raise


def _put_decoded(
    store: DocumentStore, collection: CollectionMember, body: Iterator[bytes], size: int, limits: Limits
) -> bool:
    """As :func:`put_collection`, for a compressed collection, whose own bytes are not stored."""
    size_read = 0

    def count() -> Iterator[bytes]:
        nonlocal size_read
        for chunk in body:
            size_read += len(chunk)
            yield chunk

    try:
        chunks = decode_member(count(), collection.codec, limits, where=str(collection.path))
        store.put(cut_documents(collection.format, chunks, limits))
    except (ContentError, ArchiveError):
        for chunk in body:
            size_read += len(chunk)
        if size_read != size:  # the body itself ended early: an error of the container
            store.close()
            raise
        return False
    except BaseException:
        store.close()
        raise
    return True


def _put(store: DocumentStore, chunks: Iterator[bytes], size: int, limits: Limits) -> bool:
    try:
        store.put(cut_documents(store.format, chunks, limits), kept=True)
    except (ContentError, ArchiveError):
        # It is encoded in full then, so all its bytes are stored; an error of the container is raised as such.
        for _ in chunks:
            pass
        store.flush()
        if store.size != size:
            raise
        return False
    return True


MAX_COLLECTIONS = 32
MAX_BASE_BYTES = 512 * 1024 * 1024
"""Of spooled collections of a base."""
_MAX_SMALL_BYTES, _MAX_ALL_SMALL_BYTES = 64 * 1024, 16 * 1024 * 1024
"""Of other spooled members of a base: of one, and of all together."""
_HEAD_BYTES = 64


class BaseSpool:
    """Spools what a delta will likely need of a base: a :class:`kit.engine.reading.BodyTap` for its first pass.

    Keeps the first bytes of every member, and puts collections and small members into ``stores``.
    :meth:`BaseStores.fill` removes what is not needed after all.
    """

    def __init__(self, stores: BaseStores, limits: Limits) -> None:
        """Spool into ``stores``."""
        self.heads: dict[MemberPath, bytes] = {}
        self.stores = stores
        self._limits = limits
        self._room, self._room_for_small = MAX_BASE_BYTES, _MAX_ALL_SMALL_BYTES

    def note(self, member: Member) -> None:
        """Ignore it: the container of a base decides nothing about a delta."""

    def take(
        self, member: Member, path: MemberPath, body: Iterator[bytes], collection: CollectionMember | None
    ) -> None:
        """Keep the first bytes of a member, and store it if it may be needed and there is room."""
        first = next(body, b"")
        self.heads[path] = first[:_HEAD_BYTES]
        body = chain((first,), body)
        if collection is None:
            if member.size <= min(_MAX_SMALL_BYTES, self._room_for_small):
                self._room_for_small -= member.size
                self.stores.put_small(path, body)
        elif (
            collection.codec is Codec.NONE
            and member.size <= self._room
            and len(self.stores.documents) < MAX_COLLECTIONS
        ):
            self._room -= member.size
            self.stores.put_if_sound(collection, body, member.size, self._limits)


@dataclass(frozen=True, slots=True)
class Documents:
    """A spooled collection that is not compressed by itself."""

    store: DocumentStore
    sound: bool
    """Whether it could be cut into documents; all its bytes are stored in any case."""


class TargetSpool:
    """Spools the members of a target that surely changed: a :class:`kit.engine.reading.BodyTap` for its first pass."""

    def __init__(self, folder: Path, base: Survey, before: BaseSpool, limits: Limits) -> None:
        """Spool into ``folder`` what is not in ``base``."""
        self.headers: list[Header] = []
        self._members: list[Member] = []
        """Of a folder."""
        self.length = len(END)
        """Bytes of the shortest container that holds what was read."""
        self.documents: dict[MemberPath, Documents] = {}
        self.bytes: dict[MemberPath, Stretch] = {}
        self._folder = folder
        self._base = base
        self._heads = before.heads
        self._limits = limits
        self._others: ScratchFile | None = None

    def relink(self, links: Iterable[Link]) -> None:
        """Replace the headers of files that are listed as hard links, and put these after all their targets."""
        targets = {link.path: link.target for link in links}
        if not targets:
            return
        both = zip(self._members, self.headers, strict=True)
        self.headers = [header for member, header in both if member.path not in targets]
        for member in self._members:
            if member.path in targets:
                link = replace(member, kind=EntryKind.HARDLINK, size=0, link_target=targets[member.path])
                self.headers.append(Header(data=entry_header(link), has_body=False))

    def note(self, member: Member) -> None:
        """Keep the header of an entry."""
        header = header_of(member)
        if not member.header:
            self._members.append(member)
        self.headers.append(Header(data=header, has_body=member.is_file))
        self.length += len(header) + member.size + len(padding(member.size))

    def take(
        self, member: Member, path: MemberPath, body: Iterator[bytes], collection: CollectionMember | None
    ) -> None:
        """Spool a body, if it surely differs from the base's."""
        known = self._base.members.get(path)
        if known is not None and known[1] == member.size:
            first = next(body, b"")
            head = self._heads.get(path, first)
            if first.startswith(head[: len(first)]):
                return
            body = chain((first,), body)
        if collection is not None and collection.codec is Codec.NONE:
            if len(self.documents) < MAX_COLLECTIONS:
                self.documents[path] = self._cut(member, body, collection.format)
            return
        if self._others is None:
            self._others = ScratchFile(self._folder / "changed")
        self.bytes[path] = append_stretch(self._others, body)

    def _cut(self, member: Member, body: Iterator[bytes], format_: CollectionFormat) -> Documents:
        store = DocumentStore(self._folder, f"target-{len(self.documents)}", format_)
        return Documents(store, put_collection(store, body, member.size, self._limits))

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        for documents in self.documents.values():
            documents.store.close()
        if self._others is not None:
            self._others.close()
