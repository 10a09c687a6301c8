"""Paths of outputs: the names next to a kit that belong to it, and checks against overwriting and overlaps.

Two paths are one place if one file has both names (device and inode: hard links, symbolic links, ``./`` and ``..``,
folders mounted twice). A path that does not exist yet is compared by its folder and its name, ignoring case, trailing
dots and the Unicode form, since some file systems ignore them. Law: no error unless one of the two is written.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations
from pathlib import Path

from kit.errors import OutputError, UsageError

SIDECARS = (".sha256", ".sig")
"""The checksum and the signature over the whole archive."""
BACKUP = ".bak"
"""The kit before it was replaced; ``.bak.N`` by the generation N that it holds (:func:`numbered`)."""
ROLLED_BACK = ".rolled-back"
"""The newer kit, which a rollback keeps; numbered likewise."""


_MAX_LINKS = 40
"""Symbolic links that Linux follows in one path (path_resolution(7))."""
_NAME_MAX = 255

_Key = tuple[object, ...]


class Use(Enum):
    """How a command uses a place."""

    READ = auto()
    WRITE = auto()
    WORK = auto()
    """A folder that is emptied and removed."""
    ROOM = auto()
    """A folder in which files are created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One place that a command reads or writes, and its role for the parameter that named it."""

    path: Path
    use: Use
    parameter: str
    role: str
    keys: frozenset[_Key]
    folders: frozenset[_Key]

    @property
    def phrase(self) -> str:
        """The words for the place in messages."""
        return f"the {self.role} of {self.parameter}" if self.role else self.parameter


def require_apart(claims: Sequence[Claim]) -> None:
    """Refuse two places that are the same or nested, if one of them is written.

    Raises:
        UsageError: There are such; the message names the place and both parameters.
    """
    for one, other in combinations(claims, 2):
        if one.parameter != other.parameter:
            _require_apart(one, other)


def require_output_apart(output: Path, inputs: Mapping[str, Path], *, kind: str = "job") -> None:
    """Refuse an output at, within or around an input; sidecars and job folders count.

    The command line compares everything its parameters declare. This is the check for callers of the library.

    Args:
        output: The kit or delta to write.
        inputs: The kits and deltas to read, by the names that messages use.
        kind: The kind of the run's job folders, as in :class:`kit.output.job.Job`.

    Raises:
        UsageError: They overlap; the message names both.
    """
    jobs = (f".kit-{kind}", ".kit-done" if kind == "job" else f".kit-{kind}-done")
    claims = [claim_of(_sibling(output, suffix), Use.WRITE, "output", suffix) for suffix in ("", *SIDECARS)]
    claims += [claim_of(_sibling(output, suffix), Use.WORK, "output", suffix) for suffix in jobs]
    for name, path in inputs.items():
        claims += [claim_of(_sibling(path, suffix), Use.READ, name, suffix) for suffix in ("", *SIDECARS)]
    require_apart(claims)


def _sibling(path: Path, suffix: str) -> Path:
    settled = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    return settled.parent / f"{settled.name}{suffix}"


def claim_of(path: Path, use: Use, parameter: str, role: str = "") -> Claim:
    """Return the claim of ``parameter`` on ``path``; ``role`` is empty for the path that the user named."""
    return Claim(path=path, use=use, parameter=parameter, role=role, keys=keys_of(path), folders=folder_keys(path))


def _require_apart(one: Claim, other: Claim) -> None:
    if {one.use, other.use} in ({Use.READ}, {Use.ROOM}):
        return
    if one.keys & other.keys:
        alike = one.path.name != other.path.name and _is_free(one) and _is_free(other)
        are = "have names that some file systems take for one" if alike else "are one place"
        raise UsageError(
            f"{one.phrase} and {other.phrase} {are}, and it would be written",
            where=str(other.path),
            hint=_hint_for(one, other),
        )
    for inner, outer in ((one, other), (other, one)):
        if (
            outer.use is not Use.ROOM
            and (inner.use is not Use.READ or outer.use is Use.WORK)
            and inner.folders & outer.keys
        ):
            what = "the kit that is read" if outer.use is Use.READ and not outer.role else outer.phrase
            raise UsageError(
                f"{inner.phrase} would be inside {what}", where=str(inner.path), hint=_hint_for(inner, outer)
            )


def _is_free(claim: Claim) -> bool:
    return not os.path.lexists(claim.path)


def _hint_for(one: Claim, other: Claim) -> str:
    """Return a hint that names the parameter to change: preferably an option, and an output other than the kit."""
    ranked = sorted(
        (one, other),
        key=lambda claim: (not claim.parameter.startswith("-"), claim.use is Use.READ, claim.parameter == "--output"),
    )
    return f"choose another place for {ranked[0].parameter}"


def require_short(claim: Claim) -> None:
    """Refuse a name that is too long for the file system, before the work is done.

    Raises:
        UsageError: It is too long.
    """
    try:
        longest = os.pathconf(claim.path.parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        longest = _NAME_MAX
    length = len(os.fsencode(claim.path.name))
    if length > longest:
        raise UsageError(
            f"{claim.phrase} would have a name of {length} bytes; this file system allows {longest}",
            where=str(claim.path),
            hint=f"choose a shorter name for {claim.parameter}",
        )


def keys_of(path: Path) -> frozenset[_Key]:
    """Return every identity of the place a path names; two paths are one place if they share an identity."""
    keys: set[_Key] = set()
    for _ in range(_MAX_LINKS):
        if path.name in {"", ".."}:
            path = Path(os.path.realpath(path))
        folder = _folder(path.parent)
        try:
            status = path.lstat()
        except (OSError, ValueError):
            keys.add(("free", *folder, _fold(path.name)))
            break
        keys |= {("named", *folder, path.name), ("file", status.st_dev, status.st_ino)}
        if not stat.S_ISLNK(status.st_mode):
            break
        with suppress(OSError):  # the target does not exist yet
            keys.add(_file(path.stat()))
        try:
            path = path.parent / path.readlink()  # each link on the way may be replaced, so each is a place of its own
        except OSError:
            break
    return frozenset(keys)


def folder_keys(path: Path) -> frozenset[_Key]:
    """Return the identities of every folder that contains a path."""
    real = Path(os.path.realpath(path.parent))
    return frozenset(key for folder in (real, *real.parents) for key in keys_of(folder))


def _folder(folder: Path) -> _Key:
    """Return a folder's device and inode; if it does not exist, those of its nearest parent, and the missing names."""
    real = os.path.realpath(folder)
    missing: list[str] = []
    while True:
        try:
            return (*_file(os.stat(real))[1:], *missing)  # noqa: PTH116  text throughout
        except OSError:
            parent, name = os.path.split(real)
            if parent == real:
                return (real, *missing)
            real, missing = parent, [_fold(name), *missing]


