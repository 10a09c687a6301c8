"""Members of kits on disk, to be read at any place: documents of collections, bytes of everything else.

Laws: what is stored has the digest that the survey found; a member that changed meanwhile is an error.

Spools what a delta needs of both kits, during their first reading.

Of a base that is a guess, up to :data:`MOST_BYTES`: its collections, which seldom stay the same. Of a target it is no
guess: a member that has another size than the one of its name in the base, or begins otherwise, has another digest;
that of all others only shows at its end. So most of what changed need not be read again. Laws: what is spooled is the
body that the reading digests; nothing that is spooled has been believed yet; files of :data:`MOST_COLLECTIONS`
collections of each side are open at most, and one of everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kit.archive.read.codecs import decoded
from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.archive.write.tar import END, entry_header, padding
from kit.delta.layout import Header
from kit.documents import runs
from kit.engine.passing import read_again
from kit.engine.reading import Survey
from kit.errors import ArchiveError, ContentError
from kit.manifest import Link
from kit.output.scratch import ScratchFile
from kit.values import Codec, CollectionMember, Limits, MemberPath, collection_member
from kit.verbs.delta.documents import DocumentStore

_CHUNK = 1024 * 1024


class Stored(Protocol):
    """Bytes on disk."""

    @property
    def size(self) -> int:
        """How many."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Read some of them; fewer only at the end."""
        ...

    def close(self) -> None:
        """They are no longer needed; further calls do nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file that holds more."""

    file: ScratchFile
    start: int
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Read as of a file of its own."""
        return self.file.read(self.start + offset, max(0, min(size, self.size - offset)))

    def close(self) -> None:
        """Leave the file open: its maker owns it."""


class BaseStores:
    """What of a base can be read at any place: documents of collections, bytes of other members."""

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
        """Store the members that something else is made from, ``besides`` what is made anyway.

        What was spooled on a guess and is not needed is removed; only for what was not is the base read again. A
        collection that cannot be cut into documents is not stored: what is made of it goes in full.

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
        """Store one member: the documents of a collection, the bytes of any other.

        Raises:
            KitError: It is malformed.
        """
        if collection is not None:
            store = self.documents[path] = self._new()
            store.put(runs(decoded(body, collection.codec, limits, where=str(path)), limits=limits))
            return
        self.bytes[path] = store_bytes(self._folder / f"bytes-{len(self.bytes)}", body)

    def put_if_sound(self, collection: CollectionMember, body: Iterator[bytes], size: int, limits: Limits) -> None:
        """Store the documents of a collection; nothing, if it cannot be cut into such.

        Raises:
            KitError: The body ends before ``size`` bytes; or the disk is full.
        """
        store = self._new()
        is_plain = collection.codec is Codec.NONE
        if put_whole(store, body, size, limits) if is_plain else _put_decoded(store, collection, body, size, limits):
            self.documents[collection.path] = store
        else:
            store.remove()

    def put_small(self, path: MemberPath, body: Iterator[bytes]) -> None:
        """Store a member together with others.

        Raises:
            KitError: The container is malformed; or the disk is full.
        """
        if self._small is None:
            self._small = ScratchFile(self._folder / "small")
        self.bytes[path] = stretch_of(self._small, body)

    def _new(self) -> DocumentStore:
        self._made += 1
        return DocumentStore(self._folder, f"base-{self._made - 1}")


def store_bytes(path: Path, body: Iterator[bytes]) -> ScratchFile:
    """Store bytes in a file."""
    file = ScratchFile(path)
    for chunk in body:
        file.append(chunk)
    file.flush()
    return file


def sources(base: Survey, target: Survey, besides: frozenset[MemberPath]) -> frozenset[MemberPath]:
    """Name the members of the base that something is made from, other than by copying them."""
    known = {digest for digest, _ in base.members.values()}
    changed = [path for path, (digest, _) in target.members.items() if digest not in known and path not in besides]
    return frozenset(found for path in changed if (found := source_of(path, base, target)) is not None)


def source_of(path: MemberPath, base: Survey, target: Survey) -> MemberPath | None:
    """Choose what of the base a member of the target is made from: the same name, or the same collection once there."""
    if path in base.members:
        same_kind = (path in base.collections) == (path in target.collections)
        return path if same_kind else None
    collection = target.collections.get(path)
    if collection is None:
        return None
    parts = [other for other, met in base.collections.items() if met.name == collection.name]
    return parts[0] if len(parts) == 1 else None


def header_of(member: Member) -> bytes:
    """Return the header blocks of an entry: its own, or for what comes from a folder those it would get."""
    return member.header or entry_header(member)


def whole(file: Stored) -> Iterator[bytes]:
    """Read all of a file, in chunks."""
    for at in range(0, file.size, _CHUNK):
        yield file.read(at, _CHUNK)


def stretch_of(file: ScratchFile, body: Iterator[bytes]) -> Stretch:
    """Store bytes behind what is in a file that holds more.

    Raises:
        OutputError: The disk is full or failed.
    """
    start = file.size
    for chunk in body:
        file.append(chunk)
    file.flush()
    return Stretch(file, start, file.size - start)


def put_whole(store: DocumentStore, body: Iterator[bytes], size: int, limits: Limits) -> bool:
    """Store all bytes of a collection, and its documents if it can be cut into such; return whether it can.

    Raises:
        KitError: The body ends before ``size`` bytes; or the disk is full. The store is closed.
    """
    chunks = store.keeping(body)
    try:
        return _put(store, chunks, size, limits)
    except BaseException:
        store.close()
        raise


