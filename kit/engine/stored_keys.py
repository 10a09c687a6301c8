"""The keys of a run, put down once for all workers (:mod:`kit.encryption.key_table` says how they are kept secret).

Pickling a key set with every piece of work costs a second for each hundred thousand owners, each time. A worker maps
the file when it meets the run first, and keeps it. Law: what a worker gets of a name is what was stored, or an error.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.encryption.key_set import KeySet, KeySource
from kit.encryption.key_table import SECRET_BYTES, KeyTable, write_table
from kit.engine.scratch import named, scratch_folder
from kit.errors import OutputError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKeys:
    """Where the keys are, and what opens them; see :class:`kit.encryption.key_set.KeySource`."""

    path: Path
    secret: bytes = field(repr=False)
    complete: bool
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Does not cross to workers: there may be a million."""
    place: Path | None = field(default=None, repr=False, compare=False)
    """Where the process that put them down reaches the file, whatever its name leads to by then."""

    def key_set(self) -> KeySet:
        """Map the file, once in each process.

        Raises:
            OutputError: It is gone or cannot be read.
        """
        opened = _opened.get(self.secret)
        if opened is None:
            try:
                with self.path.open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except OSError as error:
                raise OutputError(f"cannot read the keys of the run: {error.strerror}", where=str(self.path)) from error
            opened = _opened[self.secret] = KeyTable(mapped, self.secret).key_set()
        return opened

    def close(self) -> None:
        """Remove the file; workers that still map it do not mind.

        Raises:
            OutputError: The file system refuses.
        """
        _opened.pop(self.secret, None)
        try:
            (self.place or self.path).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be removed: {error.strerror}", where=str(self.path)) from error

    def __reduce__(self) -> tuple[object, ...]:
        return _stored_keys, (self.path, self.secret, self.complete)


def _stored_keys(path: Path, secret: bytes, complete: bool) -> StoredKeys:  # noqa: FBT001  for pickle
    return StoredKeys(path=path, secret=secret, complete=complete)


_opened: dict[bytes, KeySet] = {}


def store(keys: KeySource, path: Path) -> StoredKeys:
    """Put keys down in a new file; whoever asked closes it.

    Raises:
        OutputError: They cannot be written there.
    """
    secret, known = os.urandom(SECRET_BYTES), keys.key_set()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            write_table(known, secret, file.write)
    except OSError as error:
        raise OutputError(
            f"cannot put the keys down for the workers: {error.strerror}", where=str(path), hint="make room there"
        ) from error
    return StoredKeys(path=named(path), secret=secret, complete=known.complete, names=known.names, place=path)


@contextmanager
def shared(keys: KeySource | None) -> Iterator[KeySource | None]:
    """Give keys in a form that can go with every piece of work, for as long as the context lasts.

    Raises:
        OutputError: They cannot be written to a folder of their own among the temporary ones.
    """
    if keys is None or isinstance(keys, StoredKeys):
        yield keys
        return
    with scratch_folder(None) as folder:
        stored = store(keys, folder / "keys")
        try:
            yield stored
        finally:
            stored.close()
