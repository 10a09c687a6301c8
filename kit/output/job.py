"""The folder ``<target>.kit-job`` in which a run works: who may work in it, and what is left of it afterwards.

Where the file system of the target keeps no owner and mode of files, the folder is in one that the user names
(``--work-folder``), under a name that nobody can guess, and is found again by the content of its lock.

Laws: at most one live process works on a target, whatever happened to earlier ones (the lock is the system's, and ends
with its process). An unfinished job is never silently discarded or continued. The folder of a finished job is renamed
to ``<target>.kit-done`` before it is removed, so a job folder is never a half-removed one. Only a folder that a run
made is worked in, emptied or removed: it is private to this user (:mod:`kit.output.folders`) and has a file
:data:`LOCK`, which nobody else could have put there. It and the folder of the target are opened once, and every later
step is relative to them. Stops at the folder: its content belongs to the journal, the destinations and the switch.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.errors import KitError, OutputError, UsageError
from kit.output.disk import empty_folder, open_own, remove_tree, writing
from kit.output.folders import HeldFolder, keeps_modes
from kit.output.journal import JournalFile
from kit.output.paths import path_next_to
from kit.output.publish import sync_folder

LOCK = "kit-job.lock"
"""The name of a file that marks a folder as made by a run. Its content may be damaged, as that of any file."""
_KEPT = frozenset({LOCK, "journal", "spool"})
_TOKEN_BYTES = 16
_HINT = "continue it with --resume, or give it up with --abandon; the kit itself is whole"


class Job:
    """A locked job folder; a context manager.

    Leaving it releases the lock and, unless ``keep`` is set, removes the folder.

    Attributes:
        target: The output, or the kit itself when it is patched in place, as the user named it.
        named: Path of the job folder, for messages.
        keep: Whether the folder stays when the context is left.
    """

    def __init__(
        self, target: Path, *, resume: bool = False, kind: str = "job", work_folder: Path | None = None
    ) -> None:
        """Prepare the job of ``target``; nothing is created before the context is entered.

        Args:
            target: The output, or the kit itself.
            resume: Whether to take over what another process left.
            kind: The last part of the folder's name, which shows the verb.
            work_folder: The folder to work in, if not next to the target.

        Raises:
            UsageError: The target is ``.`` or ``..``, next to which nothing can be put.
        """
        self.target = target
        self.named = path_next_to(target, f".kit-{kind}")
        self.keep = False
        self._kind = kind
        self._done = path_next_to(target, ".kit-done" if kind == "job" else f".kit-{kind}-done").name
        self._resume = resume
        self._work_folder = work_folder
        self._mark = b""
        """The content of the lock: for a job that is not next to its target, the path of the target."""
        self._lock: int | None = None
        self._journal: JournalFile | None = None
        self._target_folder: HeldFolder | None = None
        """The folder that the target is in."""
        self._above: HeldFolder | None = None
        """The folder that the job folder is in."""
        self._folder: HeldFolder | None = None
        self._stage: HeldFolder | None = None

    @property
    def exists(self) -> bool:
        """Whether the name of the job folder is taken, or the user's work folder has a job of this target."""
        if self._work_folder is None:
            return os.path.lexists(self.named)
        try:
            with HeldFolder.of(self._work_folder) as above:
                return self._find(above)
        except OSError:
            return False

    @property
    def folder(self) -> Path:
        """The job folder, whatever its name is by now; only within the context."""
        return self._require_open(self._folder).path

    @property
    def place(self) -> Path:
        """The target, in its folder that was opened when the run began; only within the context."""
        return self._require_open(self._target_folder).path / self.target.name

    @property
    def stage(self) -> Path:
        """The staging folder, on the file system of the target; only within the context.

        It is the job folder or, if that is elsewhere, a folder next to the target, made on first use. Others may have
        access to the latter, so a kit in it is judged or compared before it is used.

        Raises:
            OutputError: It cannot be made, or its name is taken.
        """
        if self._work_folder is None:
            return self.folder
        if self._stage is None:
            above = self._require_open(self._target_folder)
            with writing(above.named / self._stage_name):
                self._stage = above.open_or_make(self._stage_name)
        return self._stage.path

    @property
    def is_elsewhere(self) -> bool:
        """Whether the job folder is not next to the target, so that the last step crosses file systems."""
        return self._work_folder is not None

    @property
    def _stage_name(self) -> str:
        return f".{self.target.name}.kit-{self.named.name[-2 * _TOKEN_BYTES :]}"

    @property
    def journal(self) -> JournalFile:
        """The journal of the job.

        Raises:
            OutputError: It cannot be read, or is not a journal.
        """
        if self._journal is None:
            self._journal = JournalFile(self.folder / "journal")
        return self._journal

    @property
    def stored_bytes(self) -> int:
        """Sum of the sizes of the files in the folder, those of an unpacked kit included."""
        sizes = (os.lstat(Path(place) / name).st_size for place, _, names in os.walk(self.folder) for name in names)
        return sum(sizes)

    def __enter__(self) -> Self:
        """Make the folder, or with ``resume`` take over the one that a dead process left.

        Raises:
            OutputError: Another process is at work, one died here, the place cannot be written, or the name is taken
                by something that no run of this user made.
            UsageError: There is nothing to resume.
        """
        with ExitStack() as stack, writing(self.named):
            stack.callback(self._release)
            self._target_folder = HeldFolder.of(self.target.parent)
            self._above = self._target_folder
            try:
                if self._work_folder is not None:
                    self._above = HeldFolder.of(self._work_folder)
                    self._find(self._above)
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
                self._remove()  # the work is done; there is nothing left to interrupt
        self._release()

    def obstacle(self) -> OutputError | None:
        """Return what prevents a new job: a run that works there or died there; None if the place is free.

        Raises:
            OSError: The folder of the target cannot be opened.
        """
        with HeldFolder.of(self._work_folder or self.target.parent) as above:
            if self._work_folder is not None and not self._find(above):
                return None
            if os.path.lexists(above.path / self.named.name):
                return self._taken(above)
            return self._foreign_done(above) if self._work_folder is None else None

    def clear(self, *, keep: frozenset[str] = _KEPT) -> None:
        """Remove the files of a dead process, except the names in ``keep``: by default lock, journal and spool.

        Raises:
            OutputError: The file system refuses.
        """
        with writing(self.named):
            if self._work_folder is not None:
                remove_tree(self._require_open(self._target_folder).path / self._stage_name)
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
            # A signal, or a full disk: it holds nothing yet that is worth a --resume.
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
            raise without_modes(above.named)

    def _enter(self, above: HeldFolder, folder: HeldFolder) -> None:
        # The folder is empty if its process was killed at the first step; otherwise a run has put its lock there.
        self._lock = self._acquire(folder, create=not folder.names())
        if self._lock is None or not folder.is_at(above, self.named.name):
            raise self._busy()
        if self._work_folder is not None and self._others(above) != {self.named.name}:
            raise self._busy()  # two runs began at the same time, and neither saw the other

    def _find(self, above: HeldFolder) -> bool:
        """Look in the user's work folder for the job of this target, and return whether there is one.

        It sets the name of the job folder, a new one if there is none. Others may write to the work folder, so what is
        not private to this user and marked is ignored.
        """
        real = f"{self.target.parent.resolve()}/{self.target.name}"
        self._mark = json.dumps(real).encode("ascii") + b"\n"
        found = sorted(self._others(above))
        name = found[0] if found else f"kit-{self._kind}-{os.urandom(_TOKEN_BYTES).hex()}"
        self.named, self._done = above.named / name, f"{name}-done"
        return bool(found)

    def _others(self, above: HeldFolder, suffix: str = "") -> frozenset[str]:
        """Return the names of this target's jobs in the user's work folder."""
        form = self._form(suffix)
        return frozenset(name for name in above.names() if form.fullmatch(name) and self._is_ours(above, name))

    def _form(self, suffix: str) -> re.Pattern[str]:
        return re.compile(rf"kit-{self._kind}-[0-9a-f]{{{2 * _TOKEN_BYTES}}}{suffix}")

    def _is_ours(self, above: HeldFolder, name: str) -> bool:
        try:
            with above.private(name) as folder:
                lock = open_own(folder.path / LOCK, os.O_RDONLY)
                try:
                    return os.pread(lock, len(self._mark) + 1, 0) == self._mark
                finally:
                    os.close(lock)
        except (OSError, OutputError):
            return False

    def _foreign_done(self, above: HeldFolder) -> OutputError | None:
        """Return why the folder of a finished job cannot be removed; None if it can, or does not exist."""
        try:
            with above.private(self._done) as done:
                if done.names() and (lock := self._acquire(done, create=False)) is not None:
                    os.close(lock)
        except FileNotFoundError:
            return None
        except OutputError as error:
            return error
        return None

    def _taken(self, above: HeldFolder) -> OutputError:
        """Return why the folder cannot be made: a run works there or died there, or it is no folder of a run."""
        try:
            with above.private(self.named.name) as folder:
                if folder.names():
                    lock = self._acquire(folder, create=False)
                    if lock is None:
                        return self._busy()
                    os.close(lock)
        except FileNotFoundError:  # it was removed meanwhile
            pass
        except OutputError as error:
            return error
        return OutputError("an earlier run on this kit was interrupted", where=str(self.named), hint=_HINT)

    def _busy(self) -> OutputError:
        return OutputError("another run is at work on this kit", where=str(self.named), hint="wait until it has ended")

    def _acquire(self, folder: HeldFolder, *, create: bool) -> int | None:
        """Return the lock of a folder that a run made; None if another process has it.

        It is a POSIX record lock (fcntl(2), F_SETLK): a worker that briefly outlives its parent does not inherit it,
        and network file systems have it, too.

        Raises:
            OutputError: No run made the folder.
        """
        path = folder.path / LOCK
        try:
            lock = open_own(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0))
        except FileNotFoundError as error:
            # A folder that was just made is gone only if another run took it for one that was never begun.
            raise self._busy() if create else self._foreign(folder) from error
        except OutputError as error:
            folder.describe(error)
            raise
        with ExitStack() as stack:
            stack.callback(os.close, lock)
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The earlier process may have removed it between the two calls; its lock then guards nothing.
                if not os.path.samestat(os.fstat(lock), path.lstat()):
                    return None
            except (BlockingIOError, PermissionError, FileNotFoundError):
                return None
            if self._mark and not os.fstat(lock).st_size:
                os.pwrite(lock, self._mark, 0)
                os.fsync(lock)
            stack.pop_all()
        return lock

    def _foreign(self, folder: HeldFolder) -> OutputError:
        return OutputError(
            "is no job folder of this program: it is not used, and nothing in it was touched",
            where=str(folder.named),
            hint="find out what it is, then move it away",
        )

    def _clear_done(self, above: HeldFolder) -> None:
        """Remove the folder of a finished job that was only partly removed.

        Raises:
            OutputError: Its name is taken by something that no run made.
        """
        if self._work_folder is None:
            self._clear(above, self._done)
            return
        for name in self._others(above, "-done"):
            self._clear(above, name)
        # A process that was killed at its first steps, or its last, left an empty folder.
        for name in filter(self._form("(-done)?").fullmatch, above.names()):
            with suppress(OSError, OutputError), above.private(name) as folder:
                if folder.names() == {LOCK} and not (folder.path / LOCK).lstat().st_size:
                    lock = self._acquire(folder, create=False)
                    if lock is not None:
                        folder.empty(last=LOCK)
                        os.close(lock)
                os.rmdir(name, dir_fd=above.descriptor)

    def _clear(self, above: HeldFolder, name: str) -> None:
        try:
            done = above.private(name)
        except FileNotFoundError:
            return
        with done:
            if done.names():
                lock = self._acquire(done, create=False)
                if lock is None:
                    return  # its process is removing it
                try:
                    done.empty(last=LOCK)
                finally:
                    os.close(lock)
            with suppress(OSError):
                os.rmdir(name, dir_fd=above.descriptor)

    def _describe(self, error: KitError) -> None:
        for held in (self._stage, self._folder, self._above, self._target_folder):
            if held is not None:
                held.describe(error)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for held in (self._stage, self._folder, self._above, self._target_folder):
            if held is not None:
                held.close()
        self._stage = self._folder = self._above = self._target_folder = None

    def _remove(self) -> None:
        above, folder = self._require_open(self._above), self._require_open(self._folder)
        if self._work_folder is not None:
            # First: as long as the job exists, another process knows the purpose of this folder.
            remove_tree(self._require_open(self._target_folder).path / self._stage_name)
        with suppress(OSError):
            if folder.is_at(above, self.named.name):
                (above.path / self.named.name).rename(above.path / self._done)
        folder.empty(last=LOCK)
        for name in (self._done, self.named.name):
            if folder.is_at(above, name):
                with suppress(OSError):
                    os.rmdir(name, dir_fd=above.descriptor)

    @staticmethod
    def _require_open(folder: HeldFolder | None) -> HeldFolder:
        if folder is None:
            raise OutputError("the job folder is not open")
        return folder


def without_modes(folder: Path) -> OutputError:
    """Return the error for a folder whose file system keeps no modes."""
    return OutputError(
        "the file system there does not keep the owner and mode of files, so others could change what a run works with",
        where=str(folder),
        hint="name a folder of your own on a file system that does, with --work-folder DIR",
    )
