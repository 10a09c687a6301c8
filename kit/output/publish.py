"""The one way to make a file appear: complete, on disk, read back, and only then under its name.

Where the file system can, a new file has no name until it is published (``O_TMPFILE``, open(2)), so that a killed run
leaves nothing of it; elsewhere it waits as ``.NAME.new`` next to its place. Laws: the mode is right from the start; no
link is followed; nothing is believed because of its name; :meth:`NewFile.publish` gives the name only to a file that
reads back as it was written, and replaces nothing unless requested. A reader of a name that is replaced sees the old
file or the new one, complete. After publishing, the file and its name are on disk.
The switch of a kit, which changes several names in an order of its own, uses the same steps (:mod:`kit.output.commit`).
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.errors import OutputError
from kit.values import Sha256

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NAMED = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""The errors of link(2) where it cannot work at all: on FAT and exFAT, or for a file of another user."""
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_AT_FDCWD = -100


class NewFile:
    """A file being written. A context manager: leaving it without :meth:`publish` leaves nothing."""

    def __init__(
        self, path: Path, *, mode: int = 0o600, what: str = "", replaces: bool = False, unnamed: bool = True
    ) -> None:
        """Prepare to write ``path``; nothing is created before the context is entered.

        Args:
            path: Path of the published file.
            mode: Its permissions, less the umask.
            what: Its content, for messages: ``private key``.
            replaces: Whether it may replace an existing file.
            unnamed: Whether to try a file without a name first.
        """
        self.path = path
        self.written = 0
        self._mode = mode
        self._what = what
        self._replaces = replaces
        self._unnamed = unnamed
        self._hidden = path.with_name(f".{path.name}.new")
        self._is_named = False
        self._is_checked = False
        self._descriptor = -1
        self._digest = hashlib.sha256()

    def require_free(self) -> None:
        """Refuse to overwrite.

        Raises:
            OutputError: The name is taken, also by a dangling link.
        """
        if os.path.lexists(self.path):
            raise self._taken()

    def __enter__(self) -> Self:
        if not self._replaces:
            self.require_free()
        with self._errors():
            self._descriptor = self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._is_named:
            with suppress(OSError):  # the error that led here is the one to report
                self._hidden.unlink(missing_ok=True)

    @property
    def sha256(self) -> Sha256:
        """Digest of the written bytes."""
        return Sha256(self._digest.hexdigest())

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            OutputError: It cannot be written.
        """
        self._is_checked = False
        rest = memoryview(data)
        with self._errors():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self.written += len(data)
        self._digest.update(data)

    def check(self) -> None:
        """Write everything to the disk, read it back and compare.

        Raises:
            OutputError: The disk failed, or what is read back is not what was written.
        """
        found, at = hashlib.sha256(), 0
        with self._errors():
            os.fsync(self._descriptor)
            while data := os.pread(self._descriptor, _CHUNK, at):
                found.update(data)
                at += len(data)
        if found.digest() != self._digest.digest():
            raise OutputError("does not read back as it was written", where=str(self.path))
        self._is_checked = True

    def publish(self) -> None:
        """Name the file, after :meth:`check`, and write the name to the disk.

        Raises:
            OutputError: The file does not read back, the name is taken, or the system refuses. A file that had the name
                still has it.
        """
        if not self._is_checked:
            self.check()
        with self._errors():
            folder = os.open(self.path.parent, _FOLDER)
            try:
                if self._replaces:
                    self._rename_over(folder)
                else:
                    self._name_anew(folder)
                os.fsync(folder)
            finally:
                os.close(folder)

    def _open(self) -> int:
        flag = getattr(os, "O_TMPFILE", 0) if self._unnamed and Path("/proc/self/fd").exists() else 0
        if flag:
            with suppress(OSError):  # a file system without it; any other error also stops the other way
                return os.open(self.path.parent, flag | os.O_RDWR | os.O_CLOEXEC, self._mode)
        if self._replaces:
            self._hidden.unlink(missing_ok=True)
        try:
            descriptor = os.open(self._hidden, _NAMED, self._mode)
        except FileExistsError as error:
            raise OutputError(
                "there is a file of a run that was killed, or of one that is still at work",
                where=str(self._hidden),
                hint=f"wait for that run, or remove the file: rm {self._hidden}",
            ) from error
        self._is_named = True
        return descriptor

    def _name_anew(self, folder: int) -> None:
        """Name the file; the name must be free."""
        if not self._link(self.path.name, folder):
            rename_free(self._hidden, self.path)
            self._is_named = False
        if not self._has_name(self.path.name, folder):
            os.unlink(self.path.name, dir_fd=folder)
            raise self._exchanged()

    def _rename_over(self, folder: int) -> None:
        """Name the file in one step, also if another file has the name."""
        if not self._is_named:
            # A file that a crashed run left, possibly with another mode, is not reused.
            self._hidden.unlink(missing_ok=True)
            self._link(self._hidden.name, folder)
            self._is_named = True
        if not self._has_name(self._hidden.name, folder):
            raise self._exchanged()
        os.rename(self._hidden.name, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
        self._is_named = False

    def _link(self, name: str, folder: int) -> bool:
        """Add a name to the file; return False if it has one and the file system allows no second."""
        source = self._hidden.name if self._is_named else f"/proc/self/fd/{self._descriptor}"
        try:
            # With a folder, Python calls linkat(2); only that can follow the link to the open file.
            os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=not self._is_named)
        except OSError as error:
            if not self._is_named or error.errno not in _NO_HARD_LINKS:
                raise
            return False
        return True

    def _has_name(self, name: str, folder: int) -> bool:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(status, os.fstat(self._descriptor))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:
            what = f"cannot write the {self._what}" if self._what else "cannot write"
            raise OutputError(f"{what}: {error.strerror}", where=str(self.path)) from error

    def _taken(self) -> OutputError:
        what = f"a {self._what} is never" if self._what else "nothing is"
        return OutputError(f"already there; {what} overwritten", where=str(self.path))

    def _exchanged(self) -> OutputError:
        return OutputError("somebody exchanged the file before it had its name", where=str(self.path))


def write_new(path: Path | str, data: bytes, *, mode: int, what: str) -> None:
    """Write a new file, which is on disk on return.

    Raises:
        OutputError: The name is taken, also by a dangling link, or the file cannot be written.
    """
    with NewFile(Path(path), mode=mode, what=what) as file:
        file.write(data)
        file.publish()


def replace(path: Path | str, data: bytes, *, what: str, mode: int = 0o600) -> None:
    """Write ``data`` to ``path``, so that any reader sees the old file or the new one, complete.

    Raises:
        OutputError: It cannot be written; the old file is as it was.
    """
    with NewFile(Path(path), mode=mode, what=what, replaces=True) as file:
        file.write(data)
        file.publish()


def give_name(work: Path, target: Path) -> bool:
    """Name a finished file or folder; the name must be free. Return whether it also keeps its old name.

    Raises:
        FileExistsError: The name is taken.
        OSError: The system refuses.
    """
    # By link(2) where it works: rename(2) would replace what took the name since the last check.
    if not work.is_dir() and add_name(work, target):
        return True
    rename_free(work, target)
    return False


def add_name(file: Path, name: Path) -> bool:
    """Add a second name, which must be free, to a file; return False where the file system has no hard links.

    Raises:
        FileExistsError: The name is taken.
        OSError: The system refuses.
    """
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return False
    return True


def rename_free(one: Path, other: Path) -> None:
    """Rename without replacing anything, in one step where the system can."""
    if not _rename(one, other, _RENAME_NOREPLACE):
        if os.path.lexists(other):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(other))
        one.rename(other)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where the system cannot, or refuses."""
    return _rename(one, other, _RENAME_EXCHANGE)


def _rename(one: Path, other: Path, flags: int) -> bool:
    """Call renameat2(2) with ``flags``; return False where the system has no such call, or refuses."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags) == 0)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk: a name is only on disk once its folder is (fsync(2), NOTES)."""
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
