"""Reads an unpacked kit: the same members, from a folder that may change meanwhile.

Laws: the walk is in the order of the paths (folders compared with their trailing slash), so the same tree yields the
same members everywhere; every name is resolved once, relative to the open descriptor of its folder, and no link is
followed, so a name exchanged during the walk cannot lead outside; a body has exactly the size that its member declares.
Kinds and names follow the rules of the archive reader. At most ``limits.path_depth`` descriptors are open.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kit.archive.read.headers import MAX_TIME, MIN_TIME, EntryKind
from kit.archive.read.names import LINK_HINT, MemberTree, check_mode, check_name, parse_name
from kit.archive.read.tar import Member
from kit.archive.source import OPEN_FLAGS, FileSource, source_chunks, unreadable
from kit.errors import ArchiveError
from kit.values import STRICT, Allowed, Limits, Price

_REFUSED = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


# Without the access lists of NFSv4: such a mount shows one for every file.
_RIGHTS = frozenset({"security.capability", "system.posix_acl_access", "system.posix_acl_default"})
_WITHOUT_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    leaf: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def order(self) -> str:
        return f"{self.leaf}/" if self.is_folder else self.leaf


@dataclass(slots=True)
class _Folder:
    descriptor: int
    prefix: str
    left: list[_Entry]

    def close_unless(self, root: int) -> None:
        if self.descriptor != root:
            os.close(self.descriptor)


def open_folder(path: Path | str, *, directory: int | None = None, name: str = "") -> int:
    """Open a folder, relative to ``directory`` when given, and return its descriptor.

    Raises:
        UnreadableError: Absent, a link, no folder, or not permitted.
    """
    try:
        return os.open(path, OPEN_FLAGS | os.O_DIRECTORY, dir_fd=directory)
    except (OSError, ValueError) as error:
        raise unreadable(error, name or str(path)) from error


def read_folder(
    root: int, limits: Limits, *, where: str, allowed: Allowed = STRICT
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield every member below the folder open as ``root``, which stays open.

    The body of a member is read only if the caller iterates over it.

    Raises:
        ArchiveError: A name or kind that is refused, or a file whose size changed.
        LimitError: A size or count is over a limit.
        UnreadableError: The file system refused.
    """
    yield from _FolderReader(limits, where=where, allowed=allowed).members(root)


