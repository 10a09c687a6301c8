"""The few durable steps everything else is built from, and how their failures are named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kit.errors import OutputError

_HINT = "the kit is untouched; make room, check permissions, or choose another place for the output"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the body into an OutputError that names ``path`` and the system's reason."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror or error}", where=str(path), hint=_HINT) from error


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable: a rename is only on disk once its folder is (fsync(2), NOTES)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file; a short write is continued until the system names its error."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def write_file(path: Path, data: bytes) -> None:
    """Write a small file of ours, new or once more, on disk before this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor opened with flags of our choice
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours as far as the system lets us, read-only folders in it included."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            if not (inner := Path(place) / name).is_symlink():
                with suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
