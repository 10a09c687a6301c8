"""Scratch space of one run: files, folders and SQLite databases that are removed with its folder.

It is for data that is read in another order than it comes, and too large for memory. Nothing here is ever recovered, so
nothing is synced. Laws: what is read is what was appended; a full or failing disk is an ``OutputError``.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import OutputError
from kit.output.disk import open_own, write_all, writing
from kit.values import MemberPath

_BUFFER_BYTES = 1024 * 1024


class StoredFile:
    """A scratch file open for reading, in any process; :meth:`close` closes it."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OutputError: It cannot be opened.
        """
        self.path = path
        with writing(path):
            self._descriptor = self._open(path)
            self.size = os.fstat(self._descriptor).st_size

    @staticmethod
    def _open(path: Path) -> int:
        return open_own(path, os.O_RDONLY)

    def read(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at ``offset``; fewer only at the end.

        Raises:
            OutputError: The disk failed.
        """
        # Called for every document: a context manager would cost more than reading.
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


class StoredNumbers(StoredFile):
    """Sorted unsigned numbers of eight bytes, in the order of this machine, open for looking them up."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            OutputError: It cannot be opened.
        """
        super().__init__(path)
        with writing(path):
            self._map = mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ) if self.size else b""
        self._numbers = memoryview(self._map).cast("Q")

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._numbers, number)
        return at < len(self._numbers) and self._numbers[at] == number

    def close(self) -> None:
        """See :class:`StoredFile`."""
        self._numbers.release()
        if isinstance(self._map, mmap.mmap):
            self._map.close()
        super().close()


class ScratchFile(StoredFile):
    """A scratch file open for writing and reading; one that a dead process left is emptied."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            OutputError: It cannot be created.
        """
        super().__init__(path)
        self._buffered: list[bytes] = []
        self._buffered_bytes = 0

    @staticmethod
    def _open(path: Path) -> int:
        return open_own(path, os.O_RDWR | os.O_CREAT, empty=True)

    def append(self, data: bytes) -> None:
        """Append ``data``.

        Raises:
            OutputError: The disk is full or failed.
        """
        self._buffered.append(data)
        self._buffered_bytes += len(data)
        self.size += len(data)
        if self._buffered_bytes >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write buffered data to the file; needed before reading.

        Raises:
            OutputError: The disk is full or failed.
        """
        buffered, self._buffered, self._buffered_bytes = self._buffered, [], 0
        with writing(self.path):
            view = memoryview(buffered[0] if len(buffered) == 1 else b"".join(buffered))
            while view:
                view = view[os.write(self._descriptor, view) :]


def append_to(folder: Path, name: MemberPath, data: bytes) -> None:
    """Append to a file below a private folder, which is made with the folders above it where it is not there yet.

    Raises:
        OutputError: The disk is full or failed, or the system refuses such a name.
    """
    path = folder / name.text
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab", buffering=0) as file:
            write_all(file, data)


CACHE_KIB = 16 * 1024


def scratch_database(path: Path) -> sqlite3.Connection:
    """Return a database in a new file, outside any transaction; call within :func:`disk_errors`.

    SQLite follows every link in a path itself, and then opens what has that name. So the file is created first, in the
    folder that ``path`` leads to, and SQLite may only open it. If folders were exchanged, it finds no file.
    """
    os.close(open_own(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    uri = f"{real_path(path).as_uri()}?mode=rw"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=FILE"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return database


def real_path(path: Path) -> Path:
    """Return the path of a file by which SQLite, and a worker on another machine, can open it."""
    return path.parent.resolve() / path.name


@contextmanager
def spill_next_to(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Let the sorter of ``database`` spill next to ``path``, not to /tmp, which may be small or in memory."""
    folder = str(path.parent.absolute()).replace("'", "''")
    database.execute(f"PRAGMA temp_store_directory = '{folder}'")
    try:
        yield
    finally:
        database.execute("PRAGMA temp_store_directory = ''")


@contextmanager
def disk_errors(path: Path, what: str, hint: str) -> Iterator[None]:
    """Turn errors of SQLite into an error with ``what``, the data that is kept there.

    Raises:
        OutputError: The disk is full or failed.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise OutputError(f"cannot keep {what} on disk: {error}", where=str(path), hint=hint) from error


@contextmanager
def scratch_folder(within: Path | None) -> Iterator[Path]:
    """Return a new folder in ``within``, or in the system's folder for temporary files; it is removed afterwards.

    Raises:
        OutputError: It cannot be made there.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="kit-", dir=within, ignore_cleanup_errors=True)
    except OSError as error:
        # Without a writable folder the library has none to name (tempfile.gettempdir).
        raise OutputError(
            f"a folder for temporary files cannot be made: {error.strerror}",
            where=str(within or os.environ.get("TMPDIR") or "TMPDIR"),
            hint="set TMPDIR to a folder that can be written" if within is None else "give another one: --temp DIR",
        ) from error
    with folder as path:
        yield Path(path)
