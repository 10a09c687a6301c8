"""Key files: read only when nobody else can read them, written only where nothing was.

A private key file must be a regular file without any permission for group and others, checked on the open file, so that
the file checked is the file read. It must not be a symbolic link: whoever owns the folder of the link can point it to
another key, and the path that was audited is then not the key that signs. A public key may be reached through a link
(as mounted configuration is): it is no secret, and reports name the key id that was in fact used.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from kit.errors import KeyUnusableError, OutputError
from kit.signing import pem as pem_blocks
from kit.signing.keys import PrivateKey, PublicKey

_LARGEST = 64 * 1024  # the PKCS#8 form of a 16384-bit RSA key takes 13 KB
_EXPOSED = stat.S_IRWXG | stat.S_IRWXO
# NONBLOCK: opening a FIFO must fail the check for a regular file, not wait for a writer.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def load_private(path: Path | str, passphrase: Callable[[], bytes] | None = None) -> PrivateKey:
    """Read a PKCS#8 private key; ``passphrase`` is called only when the file is encrypted.

    Raises:
        KeyUnusableError: Missing, unreadable, a link, exposed to group or others, a public key, or not accepted by
            :meth:`PrivateKey.parse`.
    """
    where = str(path)
    data = _read(path, _READ | os.O_NOFOLLOW, private=True)
    encrypted = pem_blocks.expect_private(data, where=where) == pem_blocks.ENCRYPTED_PKCS8
    if encrypted and passphrase is None:
        raise KeyUnusableError("the key is encrypted and there is no way to ask for its passphrase", where=where)
    return PrivateKey.parse(data, passphrase() if encrypted and passphrase else None, where=where)


def load_public(path: Path | str) -> PublicKey:
    """Read an SPKI public key.

    Raises:
        KeyUnusableError: Missing, unreadable, a private key, or not accepted by :meth:`PublicKey.parse`.
    """
    return PublicKey.parse(_read(path, _READ, private=False), where=str(path))


def write_private(path: Path | str, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key as a new file of mode 0600, on disk before this returns.

    Raises:
        OutputError: Something is at ``path`` already, a dangling link included, or it cannot be written.
    """
    _write_new(path, key.pem(passphrase), 0o600)


def write_public(path: Path | str, key: PublicKey) -> None:
    """Write a public key as a new file of mode 0644, on disk before this returns.

    Raises:
        OutputError: As :func:`write_private`.
    """
    _write_new(path, key.pem, 0o644)


def _read(path: Path | str, flags: int, *, private: bool) -> bytes:
    where = str(path)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise KeyUnusableError("not a regular file", where=where)
            if private and facts.st_mode & _EXPOSED:
                mode = stat.S_IMODE(facts.st_mode)
                raise KeyUnusableError(
                    f"others can get at this private key (mode {mode:04o})", where=where, hint=f"chmod 600 {where}"
                )
            data = file.read(_LARGEST + 1)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyUnusableError(
                "a symbolic link, which is not followed to a private key", where=where, hint="give the file it names"
            ) from error
        raise KeyUnusableError(f"cannot read the key: {error.strerror}", where=where) from error
    if len(data) > _LARGEST:
        raise KeyUnusableError(f"larger than any key ({_LARGEST:,} bytes)", where=where)
    return data


def _write_new(path: Path | str, data: bytes, mode: int) -> None:
    target = Path(path)
    try:
        descriptor = os.open(target, _CREATE, mode)
    except FileExistsError as error:
        raise OutputError("already there; a key is never overwritten", where=str(path)) from error
    except OSError as error:
        raise OutputError(f"cannot write the key: {error.strerror}", where=str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(target.parent)
    except OSError as error:
        target.unlink(missing_ok=True)  # ours: O_EXCL made it
        raise OutputError(f"cannot write the key: {error.strerror}", where=str(path)) from error


def _sync_folder(folder: Path) -> None:
    # Without it a power cut may lose the name of a key that has already signed.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
