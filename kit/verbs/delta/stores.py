"""Members of kits on disk, to be read at any place: documents of collections, bytes of everything else.

Laws: what is stored has the digest that the survey found; a member that changed meanwhile is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kit.archive import KitReader, Member, decoded
from kit.archive.scratch import ScratchFile
from kit.archive.tar_writer import entry_header
from kit.documents import runs
from kit.engine.document_store import DocumentStore
from kit.engine.passing import read_again
from kit.engine.reading import Survey
from kit.errors import ArchiveError, ContentError
from kit.values import Codec, CollectionMember, Limits, MemberPath

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
