"""From a finished work file to the user's file: the only place where a kit's name comes to mean other bytes.

Before the switch, its :class:`Switch` is in the journal: what is to get which name, and the digests by which a later
process can tell old from new. Order of an in-place switch, and why:

1. What will stand beside the new kit is written into the job folder: from here on no step needs room on the disk.
2. The old archive gets its second name ``<kit>.bak`` (hard link): from here on it cannot be lost.
3. Signature and checksum beside the kit leave its name, for the backup's or the job folder: from here on no pair
   beside the kit can mismatch; until step 5 the kit simply has none.
4. The work file, complete, synced and verified by now, is renamed over the kit: one atomic step from old to new.
5. The new checksum and signature are put beside it, and the folder is synced.

Laws: whatever step a crash follows, the kit's name holds the old bytes or the new ones, whole, and while anything is
missing beside it the job folder says so; a step up to the fourth that *fails* is undone with all before it, so that the
kit and everything beside it are as they were; :func:`finish` does what is left of a switch after any of its steps, or
before all of them, and refuses to where the new kit is no longer what was verified, in which case :func:`retreat` puts
everything back. Where the file system has no hard links (FAT, exFAT, a file of somebody else's), names are exchanged
instead of step 2. Why the names themselves are asked, and not records of steps: docs/design/journal.md.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kit.archive.disk import sync_folder, write_file, writing
from kit.archive.places import (
    BACKUP,
    SIDECARS,
    backup_path,
    is_twin,
    place_beside,
    require_backup_free,
    require_free,
)
from kit.archive.tree_digest import tree_digest
from kit.errors import OutputError
from kit.values import Sha256

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A finished kit in the job folder, and the name it is to get. Law: ``Switch.of(…, s.to_json()) == s``."""

    work: Path
    target: Path
    in_place: bool
    keep_backup: bool
    sidecars: Mapping[str, str]
    """What is staged beside ``work``, to be put beside ``target``: suffix → SHA-256 of its bytes."""
    new: str
    """Identity of the finished kit: its digest or, of a folder, its inode, which survives every rename."""
    old: str
    """Identity of the kit it replaces; empty with ``--output``."""
    kept_as: str = BACKUP
    """Suffix under which the old kit is kept, if it is."""
    content: str = ""
    """Of a folder, the digest of all that is in it: its inode does not tell whether it is still what was verified."""

    @classmethod
    def of(cls, folder: Path, target: Path, body: Mapping[str, Any]) -> Self:
        """Read the switch of the job in ``folder`` from its journal."""
        return cls(
            work=folder / body["work"],
            target=target,
            in_place=body["inPlace"],
            keep_backup=body["backup"],
            sidecars=dict(body["sidecars"]),
            new=body["new"],
            old=body["old"],
            kept_as=body.get("keptAs", BACKUP),
            content=body.get("content", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Give what the journal keeps."""
        body = {
            "work": self.work.name,
            "inPlace": self.in_place,
            "backup": self.keep_backup,
            "sidecars": dict(self.sidecars),
            "new": self.new,
            "old": self.old,
        }
        body |= {"content": self.content} if self.content else {}
        return body if self.kept_as == BACKUP else body | {"keptAs": self.kept_as}

    @property
    def backup(self) -> Path | None:
        """Where the old kit is kept; None where it is not, or where there is none."""
        return backup_path(self.target, self.kept_as) if self.in_place and self.keep_backup else None


def staged(
    work: Path,
    target: Path,
    sidecars: Mapping[str, bytes],
    *,
    new: Sha256 | None,
    old: Sha256 | None = None,
    in_place: bool = False,
    keep_backup: bool = False,
    kept_as: str = BACKUP,
) -> Switch:
    """Do step 1, and give the switch for the journal; ``new`` and ``old`` are digests of archives, None of folders.

    Raises:
        OutputError: What belongs beside the kit could not be written, or a name is taken.
    """
    if not in_place:
        require_free(target)
    elif keep_backup:
        require_backup_free(target, kept_as)
    with writing(work):
        for suffix, data in sidecars.items():
            write_file(work.with_name(f"beside{suffix}"), data)
        sync_folder(work.parent)
        return Switch(
            work=work,
            target=target,
            in_place=in_place,
            keep_backup=keep_backup,
            sidecars={suffix: Sha256.of(data).hex for suffix, data in sidecars.items()},
            new=f"{_DIGEST}{new}" if new is not None else _identity(work),
            old="" if not in_place else f"{_DIGEST}{old}" if old is not None else _identity(target),
            kept_as=kept_as,
            content=tree_digest(work).hex if new is None else "",
        )


def perform(switch: Switch) -> None:
    """Do the whole switch, with nothing of it done before.

    Raises:
        OutputError: A step was refused by the file system; everything is as it was, unless the message says that only
            what belongs beside the new kit could not be put there.
    """
    if switch.in_place:
        _replace(switch)
    else:
        _publish(switch)


def finish(switch: Switch) -> None:
    """Do what is left of a switch that a crash or a failure ended anywhere; nothing, where all was done.

    Raises:
        OutputError: The names hold something that this job did not put there, the finished kit was damaged in the job
            folder, or as :func:`perform`.
    """
    with writing(switch.target):
        _make_good(switch)
        work, target = _identity(switch.work), _identity(switch.target)
        if _is_damaged(switch, work, target):
            raise OutputError(
                "the new kit was damaged in the job folder since it was verified; the old one is whole",
                where=str(switch.work),
                hint="give the run up with --abandon, which puts back what was moved, and begin it again",
            )
    if switch.in_place:
        _finish_replacing(switch, work, target)
    elif target == switch.new:
        _place_sidecars(switch)
    elif work == switch.new:
        _publish(switch)
    else:
        raise _lost(switch)


def _make_good(switch: Switch) -> None:
    """Look at what was staged before a crash: a medium that lost power may give back other bytes than it took.

    A checksum is made again, since the journal has the digest. A signature cannot be: it goes, and that is said.

    Raises:
        OutputError: The staged signature was damaged.
    """
    for suffix, digest in switch.sidecars.items():
        file = switch.work.with_name(f"beside{suffix}")
        if not os.path.lexists(file) or Sha256.of(file.read_bytes()).hex == digest:
            continue
        file.unlink()
        if suffix != ".sha256":
            raise OutputError(
                f"the staged {suffix} was damaged since it was written, and is removed",
                where=str(file),
                hint="--resume again finishes without it; the kit is signed inside",
            )
        write_file(file, checksum_line(Sha256(switch.new.removeprefix(_DIGEST)), switch.target.name))


def has_begun(switch: Switch) -> bool:
    """Whether any name outside the job folder is other than before the switch, so that it must be finished."""
    if not switch.in_place:
        return _identity(switch.target) == switch.new
    parked = any(os.path.lexists(switch.work.with_name(f"old{suffix}")) for suffix in SIDECARS)
    linked = switch.backup is not None and os.path.lexists(switch.backup)
    return parked or linked or _identity(switch.target) != switch.old


def retreat(switch: Switch) -> bool:
    """Undo a switch that cannot be finished, since its new kit was damaged before it got its name.

    Returns:
        False where that is not so, and nothing was done.

    Raises:
        OutputError: The file system refuses.
    """
    kit, backup = switch.target, switch.backup
    with writing(kit):
        if not switch.in_place or not _is_damaged(switch, _identity(switch.work), _identity(kit)):
            return False
        parking = backup or switch.work.with_name("old")
        if not os.path.lexists(kit):  # a system without exchange: the old kit has only its other name
            parking.rename(kit)
        if backup is not None:
            place_beside(backup, ".sha256").unlink(missing_ok=True)
        for suffix in SIDECARS:
            for parked in _parkings(switch, suffix):
                if os.path.lexists(parked):
                    rename_free(parked, place_beside(kit, suffix))
        if backup is not None and is_twin(kit, backup):
            backup.unlink()  # last: as long as it is there, has_begun
        sync_folder(kit.parent)
    return True


def _parkings(switch: Switch, suffix: str) -> list[Path]:
    """Where :func:`_move_sidecars` may have put what was beside the old kit."""
    beside = [place_beside(switch.backup, suffix)] if switch.backup is not None and suffix == ".sig" else []
    return [*beside, switch.work.with_name(f"old{suffix}")]


def _is_damaged(switch: Switch, work: str, target: str) -> bool:
    """Whether the old kit still has its name, or its other one, and what was to replace it is not what was made."""
    if work == switch.new:
        return bool(switch.content) and tree_digest(switch.work).hex != switch.content
    if not switch.in_place:
        return work != "" and target == ""
    parking = switch.backup or switch.work.with_name("old")
    return work != switch.old and (target == switch.old or (target == "" and _identity(parking) == switch.old))


def _finish_replacing(switch: Switch, work: str, target: str) -> None:
    backup = switch.backup
    if target == switch.old and work == switch.new:
        _replace(switch)
    elif target == switch.new:
        with writing(switch.target):
            if backup is not None and work == switch.old:
                switch.work.rename(backup)  # the names were exchanged, and the old kit is still under the wrong one
        _place_sidecars(switch)
    elif not target and work == switch.new:
        with writing(switch.target):
            switch.work.rename(switch.target)  # a system without exchange: the old kit has only its other name
        _place_sidecars(switch)
    else:
        raise _lost(switch)


def _lost(switch: Switch) -> OutputError:
    return OutputError(
        "is neither the kit that the interrupted run read nor the one it made",
        where=str(switch.target),
        hint=f"put the right one there and --resume again, or --abandon; the new one is {switch.work}",
    )


def _identity(path: Path) -> str:
    """Tell what stands under a name: digest of a file, inode of a folder, empty for nothing or anything else."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return ""
    if stat.S_ISDIR(status.st_mode):
        return f"inode:{status.st_ino}"
    if not stat.S_ISREG(status.st_mode):
        return "other"
    with path.open("rb") as file:
        return f"{_DIGEST}{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextmanager
def _undone_by_failure() -> Iterator[ExitStack]:
    """Collect what undoes the steps of a switch, and do that if one of them fails.

    Not where the run is interrupted: that may fall behind the last step, when to undo the others would take the backup
    and put the old checksum beside the new kit. What an interrupt leaves is what a kill leaves, and finished as that.
    """
    undo = ExitStack()
    try:
        yield undo
    except Exception:
        undo.close()
        raise


def _publish(switch: Switch) -> None:
    """Give a finished work file or folder its new name, and what belongs beside it."""
    work, target = switch.work, switch.target
    require_free(target)
    with _undone_by_failure() as undo, writing(target):
        if work.is_dir():
            rename_free(work, target)
            undo.callback(_quietly, target.rename, work)
        else:
            try:
                # link, not rename: it fails if somebody took the name since it was checked.
                os.link(work, target)
                undo.callback(_quietly, Path.unlink, target)
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                rename_free(work, target)
                undo.callback(_quietly, target.rename, work)
        for suffix in switch.sidecars:
            file, place = work.with_name(f"beside{suffix}"), place_beside(target, suffix)
            if os.path.lexists(file):  # a signature that was damaged is gone: _make_good
                rename_free(file, place)
                undo.callback(_quietly, place.rename, file)
        sync_folder(target.parent)


def _replace(switch: Switch) -> None:
    work, kit, backup = switch.work, switch.target, switch.backup
    if backup is not None:
        require_backup_free(kit, switch.kept_as)
    with _undone_by_failure() as undo, writing(kit):
        _keep_access(kit, work)
        if work.is_dir():
            _exchange(work, kit, backup, undo)
        else:
            linked = backup is not None and _link(kit, backup, undo)
            _move_sidecars(switch, undo)
            sync_folder(kit.parent)
            if backup is None or linked:
                work.rename(kit)
            else:
                _exchange(work, kit, backup, undo)
    _place_sidecars(switch)


def _place_sidecars(switch: Switch) -> None:
    """Put what is still staged beside the new kit, and make all of the switch durable."""
    try:
        for suffix in switch.sidecars:
            file = switch.work.with_name(f"beside{suffix}")
            if os.path.lexists(file):
                file.rename(place_beside(switch.target, suffix))
        sync_folder(switch.target.parent)
    except OSError as error:
        raise OutputError(
            f"the new kit is in place, but not all that belongs beside it: {error.strerror or error}",
            where=str(switch.target),
            hint="the kit is whole and signed inside; kit verify shows it, sha256sum makes the checksum",
        ) from error


def _keep_access(kit: Path, work: Path) -> None:
    """Let the new kit be read and written by whom the old one was."""
    status = kit.lstat()
    with suppress(OSError):  # only root may give files away; the mode is what protects them
        os.chown(work, status.st_uid, status.st_gid)
    work.chmod(stat.S_IMODE(status.st_mode))


def _link(kit: Path, backup: Path, undo: ExitStack) -> bool:
    """Give the kit its second name; False where the file system has no such thing."""
    if is_twin(kit, backup):
        return True
    try:
        os.link(kit, backup)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return False
    undo.callback(_quietly, Path.unlink, backup)
    return True


def _move_sidecars(switch: Switch, undo: ExitStack) -> None:
    """Take signature and checksum away from the kit's name; the backup's checksum is new, since it names its file."""
    work, kit, backup = switch.work, switch.target, switch.backup
    for suffix in SIDECARS:
        place = place_beside(kit, suffix)
        if os.path.lexists(place):
            to_backup = backup is not None and suffix == ".sig"
            parked = (
                place_beside(backup, suffix) if backup is not None and to_backup else work.with_name(f"old{suffix}")
            )
            place.rename(parked)
            undo.callback(_quietly, parked.rename, place)
    if backup is not None:
        old = Sha256(switch.old.removeprefix(_DIGEST))
        checksum, place = work.with_name("backup.sha256"), place_beside(backup, ".sha256")
        write_file(checksum, checksum_line(old, backup.name))
        checksum.rename(place)
        undo.callback(_quietly, Path.unlink, place)


def _exchange(work: Path, kit: Path, backup: Path | None, undo: ExitStack) -> None:
    """Exchange the names of the finished and the old kit, and give the old one the backup's, if there is to be one."""
    if _rename(work, kit, _RENAME_EXCHANGE):
        undo.callback(_quietly, _rename, work, kit, _RENAME_EXCHANGE)
        if backup is not None:
            work.rename(backup)
        return
    # No atomic exchange on this system: for an instant the old kit has only its other name.
    parking = backup or work.with_name("old")
    kit.rename(parking)
    undo.callback(_quietly, parking.rename, kit)
    work.rename(kit)


def _quietly(step: Callable[..., object], *arguments: object) -> None:
    """Undo as much as can be undone: the error that led here is the one to report."""
    with suppress(OSError):
        step(*arguments)


def checksum_line(digest: Sha256, name: str) -> bytes:
    """Make the content of a ``.sha256`` file, as sha256sum writes and checks it."""
    return f"{digest}  {name}\n".encode()


def rename_free(one: Path, other: Path) -> None:
    """Rename without ever replacing anything, where the system can promise that."""
    if not _rename(one, other, _RENAME_NOREPLACE):
        if os.path.lexists(other):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(other))
        one.rename(other)


def _rename(one: Path, other: Path, flags: int) -> bool:
    """Rename as renameat2(2) with ``flags`` does; False where the system cannot, or refuses."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags) == 0)
