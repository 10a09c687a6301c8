"""The names next to a kit that belong to it, and how they are kept from being overwritten."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Collection
from pathlib import Path

from kit.errors import OutputError, UsageError
from kit.values.suffixes import BACKUP, SIDECARS

_GET_FLAGS = 0x80086601
"""FS_IOC_GETFLAGS of Linux with 64 bits."""
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_BESIDE = "write beside it with --output, and replace it where it was put there"


def place_beside(path: Path, suffix: str) -> Path:
    """Return the place next to ``path`` that has its name and ``suffix``.

    Raises:
        UsageError: The path is ``.`` or ``..``, next to which nothing can be put.
    """
    if path.name in {"", ".."}:
        raise UsageError(
            "has no name of its own that a result could stand beside",
            where=str(path),
            hint="name the folder from outside, as in ../my-kit",
        )
    return path.with_name(path.name + suffix)


def backup_path(kit: Path, suffix: str = BACKUP) -> Path:
    """Where the old kit is kept when a kit is patched in place or, with :data:`ROLLED_BACK`, when that is undone.

    Raises:
        UsageError: As :func:`place_beside`.
    """
    return place_beside(kit, suffix)


def require_free(path: Path, *, but: Collection[Path] = ()) -> None:
    """Refuse to overwrite anything ``but`` what is ours: a kit of that name, or its sidecars.

    Raises:
        OutputError: Something is already there.
        UsageError: As :func:`place_beside`.
    """
    for place in (path, *(place_beside(path, suffix) for suffix in SIDECARS)):
        if os.path.lexists(place) and place not in but:
            raise OutputError("already exists", where=str(place), hint="move it away or choose another name")


def require_backup_free(kit: Path, suffix: str = BACKUP, *, but: Collection[Path] = ()) -> None:
    """Refuse to overwrite an older backup of ``kit``; the second name an ended run gave this very kit is none.

    Nor is ``but``: what is ours of a backup's sidecars.

    Raises:
        OutputError: There is one already.
        UsageError: As :func:`place_beside`.
    """
    if not is_twin(kit, backup_path(kit, suffix)):
        require_free(backup_path(kit, suffix), but=but)


def require_replaceable(kit: Path) -> None:
    """Refuse a kit whose name cannot come to mean another file, however whole the new one is.

    Raises:
        OutputError: It, or what is next to it, is mounted there or may not be changed by anybody (chattr(1)); or it is
            another user's in a folder where only the owner may rename.
        OSError: It is not there.
    """
    status, above = kit.lstat(), kit.absolute().parent.stat()
    folder = kit.absolute().parent.resolve()
    for place in (kit, *(place_beside(kit, suffix) for suffix in SIDECARS)):
        if _is_mounted(folder / place.name):
            raise OutputError("is mounted there by itself, so it cannot be replaced", where=str(place), hint=_BESIDE)
    for place in (kit.parent, kit, *(place_beside(kit, suffix) for suffix in SIDECARS)):
        if flag := _fixed_by(place):
            raise OutputError(
                f"has the attribute {flag}, so nothing there can be replaced, not even by root",
                where=str(place),
                hint=f"chattr -{'i' if flag == 'immutable' else 'a'} {place}",
            )
    if above.st_mode & stat.S_ISVTX and os.geteuid() not in {0, status.st_uid, above.st_uid}:
        raise OutputError(
            "belongs to another user, and its folder (sticky) lets nobody else replace it", where=str(kit), hint=_BESIDE
        )


def _fixed_by(path: Path) -> str:
    """Return the attribute that keeps a file or a folder as it is (ioctl_iflags(2)); empty where none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is not there, or may not be read, of which others complain
        return ""
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4])
    except OSError:  # a file system without attributes
        return ""
    finally:
        os.close(descriptor)
    return "immutable" if flags & _IMMUTABLE else "append-only" if flags & _APPEND_ONLY else ""


def _is_mounted(path: Path) -> bool:
    """Whether a file system, or a part of one, is mounted at a path (proc(5), mountinfo)."""
    # Blanks and backslashes are written as octal numbers there.
    due = "".join(f"\\{ord(one):03o}" if one in " \t\n\\" else one for one in str(path))
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    return any(line.split(" ", 5)[4] == due for line in lines if line.count(" ") > 4)


def is_twin(kit: Path, backup: Path) -> bool:
    """Whether both are names of one file."""
    try:
        return os.path.samestat(kit.lstat(), backup.lstat()) and stat.S_ISREG(kit.lstat().st_mode)
    except OSError:
        return False
