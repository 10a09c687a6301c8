"""The few durable steps everything else is built from, and how their failures are named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that any reader sees the old file or the new one, whole.

    Raises:
        OutputError: The bytes could not be written; the old file is as it was.
    """
    beside = path.with_name(f".{path.name}.new")
    with writing(path):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor opened with flags of our choice
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        sync_folder(path.parent)
