"""Key files: private keys are read only from files that nobody else can read; neither half overwrites a file.

Files are opened and checked by :mod:`kit.output.secret_files`. A public key may be reached through a link (as mounted
configuration is): it is no secret, and reports name the key id that was in fact used. Several public keys may be in one
file or one folder: what is trusted then are all of them, so anything else that is there is refused, not passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit.errors import KeyUnusableError
from kit.output import key_names, publish, secret_files
from kit.signing import encodings
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
    try:
        data = secret_files.read(path, what="private key", largest=_MAX_BYTES, secret=True)
        as_pkcs8(data, where=str(path))
    except KeyUnusableError as error:
        if _is_public(path):  # also where its mode would be refused, which is not what is wrong
            raise KeyUnusableError(
                "a public key where a private key is expected", where=str(path), hint=_private_of(Path(path))
            ) from error
        raise
    return parse_private(data, passphrase, where=str(path))


def _is_public(path: Path | str) -> bool:
    try:
        load_public(path)
    except KeyUnusableError:
        return False
    return True


def _private_of(public: Path) -> str:
    near = key_names.similar(public, secret=True)
    return f"did you mean {near}?" if near is not None else ""


def parse_private(data: bytes, passphrase: Callable[[], bytes] | None = None, *, where: str) -> PrivateKey:
    """Return the private key of a file's content, as :func:`load_private` does.

    Raises:
        KeyUnusableError: A public key, or refused by :meth:`PrivateKey.parse`.
    """
    data = as_pkcs8(data, where=where)
    encrypted = data.startswith(_ENCRYPTED)
    if encrypted and passphrase is None:
        raise KeyUnusableError("the key is encrypted and there is no way to ask for its passphrase", where=where)
    return PrivateKey.parse(data, passphrase() if encrypted and passphrase else None, where=where)


def load_public(path: Path | str) -> PublicKey:
    """Return the public key of a file, in any form that :mod:`kit.signing.key_forms` reads.

    For ``X.pub.pem`` that does not exist, ``X.pem.pub`` of earlier versions is read.

    Raises:
        KeyUnusableError: Missing, unreadable, a private key, or refused by :meth:`PublicKey.parse`.
    """
    found = key_names.find_public(Path(path))
    data = secret_files.read(found, what="key", largest=_MAX_BYTES, secret=False)
    return PublicKey.parse(as_spki(data, where=str(found)), where=str(found))


_KEY_NAMES = (".pem", ".pub")
_MAX_BUNDLE_BYTES = 1024 * 1024


def load_public_keys(path: Path | str) -> tuple[PublicKey, ...]:
    """Return the public keys of a file, or of the files ``*.pem`` and ``*.pub`` of a folder, in order of their names.

    A file has one key in any form that :mod:`kit.signing.key_forms` reads, or several blocks PUBLIC KEY. In a folder
    hidden files and private keys are passed over: a pair of keys may be there. Nothing else is.

    Raises:
        KeyUnusableError: As for :func:`load_public`, or the folder has no public key.
    """
    place = Path(path)
    if not place.is_dir():
        return tuple(_public_keys(_read_public(place), str(place)))
    try:
        names = sorted(name.name for name in place.iterdir())
    except OSError as error:
        raise KeyUnusableError(f"cannot read the folder of keys: {error.strerror}", where=str(place)) from error
    files = [place / name for name in names if name.endswith(_KEY_NAMES) and not name.startswith(".")]
    read = ((file, _read_public(file)) for file in files)
    keys = [key for file, data in read if not encodings.is_private(data) for key in _public_keys(data, str(file))]
    if not keys:
        raise KeyUnusableError("the folder has no public key (a file *.pem or *.pub)", where=str(place))
    return tuple(keys)


def _read_public(path: Path) -> bytes:
    return secret_files.read(key_names.find_public(path), what="key", largest=_MAX_BUNDLE_BYTES, secret=False)


def _public_keys(data: bytes, where: str) -> list[PublicKey]:
    blocks = encodings.public_blocks(data, where)
    if not blocks:
        return [PublicKey.parse(as_spki(data, where=where), where=where)]
    return [PublicKey.parse(block, where=f"{where}, block {number}") for number, block in enumerate(blocks, 1)]


def write_private(path: Path | str, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key as a new file of mode 0600; it is on disk when this returns.

    Raises:
        OutputError: ``path`` exists already, be it as a dangling link, or it cannot be written.
    """
    publish.write_new(path, key.pem(passphrase), mode=0o600, what="key")


def write_public(path: Path | str, key: PublicKey) -> None:
    """Write a public key as a new file of mode 0644; it is on disk when this returns.

    Raises:
        OutputError: As :func:`write_private`.
    """
    publish.write_new(path, key.pem, mode=0o644, what="key")
