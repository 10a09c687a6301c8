"""The destination for kits that are unpacked folders: the same slots, written as files in the job folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kit.archive.destination import Slot, write_all
from kit.archive.disk import sync_folder, writing
from kit.archive.encoding import Frame
from kit.archive.tar_headers import EntryKind
from kit.archive.tar_reader import Member
from kit.values import Codec, MemberPath, Timestamp

_NEW_FOLDER_MODE = 0o755


class FolderDestination:
    """See :class:`kit.archive.destination.Destination`; frames are plain bytes here."""

    codec = Codec.NONE

    def __init__(self, folder: Path) -> None:
        """Write into ``folder``, which exists and belongs to this job.

        Raises:
            OutputError: The folder ``kit`` cannot be made there.
        """
        self._root = folder / "kit"
        self._files: dict[Slot, BinaryIO] = {}
        self._folders: list[Member] = []
        with writing(self._root):
            self._root.mkdir()

    def carry(self, member: Member, body: Iterator[bytes]) -> tuple[Slot, Iterator[bytes]]:
        """Make a folder or link at once; a file is filled by what follows."""
        slot = Slot(path=member.path, mode=member.mode, carried=member)
        with writing(self._place(slot)):
            if member.kind is EntryKind.DIRECTORY:
                self._place(slot).mkdir(parents=True, exist_ok=True)
                self._folders.append(member)
            elif member.kind is EntryKind.FILE:
                self._create(slot)
            else:
                self._place(slot).parent.mkdir(parents=True, exist_ok=True)
                self._place(slot).symlink_to(member.link_target)
        return slot, body

    def open(self, path: MemberPath, *, mode: int) -> Slot:
        """See :class:`kit.archive.destination.Destination`."""
        slot = Slot(path=path, mode=mode)
        with writing(self._place(slot)):
            self._create(slot)
        return slot

    def add(self, slot: Slot, frame: Frame) -> None:
        """See :class:`kit.archive.destination.Destination`."""
        with writing(self._place(slot)):
            write_all(self._files[slot], frame.encoded)
        slot.length += frame.length

    def close(self, slot: Slot, *, mtime: Timestamp) -> None:
        """Set mode and time and make the file durable."""
        file = self._files.pop(slot, None)
        if file is None:
            return
        seconds = slot.carried.mtime if slot.carried else mtime.seconds
        with writing(self._place(slot)), file:
            os.fchmod(file.fileno(), slot.mode & 0o7777)
            os.utime(file.fileno(), (seconds, seconds))
            os.fsync(file.fileno())

    def release(self) -> None:
        """Close what is open; what was written stays until the job folder goes. Further calls do nothing."""
        while self._files:
            self._files.popitem()[1].close()

    def discard(self) -> None:
        """Drop everything written, so that a new destination can start in the same folder."""
        self.release()
        with writing(self._root):
            shutil.rmtree(self._root)

    def assemble(self) -> Path:
        """Give folders their modes and times, sync them, and return the root.

        Raises:
            OutputError: The disk failed.
        """
        carried = {self._root / (member.path.text if member.path else "") for member in self._folders}
        with writing(self._root):
            for name, folders, files in os.walk(self._root, topdown=False):
                folder = Path(name)
                sync_folder(folder)
                if folder not in carried:
                    # A new folder is as old as what is in it: neither the clock nor the umask may show.
                    newest = max((int((folder / leaf).lstat().st_mtime) for leaf in (*folders, *files)), default=0)
                    os.utime(folder, (newest, newest))
                    folder.chmod(_NEW_FOLDER_MODE)
            # Last and deepest first: a folder may be read-only, and writing into it would move its time.
            for member in sorted(self._folders, key=lambda member: str(member.path), reverse=True):
                place = self._root / (member.path.text if member.path else "")
                os.utime(place, (member.mtime, member.mtime))
                place.chmod(member.mode & 0o7777)
        return self._root

    def _place(self, slot: Slot) -> Path:
        return self._root / slot.path.text if slot.path else self._root

    def _create(self, slot: Slot) -> None:
        place = self._place(slot)
        place.parent.mkdir(parents=True, exist_ok=True)
        # One file is open at a time unless the engine holds a slot back; nothing is buffered here.
        self._files[slot] = place.open("xb", buffering=0)
