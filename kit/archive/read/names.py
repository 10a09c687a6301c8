"""Names and links of one archive: those that a file system would merge, follow or replace are refused.

A link is followed as a system follows it, and not by its text alone: ``a -> b`` and ``b/.. -> …`` are each harmless by
itself. Links may come in any order, so they are followed once all are known (schemas/archive.md, "Links").

Laws: no two members have the same name, nor names that are the same to a file system that folds case, normalises, or
drops trailing blanks and dots; a folder has one spelling and is a folder throughout; a link leads to a place inside the
kit, also through other links; each link is followed once, at a cost bounded by the parts of all targets together.
Memory is one entry for each member and implied folder, and the end of each link, bounded by ``limits.members`` and
``limits.names_bytes``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from kit.archive.read.headers import EntryKind
from kit.errors import ArchiveError
from kit.values import Allowed, Limits, MemberPath, MemoryPrice, NameClass

MAX_FOLLOWED = 40
"""Links followed on the way to one place: as many as Linux follows (path_resolution(7))."""


def check_target(path: MemberPath, target: str) -> MemberPath | None:
    """Check the text of a symbolic link; return the names in it, None where it has none (``..``).

    ``.`` and ``..`` count from the folder that the link is in; one slash may end the text.

    Raises:
        ArchiveError: It is empty, absolute, leaves the kit, has an empty part or one that no member may be called.
    """
    parts = target.removesuffix("/").split("/")
    if not target or "" in parts:
        raise ArchiveError("is empty, absolute, or has an empty part")
    depth = path.text.count("/")
    for part in parts:
        depth += {".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            raise ArchiveError("leads out of the kit")
    names = "/".join(part for part in parts if part not in {".", ".."})
    return MemberPath.parse(names) if names else None


@dataclass(frozen=True, slots=True)
class _End:
    """Where a link leads."""

    place: str
    """As a collision key: a file system that folds case follows a link in another case."""
    followed: int
    """Number of links followed, itself included."""


class LinkTargets:
    """The symbolic links of one kit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._links: dict[str, tuple[MemberPath, str]] = {}
        self._ends: dict[str, _End] = {}
        self._bytes = 0

    def add(self, path: MemberPath, target: str) -> None:
        """Add one link, whose target :func:`check_target` has accepted.

        Raises:
            LimitError: The targets have more bytes together than names may have.
        """
        self._count(target)
        self._links[path.collision_key] = path, target

    def check(self) -> None:
        """Follow every link.

        Raises:
            ArchiveError: One leads out of the kit, in a circle, or through too many others; names it.
            LimitError: The places they lead to are longer than names may be.
        """
        for key, (path, target) in self._links.items():
            try:
                self._follow(key, 1)
            except ArchiveError as error:
                raise type(error)(f"links to {target!r}: {error.what}", where=str(path), hint=error.hint) from error

    def _follow(self, key: str, depth: int) -> _End:
        if key in self._ends:
            return self._ends[key]
        path, target = self._links[key]
        place = path.collision_key.rpartition("/")[0]
        followed = 1
        for part in target.split("/"):
            if part == "..":
                if not place:
                    raise ArchiveError("leads out of the kit through another link")
                place = place.rpartition("/")[0]
            elif part not in {"", "."}:
                name = MemberPath(part).collision_key
                place = f"{place}/{name}" if place else name
                self._limits.check("path_bytes", len(place))
            if place in self._links and part not in {"", ".", ".."}:
                if depth == MAX_FOLLOWED:
                    raise ArchiveError(f"leads through more than {MAX_FOLLOWED} links, or in a circle")
                end = self._follow(place, depth + 1)
                place, followed = end.place, followed + end.followed
        if followed > MAX_FOLLOWED:
            raise ArchiveError(f"leads through more than {MAX_FOLLOWED} links")
        self._count(place)
        self._ends[key] = _End(place, followed)
        return self._ends[key]

    def _count(self, text: str) -> None:
        self._bytes += len(text)
        self._limits.check("names_bytes", self._bytes)


LINK_HINT = "links that stay inside the kit, and are listed in the manifest, are accepted with --allow-links"
_SPECIAL_BITS = 0o7000
_SETUID = 0o4000
_READ_AS = {
    NameClass.COLON: "takes for a stream of another file: a part of it holds a colon",
    NameClass.DOT: "cuts short: a part of it ends in a dot",
    NameClass.DEVICE: "takes for a device",
}


def parse_name(name: bytes, kind: EntryKind, limits: Limits) -> MemberPath | None:
    """Read a member name as tar spells it; None for the root folder (``.`` or ``./``, from ``tar -C folder .``).

    Raises:
        ArchiveError: Not UTF-8, refused by :class:`MemberPath`, or a trailing slash on what is no folder.
        LimitError: Longer or deeper than the limits.
    """
    limits.check("path_bytes", len(name))
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise ArchiveError(f"member name {name!r} is not valid UTF-8") from None
    if kind is EntryKind.DIRECTORY:
        if text in {".", "./"}:
            return None
        text = text.removesuffix("/")
    elif text.endswith("/"):
        raise ArchiveError(f"member name {text!r} ends in a slash, but it is a {kind.value}")
    path = MemberPath.parse(text.removeprefix("./"))
    limits.check("path_depth", path.text.count("/") + 1)
    return path


