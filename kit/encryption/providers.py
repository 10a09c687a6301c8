"""Master keys (MEKs), which wrap data keys, in four kinds (schemas/keyring.md, "Providers").

============== ============================================= ===================================================
provider       wraps with                                    opens with
============== ============================================= ===================================================
passphrase     AES-KWP (RFC 5649) under a random key that    the passphrase
               is itself AES-KWP-wrapped under
               scrypt(passphrase) (RFC 7914)
rsa-oaep-256   RSAES-OAEP, SHA-256, MGF1 with SHA-256        the private key; not needed to encrypt a kit
age            an age file to all recipients                 any of their identities; not needed to encrypt a kit
pkcs11         AES key wrap inside a token                   the token and its PIN (:mod:`kit.encryption.master_keys`)
============== ============================================= ===================================================

:func:`seal_to_recipients` seals a stream to age recipients, so that recovered plaintext is never on disk in the clear.
The age library pulls from a reader and pushes to a writer, 64 KiB at a time (https://age-encryption.org/v1, "Payload"),
so memory does not depend on the length of the stream.

Laws: a wrapped secret unwraps to itself or not at all; no master key appears in a ``repr`` or an error; the sealed
stream opens, with any of the identities, to the joined chunks.
"""

from __future__ import annotations

import base64
import binascii
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding, aes_key_wrap_with_padding

from kit.encryption.keys import KEY_BYTES
from kit.encryption.master_keys import Credentials, MasterKey, MasterKeyRecord, Random, TokenRecord
from kit.errors import KeyUnusableError, OutputError, UsageError
from kit.values.fields import Members
from kit.values.strict_json import plain_text

SCRYPT_COST = 2**17
"""With r = 8: 128 MiB and about half a second for each guess."""
_SCRYPT_COSTS = range(10, 21)  # as powers of two: from fast enough for a test to 1 GiB
_SCRYPT_R, _SCRYPT_P = 8, 1
_SALT_BYTES = 16
MIN_RSA_BITS = 3072
MAX_RSA_BITS = 16384
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassphraseRecord:
    """A random key, wrapped under a passphrase; cost and salt are stored with it, since they determine the key."""

    provider: ClassVar[str] = "passphrase"
    cost: int
    salt: bytes
    sealed: bytes

    @classmethod
    def make(cls, passphrase: bytes, *, random: Random, cost: int = SCRYPT_COST) -> PassphraseRecord:
        """Return a new random master key, wrapped.

        Raises:
            UsageError: The passphrase is empty, or the cost is not a power of two from 2^10 to 2^20.
        """
        if not passphrase:
            raise UsageError("an empty passphrase protects nothing")
        if cost not in {1 << power for power in _SCRYPT_COSTS}:
            raise UsageError(f"the scrypt cost {cost} is not a power of two from 2^10 to 2^20")
        salt = random(_SALT_BYTES)
        sealed = aes_key_wrap_with_padding(_scrypt(passphrase, salt, cost), random(KEY_BYTES))
        return cls(cost=cost, salt=salt, sealed=sealed)

    @classmethod
    def parse(cls, entry: Members) -> PassphraseRecord:
        """Return the record of the provider's own members."""
        kdf = entry.object("kdf")
        if (name := kdf.take("name", str)) != "scrypt":
            raise kdf.refusal(f"is {name!r}, not 'scrypt'", "name")
        cost, r, p = (kdf.take(member, int) for member in ("n", "r", "p"))
        # A foreign file must not make this process allocate a terabyte, or use no cost at all.
        if (r, p) != (_SCRYPT_R, _SCRYPT_P) or cost not in {1 << power for power in _SCRYPT_COSTS}:
            raise kdf.refusal("has parameters other than n from 2^10 to 2^20, r = 8, p = 1")
        salt = base64_member(kdf, "salt")
        kdf.done()
        return cls(cost=cost, salt=salt, sealed=base64_member(entry, "sealed"))

    def to_json(self) -> dict[str, Any]:
        """See :class:`MasterKeyRecord`."""
        kdf = {"name": "scrypt", "n": self.cost, "r": _SCRYPT_R, "p": _SCRYPT_P, "salt": base64_text(self.salt)}
        return {"kdf": kdf, "sealed": base64_text(self.sealed)}

    def activate(self, credentials: Credentials, *, version: int, where: str) -> MasterKey:
        """See :class:`MasterKeyRecord`; requests the passphrase."""
        if credentials.passphrase is None:
            raise KeyUnusableError("sealed under a passphrase, which cannot be requested here", where=where)
        try:
            sealing = _scrypt(credentials.passphrase(version), self.salt, self.cost)
            key = aes_key_unwrap_with_padding(sealing, self.sealed)
        except InvalidUnwrap as error:
            raise KeyUnusableError("wrong passphrase, or a damaged master key", where=where) from error
        if len(key) != KEY_BYTES:
            raise KeyUnusableError(f"the sealed master key has {len(key)} bytes, not {KEY_BYTES}", where=where)
        return _AesKwp(key)