class _FolderReader:
    def __init__(self, limits: Limits, *, where: str, allowed: Allowed) -> None:
        self._limits = limits
        self._where = where
        self._allowed = allowed
        self._tree = MemberTree(limits)
        self._ordinal = 0
        self._total = 0

    def members(self, root: int) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Walk depth first, on a stack of open folders rather than by recursion."""
        folders = [_Folder(root, "", self._listing(root, ""))]
        try:
            while folders:
                folder = folders[-1]
                if not folder.left:
                    folders.pop().close_unless(root)
                    continue
                entry = folder.left.pop()
                text = folder.prefix + entry.leaf
                member = self._check_entry(entry, folder.descriptor, text)
                if member.kind is EntryKind.FILE:
                    yield from self._file(member, entry, folder.descriptor)
                    continue
                yield member, iter(())
                if member.kind is EntryKind.DIRECTORY:
                    inner = _Folder(
                        open_folder(entry.leaf, directory=folder.descriptor, name=self._place(text)), f"{text}/", []
                    )
                    folders.append(inner)
                    _check_attributes(inner.descriptor, self._place(text))
                    inner.left = self._listing(inner.descriptor, text)
        finally:
            for folder in folders:
                folder.close_unless(root)
        try:
            self._tree.check_links()
        except ArchiveError as error:
            raise error.inside(self._where) from error

    def _listing(self, folder: int, text: str) -> list[_Entry]:
        """Return the entries of one folder, last first."""
        entries = []
        try:
            with os.scandir(folder) as found:
                for item in found:
                    entries.append(_Entry(leaf=item.name, status=item.stat(follow_symlinks=False)))
                    self._limits.check("members", self._ordinal + len(entries), where=self._where)
        except OSError as error:
            raise unreadable(error, self._place(text)) from error
        return sorted(entries, key=lambda entry: entry.order, reverse=True)

    def _check_entry(self, entry: _Entry, folder: int, text: str) -> Member:
        try:
            return self._member(entry, folder, text)
        except ArchiveError as error:
            raise error.inside(self._place(text)) from error

    def _member(self, entry: _Entry, folder: int, text: str) -> Member:
        mode = entry.status.st_mode
        target = ""
        size = 0
        if entry.is_folder:
            kind = EntryKind.DIRECTORY
        elif stat.S_ISREG(mode):
            kind = EntryKind.FILE
            size = entry.status.st_size
        elif stat.S_ISLNK(mode):
            if not self._allowed.links:
                raise ArchiveError("is a symlink", hint=LINK_HINT)
            kind = EntryKind.SYMLINK
            target = os.readlink(entry.leaf, dir_fd=folder)
        else:
            raise ArchiveError(f"is {_REFUSED.get(stat.S_IFMT(mode), 'of an unknown kind')}, which no kit may hold")
        # Undecodable bytes come from the file system as surrogates, which MemberPath refuses by name.
        path = parse_name(text.encode("utf-8", "surrogateescape"), kind, self._limits)
        permitted = check_name(path, self._allowed)
        check_mode(stat.S_IMODE(mode), kind)
        self._total += size
        self._limits.check("member_bytes", size)
        self._limits.check("total_bytes", self._total)
        if kind is EntryKind.SYMLINK and path is not None:
            self._tree.check_link(path, kind, target, self._allowed)
        self._limits.spend(Price.MEMBER + size)
        self._tree.add(path, kind)
        self._ordinal += 1
        return Member(
            path=path,
            kind=kind,
            size=size,
            mode=stat.S_IMODE(mode),
            mtime=min(max(entry.status.st_mtime_ns // 1_000_000_000, MIN_TIME), MAX_TIME),
            header=b"",
            link_target=target,
            offset=0,
            ordinal=self._ordinal - 1,
            permitted=permitted,
        )

    def _file(self, member: Member, entry: _Entry, folder: int) -> Iterator[tuple[Member, Iterator[bytes]]]:
        place = self._place(str(member.path))
        source = FileSource.open(Path(entry.leaf), directory=folder, name=place)
        try:
            if not os.path.samestat(source.status, entry.status):
                raise ArchiveError("was replaced while the folder was read", where=place)
            _check_open(source, place)
            yield member, _body(source, member, place)
        finally:
            source.close()

    def _place(self, text: str) -> str:
        printable = text.encode("utf-8", "backslashreplace").decode()
        return f"{self._where}: {printable}" if text else self._where


def _check_open(source: FileSource, place: str) -> None:
    """Check what only the open file shows reliably: its mode, which may differ from the listing, and attributes."""
    try:
        check_mode(stat.S_IMODE(source.status.st_mode), EntryKind.FILE)
    except ArchiveError as error:
        raise error.inside(place) from error
    _check_attributes(source.descriptor, place)


def _check_attributes(descriptor: int, place: str) -> None:
    """Refuse an open file or folder with capabilities or an access list, where the file system has such.

    Raises:
        ArchiveError: It has one.
        UnreadableError: They cannot be listed.
    """
    if not hasattr(os, "listxattr"):
        return
    try:
        found = _RIGHTS.intersection(os.listxattr(descriptor))
    except OSError as error:
        if error.errno in _WITHOUT_ATTRIBUTES:
            return
        raise unreadable(error, place) from error
    if found:
        raise ArchiveError(
            f"has {', '.join(sorted(found))}: capabilities and access lists have no place in a kit",
            where=place,
            hint="remove them: setfacl -bR FOLDER, setcap -r FILE",
        )


def _body(source: FileSource, member: Member, place: str) -> Iterator[bytes]:
    count = 0
    for chunk in source_chunks(source, name=place):
        count += len(chunk)
        if count > member.size:
            break
        yield chunk
    if count != member.size:
        raise ArchiveError(
            f"changed while it was read: {member.size} bytes when it was opened, now {count}", where=place
        )


def folder_bytes(root: int, limits: Limits, *, where: str, allowed: Allowed) -> int:
    """Return the bytes of all files below ``root``, by their declared sizes.

    Raises:
        KitError: As for :func:`read_folder`, with links permitted.
    """
    return sum(
        member.size for member, _ in read_folder(root, limits, where=where, allowed=replace(allowed, links=True))
    )
