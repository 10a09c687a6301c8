"""From a finished work file to the user's file: the only place where a kit's name comes to mean other bytes.

Order of an in-place switch, and why:

1. What belongs next to the new kit is written into the job folder, and the :class:`Switch` into the journal
   (:mod:`kit.output.switch`): from here on no step needs room on the disk.
2. The old archive gets its second name ``<kit>.bak`` (hard link): from here on it cannot be lost.
3. Signature and checksum next to the kit leave its name, for the backup's or the job folder: from here on no pair
   next to the kit can mismatch; until step 5 the kit simply has none.
4. The work file, complete, synced and verified by now, is renamed over the kit: one atomic step from old to new.
5. The new checksum and signature are put next to it, and the folder is synced.

Laws: whatever step a crash follows, the kit's name holds the old bytes or the new ones, whole, and while anything is
missing next to it the job folder shows it; a step up to the fourth that *fails* is undone with all before it, so that
the kit and all next to it are as they were; what a crash left is for :mod:`kit.output.commit`. Where the file
system has no hard links (FAT, exFAT, a file of somebody else's), names are exchanged instead of step 2. Why the names
themselves are asked, and not records of steps: docs/design/journal.md.

What becomes of a switch that a crash ended: it is finished, or where that cannot be, everything is put back.

The names themselves show which step was the last (docs/design/journal.md). Laws: :func:`standing` finds the
kits, which are judged anew before anything is finished, since a journal proves nothing; :func:`finish` does what is
left after any step, and refuses to where the new kit is no longer what was verified; :func:`retreat` then puts
everything back.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kit.archive.source import read_small
from kit.errors import OutputError, UnreadableError
from kit.output.disk import write_file, writing
from kit.output.paths import SIDECARS, is_twin, place_beside, require_backup_free, require_free
from kit.output.publish import add_name, exchange, give_name, rename_free, sync_folder
from kit.output.switch import Switch, checksum_line, is_file_of, parked, tree_digest
from kit.values import Sha256

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the two kits of an interrupted switch are."""

    new: Path
    """The finished kit: in the job folder, or under its name already."""
    old: Path | None
    """The kit it replaces; None where there is none, or where it has gone."""
    is_placed: bool
    """Whether the finished kit has its name."""
    signature: bytes | None
    """What is to be next to the new kit as its ``.sig``, or is there."""


def standing(switch: Switch) -> Standing:
    """Find the kits of an interrupted switch, so that they can be judged before it is finished.

    Raises:
        OutputError: The names hold something that this job did not put there, or the finished kit was damaged in the
            job folder.
    """
    with writing(switch.target):
        _make_good(switch)
        work, target = switch.identity(switch.work), switch.identity(switch.target)
        if _is_damaged(switch, work, target):
            raise OutputError(
                "the new kit was damaged in the job folder since it was verified; the old one is whole",
                where=str(switch.work),
                hint="give the run up with --abandon, which puts back what was moved, and begin it again",
            )
        if switch.new not in {work, target}:
            raise _lost(switch)
        at = switch.target if target == switch.new else switch.work
        if at == switch.work:
            _require_own(switch)
        places = (
            switch.target,
            switch.work,
            switch.work.with_name("old"),
            *((switch.backup,) if switch.backup else ()),
        )
        old = next((place for place in places if place != at and switch.identity(place) == switch.old), None)
        return Standing(
            new=at,
            old=old if switch.in_place else None,
            is_placed=at == switch.target,
            signature=_signature(switch, at),
        )


def _require_own(switch: Switch) -> None:
    """Refuse a finished archive that has a name outside of the job folder, which is not its own.

    Raises:
        OutputError: It has one.
    """
    status = switch.work.lstat()
    due = switch.work.parent.stat().st_uid  # this user's, but where the file system says the same of all files
    if stat.S_ISREG(status.st_mode) and (status.st_nlink > 1 or status.st_uid != due):
        raise OutputError(
            "is not a file of this run: it has a second name, or belongs to another user",
            where=str(switch.work),
            hint="give the run up with --abandon, and begin it again",
        )


def _signature(switch: Switch, new: Path) -> bytes | None:
    staged = read_small(switch.work.with_name("beside.sig")) if ".sig" in switch.sidecars else None
    if staged is None and new == switch.target:
        return read_small(place_beside(new, ".sig"))
    return staged


