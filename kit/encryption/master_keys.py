"""The protocol of master keys, and the credentials that open them; the kinds are in :mod:`kit.encryption.meks`.

Law: no credential appears in a ``repr``, and none is requested that is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

Random: TypeAlias = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The user's credentials for master keys; those not needed are not requested."""

    passphrase: Callable[[int], bytes] | None = field(default=None, repr=False)
    """Called with the version of the master key, since a rewrap may need two."""
    rsa_private_key: bytes | None = field(default=None, repr=False)
    """PKCS#8 PEM."""
    rsa_passphrase: Callable[[], bytes] | None = field(default=None, repr=False)
    """Called only if the PEM is encrypted."""
    age_identities: tuple[str, ...] = field(default=(), repr=False)
    """``AGE-SECRET-KEY-1…``."""
    pkcs11_module: Path | None = None
    """The token vendor's library. Its code runs in this process, so only the command line names it, never a file."""
    pkcs11_pin: Callable[[str], bytes] | None = field(default=None, repr=False)
    """Called with the label of the token, after the token was found."""


class MasterKey(Protocol):
    """An active master key."""

    def wrap(self, secret: bytes) -> bytes:
        """Return ``secret``, wrapped."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """Return the secret that :meth:`wrap` wrapped; None if the credential for it was not given.

        Raises:
            KeyUnusableError: It does not unwrap.
        """
        ...


class MasterKeyRecord(Protocol):
    """A master key as the keyring stores it."""

    provider: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return the record's members that are this provider's own."""
        ...

    def activate(self, credentials: Credentials, *, version: int, where: str) -> MasterKey:
        """Return the active master key, as far as the credentials allow.

        Raises:
            KeyUnusableError: A credential is needed and missing, or wrong.
        """
        ...