class _AesKwp:
    """AES-256 key wrap with padding, RFC 5649: deterministic, with a 64-bit integrity check of its own."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def wrap(self, secret: bytes) -> bytes:
        return aes_key_wrap_with_padding(self._key, secret)

    def unwrap(self, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap_with_padding(self._key, wrapped)
        except InvalidUnwrap as error:
            raise KeyUnusableError("does not unwrap under the master key") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaRecord:
    """An RSA public key: with this file alone, keys can be wrapped, but not unwrapped."""

    provider: ClassVar[str] = "rsa-oaep-256"
    public_key: bytes
    """SPKI PEM."""

    @classmethod
    def make(cls, public_key: bytes, *, where: str = "") -> RsaRecord:
        """Return the record of a public key.

        Raises:
            KeyUnusableError: It is not one SPKI PEM block of an RSA key of 3072 to 16384 bits.
        """
        pem = _rsa_public(public_key, where).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(public_key=pem)

    @classmethod
    def parse(cls, entry: Members) -> RsaRecord:
        """Return the record of the provider's own members."""
        return cls.make(entry.take("publicKey", str).encode(), where=f"{entry.pointer}/publicKey")

    def to_json(self) -> dict[str, Any]:
        """See :class:`MasterKeyRecord`."""
        return {"publicKey": self.public_key.decode("ascii")}

    def activate(self, credentials: Credentials, *, version: int, where: str) -> MasterKey:  # noqa: ARG002
        """See :class:`MasterKeyRecord`."""
        public = _rsa_public(self.public_key, where)
        private = None
        if credentials.rsa_private_key is not None:
            private = _rsa_private(credentials, where)
            if private.public_key().public_numbers() != public.public_numbers():
                raise KeyUnusableError("the private key does not belong to the keyring's public key", where=where)
        return _RsaOaep(public, private)


class _RsaOaep:
    """RSAES-OAEP (RFC 8017 7.1)."""

    __slots__ = ("_private", "_public")

    def __init__(self, public: rsa.RSAPublicKey, private: rsa.RSAPrivateKey | None) -> None:
        self._public, self._private = public, private

    def wrap(self, secret: bytes) -> bytes:
        return self._public.encrypt(secret, _OAEP)

    def unwrap(self, wrapped: bytes) -> bytes | None:
        if self._private is None:
            return None
        try:
            return self._private.decrypt(wrapped, _OAEP)
        except ValueError as error:
            raise KeyUnusableError("does not unwrap under the RSA key") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRecord:
    """Recipients as ``age-keygen`` prints them."""

    provider: ClassVar[str] = "age"
    recipients: tuple[str, ...]

    @classmethod
    def make(cls, recipients: tuple[str, ...], *, where: str = "") -> AgeRecord:
        """Return the record of recipients.

        Raises:
            KeyUnusableError: There is none, or one is not an X25519 recipient (``age1…``).
        """
        if not recipients:
            raise KeyUnusableError("no age recipient; nobody could open the keys", where=where)
        for recipient in recipients:
            age_recipient(recipient, where)
        return cls(recipients=recipients)

    @classmethod
    def parse(cls, entry: Members) -> AgeRecord:
        """Return the record of the provider's own members."""
        return cls.make(entry.strings("recipients"), where=f"{entry.pointer}/recipients")

    def to_json(self) -> dict[str, Any]:
        """See :class:`MasterKeyRecord`."""
        return {"recipients": list(self.recipients)}

    def activate(self, credentials: Credentials, *, version: int, where: str) -> MasterKey:  # noqa: ARG002
        """See :class:`MasterKeyRecord`."""
        age = pyrage_module(where)
        try:
            identities = [age.x25519.Identity.from_str(text) for text in credentials.age_identities]
        except age.IdentityError as error:
            raise KeyUnusableError("not an age identity (AGE-SECRET-KEY-1…)", where=where) from error
        return _Age(age, [age_recipient(text, where) for text in self.recipients], identities)


class _Age:
    """One age file for each secret (https://age-encryption.org/v1)."""

    __slots__ = ("_identities", "_module", "_recipients")

    def __init__(self, module: ModuleType, recipients: list[Any], identities: list[Any]) -> None:
        self._module, self._recipients, self._identities = module, recipients, identities

    def wrap(self, secret: bytes) -> bytes:
        sealed: bytes = self._module.encrypt(secret, self._recipients)
        return sealed

    def unwrap(self, wrapped: bytes) -> bytes | None:
        if not self._identities:
            return None
        try:
            secret: bytes = self._module.decrypt(wrapped, self._identities)
        except self._module.DecryptError as error:
            raise KeyUnusableError("does not open with the age identity given") from error
        return secret


