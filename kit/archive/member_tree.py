"""Keeps the names of one archive apart: what a file system would merge, follow or replace is refused.

Laws: no two members have one name, nor names that a case-insensitive or normalising file system takes for one; a
folder is spelled one way and is a folder throughout; a link points inside the kit whatever else the kit holds.
Memory is one entry per member and implied folder, bounded by ``limits.members`` and ``limits.names_bytes``.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.archive.tar_headers import EntryKind
from kit.errors import ArchiveError
from kit.values import Limits, MemberPath


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


@dataclass(slots=True)
class _Entry:
    text: str
    kind: EntryKind
    implied: bool
    """A folder known only from the names of what is in it."""


class MemberTree:
    """The members met so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: dict[str, _Entry] = {}
        self._folders: set[str] = set()
        self._has_root = False
        self._names_bytes = 0

    def add(self, path: MemberPath | None, kind: EntryKind) -> None:
        """Take in one member.

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

    def check_link(self, path: MemberPath, kind: EntryKind, target: str) -> None:
        """Refuse a link that leaves the kit.

        A symbolic link may climb only at its start (``../../a/b``): its own folders are real ones, since nothing is
        accepted below a link, so the climb is what it seems, and every name after it stays inside by induction. A
        ``..`` behind a name could climb from wherever that name, itself a link, leads. A hard link names a file
        that came before it, as every tool that extracts it needs.

        Raises:
            ArchiveError: The target is absolute, leaves the kit, is not normal, or is no earlier file.
        """
        try:
            if kind is EntryKind.HARDLINK:
                self._check_hard_link(target.removeprefix("./"))
            else:
                _check_symbolic_link(path, target)
        except ArchiveError as error:
            raise ArchiveError(f"links to {target!r}: {error.what}") from error

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


def _check_symbolic_link(path: MemberPath, target: str) -> None:
    segments = target.split("/")
    climbs = next((i for i, segment in enumerate(segments) if segment != ".."), len(segments))
    if climbs > path.text.count("/"):
        raise ArchiveError("leads out of the kit")
    rest = "/".join(segments[climbs:])
    if rest or not climbs:
        MemberPath.parse(rest)
