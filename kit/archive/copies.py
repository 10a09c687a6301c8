"""Whole kits that only get another name: a copy through the descriptor that was judged, with what belongs beside it.

Laws: the copy is staged in the job folder and switched like any new kit (:mod:`kit.archive.commit`); a signature beside
the source goes with the copy, whose bytes it is over; nothing is moved away before the switch is done.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from kit.archive.disk import open_own, remove_tree, sync_folder, writing
from kit.archive.places import ROLLED_BACK, SIDECARS, place_beside
from kit.archive.reader import Container, KitReader
from kit.archive.source import read_small
from kit.archive.switch import Switch, checksum_line, staged
from kit.values import Sha256


def copy_kit(reader: KitReader, folder: Path, target: Path) -> Switch:
    """Copy the kit that ``reader`` has open into the job folder, to be published byte for byte, sidecars included.

    Raises:
        OutputError: It cannot be written, or the name is taken.
    """
    work, new = _copied(reader, folder, target)
    return staged(work, target, _sidecars_of(reader.path, target, new), new=new)


def restored_kit(reader: KitReader, folder: Path, target: Path, *, old: Sha256 | None) -> Switch:
    """Stage the kit that ``reader`` has open, a backup, to take the place of ``target``, which is kept beside it.

    Raises:
        OutputError: It cannot be written, or the name to keep the old kit under is taken.
    """
    work, new = _copied(reader, folder, target)
    return staged(
        work,
        target,
        _sidecars_of(reader.path, target, new),
        new=new,
        old=old,
        in_place=True,
        keep_backup=True,
        kept_as=ROLLED_BACK,
    )


def retire(path: Path, folder: Path) -> None:
    """Take a kit that has another name or a copy by now, and what is beside it, into the job folder, to be removed.

    Raises:
        OutputError: The system refuses.
    """
    with writing(path):
        for number, place in enumerate((*(place_beside(path, suffix) for suffix in SIDECARS), path)):
            if os.path.lexists(place):
                place.rename(folder / f"retired{number}")
        sync_folder(path.parent)


def _sidecars_of(path: Path, target: Path, digest: Sha256 | None) -> dict[str, bytes]:
    """Give what belongs beside a copy of the archive at ``path``; its signature is over the same bytes."""
    if digest is None:
        return {}
    signature = read_small(place_beside(path, ".sig"))
    return {".sha256": checksum_line(digest, target.name)} | ({".sig": signature} if signature is not None else {})


def _copied(reader: KitReader, folder: Path, target: Path) -> tuple[Path, Sha256 | None]:
    """Copy a kit into the job folder, through the descriptor it was judged by; None is the digest of a folder."""
    if reader.container is Container.FOLDER:
        work = folder / "kit"
        with writing(target):
            remove_tree(work)
            shutil.copytree(reader.path, work, symlinks=True)
        return work, None
    work = folder / "archive"
    digest = hashlib.sha256()
    with (
        writing(work),
        open(open_own(work, os.O_WRONLY | os.O_CREAT, mode=0o666, empty=True), "wb") as file,  # noqa: PTH123
    ):
        for chunk in reader.stored_chunks():
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return work, Sha256(digest.hexdigest())