def parse_record(entry: Members) -> MasterKeyRecord:
    """Return the record of a master key's own members.

    Raises:
        KeyUnusableError: The provider is unknown, or a member is not valid for it.
    """
    provider = entry.take("provider", str)
    parsers: dict[str, Callable[[Members], MasterKeyRecord]] = {
        kind.provider: kind.parse for kind in (PassphraseRecord, RsaRecord, AgeRecord, TokenRecord)
    }
    if provider not in parsers:
        raise entry.refusal(f"is {provider!r}, not one of {', '.join(parsers)}", "provider")
    return parsers[provider](entry)


def base64_text(data: bytes) -> str:
    """Return standard base64 on one line."""
    return base64.b64encode(data).decode("ascii")


def base64_member(entry: Members, name: str) -> bytes:
    """Return the bytes of a member in canonical base64.

    Raises:
        KeyUnusableError: It is something else.
    """
    text = entry.take(name, str)
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        data = b""
    if not data or base64_text(data) != text:
        raise entry.refusal("is not canonical base64 (RFC 4648 3.5)", name)
    return data


def _scrypt(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=cost, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase)


def _rsa_public(pem: bytes, where: str) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusableError("not a readable public key in PEM form", where=where) from error
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise KeyUnusableError("not an RSA key of 3072 to 16384 bits", where=where)
    return key


def _rsa_private(credentials: Credentials, where: str) -> rsa.RSAPrivateKey:
    pem = plain_text(credentials.rsa_private_key or b"")
    encrypted = b"ENCRYPTED PRIVATE KEY" in pem
    if encrypted and credentials.rsa_passphrase is None:
        raise KeyUnusableError("the private key is encrypted, and its passphrase cannot be requested here", where=where)
    passphrase = credentials.rsa_passphrase() if encrypted and credentials.rsa_passphrase else None
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "wrong passphrase, or not" if encrypted else "not"
        raise KeyUnusableError(f"{why} a readable private key in PEM form", where=where) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyUnusableError("not an RSA private key", where=where)
    return key


def pyrage_module(where: str) -> ModuleType:
    """Return the module that implements age.

    Raises:
        KeyUnusableError: It is not installed.
    """
    # Imported only for a keyring that needs it: a native module of some megabytes that most runs never use.
    try:
        return importlib.import_module("pyrage")
    except ImportError as error:
        raise KeyUnusableError("age recipients need the package pyrage", where=where) from error


def age_recipient(text: str, where: str) -> Any:
    """Return an age recipient.

    Raises:
        KeyUnusableError: It is no recipient, or not of X25519.
    """
    age = pyrage_module(where)
    try:
        return age.x25519.Recipient.from_str(text)
    except age.RecipientError as error:
        raise KeyUnusableError(f"{text[:80]!r} is not an age X25519 recipient (age1…)", where=where) from error


_WHERE = "--sealed-to"


def parse_recipients(texts: Sequence[str]) -> list[Any]:
    """Return age recipients.

    Raises:
        KeyUnusableError: There is none, or one is not an X25519 recipient.
    """
    if not texts:
        raise KeyUnusableError("no age recipient; nobody could open what is sealed", where=_WHERE)
    return [age_recipient(text, _WHERE) for text in texts]


def seal_to_recipients(chunks: Iterable[bytes], recipients: Sequence[str], write: Callable[[bytes], None]) -> None:
    """Seal ``chunks``, and write the age file piece by piece.

    Raises:
        KeyUnusableError: As :func:`parse_recipients`.
        OutputError: It cannot be sealed.
        Exception: Whatever ``chunks`` or ``write`` raise.
    """
    keys = parse_recipients(recipients)
    age = pyrage_module(_WHERE)
    ports = _Ports(chunks, write)
    try:
        age.encrypt_io(ports, ports, keys)
    except age.EncryptError as error:
        # The library keeps only the text of what a port raised.
        raise ports.failure or OutputError(f"cannot be sealed: {error}") from error
    if ports.failure is not None:
        # The library does not report errors of its last writes.
        raise ports.failure


class _Ports:
    """A reader and a writer for the library; they keep the error that they raised."""

    def __init__(self, chunks: Iterable[bytes], write: Callable[[bytes], None]) -> None:
        self._chunks, self._write = iter(chunks), write
        self._held = memoryview(b"")
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._held:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._held = memoryview(chunk)
        except BaseException as error:
            self.failure = error
            raise
        size = len(self._held) if size < 0 else size
        given, self._held = self._held[:size], self._held[size:]
        return bytes(given)

    def write(self, data: bytes) -> int:
        try:
            self._write(data)
        except BaseException as error:
            self.failure = error
            raise
        return len(data)

    def flush(self) -> None:
        """Ignore it: the receiver syncs to disk at the end."""
