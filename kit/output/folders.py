"""Folders that are held open: every step happens in the folder that was opened, whatever its name means by then.

Anybody who may write to the parent folder can put another folder, or a link, under a name at any moment. So a folder is
opened once and checked through its descriptor, and its content is reached through that descriptor: the kernel resolves
a path below ``/proc/PID/fd/N`` from the open folder and not from its name (proc(5)). It is a path because SQLite,
readers of kits and workers that were started before take no descriptor, and with one way for all no call can forget it.
:class:`NewFolder` makes a folder of files that appear together: it gets its name once everything in it is complete.

Laws: :meth:`HeldFolder.private` returns a folder that only this user may enter, or refuses it by name and touches
nothing in it or behind it. A new folder has mode 0700, since its content may be private; an exchange of its name gains
nothing, since it is reached by its descriptor; only :meth:`NewFolder.publish` gives it the name, and replaces nothing;
a failed body leaves nothing. A killed run leaves ``.<name>.writing-…`` next to the target, which nothing reads.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.errors import KitError, OutputError
from kit.output.disk import empty_folder, writing
from kit.output.publish import give_name, sync_folder

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PRIVATE = 0o700
_OTHERS_WRITE = 0o022


class HeldFolder:
    """A folder behind one descriptor; a context manager that closes it.

    Attributes:
        descriptor: Descriptor of the open folder.
        named: Its path when it was opened, for messages.
        path: A path to the open folder, valid in every process of this user while this one holds it.
    """

    def __init__(self, descriptor: int, named: Path) -> None:
        """Take over a descriptor.

        Raises:
            OutputError: There is no /proc, and others may change names on the way to the folder.
        """
        self.descriptor = descriptor
        self.named = named
        try:
            self.path = _path_of(descriptor, named)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def of(cls, path: Path) -> Self:
        """Open the folder at ``path``, which may have any owner; links are followed, since the user named it.

        Raises:
            OSError: The system refuses.
        """
        return cls(os.open(path, _FLAGS), path)

    def private(self, name: str) -> HeldFolder:
        """Open the folder ``name`` in this one, which must be private to this user.

        Raises:
            FileNotFoundError: Nothing has that name.
            OutputError: It is a link, no folder, another user's, or has another mode than 0700.
        """
        named = self.named / name
        try:
            descriptor = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=self.descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            status = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
            raise _refusal(named, _fault_of(status) or f"cannot be opened ({error.strerror})") from error
        if (fault := _fault_of(os.fstat(descriptor))) is not None:
            os.close(descriptor)
            raise _refusal(named, fault)
        return HeldFolder(descriptor, named)

    def make_private(self, name: str) -> HeldFolder:
        """Make the folder ``name`` in this one, private to this user, and open it.

        Raises:
            FileExistsError: The name is taken.
            OutputError: Somebody exchanged it at once, or the file system keeps no modes.
            OSError: The system refuses.
        """
        os.mkdir(name, _PRIVATE, dir_fd=self.descriptor)
        try:
            folder = self.private(name)
        except OutputError:
            with suppress(OSError):
                os.rmdir(name, dir_fd=self.descriptor)
            raise
        if folder.names():
            folder.close()
            raise _refusal(folder.named, "is not the folder that was just made there")
        return folder

    def open_or_make(self, name: str) -> HeldFolder:
        """Open the folder ``name`` in this one, and make it if necessary, also where the file system keeps no modes.

        Raises:
            OutputError: It is a link, no folder or, where the file system keeps modes, not private to this user.
            OSError: The system refuses.
        """
        with suppress(FileExistsError):
            os.mkdir(name, _PRIVATE, dir_fd=self.descriptor)
        if keeps_modes(self.path):
            return self.private(name)
        try:
            return HeldFolder(os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=self.descriptor), self.named / name)
        except OSError as error:
            raise _refusal(self.named / name, f"cannot be opened ({error.strerror})") from error

    def names(self) -> frozenset[str]:
        """Return the names in the folder."""
        return frozenset(os.listdir(self.descriptor))  # noqa: PTH208  a descriptor

    def is_at(self, above: HeldFolder, name: str) -> bool:
        """Return whether the folder has the name ``name`` in ``above``."""
        try:
            status = os.stat(name, dir_fd=above.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(status, os.fstat(self.descriptor))

    def empty(self, *, last: str) -> None:
        """Remove its content, as far as possible, and the file ``last`` once all else is gone."""
        empty_folder(self.descriptor, keep=frozenset({last}))
        if self.names() <= {last}:
            empty_folder(self.descriptor)

    def describe(self, error: KitError) -> None:
        """Replace the path of the open folder in an error by the name that the user knows."""
        for one in (error, *error.also):
            one.where, one.what, one.hint = (self._with_user_path(text) for text in (one.where, one.what, one.hint))

    def _with_user_path(self, text: str) -> str:
        above = "" if self.named == Path() else f"{self.named}/"
        return text.replace(f"{self.path}/", above).replace(str(self.path), str(self.named))

    def close(self) -> None:
        """Close the descriptor; further calls do nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def keeps_modes(folder: Path) -> bool:
    """Return whether the file system of a folder keeps the owner and mode of files; a probe finds out.

    FAT, and many CIFS shares, show the same ones for all files, so nothing shows who made a folder.

    Raises:
        OSError: Nothing can be created there.
    """
    with suppress(OSError):
        # It has no name, so nobody else finds it and a kill leaves nothing (O_TMPFILE, open(2)).
        probe = os.open(folder, getattr(os, "O_TMPFILE", 0) | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            return _keeps(probe, 0o640)
        finally:
            os.close(probe)
    with tempfile.TemporaryDirectory(prefix=".kit-probe-", dir=folder, ignore_cleanup_errors=True) as name:
        probe = os.open(name, _FLAGS | os.O_NOFOLLOW)
        try:
            # Without its x bit: FAT and CIFS drop the w bit of what is read-only, and nothing else.
            return _keeps(probe, 0o600) and _keeps(probe, _PRIVATE)
        finally:
            os.close(probe)


def _keeps(descriptor: int, mode: int) -> bool:
    try:
        os.fchmod(descriptor, mode)
    except OSError:
        return False
    status = os.fstat(descriptor)
    return stat.S_IMODE(status.st_mode) & 0o777 == mode and status.st_uid == os.geteuid()


def _fault_of(status: os.stat_result) -> str | None:
    """Return why something is no private folder of this user; None if it is one.

    A POSIX access list cannot widen mode 0700: the group bits are then its mask, which limits every user and group in
    the list (acl(5)). A set-group-id bit, which a new folder inherits from its parent, grants nothing.
    """
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "is no folder"
    if status.st_uid != os.geteuid():
        return f"belongs to another user (uid {status.st_uid})"
    mode = stat.S_IMODE(status.st_mode) & ~stat.S_ISGID
    return None if mode == _PRIVATE else f"has mode {mode:04o} and not 0700, so others may have put something there"


def _refusal(named: Path, fault: str) -> OutputError:
    return OutputError(
        f"{fault}: it is not used, and nothing in it was touched",
        where=str(named),
        hint="a run works only in a folder of this user alone; find out who put this there, then move it away",
    )


def _path_of(descriptor: int, named: Path) -> Path:
    with suppress(OSError):
        # The number of this process in that /proc, which may differ from os.getpid().
        path = Path(f"/proc/{os.readlink('/proc/self')}/fd/{descriptor}")  # noqa: PTH115  not a path of files
        if os.path.samestat(path.stat(), os.fstat(descriptor)):
            return path
    absolute = named.resolve()
    if not all(_is_settled(folder) for folder in (absolute, *absolute.parents)):
        raise OutputError(
            "other users may exchange folders on the way there, and without /proc a run could be led elsewhere",
            where=str(named),
            hint="mount /proc, or work where only this user may write",
        )
    return absolute


def _is_settled(folder: Path) -> bool:
    """Return whether nobody but this user and root may exchange what they own in a folder."""
    status = folder.stat()
    shared = status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX
    return status.st_uid in {0, os.geteuid()} and not shared


class NewFolder:
    """A folder of files that get their place together; a context manager.

    Leaving it without :meth:`publish` leaves nothing.
    """

    def __init__(self, target: Path) -> None:
        """Prepare to make ``target``; nothing is created before the context is entered."""
        self.target = target
        self._work: Path | None = None
        self._held: HeldFolder | None = None

    def require_free(self) -> None:
        """Refuse to overwrite.

        Raises:
            OutputError: The name is taken, also by a dangling link.
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
        """Return where to write the file with this path in the folder, and make the folders above it.

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
        """Name the folder, which nothing else may be called, and make the name durable.

        Raises:
            OutputError: The folder is not open or was exchanged, the name is taken, or the system refuses.
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
