"""From a finished work file to the user's file: the only place where the name of a kit gets other bytes.

Order of an in-place switch, and why:

1. The sidecars of the new kit are written into the job folder, and the :class:`Switch` into the journal
   (:mod:`kit.output.switch`): from here on no step needs room on the disk.
2. The old archive gets its second name ``<kit>.bak.N`` (hard link): from here on it cannot be lost.
3. Signature and checksum next to the kit move to the backup's name or the job folder. From here on no pair next to the
   kit can mismatch; until step 5 the kit simply has none.
4. The work file, by now complete, synced and verified, is renamed over the kit: one atomic step from old to new.
5. The new checksum and signature are put next to it, and the folder is synced.

Where the file system has no hard links (FAT, exFAT, a file of another user), names are exchanged instead of step 2.

:func:`perform` runs the steps. After a crash the names themselves show which step was the last, and no record of steps
is kept (docs/design/journal.md). :func:`find_kits` finds both kits, which are judged again before anything is
finished, since a journal proves nothing. :func:`finish` then does what is left, and :func:`put_back` undoes a switch
whose new kit is damaged.

Laws: after a crash at any step the kit's name holds either the old bytes or the new ones, complete, and as long as
anything is missing next to it the job folder exists. If a step up to the fourth *fails*, it is undone with all before
it, so that the kit and all next to it are as they were. :func:`finish` completes a switch after any step, and refuses
if the new kit is no longer what was verified.
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
from kit.output.paths import SIDECARS, is_twin, path_next_to, require_free
from kit.output.publish import add_name, exchange, give_name, rename_free, sync_folder
from kit.output.switch import (
    Switch,
    checksum_line,
    is_file_of,
    is_same_kit,
    parked_files,
    require_backup_free,
    tree_digest,
)
from kit.values import Sha256

_NO_MODES = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def perform(switch: Switch) -> None:
    """Switch names, from the start or after any of the first three steps.

    Raises:
        OutputError: The file system refused a step. Everything is as it was, unless the message states that only the
            sidecars could not be put next to the new kit.
    """
    if switch.in_place:
        _replace(switch)
    else:
        _publish(switch)


@contextmanager
def _undo_on_failure() -> Iterator[ExitStack]:
    """Collect the callbacks that undo the steps of a switch, and run them if a step fails.

    They do not run after an interrupt, which may come after the last step. Undoing the others would then remove the
    backup and put the old checksum next to the new kit. An interrupt leaves what a kill leaves, and is finished alike.
    """
    undo = ExitStack()
    try:
        yield undo
    except Exception:
        undo.close()
        raise


def _publish(switch: Switch) -> None:
    """Publish a finished work file or folder with its sidecars."""
    work, target = switch.work, switch.target
    require_free(target)
    with _undo_on_failure() as undo, writing(target):
        if give_name(work, target):
            undo.callback(_quietly, _unlink_twin, target, work)
        else:
            undo.callback(_quietly, target.rename, work)
        for suffix in switch.sidecars:
            file, place = work.with_name(f"beside{suffix}"), path_next_to(target, suffix)
            if os.path.lexists(file):  # a damaged signature was removed
                rename_free(file, place)
                undo.callback(_quietly, place.rename, file)
        sync_folder(target.parent)


def _replace(switch: Switch) -> None:
    work, kit, backup = switch.work, switch.target, switch.backup
    if backup is not None:
        require_backup_free(kit, switch.kept_as, but=parked_files(switch))
    with _undo_on_failure() as undo, writing(kit):
        _keep_access(kit, work)
        if backup is not None:
            _make_way(switch, backup, undo)
        if work.is_dir():
            _exchange(work, kit, backup, undo)
        else:
            linked = backup is not None and _link(kit, backup, undo)
            _move_sidecars(switch, undo)
            sync_folder(kit.parent)
            if backup is not None and backup.parent != kit.parent:
                sync_folder(backup.parent)
            if backup is None or linked:
                work.rename(kit)
            else:
                _exchange(work, kit, backup, undo)
    place_sidecars(switch)


def place_sidecars(switch: Switch) -> None:
    """Put the sidecars that are still staged next to the new kit, and make the switch durable."""
    try:
        for suffix in switch.sidecars:
            file = switch.work.with_name(f"beside{suffix}")
            if os.path.lexists(file):
                rename_free(file, path_next_to(switch.target, suffix))
        sync_folder(switch.target.parent)
    except OSError as error:
        raise OutputError(
            f"the new kit is in place, but not all that belongs next to it: {error.strerror or error}",
            where=str(switch.target),
            hint="the kit is whole and signed inside; kit verify shows it, sha256sum makes the checksum",
        ) from error


def _keep_access(kit: Path, work: Path) -> None:
    """Set the owner and mode of the new kit to those of the old one."""
    status = kit.lstat()
    with suppress(OSError):  # only root may change owners; the mode protects the file
        os.chown(work, status.st_uid, status.st_gid, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    try:
        work.chmod(mode)
    except OSError as error:
        # A file system without modes refuses, and no mode is lost; but the new kit must not be open to more users.
        if error.errno not in _NO_MODES or stat.S_IMODE(work.lstat().st_mode) & ~mode:
            raise


def _make_way(switch: Switch, backup: Path, undo: ExitStack) -> None:
    """Move a copy of the kit from the backup's name into the job folder; the kit itself gets that name next."""
    if is_twin(switch.target, backup) or not is_same_kit(switch.target, backup):
        return
    for suffix in ("", *SIDECARS):
        place, other = path_next_to(backup, suffix), switch.work.with_name(f"same{suffix}")
        if os.path.lexists(place):  # of a signature and a checksum it was checked that they are the kit's
            rename_free(place, other)
            undo.callback(_quietly, rename_free, other, place)


