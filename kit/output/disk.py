"""Durable writes and the removal of folders, the steps of everything else here; failures become errors of ours."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kit.errors import OutputError

_HINT = "the kit is untouched; make room, check permissions, or choose another place for the output"
# O_NONBLOCK: opening a FIFO must not wait for its other end; it means nothing for the regular files that pass.
_OWN_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OWN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the body into an OutputError with ``path`` and the system's reason."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror or error}", where=str(path), hint=_HINT) from error


def open_own(path: Path, flags: int, *, mode: int = 0o600, empty: bool = False) -> int:
    """Return a descriptor of a file of ours: a regular file of this user with no other name.

    A link would lead elsewhere, a FIFO would block, and others may write to a file with a second name.

    Args:
        path: The file, which is created with ``O_CREAT``.
        flags: Flags of open(2).
        mode: Mode of a new file, less the umask.
        empty: Whether to empty the file, once it is known to be ours.

    Raises:
        OutputError: It is not a file of ours.
        OSError: The system refuses.
    """
    try:
        descriptor = os.open(path, flags | _OWN_FILE, mode)
        status = os.fstat(descriptor)
    except OSError as error:
        with suppress(OSError):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise _foreign(path) from error
        raise
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
        os.close(descriptor)
        raise _foreign(path)
    if empty:
        os.ftruncate(descriptor, 0)
    return descriptor


def _foreign(path: Path) -> OutputError:
    return OutputError(
        "is not a file of this run: it is a link, has a second name, or belongs to another user",
        where=str(path),
        hint="nothing was read from it or written to it; find out who put it there, then move it away",
    )


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file; a short write is continued until all is written."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def new_file(path: Path, mode: int) -> BinaryIO:
    """Return a new file, unbuffered, with ``mode`` as its widest mode.

    Raises:
        OSError: The name is taken, also by a link, or the system refuses.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # No file that is written here is a program.
    return open(os.open(path, flags, mode & 0o666), "wb", buffering=0)  # noqa: PTH123  with flags of our choice


def write_file(path: Path, data: bytes, *, mode: int) -> None:
    """Write a small file of ours, new or replaced; it is on disk on return. ``mode`` is that of :func:`new_file`."""
    path.unlink(missing_ok=True)
    with new_file(path, mode) as file:
        write_all(file, data)
        os.fsync(file.fileno())


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours as far as possible, read-only folders in it included; no link is followed."""
    with suppress(OSError):
        descriptor = os.open(folder, _OWN_FOLDER)
        try:
            empty_folder(descriptor)
        finally:
            os.close(descriptor)
        folder.rmdir()


def empty_folder(descriptor: int, *, keep: frozenset[str] = frozenset()) -> None:
    """Remove the content of an open folder of ours, as far as possible, except the names in ``keep``.

    Every step is relative to the descriptor of its folder (openat(2), unlinkat(2)), and a name is entered only if it is
    no link. So exchanging names meanwhile cannot lead it elsewhere.
    """
    device = os.fstat(descriptor).st_dev
    with suppress(OSError, RecursionError), os.scandir(descriptor) as entries:
        for entry in [entry for entry in entries if entry.name not in keep]:
            with suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=descriptor)
                    continue
                with suppress(OSError):
                    _empty_inner(entry.name, descriptor, device)
                os.rmdir(entry.name, dir_fd=descriptor)


def _empty_inner(name: str, above: int, device: int) -> None:
    try:
        inner = os.open(name, _OWN_FOLDER, dir_fd=above)
    except PermissionError:
        # It may not be listed. O_PATH (open(2)) opens it nevertheless, and its mode is set through the descriptor.
        handle = os.open(name, getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)  # noqa: PTH101  a descriptor
        finally:
            os.close(handle)
        inner = os.open(name, _OWN_FOLDER, dir_fd=above)
    try:
        if os.fstat(inner).st_dev == device:  # a mounted file system is not ours
            with suppress(OSError):
                os.fchmod(inner, 0o700)
            empty_folder(inner)
    finally:
        os.close(inner)
