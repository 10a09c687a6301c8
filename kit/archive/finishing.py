"""What becomes of a switch that a crash ended: it is finished, or where that cannot be, everything is put back.

The names themselves show which step was the last (docs/design/journal.md). Laws: :func:`standing` finds the
kits, which are judged anew before anything is finished, since a journal proves nothing; :func:`finish` does what is
left after any step, and refuses to where the new kit is no longer what was verified; :func:`retreat` then puts
everything back.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kit.archive.commit import perform, place_sidecars
from kit.archive.disk import write_file, writing
from kit.archive.places import is_twin, place_beside
from kit.archive.source import read_small
from kit.archive.switch import Switch, checksum_line, is_file_of, parked
from kit.archive.tree_digest import tree_digest
from kit.errors import OutputError, UnreadableError
from kit.publishing import rename_free, sync_folder
from kit.values import Sha256
from kit.values.suffixes import SIDECARS


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