def finish(switch: Switch) -> None:
    """Finish a switch that a crash or a failure ended anywhere; nothing, where all was done.

    Raises:
        OutputError: As :func:`standing`, or as :func:`perform`.
    """
    standing(switch)
    with writing(switch.target):
        work, target = switch.identity(switch.work), switch.identity(switch.target)
    if switch.in_place:
        _finish_replacing(switch, work, target)
    elif target == switch.new:
        place_sidecars(switch)
    elif work == switch.new:
        perform(switch)
    else:
        raise _lost(switch)


def _finish_replacing(switch: Switch, work: str, target: str) -> None:
    backup = switch.backup
    if target == switch.old and work == switch.new:
        perform(switch)
    elif target == switch.new:
        with writing(switch.target):
            if backup is not None and work == switch.old:
                rename_free(
                    switch.work, backup
                )  # the names were exchanged, and the old kit is still under the wrong one
        place_sidecars(switch)
    elif not target and work == switch.new:
        with writing(switch.target):
            rename_free(switch.work, switch.target)  # a system without exchange: the old kit has only its other name
        place_sidecars(switch)
    else:
        raise _lost(switch)


def _lost(switch: Switch) -> OutputError:
    return OutputError(
        "is neither the kit that the interrupted run read nor the one it made",
        where=str(switch.target),
        hint=f"put the right one there and --resume again, or --abandon; the new one is {switch.work}",
    )


def _make_good(switch: Switch) -> None:
    """Look at what was staged before a crash: a medium that lost power may give back other bytes than it took.

    A checksum is made again, since the journal has the digest. A signature cannot be: it goes, with an error.

    Raises:
        OutputError: The staged signature was damaged.
    """
    for suffix, digest in switch.sidecars.items():
        file = switch.work.with_name(f"beside{suffix}")
        if not os.path.lexists(file) or (_held(file) == digest and (suffix != ".sha256" or _is_due(switch, file))):
            continue
        mode = file.lstat().st_mode
        file.unlink()
        if suffix != ".sha256":
            raise OutputError(
                f"the staged {suffix} was damaged since it was written, and is removed",
                where=str(file),
                hint="--resume again finishes without it; the kit is signed inside",
            )
        write_file(file, checksum_line(switch.new_digest, switch.target.name), mode=mode)


def _held(file: Path) -> str:
    try:
        data = read_small(file)
    except UnreadableError:  # a link, or no file: none of ours
        return ""
    return Sha256.of(data).hex if data is not None else ""


def _is_due(switch: Switch, file: Path) -> bool:
    return is_file_of(file, checksum_line(switch.new_digest, switch.target.name))


def retreat(switch: Switch) -> bool:
    """Undo a switch that cannot be finished, since its new kit was damaged before it got its name.

    Returns:
        False where that is not so, and nothing was done.

    Raises:
        OutputError: The file system refuses.
    """
    kit, backup = switch.target, switch.backup
    with writing(kit):
        if not switch.in_place or not _is_damaged(switch, switch.identity(switch.work), switch.identity(kit)):
            return False
        parking = backup or switch.work.with_name("old")
        if not os.path.lexists(kit):  # a system without exchange: the old kit has only its other name
            rename_free(parking, kit)
        ours = parked(switch)
        for suffix in SIDECARS:
            for place in _parkings(switch, suffix):
                if place in ours:
                    rename_free(place, place_beside(kit, suffix))
        if backup is not None and place_beside(backup, ".sha256") in ours:
            place_beside(backup, ".sha256").unlink()
        if backup is not None and is_twin(kit, backup):
            backup.unlink()  # last: as long as it is there, has_begun
        sync_folder(kit.parent)
    return True


def _parkings(switch: Switch, suffix: str) -> list[Path]:
    """Where :func:`_move_sidecars` may have put what was next to the old kit."""
    beside = [place_beside(switch.backup, suffix)] if switch.backup is not None and suffix == ".sig" else []
    return [*beside, switch.work.with_name(f"old{suffix}")]


def _is_damaged(switch: Switch, work: str, target: str) -> bool:
    """Whether the old kit still has its name, or its other one, and what was to replace it is not what was made."""
    if work == switch.new:
        return bool(switch.content) and tree_digest(switch.work).hex != switch.content
    if not switch.in_place:
        return work != "" and target == ""
    parking = switch.backup or switch.work.with_name("old")
    return work != switch.old and (target == switch.old or (target == "" and switch.identity(parking) == switch.old))
