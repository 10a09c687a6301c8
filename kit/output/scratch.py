"""A file of a run's own: written from front to back, read at any place, gone with its folder.

For what must be read in another order than it comes, and is too large to hold. Laws: what is appended is what is read;
a disk that is full is an ``OutputError``.
"""

from __future__ import annotations

import os
from pathlib import Path

from kit.archive.disk import open_own, writing

_BUFFER = 1024 * 1024


class StoredFile:
    """Such a file being read, by whichever process; closed by :meth:`close`."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OutputError: It cannot be opened.
        """
        self.path = path
        with writing(path):
            self._descriptor = self._opened(path)
            self.size = os.fstat(self._descriptor).st_size

    @staticmethod
    def _opened(path: Path) -> int:
        return open_own(path, os.O_RDONLY)

    def read(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at ``offset``; fewer only at the end.

        Raises:
            OutputError: The disk failed.
        """
        # Asked for every document: a context manager would cost more than the reading.
        try:
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
                data += more
        except OSError:
            with writing(self.path):
                raise
        return data

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class ScratchFile(StoredFile):
    """Such a file being written, and read; one that a dead process left there is emptied."""

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OutputError: It cannot be made.
        """
        super().__init__(path)
        self._held: list[bytes] = []
        self._held_bytes = 0

    @staticmethod
    def _opened(path: Path) -> int:
        return open_own(path, os.O_RDWR | os.O_CREAT, empty=True)

    def append(self, data: bytes) -> None:
        """Put ``data`` at the end.

        Raises:
            OutputError: The disk is full or failed.
        """
        self._held.append(data)
        self._held_bytes += len(data)
        self.size += len(data)
        if self._held_bytes >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand what is held to the system; needed before reading.

        Raises:
            OutputError: The disk is full or failed.
        """
        held, self._held, self._held_bytes = self._held, [], 0
        with writing(self.path):
            view = memoryview(held[0] if len(held) == 1 else b"".join(held))
            while view:
                view = view[os.write(self._descriptor, view) :]
