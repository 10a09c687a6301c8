"""What becomes of a switch that a crash ended: it is finished, or where that cannot be, everything is put back.

Which step was the last the names themselves tell (docs/design/journal.md). Laws: :func:`finish` does what is left after
any step, and refuses to where the new kit is no longer what was verified; :func:`retreat` then puts everything back.
"""

from __future__ import annotations

import os
from pathlib import Path

from kit.archive.commit import perform, place_sidecars
from kit.archive.disk import sync_folder, write_file, writing
from kit.archive.places import SIDECARS, is_twin, place_beside
from kit.archive.renaming import rename_free
from kit.archive.switch import Switch, checksum_line, identity_of
from kit.archive.tree_digest import tree_digest
from kit.errors import OutputError
from kit.values import Sha256


def finish(switch: Switch) -> None:
    """Do what is left of a switch that a crash or a failure ended anywhere; nothing, where all was done.

    Raises:
        OutputError: The names hold something that this job did not put there, the finished kit was damaged in the job
            folder, or as :func:`perform`.
    """
    with writing(switch.target):
        _make_good(switch)
        work, target = identity_of(switch.work), identity_of(switch.target)
        if _is_damaged(switch, work, target):
            raise OutputError(
                "the new kit was damaged in the job folder since it was verified; the old one is whole",
                where=str(switch.work),
                hint="give the run up with --abandon, which puts back what was moved, and begin it again",
            )
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
                switch.work.rename(backup)  # the names were exchanged, and the old kit is still under the wrong one
        place_sidecars(switch)
    elif not target and work == switch.new:
        with writing(switch.target):
            switch.work.rename(switch.target)  # a system without exchange: the old kit has only its other name
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
        write_file(file, checksum_line(switch.new_digest, switch.target.name))


def retreat(switch: Switch) -> bool:
    """Undo a switch that cannot be finished, since its new kit was damaged before it got its name.

    Returns:
        False where that is not so, and nothing was done.

    Raises:
        OutputError: The file system refuses.
    """
    kit, backup = switch.target, switch.backup
    with writing(kit):
        if not switch.in_place or not _is_damaged(switch, identity_of(switch.work), identity_of(kit)):
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
    return work != switch.old and (target == switch.old or (target == "" and identity_of(parking) == switch.old))
