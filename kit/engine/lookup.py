"""A disk-backed multi-map: written once in any order, then sorted, then read by any number of processes.

SQLite does what is hard about it: appends go to a rowid table, one ``CREATE INDEX`` sorts the keys on disk with a
bounded sorter, and readers open the file read-only. Laws: memory does not grow with the number of entries; what
``find`` returns does not depend on the order in which entries were put.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.output.scratch import CACHE_KIB, disk_errors, scratch_database, spill_next_to
from kit.transforms.protocol import Lookup

_BEYOND = b"\xff" * 64
"""Sorts after anything a key of this toolkit (32 bytes) can continue a prefix with."""
_BATCH = 500
"""Keys asked for in one statement; SQLite allows 999 parameters in its oldest builds."""


class LookupWriter:
    """Gathers (key, value) pairs into a new file; :meth:`finish` sorts them and closes it.

    SQLite opens a path by its name, and workers of a cluster have nothing but the name. The name ends at random, so
    it is that of this file or of nothing: a process that cannot list the folder cannot put another file there.

    Attributes:
        path: The name to open it by.
    """

    def __init__(self, path: Path) -> None:
        """Make the file; ``path`` leads to its folder and is how its name begins.

        Raises:
            OutputError: It cannot be made there.
        """
        self.path = path.with_name(f"{path.name}-{os.urandom(16).hex()}")
        with _disk_errors(self.path):
            self._database = scratch_database(self.path)
            self._database.execute("CREATE TABLE entry (key BLOB NOT NULL, value BLOB NOT NULL)")
            self._database.execute("BEGIN")

    def put(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Store pairs.

        Raises:
            OutputError: The disk is full or failed.
        """
        with _disk_errors(self.path):
            self._database.executemany("INSERT INTO entry VALUES (?, ?)", pairs)

    def finish(self) -> None:
        """Sort the keys and close the file; it can be opened by :class:`LookupReader` from now on.

        Raises:
            OutputError: The disk is full or failed.
        """
        with _disk_errors(self.path):
            self._database.execute("COMMIT")
            with spill_next_to(self._database, self.path):
                self._database.execute("CREATE INDEX by_key ON entry (key)")
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()


class LookupReader:
    """Reads what a :class:`LookupWriter` finished; implements :class:`kit.transforms.protocol.Lookup`.

    A run that fails closes what its workers may still read: SQLite must not lose a database while it steps through a
    statement. So a reader is closed between two reads, and the next one is an ``OutputError``.
    """

    def __init__(self, path: Path) -> None:
        """Open the file read-only.

        Raises:
            OutputError: It is not there or not readable.
        """
        self._path = path
        self._lock = threading.Lock()
        with _disk_errors(path):
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[bytes]]:
        """See :class:`kit.transforms.protocol.Lookup`; values of one key come sorted."""
        found: dict[bytes, list[bytes]] = {}
        wanted = sorted(set(keys))
        with _disk_errors(self._path), self._lock:
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                query = f"SELECT key, value FROM entry WHERE key IN ({marks})"  # noqa: S608  only question marks
                for key, value in self._database.execute(query, batch):
                    found.setdefault(key, []).append(value)
        for values in found.values():
            values.sort()
        return found

    def has_prefix(self, prefix: bytes) -> bool:
        """See :class:`kit.transforms.protocol.Lookup`."""
        with _disk_errors(self._path), self._lock:
            query = "SELECT 1 FROM entry WHERE key BETWEEN ? AND ? LIMIT 1"
            return self._database.execute(query, (prefix, prefix + _BEYOND)).fetchone() is not None

    def close(self) -> None:
        """Close the file, once no read is under way."""
        with self._lock:
            self._database.close()


class EmptyLookup:
    """The lookup of a chain that gathers nothing."""

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[bytes]]:  # noqa: ARG002  the protocol's name
        """Return nothing."""
        return {}

    def has_prefix(self, prefix: bytes) -> bool:  # noqa: ARG002  the protocol's name
        """Return False."""
        return False


_open_lookups: dict[tuple[int, Path], LookupReader] = {}


def open_lookup(path: Path | None) -> Lookup:
    """Open a lookup once for each thread, so that none waits for another."""
    if path is None:
        return EmptyLookup()
    place = threading.get_ident(), path
    reader = _open_lookups.get(place)
    if reader is None:
        reader = _open_lookups[place] = LookupReader(path)
    return reader


def close_lookups() -> None:
    """Close what this process opened, before the file is removed."""
    while _open_lookups:
        _open_lookups.popitem()[1].close()


def _disk_errors(path: Path) -> AbstractContextManager[None]:
    hint = "make room on the file system of the output (kit plan prints the temp space needed)"
    return disk_errors(path, "the lookup", hint)
