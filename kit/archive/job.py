"""The folder ``<target>.kit-job`` that a run works in: who may be in it, and what is left of it afterwards.

Laws: at most one live process works on a target, whatever happened to the one before (the lock is the system's, and
dies with its process); a job that nobody finished is never silently thrown away or continued; the folder of a finished
job takes another name, ``<target>.kit-done``, before it is removed, so that a job folder is never a half-removed one.
Only a folder that a run made is worked in, emptied or removed: it is this user's alone (:mod:`kit.archive.held_folder`)
and has a lock with :data:`_MARK` in it, which nobody else could have put there. Both it and the folder that the target
is in are opened once; everything is relative to them from then on. Stops at the folder: what is in it is for the
journal, the destinations and the switch.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.disk import empty_folder, open_own, remove_tree, sync_folder, writing
from kit.archive.held_folder import HeldFolder, keeps_modes
from kit.archive.journal_file import JournalFile
from kit.archive.places import place_beside
from kit.errors import KitError, OutputError, UsageError

_LOCK = "lock"
_KEPT = frozenset({_LOCK, "journal", "spool"})
_MARK = b"kit job folder 1\n"
_HINT = "continue it with --resume, or give it up with --abandon; the kit itself is whole"


class Job:
    """A locked job folder. A context manager: leaving it gives up the lock and, unless ``keep`` is set, the folder.

    Attributes:
        target: The output, or the kit itself when it is patched in place, as the user named it.
        named: The job folder, as people know it.
        keep: Whether the folder stays when the context is left.
    """

    def __init__(self, target: Path, *, resume: bool = False, kind: str = "job") -> None:
        """Name the job folder of ``target``.

        ``kind`` is the last part of its name, and says what works there.

        Raises:
            UsageError: The target is ``.`` or ``..``, beside which nothing can be put.
        """
        self.target = target
        self.named = place_beside(target, f".kit-{kind}")
        self.keep = False
        self._done = place_beside(target, ".kit-done" if kind == "job" else f".kit-{kind}-done").name
        self._resume = resume
        self._lock: int | None = None
        self._journal: JournalFile | None = None
        self._above: HeldFolder | None = None
        self._folder: HeldFolder | None = None

    @property
    def exists(self) -> bool:
        """Whether there is anything of that name."""
        return os.path.lexists(self.named)

    @property
    def folder(self) -> Path:
        """The job folder, wherever it is named by now; only within the context."""
        return self._held(self._folder).path

    @property
    def place(self) -> Path:
        """The target, in the folder that was opened when the run began; only within the context."""
        return self._held(self._above).path / self.target.name

    @property
    def journal(self) -> JournalFile:
        """The journal of the job.

        Raises:
            OutputError: It cannot be read, or is no journal.
        """
        if self._journal is None:
            self._journal = JournalFile(self.folder / "journal")
        return self._journal

    @property
    def stored_bytes(self) -> int:
        """Room that the files in the folder take, those of an unpacked kit included."""
        sizes = (os.lstat(Path(place) / name).st_size for place, _, names in os.walk(self.folder) for name in names)
        return sum(sizes)

    def __enter__(self) -> Self:
        """Make the folder, or with ``resume`` take over the one that a dead process left.

        Raises:
            OutputError: Another process is at work, one died here, the place cannot be written, or what has the name
                of the folder was not made by a run of this user.
            UsageError: There is nothing to resume.
        """
        with ExitStack() as stack, writing(self.named):
            stack.callback(self._let_go)
            self._above = HeldFolder.of(self.target.parent)
            try:
                self._clear_done(self._above)
                if self._resume:
                    self._take_over(self._above)
                else:
                    self._make(self._above)
            except KitError as error:
                self._describe(error)
                raise
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KitError):
            self._describe(error)
        if self._journal is not None:
            self._journal.close()
        if not self.keep:
            try:
                self._remove()
            except KeyboardInterrupt:
                self._remove()  # the work is over; there is nothing left to interrupt
        self._let_go()

    def obstacle(self) -> OutputError | None:
        """Return what is in the way of a new job: somebody works there, or died there; None where the place is free.

        Raises:
            OSError: The folder of the target cannot be opened.
        """
        if not self.exists:
            return None
        with HeldFolder.of(self.target.parent) as above:
            return self._taken(above)

    def clear(self, *, keep: frozenset[str] = _KEPT) -> None:
        """Remove what a process that died made for itself alone; journal and spool stay, if nothing else is said.

        Raises:
            OutputError: The file system refuses.
        """
        with writing(self.named):
            for item in sorted(self.folder.iterdir()):
                if item.name not in keep:
                    if item.is_dir() and not item.is_symlink():
                        remove_tree(item)
                    else:
                        item.unlink()

    def _make(self, above: HeldFolder) -> None:
        if os.path.lexists(above.path / self.named.name):
            raise self._taken(above)
        self._require_modes(above)
        try:
            self._folder = above.make_private(self.named.name)
        except KeyboardInterrupt:
            with suppress(OSError):
                os.rmdir(self.named.name, dir_fd=above.descriptor)
            raise
        except FileExistsError as error:
            raise self._taken(above) from error
        try:
            sync_folder(above.path)
            self._enter(above, self._folder)
        except BaseException:
            # A signal, or a disk that is full: nothing is in it yet that were worth a --resume.
            empty_folder(self._folder.descriptor)
            with suppress(OSError):
                os.rmdir(self.named.name, dir_fd=above.descriptor)
            raise

    def _take_over(self, above: HeldFolder) -> None:
        try:
            self._folder = above.private(self.named.name)
        except FileNotFoundError as error:
            raise UsageError(
                "there is nothing to resume: no run on this kit was interrupted",
                where=str(self.named),
                hint="start it without --resume",
            ) from error
        self._require_modes(above)
        self._enter(above, self._folder)

    def _require_modes(self, above: HeldFolder) -> None:
        if not keeps_modes(above.path):
            raise OutputError(
                "the file system there does not keep the owner and mode of files, so others could change what a run"
                " works with",
                where=str(above.named),
                hint="write to another file system with --output",
            )

    def _enter(self, above: HeldFolder, folder: HeldFolder) -> None:
        # Of a process that was killed at its first step the folder is empty; else a run has put its lock there.
        self._lock = self._acquire(folder, create=not folder.names())
        if self._lock is None or not folder.is_at(above, self.named.name):
            raise self._busy()

    def _taken(self, above: HeldFolder) -> OutputError:
        """Say why the folder cannot be made: somebody works there, died there, or it is no folder of a run."""
        try:
            with above.private(self.named.name) as folder:
                if folder.names():
                    lock = self._acquire(folder, create=False)
                    if lock is None:
                        return self._busy()
                    os.close(lock)
        except FileNotFoundError:  # it has gone since
            pass
        except OutputError as error:
            return error
        return OutputError("an earlier run on this kit was interrupted", where=str(self.named), hint=_HINT)

    def _busy(self) -> OutputError:
        return OutputError("another run is at work on this kit", where=str(self.named), hint="wait until it has ended")

    def _acquire(self, folder: HeldFolder, *, create: bool) -> int | None:
        """Take the lock of a folder that a run made; None where another process has it.

        A POSIX record lock (fcntl(2), F_SETLK): a worker that outlives its parent for a moment does not inherit it,
        and network file systems have it too.

        Raises:
            OutputError: No run made the folder.
        """
        path = folder.path / _LOCK
        try:
            lock = open_own(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0))
        except FileNotFoundError as error:
            raise self._foreign(folder) from error
        except OutputError as error:
            folder.describe(error)
            raise
        with ExitStack() as stack:
            stack.callback(os.close, lock)
            if not create and not self._is_marked(folder, lock):
                raise self._foreign(folder)
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The process before may have removed it between the two calls; its lock guards nothing any more.
                if not os.path.samestat(os.fstat(lock), path.lstat()):
                    return None
            except (BlockingIOError, PermissionError, FileNotFoundError):
                return None
            if not os.fstat(lock).st_size:
                os.pwrite(lock, _MARK, 0)
                os.fsync(lock)
            stack.pop_all()
        return lock

    def _is_marked(self, folder: HeldFolder, lock: int) -> bool:
        """Whether a run made the lock: it is marked, or alone in its folder since the run was killed at once."""
        return os.pread(lock, len(_MARK) + 1, 0) == _MARK or (not os.fstat(lock).st_size and folder.names() <= {_LOCK})

    def _foreign(self, folder: HeldFolder) -> OutputError:
        return OutputError(
            "is no job folder of this program: it is not used, and nothing in it was touched",
            where=str(folder.named),
            hint="find out what it is, then move it away",
        )

    def _clear_done(self, above: HeldFolder) -> None:
        """Remove the folder of a job that was finished and not quite removed.

        Raises:
            OutputError: No run made what has its name.
        """
        try:
            done = above.private(self._done)
        except FileNotFoundError:
            return
        with done:
            if done.names():
                lock = self._acquire(done, create=False)
                if lock is None:
                    return  # its process is removing it
                try:
                    done.empty(last=_LOCK)
                finally:
                    os.close(lock)
            with suppress(OSError):
                os.rmdir(self._done, dir_fd=above.descriptor)

    def _describe(self, error: KitError) -> None:
        for held in (self._folder, self._above):
            if held is not None:
                held.describe(error)

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for held in (self._folder, self._above):
            if held is not None:
                held.close()
        self._folder = self._above = None

    def _remove(self) -> None:
        above, folder = self._held(self._above), self._held(self._folder)
        with suppress(OSError):
            if folder.is_at(above, self.named.name):
                (above.path / self.named.name).rename(above.path / self._done)
        folder.empty(last=_LOCK)
        for name in (self._done, self.named.name):
            if folder.is_at(above, name):
                with suppress(OSError):
                    os.rmdir(name, dir_fd=above.descriptor)

    @staticmethod
    def _held(folder: HeldFolder | None) -> HeldFolder:
        if folder is None:
            raise OutputError("the job folder is not open")
        return folder
