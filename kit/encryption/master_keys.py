"""What a master key must do, and what a user may open one with; the kinds are :mod:`kit.encryption.meks`.

Law: no credential shows in a ``repr``, and none is asked for that is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

Random: TypeAlias = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the user can open master keys with; whatever is not needed is not asked for."""

    passphrase: Callable[[int], bytes] | None = field(default=None, repr=False)
    """Asked with the version of the master key, since a rewrap may need two."""
    rsa_private_key: bytes | None = field(default=None, repr=False)
    """PKCS#8 PEM."""
    rsa_passphrase: Callable[[], bytes] | None = field(default=None, repr=False)
    """Called only if that PEM is encrypted."""
    age_identities: tuple[str, ...] = field(default=(), repr=False)
    """``AGE-SECRET-KEY-1…``."""
    pkcs11_module: Path | None = None
    """The library of the token's maker; whose code runs in this process, so no file but the command line names it."""
    pkcs11_pin: Callable[[str], bytes] | None = field(default=None, repr=False)
    """Asked with the label of the token, after the token was found."""


class MasterKey(Protocol):
    """A master key at work."""

    def wrap(self, secret: bytes) -> bytes:
        """Seal ``secret``."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """Open what :meth:`wrap` made; None where the credential for it was not given.

        Raises:
            KeyUnusableError: It does not open.
        """
        ...


class MasterKeyRecord(Protocol):
    """A master key as the keyring stores it."""

    provider: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Give the members of the record that are this provider's own."""
        ...

    def activate(self, credentials: Credentials, *, version: int, where: str) -> MasterKey:
        """Make it work, as far as the credentials go.

        Raises:
            KeyUnusableError: A credential is needed and missing, or wrong.
        """
        ...
