"""From a finished work file to the user's file: the only place where a kit's name comes to mean other bytes.

Order of an in-place switch, and why:

1. What will stand beside the new kit is written into the job folder: from here on no step needs room on the disk.
2. The old archive gets its second name ``<kit>.bak`` (hard link): from here on it cannot be lost.
3. Signature and checksum beside the kit leave its name, for the backup's or the job folder: from here on no pair
   beside the kit can mismatch; until step 5 the kit simply has none.
4. The work file, complete, synced and verified by now, is renamed over the kit: one atomic step from old to new.
5. The new checksum and signature are put beside it, and the folder is synced.

Laws: whatever step a crash follows, the kit's name holds the old bytes or the new ones, whole; a step up to the fourth
that *fails* is undone with all before it, so that the kit and everything beside it are as they were. Where the file
system has no hard links (FAT, exFAT, a file of somebody else's), names are exchanged instead of step 2.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.disk import remove_tree, sync_folder, write_new, writing
from kit.archive.reader import Container, KitReader
from kit.archive.source import read_small
from kit.errors import OutputError, UsageError
from kit.values import Sha256

SIDECARS = (".sha256", ".sig")
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Job:
    """The folder ``<target>.kit-job`` that a run works in; while it exists, no other run can start on that target."""

    def __init__(self, target: Path) -> None:
        """Name the job folder of ``target`` (the output, or the kit itself when it is patched in place).

        Raises:
            UsageError: The target is ``.`` or ``..``, beside which nothing can be put.
        """
        self.folder = _beside(target, ".kit-job")

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
        remove_tree(self.folder)


def backup_path(kit: Path) -> Path:
    """Where the old kit is kept when a kit is patched in place.

    Raises:
        UsageError: As :class:`Job`.
    """
    return _beside(kit, ".bak")


def require_free(path: Path) -> None:
    """Refuse to overwrite anything: a kit of that name, or what stands beside one.

    Raises:
        OutputError: Something is already there.
        UsageError: As :class:`Job`.
    """
    for place in (path, *(_beside(path, suffix) for suffix in SIDECARS)):
        if os.path.lexists(place):
            raise OutputError("already exists", where=str(place), hint="move it away or choose another name")


def require_backup_free(kit: Path) -> None:
    """Refuse to overwrite an older backup of ``kit``; the second name a killed run gave this very kit is none.

    Raises:
        OutputError: There is one already.
        UsageError: As :class:`Job`.
    """
    if not _is_twin(kit, backup_path(kit)):
        require_free(backup_path(kit))


def _beside(path: Path, suffix: str) -> Path:
    if path.name in {"", ".."}:
        raise UsageError(
            "has no name of its own that a result could stand beside",
            where=str(path),
            hint="name the folder from outside, as in ../my-kit",
        )
    return path.with_name(path.name + suffix)


def _is_twin(kit: Path, backup: Path) -> bool:
    try:
        return os.path.samestat(kit.lstat(), backup.lstat()) and stat.S_ISREG(kit.lstat().st_mode)
    except OSError:
        return False


def publish(work: Path, target: Path, sidecars: Mapping[str, bytes]) -> None:
    """Give a finished work file or folder its new name beside the source, with ``sidecars`` by suffix.

    Raises:
        OutputError: A name is taken, or the file system refuses; nothing is left under any of the names.
    """
    require_free(target)
    with ExitStack() as undo, writing(target):
        staged = _stage(work, sidecars)
        if work.is_dir():
            _rename_free(work, target)
        else:
            try:
                # link, not rename: it fails if somebody took the name since it was checked.
                os.link(work, target)
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                _rename_free(work, target)
        undo.callback(_quietly, remove_tree if target.is_dir() else Path.unlink, target)
        for suffix, file in staged.items():
            place = _beside(target, suffix)
            _rename_free(file, place)
            undo.callback(_quietly, Path.unlink, place)
        sync_folder(target.parent)
        undo.pop_all()


def replace(work: Path, kit: Path, sidecars: Mapping[str, bytes], *, old: Sha256 | None, keep_backup: bool) -> None:
    """Switch ``kit`` to the finished ``work`` as the module docstring says; ``old`` is the replaced archive's digest.

    Raises:
        OutputError: A step was refused by the file system; the kit and everything beside it are as they were, unless
            the message says that only the new kit's signature and checksum could not be put beside it.
    """
    if keep_backup:
        require_backup_free(kit)
    backup = backup_path(kit) if keep_backup else None
    with ExitStack() as undo, writing(kit):
        _keep_access(kit, work)
        if work.is_dir():
            staged: Mapping[str, Path] = {}
            _switch(work, kit, backup, undo)
        else:
            staged = _stage(work, sidecars)
            linked = backup is not None and _link(kit, backup, undo)
            _move_sidecars(work, kit, backup, old, undo)
            sync_folder(kit.parent)
            if backup is None or linked:
                work.rename(kit)
            else:
                _switch(work, kit, backup, undo)
        undo.pop_all()
    try:
        for suffix, file in staged.items():
            file.rename(_beside(kit, suffix))
        sync_folder(kit.parent)
    except OSError as error:
        raise OutputError(
            f"the new kit is in place, but not all that belongs beside it: {error.strerror or error}",
            where=str(kit),
            hint="the kit is whole and signed inside; kit verify shows it, sha256sum makes the checksum",
        ) from error


def _stage(work: Path, sidecars: Mapping[str, bytes]) -> dict[str, Path]:
    """Write what belongs beside a kit into the job folder."""
    places = {suffix: work.with_name(f"beside{suffix}") for suffix in sidecars}
    for suffix, place in places.items():
        write_new(place, sidecars[suffix])
    return places


def _keep_access(kit: Path, work: Path) -> None:
    """Let the new kit be read and written by whom the old one was."""
    status = kit.lstat()
    with suppress(OSError):  # only root may give files away; the mode is what protects them
        os.chown(work, status.st_uid, status.st_gid)
    work.chmod(stat.S_IMODE(status.st_mode))


def _link(kit: Path, backup: Path, undo: ExitStack) -> bool:
    """Give the kit its second name; False where the file system has no such thing."""
    if _is_twin(kit, backup):
        return True
    try:
        os.link(kit, backup)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return False
    undo.callback(_quietly, Path.unlink, backup)
    return True


def _move_sidecars(work: Path, kit: Path, backup: Path | None, old: Sha256 | None, undo: ExitStack) -> None:
    """Take signature and checksum away from the kit's name; the backup's checksum is new, since it names its file."""
    for suffix in SIDECARS:
        place = _beside(kit, suffix)
        if os.path.lexists(place):
            to_backup = backup is not None and suffix == ".sig"
            parked = _beside(backup, suffix) if backup is not None and to_backup else work.with_name(f"old{suffix}")
            place.rename(parked)
            undo.callback(_quietly, parked.rename, place)
    if backup is not None and old is not None:
        checksum, place = work.with_name("backup.sha256"), _beside(backup, ".sha256")
        write_new(checksum, checksum_line(old, backup.name))
        checksum.rename(place)
        undo.callback(_quietly, Path.unlink, place)


def _switch(work: Path, kit: Path, backup: Path | None, undo: ExitStack) -> None:
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


def _rename_free(one: Path, other: Path) -> None:
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
    signature = read_small(_beside(reader.path, ".sig"))
    sidecars = {".sha256": checksum_line(Sha256(digest.hexdigest()), target.name)}
    publish(work, target, sidecars | ({".sig": signature} if signature is not None else {}))
