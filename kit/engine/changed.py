"""Spools what a delta needs of both kits, during their first reading.

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

from kit.archive import EntryKind, Member
from kit.archive.scratch import ScratchFile
from kit.archive.tar_writer import END, entry_header, padding
from kit.delta.layout import Header
from kit.engine.document_store import DocumentStore
from kit.engine.reading import Survey
from kit.engine.stores import BaseStores, Stretch, header_of, put_whole, stretch_of
from kit.manifest import Link
from kit.values import Codec, Limits, MemberPath, collection_member

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