def _link(kit: Path, backup: Path, undo: ExitStack) -> bool:
    """Add the backup's name to the kit; return False where the file system allows no second name."""
    if is_twin(kit, backup):
        return True
    if not add_name(kit, backup):
        return False
    undo.callback(_quietly, _unlink_twin, backup, kit)
    return True


def _move_sidecars(switch: Switch, undo: ExitStack) -> None:
    """Move signature and checksum away from the kit's name; the backup's checksum is new, since it names its file."""
    work, kit, backup = switch.work, switch.target, switch.backup
    for suffix in SIDECARS:
        place = path_next_to(kit, suffix)
        if os.path.lexists(place):
            to_backup = backup is not None and suffix == ".sig"
            other = path_next_to(backup, suffix) if backup is not None and to_backup else work.with_name(f"old{suffix}")
            rename_free(place, other)
            undo.callback(_quietly, rename_free, other, place)
    if backup is not None:
        checksum, place = work.with_name("backup.sha256"), path_next_to(backup, ".sha256")
        line = checksum_line(switch.old_digest, backup.name)
        if not is_file_of(place, line):  # an earlier process may have written it
            write_file(checksum, line, mode=kit.lstat().st_mode)
            rename_free(checksum, place)
            undo.callback(_quietly, _unlink_file_of, place, line)


def _exchange(work: Path, kit: Path, backup: Path | None, undo: ExitStack) -> None:
    """Exchange the names of the finished and the old kit, and rename the old one to the backup, if one is kept."""
    if exchange(work, kit):
        undo.callback(_quietly, exchange, work, kit)
        if backup is not None:
            rename_free(work, backup)
        return
    # No atomic exchange on this system: for a moment the old kit has only its other name.
    parking = backup or work.with_name("old")
    rename_free(kit, parking)
    undo.callback(_quietly, rename_free, parking, kit)
    rename_free(work, kit)


def _unlink_twin(path: Path, other: Path) -> None:
    if is_twin(other, path):  # else it is another file that somebody put there
        path.unlink()


def _unlink_file_of(path: Path, data: bytes) -> None:
    if is_file_of(path, data):
        path.unlink()