def _put_decoded(
    store: DocumentStore, collection: CollectionMember, body: Iterator[bytes], size: int, limits: Limits
) -> bool:
    """As :func:`put_whole`, of a collection that is compressed by itself; of its bytes nothing is kept."""
    met = 0

    def counted() -> Iterator[bytes]:
        nonlocal met
        for chunk in body:
            met += len(chunk)
            yield chunk

    try:
        store.put(runs(decoded(counted(), collection.codec, limits, where=str(collection.path)), limits=limits))
    except (ContentError, ArchiveError):
        for chunk in body:
            met += len(chunk)
        if met != size:  # the body itself has ended early, which is the container's fault
            store.close()
            raise
        return False
    except BaseException:
        store.close()
        raise
    return True


def _put(store: DocumentStore, chunks: Iterator[bytes], size: int, limits: Limits) -> bool:
    try:
        store.put(runs(chunks, limits=limits), kept=True)
    except (ContentError, ArchiveError):
        # It goes in full then; the rest of its bytes is wanted, and an error of the container is none of its own.
        for _ in chunks:
            pass
        store.flush()
        if store.size != size:
            raise
        return False
    return True


MOST_COLLECTIONS = 32
MOST_BYTES = 512 * 1024 * 1024
"""Of collections of a base."""
_SMALL_BYTES, _MOST_SMALL_BYTES = 64 * 1024, 16 * 1024 * 1024
"""Other members of a base: of one, and of all."""
_HEAD_BYTES = 64


class BaseSpool:
    """Spools what a base may be asked for: a :class:`kit.engine.reading.BodyTap` for its first reading.

    How every member begins, and into ``stores`` what the target will most likely be encoded against: collections,
    and members that are small. What is not needed after all is for :meth:`BaseStores.fill` to remove.
    """

    def __init__(self, stores: BaseStores, limits: Limits) -> None:
        """Put what may be needed into ``stores``."""
        self.heads: dict[MemberPath, bytes] = {}
        self.stores = stores
        self._limits = limits
        self._room, self._room_for_small = MOST_BYTES, _MOST_SMALL_BYTES

    def note(self, member: Member) -> None:
        """Ignore it: what holds a base decides nothing of a delta."""

    def take(self, member: Member, path: MemberPath, body: Iterator[bytes]) -> None:
        """Note how a member begins, and store it if it may be needed and there is room."""
        first = next(body, b"")
        self.heads[path] = first[:_HEAD_BYTES]
        body = chain((first,), body)
        collection = collection_member(path)
        if collection is None:
            if member.size <= min(_SMALL_BYTES, self._room_for_small):
                self._room_for_small -= member.size
                self.stores.put_small(path, body)
        elif (
            collection.codec is Codec.NONE
            and member.size <= self._room
            and len(self.stores.documents) < MOST_COLLECTIONS
        ):
            self._room -= member.size
            self.stores.put_if_sound(collection, body, member.size, self._limits)


@dataclass(frozen=True, slots=True)
class Documents:
    """A collection that is not compressed by itself, spooled."""

    store: DocumentStore
    sound: bool
    """Whether it could be cut into documents; its bytes are all there in any case."""


class TargetSpool:
    """Spools what of a target is surely another: a :class:`kit.engine.reading.BodyTap` of its first reading."""

    def __init__(self, folder: Path, base: Survey, before: BaseSpool, limits: Limits) -> None:
        """Put files into ``folder``, of what is not in ``base``."""
        self.headers: list[Header] = []
        self._members: list[Member] = []
        """Of a folder."""
        self.length = len(END)
        """Bytes of a container that holds what was read and no more than that needs."""
        self.documents: dict[MemberPath, Documents] = {}
        self.bytes: dict[MemberPath, Stretch] = {}
        self._folder = folder
        self._base = base
        self._heads = before.heads
        self._limits = limits
        self._others: ScratchFile | None = None

    def relink(self, links: Iterable[Link]) -> None:
        """Take files of a folder for the hard links that they are listed as, behind all that they may lead to."""
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
        """Note the header of an entry."""
        header = header_of(member)
        if not member.header:
            self._members.append(member)
        self.headers.append(Header(data=header, has_body=member.is_file))
        self.length += len(header) + member.size + len(padding(member.size))

    def take(self, member: Member, path: MemberPath, body: Iterator[bytes]) -> None:
        """Spool a body, if it is surely another."""
        known = self._base.members.get(path)
        if known is not None and known[1] == member.size:
            first = next(body, b"")
            head = self._heads.get(path, first)
            if first.startswith(head[: len(first)]):
                return
            body = chain((first,), body)
        collection = collection_member(path)
        if collection is not None and collection.codec is Codec.NONE:
            if len(self.documents) < MOST_COLLECTIONS:
                self.documents[path] = self._cut(member, body)
            return
        if self._others is None:
            self._others = ScratchFile(self._folder / "changed")
        self.bytes[path] = stretch_of(self._others, body)

    def _cut(self, member: Member, body: Iterator[bytes]) -> Documents:
        store = DocumentStore(self._folder, f"target-{len(self.documents)}")
        return Documents(store, put_whole(store, body, member.size, self._limits))

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        for documents in self.documents.values():
            documents.store.close()
        if self._others is not None:
            self._others.close()
