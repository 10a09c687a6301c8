"""SQLite as scratch space of one run: never recovered, so never synced; full or broken disks become errors of ours."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.archive.disk import open_own
from kit.errors import OutputError

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
