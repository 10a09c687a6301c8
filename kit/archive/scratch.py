"""A file of a run's own: written from front to back, read at any place, gone with its folder.

For what must be read in another order than it comes, and is too large to hold. Laws: what is appended is what is read;
a disk that is full is an ``OutputError``.
"""

from __future__ import annotations

import os
from pathlib import Path

from kit.archive.disk import writing

_BUFFER = 1024 * 1024


class ScratchFile:
    """See the module docstring; closed by :meth:`close`."""

    def __init__(self, path: Path) -> None:
        """Make the file; one that a dead process left there is emptied.

        Raises:
            OutputError: It cannot be made.
        """
        self.path = path
        self.size = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        with writing(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)

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
        """Hand what is held to the system; needed before reading."""
        with writing(self.path):
            view = memoryview(b"".join(self._held))
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._held, self._held_bytes = [], 0

    def read(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at ``offset``; fewer only at the end.

        Raises:
            OutputError: The disk failed.
        """
        with writing(self.path):
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
                data += more
        return data

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
