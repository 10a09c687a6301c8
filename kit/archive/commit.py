"""From a finished work file to the user's file: the only place where a kit's name comes to mean other bytes.

Order of an in-place switch, and why:

1. The old archive gets its second name ``<kit>.bak`` (hard link): from here on it cannot be lost.
2. Signature and checksum beside the kit move to the backup's name: from here on no pair beside the kit can mismatch;
   until step 4 the kit simply has none.
3. The work file, complete, synced and verified by now, is renamed over the kit: one atomic step from old to new.
4. The new checksum and signature are put beside it, and the folder is synced.

Whatever step a crash follows, the kit's name holds the old bytes or the new ones, whole.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.disk import replace_file, sync_folder, writing
from kit.archive.reader import Container, KitReader
from kit.archive.source import read_small
from kit.errors import OutputError
from kit.values import Sha256

SIDECARS = (".sha256", ".sig")
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


class Job:
    """The folder ``<target>.kit-job`` that a run works in; while it exists, no other run can start on that target."""

    def __init__(self, target: Path) -> None:
        """Name the job folder of ``target`` (the output, or the kit itself when it is patched in place)."""
        self.folder = target.with_name(f"{target.name}.kit-job")

    def __enter__(self) -> Self:
        """Make the folder.

        Raises:
            OutputError: Another run is at work or died here, or the place cannot be written.
        """
        try:
            with writing(self.folder):
                self.folder.mkdir(mode=0o700)
        except OutputError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise OutputError(
                    "another run is at work on this kit, or one was killed here",
                    where=str(self.folder),
                    hint="if no other run is at work, remove this folder and start again; the kit itself is whole",
                ) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def backup_path(kit: Path) -> Path:
    """Where the old kit is kept when a kit is patched in place."""
    return kit.with_name(f"{kit.name}.bak")


def require_free(path: Path) -> None:
    """Refuse to overwrite anything.

    Raises:
        OutputError: Something is already there.
    """
    if os.path.lexists(path):
        raise OutputError("already exists", where=str(path), hint="move it away or choose another name")


def publish(work: Path, target: Path, sidecars: Mapping[str, bytes]) -> None:
    """Give a finished work file or folder its new name beside the source, with ``sidecars`` by suffix.

    Raises:
        OutputError: The name is taken, or the file system refuses; nothing is left under the name.
    """
    require_free(target)
    with writing(target):
        if work.is_dir():
            work.rename(target)
        else:
            # link, not rename: it fails if somebody took the name since it was checked.
            os.link(work, target)
        sync_folder(target.parent)
    _write_sidecars(target, sidecars)


def replace(work: Path, kit: Path, sidecars: Mapping[str, bytes], *, old: Sha256 | None, keep_backup: bool) -> None:
    """Switch ``kit`` to the finished ``work`` as the module docstring says; ``old`` is the replaced archive's digest.

    Raises:
        OutputError: A step was refused by the file system; the kit's name holds the old bytes.
    """
    backup = backup_path(kit)
    if keep_backup:
        require_free(backup)
    if work.is_dir():
        _replace_folder(work, kit, backup if keep_backup else None)
        return
    with writing(kit):
        if keep_backup:
            os.link(kit, backup)
        for suffix in SIDECARS:
            beside = kit.with_name(kit.name + suffix)
            if beside.exists():
                if keep_backup and suffix == ".sig":
                    beside.rename(backup.with_name(backup.name + suffix))
                else:
                    beside.unlink()
        if keep_backup and old is not None:
            # Written anew, not moved: the line names its file.
            replace_file(backup.with_name(f"{backup.name}.sha256"), checksum_line(old, backup.name))
        sync_folder(kit.parent)
        work.rename(kit)
        sync_folder(kit.parent)
    _write_sidecars(kit, sidecars)


def checksum_line(digest: Sha256, name: str) -> bytes:
    """Make the content of a ``.sha256`` file, as sha256sum writes and checks it."""
    return f"{digest}  {name}\n".encode()


def _write_sidecars(target: Path, sidecars: Mapping[str, bytes]) -> None:
    for suffix, data in sidecars.items():
        replace_file(target.with_name(target.name + suffix), data)


def _replace_folder(work: Path, kit: Path, backup: Path | None) -> None:
    with writing(kit):
        if _exchange(work, kit):
            if backup is not None:
                work.rename(backup)
        else:
            # No atomic exchange on this system: for an instant the old kit has only its backup's name.
            parking = backup or kit.with_name(f"{kit.name}.old")
            kit.rename(parking)
            work.rename(kit)
            if backup is None:
                shutil.rmtree(parking)
        sync_folder(kit.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically (renameat2(2), RENAME_EXCHANGE); False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def copy_kit(reader: KitReader, folder: Path, target: Path) -> None:
    """Publish the kit that ``reader`` has open under another name, byte for byte, with what stands beside it.

    Raises:
        OutputError: It cannot be written, or the name is taken.
    """
    if reader.container is Container.FOLDER:
        work = folder / "kit"
        with writing(target):
            shutil.copytree(reader.path, work, symlinks=True)
        publish(work, target, {})
        return
    work = folder / "archive"
    digest = hashlib.sha256()
    with writing(work), work.open("xb") as file:
        for chunk in reader.stored_chunks():
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    signature = read_small(reader.path.with_name(f"{reader.path.name}.sig"))
    sidecars = {".sha256": checksum_line(Sha256(digest.hexdigest()), target.name)}
    publish(work, target, sidecars | ({".sig": signature} if signature is not None else {}))
