"""The protocol of master keys, the credentials that open them, and the master keys in PKCS#11 tokens.

The other kinds are in :mod:`kit.encryption.providers`. A master key in a token (schemas/keyring.md, "Tokens") is an AES
key that wraps data keys and stays there. Secrets go through ``C_Encrypt`` if the token wraps data that way, else
through ``C_WrapKey`` of a session object (SoftHSM). Both yield the bytes of the mechanism's RFC, so that one reads what
the other wrote. The package python-pkcs11 is an extra, and imported only for a keyring that needs it.

Laws: no credential appears in a ``repr``, and none is requested that is not needed; a master key that could leave its
token is refused; neither PIN nor module is ever written; a wrong PIN is not presented again, since tokens lock
themselves; no error holds a byte of a secret.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

from kit.encryption.keys import KEY_BYTES
from kit.errors import KeyUnusableError, UsageError
from kit.tokens.login import Login, login, refusal
from kit.values.fields import Members

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


MECHANISMS = {
    "aes-key-wrap": "AES_KEY_WRAP",
    "aes-key-wrap-kwp": "AES_KEY_WRAP_KWP",
    "aes-key-wrap-pad": "AES_KEY_WRAP_PAD",
}
"""Mechanisms by their names in the keyring; in PKCS#11 they are CKM_…."""
_PREFERRED = ("aes-key-wrap", "aes-key-wrap-kwp")
"""Mechanisms to choose from, in this order. Not CKM_AES_KEY_WRAP_PAD: it is RFC 5649 in some tokens and PKCS#7 with
RFC 3394 in others, so two tokens with one key could not read each other. It exists for tokens with nothing else."""
_KEY_ID = re.compile(r"(?:[0-9a-f]{2})+")
_PROBE = bytes(range(2 * KEY_BYTES))  # as long as a real secret; public


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """Locates the key: a token by its label, a key in it by label, id or both."""

    provider: ClassVar[str] = "pkcs11"
    token_label: str
    key_label: str | None
    key_id: str | None
    """CKA_ID, in lower-case hex."""
    mechanism: str
    """One of :data:`MECHANISMS`."""

    @classmethod
    def make(
        cls,
        credentials: Credentials,
        *,
        token_label: str,
        key_label: str | None = None,
        key_id: str | None = None,
        mechanism: str | None = None,
    ) -> TokenRecord:
        """Find the key, choose a mechanism unless one is given, wrap and unwrap a probe, and return the record.

        Raises:
            UsageError: Neither label nor id names the key, the id is not hex, or there is no such mechanism.
            KeyUnusableError: As :meth:`activate`.
        """
        if not token_label or not (key_label or key_id):
            raise UsageError("a key in a token needs the token's label, and the key's label, its id or both")
        if key_id is not None and not _KEY_ID.fullmatch(key_id.lower()):
            raise UsageError(f"the key's id {key_id[:80]!r} is not whole bytes in hex")
        if mechanism is not None and mechanism not in MECHANISMS:
            raise UsageError(f"{mechanism[:80]!r} is not a mechanism; choose one of {', '.join(MECHANISMS)}")
        where = f"token {token_label!r}"
        login = _login(credentials, token_label, where)
        for name in (mechanism,) if mechanism is not None else _PREFERRED:
            if login.capabilities(_mechanism(login, name)):
                record = cls(
                    token_label=token_label,
                    key_label=key_label or None,
                    key_id=key_id.lower() if key_id else None,
                    mechanism=name,
                )
                _probe(record.activate(credentials, version=1, where=where), where)
                return record
        raise KeyUnusableError(
            f"the token does not wrap with {mechanism or ' or '.join(_PREFERRED)}",
            where=where,
            hint=f"choose one of {', '.join(MECHANISMS)}",
        )

    @classmethod
    def parse(cls, entry: Members) -> TokenRecord:
        """Return the record of the provider's own members."""
        token = entry.text(entry.take("tokenLabel", str), "tokenLabel")
        label, key_id = (
            entry.text(entry.take(name, str), name) if name in entry else None for name in ("keyLabel", "keyId")
        )
        if label is None and key_id is None:
            raise entry.refusal("has neither 'keyLabel' nor 'keyId'")
        if key_id is not None and not _KEY_ID.fullmatch(key_id):
            raise entry.refusal("is not whole bytes in lower-case hex", "keyId")
        if (mechanism := entry.take("mechanism", str)) not in MECHANISMS:
            raise entry.refusal(f"is {mechanism!r}, not one of {', '.join(MECHANISMS)}", "mechanism")
        return cls(token_label=token, key_label=label, key_id=key_id, mechanism=mechanism)

    def to_json(self) -> dict[str, Any]:
        """See :class:`~kit.encryption.master_keys.MasterKeyRecord`."""
        members = {
            "tokenLabel": self.token_label,
            "keyLabel": self.key_label,
            "keyId": self.key_id,
            "mechanism": self.mechanism,
        }
        return {name: value for name, value in members.items() if value is not None}

    def activate(self, credentials: Credentials, *, version: int, where: str) -> TokenKey:  # noqa: ARG002
        """Log in, find the key, and return it.

        Raises:
            KeyUnusableError: The extra, the module, the token, the key or the mechanism is missing, the PIN is missing
                or wrong, or the key is of another kind, may not wrap, or could leave the token.
        """
        login = _login(credentials, self.token_label, where)
        try:
            key = login.session.get_key(
                object_class=login.pkcs11.ObjectClass.SECRET_KEY,
                key_type=login.pkcs11.KeyType.AES,
                label=self.key_label,
                id=bytes.fromhex(self.key_id) if self.key_id is not None else None,
            )
            _check(key, login.pkcs11.Attribute, where)
            by_encryption = _by_encryption(key, login, self.mechanism)
        except login.pkcs11.PKCS11Error as error:
            raise refusal(error, where) from error
        if by_encryption is None:
            raise KeyUnusableError(f"token and key do not wrap with {self.mechanism}", where=where)
        return TokenKey(key, login, mechanism=self.mechanism, by_encryption=by_encryption)


