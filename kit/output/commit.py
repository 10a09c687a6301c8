"""From a finished work file to the user's file: the only place where a kit's name comes to mean other bytes.

Order of an in-place switch, and why:

1. What belongs next to the new kit is written into the job folder, and the :class:`Switch` into the journal
   (:mod:`kit.archive.switch`): from here on no step needs room on the disk.
2. The old archive gets its second name ``<kit>.bak`` (hard link): from here on it cannot be lost.
3. Signature and checksum next to the kit leave its name, for the backup's or the job folder: from here on no pair
   next to the kit can mismatch; until step 5 the kit simply has none.
4. The work file, complete, synced and verified by now, is renamed over the kit: one atomic step from old to new.
5. The new checksum and signature are put next to it, and the folder is synced.

Laws: whatever step a crash follows, the kit's name holds the old bytes or the new ones, whole, and while anything is
missing next to it the job folder shows it; a step up to the fourth that *fails* is undone with all before it, so that
the kit and all next to it are as they were; what a crash left is for :mod:`kit.archive.finishing`. Where the file
system has no hard links (FAT, exFAT, a file of somebody else's), names are exchanged instead of step 2. Why the names
themselves are asked, and not records of steps: docs/design/journal.md.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from kit.archive.disk import write_file, writing
from kit.archive.places import is_twin, place_beside, require_backup_free, require_free
from kit.archive.switch import Switch, checksum_line, is_file_of, parked
from kit.errors import OutputError
from kit.publishing import add_name, exchange, give_name, rename_free, sync_folder
from kit.values.suffixes import SIDECARS

_NO_MODES = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def perform(switch: Switch) -> None:
    """Switch names; nothing of that was done before, or no more than its first three steps.

    Raises:
        OutputError: A step was refused by the file system; everything is as it was, unless the message states that only
            what belongs next to the new kit could not be put there.
    """
    if switch.in_place:
        _replace(switch)
    else:
        _publish(switch)


@contextmanager
def _undone_by_failure() -> Iterator[ExitStack]:
    """Collect what undoes the steps of a switch, and do that if one of them fails.

    Not where the run is interrupted: that may fall behind the last step, when to undo the others would take the backup
    and put the old checksum next to the new kit. What an interrupt leaves is what a kill leaves, and finished as that.
    """
    undo = ExitStack()
    try:
        yield undo
    except Exception:
        undo.close()
        raise


def _publish(switch: Switch) -> None:
    """Publish a finished work file or folder, and what belongs next to it."""
    work, target = switch.work, switch.target
    require_free(target)
    with _undone_by_failure() as undo, writing(target):
        if give_name(work, target):
            undo.callback(_quietly, _unlink_twin, target, work)
        else:
            undo.callback(_quietly, target.rename, work)
        for suffix in switch.sidecars:
            file, place = work.with_name(f"beside{suffix}"), place_beside(target, suffix)
            if os.path.lexists(file):  # a signature that was damaged is gone
                rename_free(file, place)
                undo.callback(_quietly, place.rename, file)
        sync_folder(target.parent)


def _replace(switch: Switch) -> None:
    work, kit, backup = switch.work, switch.target, switch.backup
    if backup is not None:
        require_backup_free(kit, switch.kept_as, but=parked(switch))
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
    place_sidecars(switch)


def place_sidecars(switch: Switch) -> None:
    """Put what is still staged next to the new kit, and make all of the switch durable."""
    try:
        for suffix in switch.sidecars:
            file = switch.work.with_name(f"beside{suffix}")
            if os.path.lexists(file):
                rename_free(file, place_beside(switch.target, suffix))
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
        os.chown(work, status.st_uid, status.st_gid, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    try:
        work.chmod(mode)
    except OSError as error:
        # A file system without modes refuses, and has none that could be lost; but nobody is let in by that.
        if error.errno not in _NO_MODES or stat.S_IMODE(work.lstat().st_mode) & ~mode:
            raise


def _link(kit: Path, backup: Path, undo: ExitStack) -> bool:
    """Add the backup's name to the kit; return False where the file system allows no second name."""
    if is_twin(kit, backup):
        return True
    if not add_name(kit, backup):
        return False
    undo.callback(_quietly, _unlink_twin, backup, kit)
    return True


def _move_sidecars(switch: Switch, undo: ExitStack) -> None:
    """Take signature and checksum away from the kit's name; the backup's checksum is new, since it names its file."""
    work, kit, backup = switch.work, switch.target, switch.backup
    for suffix in SIDECARS:
        place = place_beside(kit, suffix)
        if os.path.lexists(place):
            to_backup = backup is not None and suffix == ".sig"
            other = place_beside(backup, suffix) if backup is not None and to_backup else work.with_name(f"old{suffix}")
            rename_free(place, other)
            undo.callback(_quietly, rename_free, other, place)
    if backup is not None:
        checksum, place = work.with_name("backup.sha256"), place_beside(backup, ".sha256")
        line = checksum_line(switch.old_digest, backup.name)
        if not is_file_of(place, line):  # as it is where an earlier process did this
            write_file(checksum, line, mode=kit.lstat().st_mode)
            rename_free(checksum, place)
            undo.callback(_quietly, _unlink_file_of, place, line)


def _exchange(work: Path, kit: Path, backup: Path | None, undo: ExitStack) -> None:
    """Exchange the names of the finished and the old kit, and give the old one the backup's, if there is to be one."""
    if exchange(work, kit):
        undo.callback(_quietly, exchange, work, kit)
        if backup is not None:
            rename_free(work, backup)
        return
    # No atomic exchange on this system: for an instant the old kit has only its other name.
    parking = backup or work.with_name("old")
    rename_free(kit, parking)
    undo.callback(_quietly, rename_free, parking, kit)
    rename_free(work, kit)


def _unlink_twin(path: Path, other: Path) -> None:
    if is_twin(other, path):  # else somebody else has put another file there
        path.unlink()


def _unlink_file_of(path: Path, data: bytes) -> None:
    if is_file_of(path, data):
        path.unlink()


def _quietly(step: Callable[..., object], *arguments: object) -> None:
    """Undo as much as can be undone: the error that led here is the one to report."""
    with suppress(OSError):
        step(*arguments)
