"""Keyring files: refused if others can read them, replaced atomically, and never over another process's change.

Two runs that load one keyring and each add data keys must not overwrite each other: the keys of the first would be
lost, and all values sealed with them. So a file is replaced only if it still holds the bytes that were loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit import publishing, secret_files
from kit.encryption.keyring import MAX_BYTES, Keyring
from kit.encryption.master_keys import Credentials
from kit.encryption.unlocking import unlock
from kit.errors import OutputError

_WHAT = "keyring"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringFile:
    """A keyring and the bytes it was read from."""

    path: Path
    keyring: Keyring
    loaded: bytes

    def is_current(self) -> bool:
        """Return whether the file still holds the bytes that were loaded.

        Raises:
            KeyUnusableError: It is missing or exposed.
        """
        return _read(self.path) == self.loaded

    def replaced(self, keyring: Keyring) -> KeyringFile:
        """Replace the file by ``keyring``, and return what is read back; an equal keyring is not written.

        Raises:
            OutputError: It cannot be written, another process is writing it, or it changed since it was loaded.
            KeyUnusableError: The file is missing or exposed.
        """
        data = keyring.to_json()
        if data == self.loaded:
            return self
        if len(data) > MAX_BYTES:
            raise OutputError(
                f"would have {len(data):,} bytes; the maximum is {MAX_BYTES:,}",
                where=str(self.path),
                hint="use a keyring for each product or context",
            )
        with secret_files.lock(self.path, what=_WHAT):
            if _read(self.path) != self.loaded:
                raise OutputError(
                    "the keyring was changed by another process", where=str(self.path), hint="start again"
                )
            publishing.replace(self.path, data, what=_WHAT)
        del data  # of many owners, a hundred megabytes; what is read back is as large
        return load(self.path)


def load(path: Path) -> KeyringFile:
    """Return the keyring of a file.

    Raises:
        KeyUnusableError: It is missing, a link, readable by others, or not a keyring.
    """
    return _parse(path, _read(path))


def create(path: Path, keyring: Keyring) -> KeyringFile:
    """Write a new keyring file of mode 0600.

    Raises:
        OutputError: The path exists, or it cannot be written.
    """
    publishing.write_new(path, keyring.to_json(), mode=0o600, what=_WHAT)
    return load(path)


def rewrap(file: KeyringFile, credentials: Credentials) -> KeyringFile:
    """Rewrap every data key under the newest master key: add a copy, read back, open, compare, switch.

    After a crash at any point, the file holds a keyring in which every data key opens as before; calling this again
    completes it.

    Raises:
        KeyUnusableError: A data key is locked, or a copy does not open to the same key; the old copies stay.
        OutputError: As :meth:`KeyringFile.replaced`.
    """
    begun = unlock(file.keyring, credentials, where=str(file.path)).begun_rewrap()
    read_back = file.replaced(begun)
    finished = unlock(read_back.keyring, credentials, where=str(file.path)).finished_rewrap()
    return read_back.replaced(finished)


def _read(path: Path) -> bytes:
    return secret_files.read(path, what=_WHAT, largest=MAX_BYTES, secret=True)


def _parse(path: Path, data: bytes) -> KeyringFile:
    return KeyringFile(path=path, keyring=Keyring.parse(data, where=str(path)), loaded=data)
