"""Copies of kits that only get another name: made through the descriptor that was judged, with their sidecars.

Laws: what is copied is what was verified, by digest, and the copy is read back. It is staged in the job folder and
switched like any new kit (:mod:`kit.output.commit`). The signature that was judged next to the source goes with the
copy, which has the same bytes. Nothing is moved away before the switch is done.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kit.archive.frames import Frame
from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import Container, KitReader, open_kit
from kit.archive.read.tar import Member
from kit.archive.write.folder import FolderDestination
from kit.errors import DigestError, OutputError
from kit.output.disk import new_file, remove_tree, write_all, writing
from kit.output.job import Job
from kit.output.paths import SIDECARS, path_next_to
from kit.output.publish import sync_folder
from kit.output.switch import Switch, checksum_line, stage, tree_digest
from kit.values import MemberPath, Sha256, Timestamp

_Found = tuple[Member, tuple[Sha256, int]]

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the judgement of a kit found, which a copy must equal."""

    archive: Sha256 | None
    """Digest of an archive as stored; None for a folder."""
    members: Mapping[MemberPath, tuple[Sha256, int]]
    """Every regular file: digest and size."""
    signature: bytes | None
    """The ``.sig`` file next to it."""


def copy_kit(reader: KitReader, verified: Verified, job: Job) -> Switch:
    """Copy the open kit of ``reader`` into the job folder, and stage it with its sidecars, byte for byte.

    Raises:
        DigestError: It is no longer what was verified, or the copy does not read back as that.
        OutputError: It cannot be written, or the name is taken.
    """
    work = _copy(reader, verified, job.folder)
    sidecars = _sidecars_of(verified, job.place)
    return stage(copy_to_stage(work, job.stage), job.place, sidecars, new=verified.archive, by_content=job.is_elsewhere)


def stage_backup(reader: KitReader, verified: Verified, job: Job, *, old: Sha256 | None, kept_as: str) -> Switch:
    """Stage the open kit of ``reader``, a backup, to replace the job's target, which is kept under ``kept_as``.

    Raises:
        DigestError: As for :func:`copy_kit`.
        OutputError: It cannot be written, or the name under which the old kit is kept is taken.
    """
    work = _copy(reader, verified, job.folder)
    return stage(
        copy_to_stage(work, job.stage),
        job.place,
        _sidecars_of(verified, job.place),
        new=verified.archive,
        old=old,
        in_place=True,
        keep_backup=True,
        kept_as=kept_as,
        by_content=job.is_elsewhere,
    )


def retire(path: Path, folder: Path) -> None:
    """Move a kit that by now has another name or a copy, and its sidecars, into the job folder, to be removed.

    Raises:
        OutputError: The system refuses.
    """
    with writing(path):
        for number, place in enumerate((*(path_next_to(path, suffix) for suffix in SIDECARS), path)):
            if os.path.lexists(place):
                place.rename(folder / f"retired{number}")
        sync_folder(path.parent)


def copy_to_stage(work: Path, stage: Path) -> Path:
    """Copy a finished archive or folder to its staging folder on another file system; return its path there.

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
    """Copy a folder of ours; modes and times as far as the other file system keeps them."""
    folders = []
    for name, inner, files in os.walk(source):
        folder = place / Path(name).relative_to(source)
        folder.mkdir(mode=0o700)
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
    place.unlink(missing_ok=True)
    with source.open("rb") as file, new_file(place, status.st_mode) as other:
        shutil.copyfileobj(file, other, _CHUNK)
        other.flush()
        os.fsync(other.fileno())
        with suppress(OSError):  # a file system without modes
            os.fchmod(other.fileno(), stat.S_IMODE(status.st_mode))
            os.utime(other.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        with suppress(OSError, AttributeError):  # read from the medium and not from memory, where the system can
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").digest()


def _sidecars_of(verified: Verified, target: Path) -> dict[str, bytes]:
    """Return the sidecars of a copy of an archive; the judged signature is over the same bytes."""
    if verified.archive is None:
        return {}
    sidecars = {".sha256": checksum_line(verified.archive, target.name)}
    return sidecars if verified.signature is None else sidecars | {".sig": verified.signature}


def _copy(reader: KitReader, verified: Verified, folder: Path) -> Path:
    """Copy a kit into the job folder, through the descriptor by which it was judged, and read the copy back."""
    if reader.container is Container.FOLDER:
        return _copy_folder(reader, verified, folder)
    work = folder / "archive"
    work.unlink(missing_ok=True)
    with writing(work), new_file(work, reader.mode) as file:
        _require(_write_chunks(reader.stored_chunks(), file), verified.archive, reader.path)
        os.fsync(file.fileno())
    with open_kit(work, limits=reader.limits, allowed=reader.allowed) as copy:
        _require(copy.stored_digest(), verified.archive, work)
    return work


def _copy_folder(reader: KitReader, verified: Verified, folder: Path) -> Path:
    destination = FolderDestination(folder, mode=reader.mode)

    def copy() -> Iterator[_Found]:
        for member, body in reader.members():
            slot, content = destination.carry(member, body)
            digest, size = hashlib.sha256(), 0
            for chunk in content:
                digest.update(chunk)
                size += len(chunk)
                destination.add(slot, Frame(encoded=chunk, length=len(chunk)))
            destination.close(slot, mtime=Timestamp(member.mtime))
            yield member, (Sha256(digest.hexdigest()), size)

    try:
        others = _compare(copy(), verified, reader.path)
    finally:
        destination.release()
    work = destination.assemble()
    with open_kit(work, limits=reader.limits, allowed=reader.allowed) as written:
        if _compare(((member, _digest_body(body)) for member, body in written.members()), verified, work) != others:
            raise _changed(str(work))
    return work


def _write_chunks(chunks: Iterable[bytes], file: BinaryIO) -> Sha256:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        write_all(file, chunk)
    return Sha256(digest.hexdigest())


def _digest_body(body: Iterable[bytes]) -> tuple[Sha256, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in body:
        digest.update(chunk)
        size += len(chunk)
    return Sha256(digest.hexdigest()), size


def _compare(
    members: Iterable[_Found], verified: Verified, where: Path
) -> list[tuple[MemberPath | None, EntryKind, str]]:
    """Check that the files are exactly those that were verified; return the entries that are no files."""
    left, others = dict(verified.members), []
    for member, found in members:
        if not member.is_file:
            others.append((member.path, member.kind, member.link_target))
        elif member.path is None or left.pop(member.path, None) != found:
            raise _changed(f"{where}: {member.path}")
    for path in left:
        raise _changed(f"{where}: {path}")
    return others


def _require(found: Sha256, due: Sha256 | None, where: Path) -> None:
    if found != due:
        raise _changed(str(where))


def _changed(where: str) -> DigestError:
    return DigestError(
        "is no longer what was verified, or was not copied as it is",
        where=where,
        hint="nothing was written; somebody, or the medium, changed it meanwhile: start again",
    )