def check_mode(mode: int, kind: EntryKind) -> None:
    """Refuse permission bits that change as which user a file runs, or who may remove it.

    A folder may be setgid or sticky, as shared folders are: a file made in it gets its group, or only the owner of the
    file may remove it. Neither runs anything.

    Raises:
        ArchiveError: The mode has such bits.
    """
    refused = mode & (_SETUID if kind is EntryKind.DIRECTORY else _SPECIAL_BITS)
    if refused:
        raise ArchiveError(
            f"is a {kind.value} with the mode {mode:04o}: setuid, setgid and sticky bits have no place in a kit"
        )


def check_name(path: MemberPath | None, allowed: Allowed) -> tuple[str, ...]:
    """Refuse a name that Windows reads differently, unless its classes are permitted; return what was permitted.

    Raises:
        ArchiveError: A class is not permitted.
    """
    classes = path.classes if path is not None else ()
    for name in classes:
        if name not in allowed.names:
            raise ArchiveError(
                f"has a name that Windows {_READ_AS[name]}",
                hint=f"if no such system will hold the kit, permit it: --allow-names {name}",
            )
    return tuple(f"name {name}" for name in classes)


@dataclass(slots=True)
class _Entry:
    text: str
    kind: EntryKind
    implied: bool
    """Whether it is a folder known only from the names of members in it."""


class MemberTree:
    """The members read so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: dict[str, _Entry] = {}
        self._folders: set[str] = set()
        self._has_root = False
        self._names_bytes = 0
        self._links = LinkTargets(limits)

    def add(self, path: MemberPath | None, kind: EntryKind) -> None:
        """Add one member.

        Raises:
            ArchiveError: Its name collides with an earlier one, or lies below something that is no folder.
            LimitError: More members and implied folders, or more bytes of their names, than the limits allow.
        """
        if path is None:
            if self._has_root:
                raise ArchiveError("is a second entry for the root folder")
            self._has_root = True
            return
        parent = path.text.rpartition("/")[0]
        if parent and parent not in self._folders:
            self._imply(parent)
        key = path.collision_key
        known = self._entries.get(key)
        if known is None:
            self._insert(key, _Entry(path.text, kind, implied=False))
        elif known.text != path.text:
            raise ArchiveError(f"collides with {known.text!r} on systems that fold case or normalise names")
        elif known.implied and kind is EntryKind.DIRECTORY:
            known.implied = False
        elif known.implied:
            raise ArchiveError("is a folder of an earlier member")
        else:
            raise ArchiveError("is a second member of this name")

    def check_link(self, path: MemberPath, kind: EntryKind, target: str, allowed: Allowed) -> None:
        """Refuse a link whose text leaves the kit; :meth:`check_links` follows it through others.

        A hard link must name an earlier file, as every tool that extracts it needs.

        Raises:
            ArchiveError: The target is absolute, leaves the kit, has a name that no member may have, or is no earlier
                file.
            LimitError: It is longer or deeper than names may be.
        """
        try:
            self._limits.check("path_bytes", len(target.encode()))
            self._limits.check("path_depth", target.count("/") + 1)
            if kind is EntryKind.HARDLINK:
                self._check_hard_link(target.removeprefix("./"))
            else:
                check_name(check_target(path, target), allowed)
                self._links.add(path, target)
        except ArchiveError as error:
            raise type(error)(f"links to {target!r}: {error.what}", where=error.where, hint=error.hint) from error

    def check_links(self) -> None:
        """Follow every symbolic link, once all members are known, through every other.

        Raises:
            ArchiveError: One leads out of the kit, or in a circle.
            LimitError: The places they lead to are longer than names may be.
        """
        self._links.check()

    def _check_hard_link(self, target: str) -> None:
        known = self._entries.get(MemberPath.parse(target).collision_key)
        if known is None or known.text != target or known.kind is not EntryKind.FILE:
            raise ArchiveError("no earlier file of this name")

    def _imply(self, folder: str) -> None:
        at = 0
        while at >= 0:
            at = folder.find("/", at + 1)
            text = folder[:at] if at >= 0 else folder
            key = MemberPath(text).collision_key
            known = self._entries.get(key)
            if known is None:
                self._insert(key, _Entry(text, EntryKind.DIRECTORY, implied=True))
            elif known.text != text:
                raise ArchiveError(f"its folder {text!r} collides with {known.text!r}")
            elif known.kind is not EntryKind.DIRECTORY:
                raise ArchiveError(f"lies below {text!r}, which is a {known.kind.value}")
        self._folders.add(folder)

    def _insert(self, key: str, entry: _Entry) -> None:
        self._entries[key] = entry
        self._limits.check("members", len(self._entries))
        self._names_bytes += len(entry.text)
        self._limits.check("names_bytes", self._names_bytes)
        # The name is held here, as its key, in the manifest, by the caller and, implied, in names below it.
        size = MemoryPrice.MEMBER + 4 * sys.getsizeof(entry.text) + sys.getsizeof(key)
        self._limits.hold(size, passing=True)