def _quietly(step: Callable[..., object], *arguments: object) -> None:
    """Run a step that undoes something, and ignore its failure: the error that led here is the one to report."""
    with suppress(OSError):
        step(*arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class KitPlaces:
    """Where the two kits of an interrupted switch are."""

    new: Path
    """The finished kit: in the job folder, or under its name already."""
    old: Path | None
    """The kit it replaces; None if there is none, or if it is gone."""
    is_placed: bool
    """Whether the finished kit has its name."""
    signature: bytes | None
    """The new kit's ``.sig``, staged or already next to it."""


def find_kits(switch: Switch) -> KitPlaces:
    """Return where the kits of an interrupted switch are, so that they can be judged before it is finished.

    Raises:
        OutputError: The names hold something that this job did not put there, or the finished kit was damaged in the
            job folder.
    """
    with writing(switch.target):
        _repair_staged(switch)
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
        return KitPlaces(
            new=at,
            old=old if switch.in_place else None,
            is_placed=at == switch.target,
            signature=_signature(switch, at),
        )


def _require_own(switch: Switch) -> None:
    """Refuse a finished archive that is not this run's own: it has another name or another owner.

    Raises:
        OutputError: It is not.
    """
    status = switch.work.lstat()
    due = switch.work.parent.stat().st_uid  # this user, unless the file system shows one owner for all files
    if stat.S_ISREG(status.st_mode) and (status.st_nlink > 1 or status.st_uid != due):
        raise OutputError(
            "is not a file of this run: it has a second name, or belongs to another user",
            where=str(switch.work),
            hint="give the run up with --abandon, and begin it again",
        )


def _signature(switch: Switch, new: Path) -> bytes | None:
    staged = read_small(switch.work.with_name("beside.sig")) if ".sig" in switch.sidecars else None
    if staged is None and new == switch.target:
        return read_small(path_next_to(new, ".sig"))
    return staged


def finish(switch: Switch) -> None:
    """Finish a switch that a crash or a failure ended at any step; do nothing if it is complete.

    Raises:
        OutputError: As for :func:`find_kits` or :func:`perform`.
    """
    find_kits(switch)
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
                rename_free(switch.work, backup)  # the names were exchanged, and the old kit has the wrong one
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


def _repair_staged(switch: Switch) -> None:
    """Check and repair staged sidecars: a medium that lost power may return other bytes than were written.

    A checksum is made again, since the journal has the digest. A signature cannot be: it is removed, with an error.

    Raises:
        OutputError: The staged signature was damaged.
    """
    for suffix, digest in switch.sidecars.items():
        file = switch.work.with_name(f"beside{suffix}")
        if not os.path.lexists(file) or (
            _digest_of(file) == digest and (suffix != ".sha256" or _has_checksum_line(switch, file))
        ):
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


def _digest_of(file: Path) -> str:
    try:
        data = read_small(file)
    except UnreadableError:  # a link or no file: not ours
        return ""
    return Sha256.of(data).hex if data is not None else ""


def _has_checksum_line(switch: Switch, file: Path) -> bool:
    return is_file_of(file, checksum_line(switch.new_digest, switch.target.name))


def put_back(switch: Switch) -> bool:
    """Undo a switch that cannot be finished because its new kit was damaged before it got its name.

    Returns:
        False if the new kit is not damaged; nothing was done then.

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
        ours = parked_files(switch)
        for suffix in SIDECARS:
            for place in _parking_places(switch, suffix):
                if place in ours:
                    rename_free(place, path_next_to(kit, suffix))
        if backup is not None and path_next_to(backup, ".sha256") in ours:
            path_next_to(backup, ".sha256").unlink()
        if backup is not None and is_twin(kit, backup):
            backup.unlink()  # last: as long as it exists, has_begun is true
        sync_folder(kit.parent)
    return True


def _parking_places(switch: Switch, suffix: str) -> list[Path]:
    """Return the places where :func:`_move_sidecars` may have put a sidecar of the old kit."""
    places = [path_next_to(switch.backup, suffix)] if switch.backup is not None and suffix == ".sig" else []
    return [*places, switch.work.with_name(f"old{suffix}")]


def _is_damaged(switch: Switch, work: str, target: str) -> bool:
    """Return whether the old kit still has one of its names, and the kit to replace it is not what was made."""
    if work == switch.new:
        return bool(switch.content) and tree_digest(switch.work).hex != switch.content
    if not switch.in_place:
        return work != "" and target == ""
    parking = switch.backup or switch.work.with_name("old")
    return work != switch.old and (target == switch.old or (target == "" and switch.identity(parking) == switch.old))
