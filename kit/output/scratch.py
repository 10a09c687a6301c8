"""A file of a run's own: written from front to back, read at any place, gone with its folder.

For what must be read in another order than it comes, and is too large to hold. Laws: what is appended is what is read;
a disk that is full is an ``OutputError``.

SQLite as scratch space of one run: never recovered, so never synced; full or broken disks become errors of ours.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import OutputError
from kit.output.disk import open_own, writing

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


CACHE_KIB = 16 * 1024


def scratch_database(path: Path) -> sqlite3.Connection:
    """Make a database in a new file, outside of any transaction; call within :func:`disk_errors`.

    SQLite follows every link in a path by itself, and then opens what has that name. So the file is made before, in the
    folder that ``path`` leads to, and SQLite may only open it: where folders were exchanged, it finds none.
    """
    os.close(open_own(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    uri = f"{named(path).as_uri()}?mode=rw"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=FILE"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return database


def named(path: Path) -> Path:
    """Return the name of a file by which SQLite, and a worker on another machine, can open it."""
    return path.parent.resolve() / path.name


@contextmanager
def sorting_beside(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Let the sorter spill where the user gave room, not to /tmp, which may be small or memory."""
    folder = str(path.parent.absolute()).replace("'", "''")
    database.execute(f"PRAGMA temp_store_directory = '{folder}'")
    try:
        yield
    finally:
        database.execute("PRAGMA temp_store_directory = ''")


@contextmanager
def disk_errors(path: Path, what: str, hint: str) -> Iterator[None]:
    """Turn what SQLite raises into an error that names ``what`` is kept there.

    Raises:
        OutputError: The disk is full or failed.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise OutputError(f"cannot keep {what} on disk: {error}", where=str(path), hint=hint) from error


@contextmanager
def scratch_folder(within: Path | None) -> Iterator[Path]:
    """Return a new folder in ``within``, or in the system's place for such; it is gone afterwards.

    Raises:
        OutputError: It cannot be made there.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="kit-", dir=within, ignore_cleanup_errors=True)
    except OSError as error:
        # Without a place that can be written the library has none to name (tempfile.gettempdir).
        raise OutputError(
            f"a folder for temporary files cannot be made: {error.strerror}",
            where=str(within or os.environ.get("TMPDIR") or "TMPDIR"),
            hint="set TMPDIR to a folder that can be written" if within is None else "give another one: --temp DIR",
        ) from error
    with folder as path:
        yield Path(path)
