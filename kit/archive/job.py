"""The folder ``<target>.kit-job`` that a run works in: who may be in it, and what is left of it afterwards.

Laws: at most one live process works on a target, whatever happened to the one before (the lock is the system's, and
dies with its process); a job that nobody finished is never silently thrown away or gone on with; the folder of a
finished job takes another name, ``<target>.kit-done``, before it is removed, so that a job folder is never a
half-removed one. Stops at the folder: what is in it is for the journal, the destinations and the switch.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.disk import remove_tree, sync_folder, writing
from kit.archive.journal_file import JournalFile
from kit.archive.places import place_beside
from kit.errors import OutputError, UsageError

_KEPT = frozenset({"lock", "journal", "spool"})
_HINT = "continue it with --resume, or give it up with --abandon; the kit itself is whole"


class Job:
    """A locked job folder. A context manager: leaving it gives up the lock and, unless ``keep`` is set, the folder."""

    def __init__(self, target: Path, *, resume: bool = False, kind: str = "job") -> None:
        """Name the job folder of ``target`` (the output, or the kit itself when it is patched in place).

        ``kind`` is the last part of its name, and says what works there.

        Raises:
            UsageError: The target is ``.`` or ``..``, beside which nothing can be put.
        """
        self.target = target
        self.folder = place_beside(target, f".kit-{kind}")
        self.keep = False
        self._done = place_beside(target, ".kit-done" if kind == "job" else f".kit-{kind}-done")
        self._resume = resume
        self._lock: int | None = None
        self._journal: JournalFile | None = None

    @property
    def exists(self) -> bool:
        """Whether there is such a folder."""
        return os.path.lexists(self.folder)

    @property
    def journal(self) -> JournalFile:
        """The journal of the job."""
        if self._journal is None:
            self._journal = JournalFile(self.folder / "journal")
        return self._journal

    def __enter__(self) -> Self:
        """Make the folder, or with ``resume`` take over the one that a dead process left.

        Raises:
            OutputError: Another process is at work, one died here, or the place cannot be written.
            UsageError: There is nothing to resume.
        """
        with writing(self.folder):
            remove_tree(self._done)
            if self._resume:
                self._take_over()
            else:
                self._make()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()
        if not self.keep:
            try:
                self._remove()
            except KeyboardInterrupt:
                self._remove()  # the work is over; there is nothing left to interrupt
        self._unlock()

    def obstacle(self) -> OutputError | None:
        """Say what is in the way of a new job: somebody works there, or died there; None where the place is free."""
        return self._taken() if self.exists else None

    def clear(self, *, keep: frozenset[str] = _KEPT) -> None:
        """Remove what a process that died made for itself alone; journal and spool stay, if nothing else is said.

        Raises:
            OutputError: The file system refuses.
        """
        with writing(self.folder):
            for item in sorted(self.folder.iterdir()):
                if item.name not in keep:
                    if item.is_dir() and not item.is_symlink():
                        remove_tree(item)
                    else:
                        item.unlink()

    def _make(self) -> None:
        try:
            self.folder.mkdir(mode=0o700)
        except KeyboardInterrupt:
            with suppress(OSError):
                self.folder.rmdir()
            raise
        except FileExistsError as error:
            raise self._taken() from error
        try:
            sync_folder(self.folder.parent)
            self._enter()
        except BaseException:
            # A signal, or a disk that is full: nothing is in it yet that were worth a --resume.
            with suppress(OSError):
                (self.folder / "lock").unlink(missing_ok=True)
                self.folder.rmdir()
            self._unlock()
            raise

    def _take_over(self) -> None:
        if not self.exists:
            raise UsageError(
                "there is nothing to resume: no run on this kit was interrupted",
                where=str(self.folder),
                hint="start it without --resume",
            )
        self._enter()

    def _enter(self) -> None:
        if not self._acquire(create=True):
            raise self._busy()

    def _taken(self) -> OutputError:
        """Say why the folder cannot be made: somebody works there, or died there."""
        try:
            free = self._acquire(create=False)
        except OSError:  # no lock in it yet or any more, or no folder at all
            free = True
        self._unlock()
        if free:
            return OutputError("an earlier run on this kit was interrupted", where=str(self.folder), hint=_HINT)
        return self._busy()

    def _busy(self) -> OutputError:
        return OutputError("another run is at work on this kit", where=str(self.folder), hint="wait until it has ended")

    def _acquire(self, *, create: bool) -> bool:
        """Take the lock; False where another process has it.

        A POSIX record lock (fcntl(2), F_SETLK): a worker that outlives its parent for a moment does not inherit it,
        and network file systems have it too.
        """
        path = self.folder / "lock"
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self._lock = os.open(path, flags, 0o600)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process before may have removed the folder between the two calls; its lock guards nothing any more.
            return os.path.samestat(os.fstat(self._lock), path.stat())
        except (BlockingIOError, PermissionError, FileNotFoundError):
            return False

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove(self) -> None:
        with suppress(OSError):
            self.folder.rename(self._done)
        remove_tree(self._done)
        remove_tree(self.folder)
