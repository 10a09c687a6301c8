"""A new file for what nobody else may read: it has no name until it is whole, and then replaces nothing.

Where the file system can, the file is made without a name (``O_TMPFILE``, open(2)), so that a killed run leaves no
plaintext behind; elsewhere it has a hidden name beside the target until then. Laws: mode 0600 from the start; only
``publish`` gives the name, and replaces nothing; ``check`` passes only what reads back as it was written.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.errors import OutputError
from kit.values import Sha256

_CHUNK = 1 << 20


class SecretOutput:
    """See the module docstring. A context manager: leaving it without :meth:`publish` leaves nothing."""

    def __init__(self, path: Path, *, unnamed: bool = True) -> None:
        """Prepare to write ``path``; nothing is made before the context is entered.

        Args:
            path: Where the file will be.
            unnamed: Whether to try for a file without a name.
        """
        self.path = path
        self.written = 0
        self._unnamed = unnamed
        self._beside = path.with_name(f".{path.name}.recovering")
        self._named = False
        self._descriptor = -1
        self._digest = hashlib.sha256()

    def require_free(self) -> None:
        """Refuse to overwrite.

        Raises:
            OutputError: Something is there already, a dangling link included.
        """
        if os.path.lexists(self.path):
            raise OutputError("already there; nothing is overwritten", where=str(self.path))

    def __enter__(self) -> Self:
        self.require_free()
        try:
            self._descriptor = self._opened()
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._named:
            self._beside.unlink(missing_ok=True)

    @property
    def sha256(self) -> Sha256:
        """Digest of what was written."""
        return Sha256(self._digest.hexdigest())

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            OutputError: It cannot be written.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._failed(error) from error
        self.written += len(data)
        self._digest.update(data)

    def check(self) -> None:
        """Bring everything to the disk, read it back and compare.

        Raises:
            OutputError: It cannot be, or is not what was written.
        """
        met, at = hashlib.sha256(), 0
        try:
            os.fsync(self._descriptor)
            while data := os.pread(self._descriptor, _CHUNK, at):
                met.update(data)
                at += len(data)
        except OSError as error:
            raise self._failed(error) from error
        if met.digest() != self._digest.digest():
            raise OutputError("does not read back as it was written", where=str(self.path))

    def publish(self) -> None:
        """Give the file its name, which must still be free.

        Raises:
            OutputError: It is not, or the system refuses.
        """
        source = self._beside.name if self._named else f"/proc/self/fd/{self._descriptor}"
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # With a folder given, Python calls linkat(2), which alone can follow the link to the open file.
                os.link(source, self.path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=not self._named)
                named = os.stat(self.path.name, dir_fd=folder, follow_symlinks=False)
                if not os.path.samestat(named, os.fstat(self._descriptor)):
                    os.unlink(self.path.name, dir_fd=folder)
                    raise OutputError("somebody exchanged the file before it had its name", where=str(self.path))
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed(error) from error

    def _opened(self) -> int:
        flag = getattr(os, "O_TMPFILE", 0) if self._unnamed and Path("/proc/self/fd").exists() else 0
        if flag:
            with suppress(OSError):  # a file system without it; what else is wrong, the other way meets too
                return os.open(self.path.parent, flag | os.O_RDWR | os.O_CLOEXEC, 0o600)
        descriptor = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._named = True
        return descriptor

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write: {error.strerror}", where=str(self.path))
