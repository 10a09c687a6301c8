"""A new folder of files that get their place together: it has no name of its own until everything in it is whole.

Laws: mode 0700, since what is in it may be for few eyes; it is reached by its descriptor, so who exchanges its name
gets nothing of it; only ``publish`` gives the name, and replaces nothing; a body that fails leaves nothing. A killed
run leaves ``.<name>.writing-…`` next to the target, which nothing reads.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.disk import empty_folder, writing
from kit.archive.held_folder import HeldFolder
from kit.errors import KitError, OutputError
from kit.publishing import give_name, sync_folder


class NewFolder:
    """See the module docstring. A context manager: leaving it without :meth:`publish` leaves nothing."""

    def __init__(self, target: Path) -> None:
        """Prepare to make ``target``; nothing is made before the context is entered."""
        self.target = target
        self._work: Path | None = None
        self._held: HeldFolder | None = None

    def require_free(self) -> None:
        """Refuse to overwrite.

        Raises:
            OutputError: Something is there already, a dangling link included.
        """
        if os.path.lexists(self.target):
            raise OutputError("already there; nothing is overwritten", where=str(self.target))

    def __enter__(self) -> Self:
        self.require_free()
        with writing(self.target):
            prefix = f".{self.target.name}.writing-"
            self._work = Path(tempfile.mkdtemp(prefix=prefix, dir=self.target.absolute().parent))
            descriptor = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._held = HeldFolder(descriptor, self.target)
            if os.fstat(descriptor).st_uid != os.geteuid() or self._held.names():
                raise OutputError("is not the folder that was just made: somebody exchanged it", where=str(self._work))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is None:
            return
        if isinstance(error, KitError):
            self._held.describe(error)
        if self._work is not None:
            with suppress(OSError):
                empty_folder(self._held.descriptor)
                self._work.rmdir()
        self._held.close()

    def place(self, name: str) -> Path:
        """Return the place of a file by its path in the folder, and make the folders above it.

        Raises:
            OutputError: The system refuses.
        """
        if self._held is None:
            raise OutputError("is not being made", where=str(self.target))
        place = self._held.path / name
        with writing(self.target / name):
            place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def publish(self) -> None:
        """Name the folder; nothing may have that name.

        Raises:
            OutputError: It is not, or the system refuses.
        """
        if self._work is None or self._held is None:
            raise OutputError("is not being made", where=str(self.target))
        with writing(self.target):
            for folder, _, _ in os.walk(self._held.path):
                sync_folder(Path(folder))
            give_name(self._work, self.target)
            if not os.path.samestat(self.target.lstat(), os.fstat(self._held.descriptor)):
                raise OutputError("is not the folder that was written: somebody exchanged it", where=str(self.target))
            self._work = None
            sync_folder(self.target.absolute().parent)
