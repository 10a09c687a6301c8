"""What of a target is surely not in its base, put aside while the target is read the first time.

A member that has another size than the one of its name in the base, or begins otherwise, has another digest; that of
all others only tells at its end. So most changed members need not be read again. Laws: what is put aside is the body
that the reading digests; nothing that is put aside has been believed yet; files of :data:`MOST_COLLECTIONS` collections
are open at most, and one of everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from kit.archive import Member
from kit.archive.scratch import ScratchFile
from kit.archive.tar_writer import END, entry_header, padding
from kit.delta.layout import Header
from kit.documents import runs
from kit.engine.document_store import DocumentStore
from kit.engine.reading import Survey
from kit.errors import ArchiveError, ContentError
from kit.values import Codec, Limits, MemberPath, collection_member

MOST_COLLECTIONS = 32
_HEAD_BYTES = 64


def header_of(member: Member) -> bytes:
    """Give the header blocks of an entry: its own, or for what comes from a folder those it would get."""
    return member.header or entry_header(member)


class Heads:
    """How the members of a base begin."""

    def __init__(self) -> None:
        """Know of none."""
        self.of: dict[MemberPath, bytes] = {}

    def met(self, member: Member) -> None:
        """See :class:`kit.engine.reading.Aside`."""

    def take(self, _: Member, path: MemberPath, body: Iterator[bytes]) -> None:
        """Note how a member begins."""
        self.of[path] = next(body, b"")[:_HEAD_BYTES]


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
        """Do nothing: the file is whoever's who made it."""


@dataclass(frozen=True, slots=True)
class Documents:
    """A collection that is not compressed by itself, put aside."""

    store: DocumentStore
    sound: bool
    """Whether it could be cut into documents; its bytes are all there in any case."""


class Changed:
    """See the module docstring; an :class:`kit.engine.reading.Aside` for the reading of the target."""

    def __init__(self, folder: Path, base: Survey, heads: Heads, limits: Limits) -> None:
        """Put files into ``folder``, of what is not in ``base``."""
        self.headers: list[Header] = []
        self.length = len(END)
        """Bytes of a container that holds what was met and no more than that needs."""
        self.documents: dict[MemberPath, Documents] = {}
        self.bytes: dict[MemberPath, Stretch] = {}
        self._folder = folder
        self._base = base
        self._heads = heads
        self._limits = limits
        self._others: ScratchFile | None = None

    def met(self, member: Member) -> None:
        """Note the header of an entry."""
        header = header_of(member)
        self.headers.append(Header(data=header, has_body=member.is_file))
        self.length += len(header) + member.size + len(padding(member.size))

    def take(self, member: Member, path: MemberPath, body: Iterator[bytes]) -> None:
        """Put a body aside, if it is surely another."""
        known = self._base.members.get(path)
        if known is not None and known[1] == member.size:
            first = next(body, b"")
            head = self._heads.of.get(path, first)
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
        start = self._others.size
        for chunk in body:
            self._others.append(chunk)
        self._others.flush()
        self.bytes[path] = Stretch(self._others, start, self._others.size - start)

    def _cut(self, member: Member, body: Iterator[bytes]) -> Documents:
        store = DocumentStore(self._folder, f"target-{len(self.documents)}")
        return Documents(store, put_whole(store, body, member.size, self._limits))

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        for documents in self.documents.values():
            documents.store.close()
        if self._others is not None:
            self._others.close()


def put_whole(store: DocumentStore, body: Iterator[bytes], size: int, limits: Limits) -> bool:
    """Store all bytes of a collection, and its documents if it can be cut into such; tells whether it can.

    Raises:
        KitError: The body ends before ``size`` bytes; or the disk is full.
    """
    chunks = store.keeping(body)
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
