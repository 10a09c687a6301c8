"""The destination for kits in folders: the slots of :class:`kit.archive.write.tar.Destination`, as files of the job."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from kit.archive.frames import Frame
from kit.archive.read.headers import EntryKind
from kit.archive.read.proven import Body
from kit.archive.read.tar import Member
from kit.archive.write.tar import Slot
from kit.errors import OutputError
from kit.output.disk import remove_tree, write_all, writing
from kit.output.publish import sync_folder
from kit.values import Codec, MemberPath, Timestamp

_PERMISSIONS = 0o777
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderDestination:
    """A :class:`kit.archive.write.tar.Destination` in a folder; frames are plain bytes here.

    A file is created with its first bytes, or at its end if it has none. So one file is open at a time, however many
    members the engine has started. Until a file is complete, only its owner may read it. Then it gets the mode of its
    source within ``most``, whatever the umask is, so that equal runs make equal folders.
    """

    codec = Codec.NONE
    proves = False

    def __init__(self, folder: Path, *, mode: int = 0o700, most: int = _PERMISSIONS) -> None:
        """Write into ``folder``, which exists and belongs to this job.

        Args:
            folder: The job folder.
            mode: The mode of the root, and of folders that are no member.
            most: The widest mode of any file; for folders it bounds reading and writing.

        Raises:
            OutputError: The folder ``kit`` cannot be made there.
        """
        self._root = folder / "kit"
        self._files: dict[Slot, BinaryIO] = {}
        self._folders: list[Member] = []
        self._created_at = Timestamp(0)
        self._mode, self._most = mode & _PERMISSIONS, most
        with writing(self._root):
            remove_tree(self._root)
            self._root.mkdir(mode=0o700)

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:
        """Make a folder or link at once; the frames that follow fill a file."""
        slot = Slot(path=member.path, mode=member.mode, carried=member)
        place = self._place(slot)
        with writing(place):
            if member.kind is EntryKind.DIRECTORY:
                place.mkdir(parents=True, exist_ok=True)
                self._folders.append(member)
            elif member.kind is EntryKind.HARDLINK:
                self._link(place, member)
            elif member.kind is not EntryKind.FILE:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(member.link_target)
                os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
        return slot, body

    def _link(self, place: Path, member: Member) -> None:
        """Add a second name to a file, as unpacking does, or copy it where the file system has no hard links."""
        place.parent.mkdir(parents=True, exist_ok=True)
        source = self._root / member.link_target.removeprefix("./")
        try:
            os.link(source, place, follow_symlinks=False)
        except OSError:
            if not stat.S_ISREG(source.lstat().st_mode):
                raise
            shutil.copy2(source, place, follow_symlinks=False)

    def copy(self, bodies: Sequence[Body] = ()) -> Slot:  # noqa: ARG002
        """Refuse: a folder has no frames, and is made from a folder only."""
        raise OutputError("a folder has no frames to copy", where=str(self._root))

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        """See :class:`kit.archive.write.tar.Destination`."""
        return Slot(path=path, mode=mode)

    def next_piece(self) -> bytes:
        """Return nothing: every run of a job begins its folder anew."""
        return b""

    def add(self, slot: Slot, frame: Frame, *, piece: bool = False) -> None:  # noqa: ARG002
        """See :class:`kit.archive.write.tar.Destination`."""
        with writing(self._place(slot)):
            write_all(self._file(slot), frame.encoded)
        slot.length += frame.length

    def commit(self) -> None:
        """Write nothing on record: every run of a job begins its folder anew."""

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """Set the mode and time of the file, and make it durable."""
        self._created_at = mtime
        if slot.carried is not None and not slot.carried.is_file:
            return
        seconds = slot.carried.mtime if slot.carried else mtime.seconds
        with writing(self._place(slot)), self._file(slot) as file:
            del self._files[slot]
            os.fchmod(file.fileno(), slot.mode & searchable(self._most))  # who may read a program may run it
            os.utime(file.fileno(), (seconds, seconds))
            os.fsync(file.fileno())

    def release(self) -> None:
        """Close open files; what was written stays until the job folder is removed. Further calls do nothing."""
        while self._files:
            self._files.popitem()[1].close()

    def assemble(self) -> Path:
        """Set the modes and times of folders, sync them, and return the root.

        Raises:
            OutputError: The disk failed.
        """
        carried = {self._root / (member.path.text if member.path else ""): member for member in self._folders}
        with writing(self._root):
            # Deepest first: a folder may be read-only, and writing into it would move its time.
            for name, _, _ in os.walk(self._root, topdown=False):
                folder = Path(name)
                sync_folder(folder)
                member = carried.get(folder)
                # A new folder shows neither the clock nor the umask: equal runs give equal folders.
                seconds = member.mtime if member is not None else self._created_at.seconds
                os.utime(folder, (seconds, seconds))
                folder.chmod(member.mode & searchable(self._most) & _PERMISSIONS if member is not None else self._mode)
        return self._root

    def _place(self, slot: Slot) -> Path:
        return self._root / slot.path.text if slot.path else self._root

    def _file(self, slot: Slot) -> BinaryIO:
        file = self._files.get(slot)
        if file is None:
            place = self._place(slot)
            place.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[slot] = open(os.open(place, _NEW_FILE, 0o600), "wb", buffering=0)  # noqa: PTH123, SIM115
        return file


def searchable(mode: int) -> int:
    """Return the mode of a folder for the same people as a file of ``mode``: who may read it may also search it."""
    return (mode | (mode & 0o444) >> 2) & _PERMISSIONS
