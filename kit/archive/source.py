"""The port through which archives are read: one open descriptor, positioned reads, foreign errors wrapped.

Laws: a path is opened once and never again by name, so the bytes verified are the bytes used; only a regular file
is opened, and no link is followed to it. Everything above takes a :class:`ByteSource`, so that a fault can be put
in its place. Stops at bytes: nothing here knows an archive.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, Self

from kit.errors import UnreadableError

CHUNK_BYTES = 256 * 1024
"""What is read at once: large enough to hide the call, small enough to stay in a core's cache (measured)."""

# O_NONBLOCK: opening a FIFO must not wait for a writer; it means nothing for the regular files that pass the check.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class ByteSource(Protocol):
    """Bytes with a position."""

    @property
    def size(self) -> int | None:
        """All bytes there are, when known."""
        ...

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes at the position and advance; ``b""`` only at the end."""
        ...

    def seek(self, offset: int) -> None:
        """Set the position, counted from the start."""
        ...

    def tell(self) -> int:
        """The position."""
        ...


class FileSource:
    """One regular file behind one descriptor, which it owns and closes.

    Reads are positioned (``pread``), so the descriptor itself has no state that two readers could disturb.
    """

    def __init__(self, descriptor: int, *, name: str) -> None:
        """Take over ``descriptor``; it is closed here if it is refused.

        Raises:
            UnreadableError: It is not a regular file.
        """
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise UnreadableError("is not a regular file", where=name)
        self._descriptor = descriptor
        self._name = name
        self._offset = 0
        self._status = status

    @classmethod
    def open(cls, path: Path, *, directory: int | None = None, name: str = "") -> Self:
        """Open ``path``, relative to the folder descriptor ``directory`` when given.

        Raises:
            UnreadableError: It is absent, a link, not a regular file, or may not be read.
        """
        name = name or str(path)
        try:
            descriptor = os.open(path, OPEN_FLAGS, dir_fd=directory)
        except (OSError, ValueError) as error:
            raise unreadable(error, name) from error
        return cls(descriptor, name=name)

    @property
    def size(self) -> int:
        """Size when it was opened."""
        return self._status.st_size

    @property
    def descriptor(self) -> int:
        """The open descriptor, which stays this object's."""
        return self._descriptor

    @property
    def status(self) -> os.stat_result:
        """What the file system said of the open descriptor."""
        return self._status

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes.

        Raises:
            UnreadableError: The medium failed; names file and offset.
        """
        try:
            data = os.pread(self._descriptor, size, self._offset)
        except OSError as error:
            raise unreadable(error, f"{self._name}: byte {self._offset}") from error
        self._offset += len(data)
        return data

    def seek(self, offset: int) -> None:
        """Set the position."""
        self._offset = offset

    def tell(self) -> int:
        """The position."""
        return self._offset

    def close(self) -> None:
        """Give the descriptor back; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def source_chunks(source: ByteSource, *, name: str, start: int = 0) -> Iterator[bytes]:
    """Every byte from ``start``, in chunks. Each iterator keeps its own position, so several may share a source.

    Raises:
        UnreadableError: A read failed; names ``name`` and the offset.
    """
    offset = start
    while True:
        try:
            source.seek(offset)
            data = source.read(CHUNK_BYTES)
        except OSError as error:
            raise unreadable(error, f"{name}: byte {offset}") from error
        if not data:
            return
        offset += len(data)
        yield data


def unreadable(error: Exception, where: str) -> UnreadableError:
    """Return the system's refusal as an error of ours, in the system's words; of a link, with the way out."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return UnreadableError(
            "cannot be read: it is a symbolic link, which is not followed",
            where=where,
            hint=f"name the file or folder that it leads to: readlink -f {shlex.quote(where)}",
        )
    words = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return UnreadableError(f"cannot be read: {words}", where=where)


def read_small(
    path: Path, *, at_most: int = 64 * 1024, check: Callable[[os.stat_result], None] | None = None
) -> bytes | None:
    """Read a small file that may be beside a kit; None where there is none.

    Args:
        path: The file; a link is not followed, and a FIFO not waited for.
        at_most: More bytes than this are refused.
        check: Refuses the file by what the system says of the one that is open.

    Raises:
        UnreadableError: It is there, but cannot be read, is no regular file, or is larger than ``at_most`` bytes.
        KitError: As ``check``.
    """
    if not os.path.lexists(path):
        return None
    source = FileSource.open(path)
    try:
        if check is not None:
            check(source.status)
        if source.size > at_most:
            raise UnreadableError(f"is {source.size:,} bytes long; at most {at_most:,} are expected", where=str(path))
        data = b""
        while part := source.read(at_most - len(data)):  # a read may give less than is there (read(2))
            data += part
        return data
    finally:
        source.close()
