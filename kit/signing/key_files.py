"""Key files: private keys are read only from files that nobody else can read; neither half overwrites a file.

Files are opened and checked by :mod:`kit.secret_files`. A public key may be reached through a link (as mounted
configuration is): it is no secret, and reports name the key id that was in fact used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit import publishing, secret_files
from kit.errors import KeyUnusableError
from kit.signing.key_forms import as_pkcs8, as_spki
from kit.signing.keys import PrivateKey, PublicKey

_ENCRYPTED = b"-----BEGIN ENCRYPTED"
_MAX_BYTES = 64 * 1024  # the PKCS#8 form of a 16384-bit RSA key takes 13 KB


def load_private(path: Path | str, passphrase: Callable[[], bytes] | None = None) -> PrivateKey:
    """Return the private key of a file, in any form that :mod:`kit.signing.key_forms` reads.

    ``passphrase`` is called only when the file is encrypted.

    Raises:
        KeyUnusableError: Missing, unreadable, a link, exposed to group or others, a public key, or refused by
            :meth:`PrivateKey.parse`.
    """
    where = str(path)
    data = secret_files.read(path, what="private key", largest=_MAX_BYTES, secret=True)
    data = as_pkcs8(data, where=where)
    encrypted = data.startswith(_ENCRYPTED)
    if encrypted and passphrase is None:
        raise KeyUnusableError("the key is encrypted and there is no way to ask for its passphrase", where=where)
    return PrivateKey.parse(data, passphrase() if encrypted and passphrase else None, where=where)


def load_public(path: Path | str) -> PublicKey:
    """Return the public key of a file, in any form that :mod:`kit.signing.key_forms` reads.

    Raises:
        KeyUnusableError: Missing, unreadable, a private key, or refused by :meth:`PublicKey.parse`.
    """
    data = secret_files.read(path, what="key", largest=_MAX_BYTES, secret=False)
    return PublicKey.parse(as_spki(data, where=str(path)), where=str(path))


def write_private(path: Path | str, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key as a new file of mode 0600; it is on disk when this returns.

    Raises:
        OutputError: ``path`` exists already, be it as a dangling link, or it cannot be written.
    """
    publishing.write_new(path, key.pem(passphrase), mode=0o600, what="key")


def write_public(path: Path | str, key: PublicKey) -> None:
    """Write a public key as a new file of mode 0644; it is on disk when this returns.

    Raises:
        OutputError: As :func:`write_private`.
    """
    publishing.write_new(path, key.pem, mode=0o644, what="key")