def _file(status: os.stat_result) -> _Key:
    return ("file", status.st_dev, status.st_ino)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).rstrip(" .")


_GET_FLAGS = 0x80086601
"""FS_IOC_GETFLAGS of Linux with 64 bits."""
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_MOUNT_HINT = "write a new kit with --output, and replace this one where it is mounted from"
_OWNER_HINT = "write a new kit with --output, and let the owner replace this one"


def path_next_to(path: Path, suffix: str) -> Path:
    """Return the place next to ``path`` that has its name and ``suffix``.

    Raises:
        UsageError: The path is ``.`` or ``..``, so nothing can be named after it.
    """
    if path.name in {"", ".."}:
        raise UsageError(
            "has no name of its own, so no result can be put next to it",
            where=str(path),
            hint="name the folder from outside, as in ../my-kit",
        )
    return path.with_name(path.name + suffix)


def backup_path(kit: Path, suffix: str = BACKUP) -> Path:
    """Return where the old kit is kept when a kit is replaced or, with :data:`ROLLED_BACK`, rolled back.

    Args:
        kit: The kit.
        suffix: The suffix of its name, as of :func:`numbered`; or the whole path, if the user named one.

    Raises:
        UsageError: As :func:`path_next_to`.
    """
    return Path(suffix) if suffix.startswith("/") else path_next_to(kit, suffix)


def absolute(path: Path) -> str:
    """Return a path as it is recorded in a journal, which is read from any folder; no link is followed."""
    return os.path.abspath(path)  # noqa: PTH100


def numbered(suffix: str, generation: int) -> str:
    """Return the suffix under which a kit of that generation is kept, so that each generation has a name of its own."""
    return f"{suffix}.{generation}"


def require_free(path: Path, *, but: Collection[Path] = ()) -> None:
    """Refuse to overwrite a kit of that name or its sidecars, except our own paths in ``but``.

    Raises:
        OutputError: One of the names is taken.
        UsageError: As :func:`path_next_to`.
    """
    for place in (path, *(path_next_to(path, suffix) for suffix in SIDECARS)):
        if os.path.lexists(place) and place not in but:
            raise OutputError("already exists", where=str(place), hint="move it away or choose another name")


def require_replaceable(kit: Path) -> None:
    """Refuse a kit whose name cannot be given to another file.

    Raises:
        OutputError: It, or a file next to it, is a mount point or may not be changed by anybody (chattr(1)); or it
            belongs to another user, in a folder where only the owner may rename.
        OSError: It does not exist.
    """
    status, above = kit.lstat(), kit.absolute().parent.stat()
    folder = kit.absolute().parent.resolve()
    for place in (kit, *(path_next_to(kit, suffix) for suffix in SIDECARS)):
        if _is_mounted(folder / place.name):
            raise OutputError(
                "is mounted there by itself, so it cannot be replaced", where=str(place), hint=_MOUNT_HINT
            )
    for place in (kit.parent, kit, *(path_next_to(kit, suffix) for suffix in SIDECARS)):
        if flag := _fixed_by(place):
            raise OutputError(
                f"has the attribute {flag}, so nothing there can be replaced, not even by root",
                where=str(place),
                hint=f"chattr -{'i' if flag == 'immutable' else 'a'} {place}",
            )
    if above.st_mode & stat.S_ISVTX and os.geteuid() not in {0, status.st_uid, above.st_uid}:
        raise OutputError(
            "belongs to another user, and its folder (sticky) lets nobody else replace it",
            where=str(kit),
            hint=_OWNER_HINT,
        )


def _fixed_by(path: Path) -> str:
    """Return the attribute that prevents changes of a file or folder (ioctl_iflags(2)); empty if none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it does not exist or may not be read, which other steps report
        return ""
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4])
    except OSError:  # a file system without attributes
        return ""
    finally:
        os.close(descriptor)
    return "immutable" if flags & _IMMUTABLE else "append-only" if flags & _APPEND_ONLY else ""


def _is_mounted(path: Path) -> bool:
    """Return whether a file system, or a part of one, is mounted at a path (proc(5), mountinfo)."""
    # Blanks and backslashes are written as octal numbers there.
    due = "".join(f"\\{ord(one):03o}" if one in " \t\n\\" else one for one in str(path))
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    return any(line.split(" ", 5)[4] == due for line in lines if line.count(" ") > 4)


def is_twin(kit: Path, backup: Path) -> bool:
    """Return whether both are names of one file."""
    try:
        return os.path.samestat(kit.lstat(), backup.lstat()) and stat.S_ISREG(kit.lstat().st_mode)
    except OSError:
        return False