class TokenKey:
    """An AES key in a token; the session lives as long as one of its keys."""

    __slots__ = ("_by_encryption", "_key", "_login", "_mechanism")

    def __init__(self, key: Any, login: Login, *, mechanism: str, by_encryption: bool) -> None:
        self._key, self._login, self._by_encryption = key, login, by_encryption
        self._mechanism = _mechanism(login, mechanism)

    def wrap(self, secret: bytes) -> bytes:
        """Return ``secret``, wrapped; its length is a multiple of eight bytes (RFC 3394 2).

        Raises:
            KeyUnusableError: The token refuses.
        """
        pkcs11 = self._login.pkcs11
        try:
            if self._by_encryption:
                return bytes(self._key.encrypt(secret, mechanism=self._mechanism))
            template = {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET,
                pkcs11.Attribute.VALUE: secret,
                **_transient(pkcs11.Attribute),
            }
            passing = self._login.session.create_object(template)
            try:
                return bytes(self._key.wrap_key(passing, mechanism=self._mechanism))
            finally:
                passing.destroy()
        except pkcs11.PKCS11Error as error:
            raise refusal(error, "", doing="the token did not wrap it") from error

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the secret that :meth:`wrap` wrapped, here or in another token with the same key.

        Raises:
            KeyUnusableError: It does not unwrap, or the token refuses.
        """
        pkcs11 = self._login.pkcs11
        try:
            if self._by_encryption:
                return bytes(self._key.decrypt(wrapped, mechanism=self._mechanism))
            passing = self._key.unwrap_key(
                pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.KeyType.GENERIC_SECRET,
                wrapped,
                mechanism=self._mechanism,
                store=False,
                template=_transient(pkcs11.Attribute),
            )
            try:
                return bytes(passing[pkcs11.Attribute.VALUE])
            finally:
                passing.destroy()
        except pkcs11.PKCS11Error as error:
            raise refusal(error, "", doing="does not unwrap under the token's key") from error


def _login(credentials: Credentials, label: str, where: str) -> Login:
    if credentials.pkcs11_module is None:
        raise KeyUnusableError(
            "the master key is in a PKCS#11 token, whose module is not named",
            where=where,
            hint="--pkcs11-module PATH names the library of the token's vendor",
        )
    return login(credentials.pkcs11_module, label, credentials.pkcs11_pin, where)


def _mechanism(login: Login, name: str) -> Any:
    """Return PKCS#11's own name of a mechanism."""
    return login.pkcs11.Mechanism[MECHANISMS[name]]


def _check(key: Any, attribute: Any, where: str) -> None:
    if key[attribute.EXTRACTABLE] or not key[attribute.SENSITIVE]:
        raise KeyUnusableError(
            "the key could leave its token (CKA_EXTRACTABLE, or not CKA_SENSITIVE)",
            where=where,
            hint="create a key that cannot",
        )
    if key[attribute.VALUE_LEN] != KEY_BYTES:
        raise KeyUnusableError(f"the key has {key[attribute.VALUE_LEN]} bytes, not {KEY_BYTES}", where=where)


def _probe(master: MasterKey, where: str) -> None:
    """Check that a secret unwraps to itself, before anything depends on it."""
    back = master.unwrap(master.wrap(_PROBE))
    if back is None or not hmac.compare_digest(back, _PROBE):
        raise KeyUnusableError("the token does not unwrap to what it wrapped", where=where)


def _by_encryption(key: Any, login: Login, name: str) -> bool | None:
    """Return whether the mechanism is reached by encrypting (True), by wrapping (False), or not at all (None).

    Encrypting is preferred: the secret then never becomes an object of the token.
    """
    flags, flag, attribute = (
        login.capabilities(_mechanism(login, name)),
        login.pkcs11.MechanismFlag,
        login.pkcs11.Attribute,
    )
    ways = (
        (True, flag.ENCRYPT | flag.DECRYPT, (attribute.ENCRYPT, attribute.DECRYPT)),
        (False, flag.WRAP | flag.UNWRAP, (attribute.WRAP, attribute.UNWRAP)),
    )
    for by_encryption, needed, allowed in ways:
        if flags & needed == needed and all(key[name] for name in allowed):
            return by_encryption
    return None


def _transient(attribute: Any) -> dict[Any, bool]:
    """Return the attributes of a secret in the token: for this session and user only, and readable again."""
    return {
        attribute.TOKEN: False,
        attribute.PRIVATE: True,
        attribute.SENSITIVE: False,
        attribute.EXTRACTABLE: True,
    }
