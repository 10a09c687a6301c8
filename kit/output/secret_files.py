"""Files that hold secrets: read only when nobody else can read them, and changed by one process at a time.

A secret file must be a regular file without any permission for group and others. This is checked on the open file, so
that the file checked is the file read. It must not be a symbolic link: the owner of the link's folder could point it to
another file, and the secret in use would not be the one that was audited. A public key may be reached through a link,
as mounted configuration is.

Stops at the bytes: :mod:`kit.output.publish` writes such files, and ``kit.signing`` and ``kit.encryption`` parse them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import KeyUnusableError, OutputError
from kit.output import key_names

_EXPOSED = stat.S_IRWXG | stat.S_IRWXO
# NONBLOCK: opening a FIFO must fail the check for a regular file, not wait for a writer.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def read(path: Path | str, *, what: str, largest: int, secret: bool) -> bytes:
    """Return the content of a small file.

    Args:
        path: The file.
        what: What it holds, for messages: ``private key``.
        largest: The maximum size in bytes.
        secret: Refuse links, and files with any permission for others.

    Raises:
        KeyUnusableError: Missing, unreadable, not a regular file, too large; if ``secret``, a link or exposed.
    """

    def check(facts: os.stat_result) -> None:
        if secret and facts.st_mode & _EXPOSED:
            mode = stat.S_IMODE(facts.st_mode)
            raise KeyUnusableError(
                f"others can get at this {what} (mode {mode:04o})", where=str(path), hint=f"chmod 600 {path}"
            )

    return _read(path, check, what=what, largest=largest, follows=not secret)


def read_own(path: Path | str, *, what: str, largest: int) -> bytes:
    """Return the content of a small file that only this user can have written.

    Args:
        path: The file.
        what: What it holds, for messages: ``configuration``.
        largest: The maximum size in bytes.

    Raises:
        KeyUnusableError: Missing, unreadable, a link, not a regular file, of another user, open to changes by others,
            or too large.
    """

    def check(facts: os.stat_result) -> None:
        if facts.st_uid != os.geteuid():
            raise KeyUnusableError(f"the {what} belongs to another user (uid {facts.st_uid})", where=str(path))
        if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(facts.st_mode)
            raise KeyUnusableError(
                f"others can change this {what} (mode {mode:04o})", where=str(path), hint=f"chmod go-w {path}"
            )

    return _read(path, check, what=what, largest=largest, follows=False)


def _read(
    path: Path | str, check: Callable[[os.stat_result], None], *, what: str, largest: int, follows: bool
) -> bytes:
    """Return the content of a small regular file; ``check`` refuses the open file by its owner and mode."""
    where = str(path)
    try:
        with os.fdopen(os.open(path, _READ | (0 if follows else os.O_NOFOLLOW)), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise KeyUnusableError("not a regular file", where=where)
            check(facts)
            data = file.read(largest + 1)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyUnusableError(
                f"a symbolic link, which is not followed to a {what}",
                where=where,
                hint=f"name the file itself: realpath {where}",
            ) from error
        near = key_names.similar(Path(path), secret=not follows) if error.errno == errno.ENOENT else None
        raise KeyUnusableError(
            f"cannot read the {what}: {error.strerror}", where=where, hint=f"did you mean {near}?" if near else ""
        ) from error
    if len(data) > largest:
        raise KeyUnusableError(f"larger than any {what} ({largest:,} bytes)", where=where)
    return data


@contextmanager
def lock(path: Path | str, *, what: str) -> Iterator[None]:
    """Hold an exclusive lock for ``path`` while the body runs.

    The lock is on a file next to it, since a lock on a file that is replaced by renaming is a lock on the old one.

    Raises:
        OutputError: Another process holds the lock, or the lock file cannot be created.
    """
    target = Path(path)
    lock_file = target.with_name(f".{target.name}.lock")
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise OutputError(f"cannot lock the {what}: {error.strerror}", where=str(lock_file)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OutputError(f"cannot lock the {what}: not a regular file", where=str(lock_file), hint="move it away")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise OutputError(
            f"another process is changing this {what}", where=str(path), hint="try again when it has ended"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
