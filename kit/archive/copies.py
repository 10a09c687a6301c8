"""Whole kits that only get another name: a copy through the descriptor that was judged, with what belongs beside it.

Laws: the copy is staged in the job folder and switched like any new kit (:mod:`kit.archive.commit`); a signature beside
the source goes with the copy, whose bytes it is over; nothing is moved away before the switch is done.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from kit.archive.disk import remove_tree, sync_folder, writing
from kit.archive.job import Job
from kit.archive.places import ROLLED_BACK, SIDECARS, place_beside
from kit.archive.reader import Container, KitReader
from kit.archive.source import read_small
from kit.archive.switch import Switch, checksum_line, staged
from kit.archive.tree_digest import tree_digest
from kit.errors import OutputError
from kit.values import Sha256

_CHUNK = 1 << 20


def copy_kit(reader: KitReader, job: Job) -> Switch:
    """Copy the kit that ``reader`` has open into the job folder, to be published byte for byte, sidecars included.

    Raises:
        OutputError: It cannot be written, or the name is taken.
    """
    work, new = _copied(reader, job.folder, job.place)
    beside = _sidecars_of(reader.path, job.place, new)
    return staged(land(work, job.stage), job.place, beside, new=new, by_content=job.is_elsewhere)


def restored_kit(reader: KitReader, job: Job, *, old: Sha256 | None) -> Switch:
    """Stage the kit that ``reader`` has open, a backup, to take the place of the job's target, which is kept beside it.

    Raises:
        OutputError: It cannot be written, or the name to keep the old kit under is taken.
    """
    work, new = _copied(reader, job.folder, job.place)
    return staged(
        land(work, job.stage),
        job.place,
        _sidecars_of(reader.path, job.place, new),
        new=new,
        old=old,
        in_place=True,
        keep_backup=True,
        kept_as=ROLLED_BACK,
        by_content=job.is_elsewhere,
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


def land(work: Path, stage: Path) -> Path:
    """Copy a finished archive or folder to where it waits for its name, on another file system; give its place there.

    Raises:
        OutputError: It cannot be written there, or does not read back.
    """
    place = stage / work.name
    if work.parent == stage:
        return work
    with writing(place):
        if work.is_dir():
            remove_tree(place)
            _copy_tree(work, place)
            same = tree_digest(place) == tree_digest(work)
        else:
            _copy_file(work, place)
            same = _digest_of(place) == _digest_of(work)
        sync_folder(stage)
    if not same:
        raise OutputError(
            "does not read back as it was written",
            where=str(place),
            hint="the kit is untouched; check the medium and try again",
        )
    return place


def _copy_tree(source: Path, place: Path) -> None:
    """Copy a folder of ours; modes and times as far as the file system there takes them."""
    folders = []
    for name, inner, files in os.walk(source):
        folder = place / Path(name).relative_to(source)
        folder.mkdir()
        folders.append((Path(name).lstat(), folder))
        for leaf in (*files, *(one for one in inner if (Path(name) / one).is_symlink())):
            _copy_file(Path(name) / leaf, folder / leaf)
    for status, folder in reversed(folders):
        sync_folder(folder)
        with suppress(OSError):
            os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
            folder.chmod(stat.S_IMODE(status.st_mode))


def _copy_file(source: Path, place: Path) -> None:
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        place.symlink_to(source.readlink())
        return
    with source.open("rb") as file, _new_file(place) as other:
        shutil.copyfileobj(file, other, _CHUNK)
        other.flush()
        os.fsync(other.fileno())
        with suppress(OSError):  # a file system without modes
            os.fchmod(other.fileno(), stat.S_IMODE(status.st_mode))
            os.utime(other.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _new_file(path: Path) -> BinaryIO:
    """Make a file, in place of what an earlier process left there."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "wb")  # noqa: PTH123  a descriptor


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        with suppress(OSError, AttributeError):  # read it from the medium, not from memory, where the system can
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").digest()


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
    with writing(work), _new_file(work) as file:
        for chunk in reader.stored_chunks():
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return work, Sha256(digest.hexdigest())
