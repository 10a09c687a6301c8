"""Data keys taken over from the live platform: records are unwrapped, and bound to what they are for.

A record states which key it is (:mod:`kit.encryption.key_records`); a :class:`Wrapper` opens it: the private half of
the key that a key management service wraps with, or the local master key of client-side field level encryption.

Laws: all records of a file are taken over, or none; a record of another product, of a state that is not known, of a key
that is here under another name, or that does not unwrap to 32 or 96 bytes is an error; no error holds a byte of a key.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding as block_padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from kit.encryption.envelope import check_dek_id
from kit.encryption.key_records import Record, Wrapping
from kit.encryption.keys import KEY_BYTES, VAULT_KEY_BYTES, Scope
from kit.encryption.unlocking import LiveKey, UnlockedKeyring
from kit.errors import ContentError, EnvelopeError, KeyUnusableError
from kit.values import Timestamp
from kit.values.strict_json import plain_text

LOCAL_KEY_BYTES: Final = 96
_IV_BYTES, _TAG_BYTES, _BLOCK_BITS = 16, 32, 128
_HASHES: Final = {Wrapping.RSA_OAEP_256: hashes.SHA256, Wrapping.RSA_OAEP: hashes.SHA1}
_HINT = "name what opens the records with --unwrap-key"


class Wrapper(Protocol):
    """What opens the key of a record."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the key.

        Raises:
            KeyUnusableError: It does not unwrap.
        """
        ...


class _RsaWrapper:
    """RSAES-OAEP (RFC 8017 7.1), an empty label."""

    __slots__ = ("_key", "_padding")

    def __init__(self, key: rsa.RSAPrivateKey, wrapping: Wrapping) -> None:
        self._key, self._padding = key, _oaep(wrapping)

    def unwrap(self, wrapped: bytes) -> bytes:
        try:
            return self._key.decrypt(wrapped, self._padding)
        except ValueError as error:
            raise KeyUnusableError("does not unwrap under the RSA key that is given") from error


class _LocalWrapper:
    """AEAD_AES_256_CBC_HMAC_SHA_512 without associated data: IV, ciphertext, and half of the HMAC over both.

    The master key is three: the first authenticates, the second encrypts, and the third is not used here.
    """

    __slots__ = ("_encryption", "_mac")

    def __init__(self, key: bytes) -> None:
        self._mac, self._encryption = key[:KEY_BYTES], key[KEY_BYTES : 2 * KEY_BYTES]

    def unwrap(self, wrapped: bytes) -> bytes:
        body, tag = wrapped[:-_TAG_BYTES], wrapped[-_TAG_BYTES:]
        vector, ciphertext = body[:_IV_BYTES], body[_IV_BYTES:]
        # The length of the associated data in bits, which is 0, ends what is authenticated.
        expected = hmac.digest(self._mac, body + bytes(8), "sha512")[:_TAG_BYTES]
        if not ciphertext or len(ciphertext) % _IV_BYTES or not hmac.compare_digest(tag, expected):
            raise KeyUnusableError("does not unwrap under the local master key that is given")
        opened = Cipher(AES(self._encryption), modes.CBC(vector)).decryptor()
        padded = opened.update(ciphertext) + opened.finalize()
        unpadder = block_padding.PKCS7(_BLOCK_BITS).unpadder()
        try:
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise KeyUnusableError("unwraps to what is no key") from error


def open_wrapper(
    wrapping: Wrapping, key: bytes | None, passphrase: Callable[[], bytes] | None, *, where: str
) -> Wrapper:
    """Return what opens records.

    Args:
        wrapping: How their keys are wrapped.
        key: A private key in PEM, or the 96 bytes of a local master key.
        passphrase: Called only if the PEM is encrypted.
        where: The file of the key, for messages.

    Raises:
        KeyUnusableError: There is no key, or it is of another kind or length.
    """
    if key is None:
        raise KeyUnusableError(f"the records are wrapped ({wrapping}), and nothing opens them", hint=_HINT)
    if wrapping is Wrapping.CSFLE_LOCAL:
        if len(key) != LOCAL_KEY_BYTES:
            raise KeyUnusableError(f"a local master key has {LOCAL_KEY_BYTES} bytes, not {len(key)}", where=where)
        return _LocalWrapper(key)
    pem = plain_text(key)
    encrypted = b"ENCRYPTED PRIVATE KEY" in pem
    try:
        loaded = serialization.load_pem_private_key(pem, passphrase() if encrypted and passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "wrong passphrase, or not" if encrypted else "not"
        raise KeyUnusableError(f"{why} a readable private key in PEM form", where=where) from error
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise KeyUnusableError("not an RSA private key", where=where)
    return _RsaWrapper(loaded, wrapping)


def wrap_for(public: bytes, wrapping: Wrapping, secret: bytes) -> bytes:
    """Return a data key wrapped for an RSA key, an SPKI PEM block.

    Raises:
        ContentError: Records of the form are wrapped under a secret, and so for nobody.
        KeyUnusableError: It is no RSA key.
    """
    if wrapping not in _HASHES:
        raise ContentError(f"records are wrapped under a secret ({wrapping}), and so for no recipient")
    key = serialization.load_pem_public_key(public)
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyUnusableError("not an RSA key, and nothing is wrapped for others")
    return key.encrypt(secret, _oaep(wrapping))


def _oaep(wrapping: Wrapping) -> padding.OAEP:
    chosen = _HASHES[wrapping]
    return padding.OAEP(mgf=padding.MGF1(chosen()), algorithm=chosen(), label=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What the keys of a file are for: the product that all must be of, and what their records do not state."""

    product: str
    context: str | None = None
    owner: str | None = None

    def scope(self, record: Record) -> Scope:
        """Return the scope of a record.

        Raises:
            ContentError: It is of another product, or states another context or owner, or nothing states one.
        """
        if record.product is not None and record.product != self.product:
            raise ContentError(
                f"data key {record.dek_id[:128]} is of the product {record.product[:80]!r}, not {self.product!r}",
                where=record.where,
            )
        context = _one("context", record.context, self.context, record)
        return Scope(product=self.product, context=context, owner=_one("owner", record.owner, self.owner, record))


def _one(name: str, found: str | None, stated: str | None, record: Record) -> str:
    if found is not None and stated is not None and found != stated:
        raise ContentError(
            f"data key {record.dek_id[:128]} has the {name} {found[:80]!r}, not {stated!r}", where=record.where
        )
    value = found if found is not None else stated
    if value is None:
        raise ContentError(
            f"the record does not state its {name}", where=record.where, hint="state it with --context or --owner"
        )
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """The keyring with the keys of a file.

    Attributes:
        unlocked: The keyring.
        taken: The names of the keys that are new.
        known: The names of those that were there already: the same key, for the same purpose.
    """

    unlocked: UnlockedKeyring
    taken: tuple[str, ...]
    known: tuple[str, ...]


def take_over(
    unlocked: UnlockedKeyring, records: Iterable[Record], wrapper: Wrapper, purpose: Purpose, *, now: Timestamp
) -> TakenOver:
    """Return the keyring with the keys of all records.

    Raises:
        ContentError: A record is of another product, or its context or owner is not known.
        KeyUnusableError: A key does not unwrap, has another length, is here under another name or for another purpose,
            or is the second active one of a scope.
    """
    live: list[LiveKey] = []
    known: list[str] = []
    for record in records:
        try:
            check_dek_id(record.dek_id)
        except EnvelopeError as error:
            raise ContentError(error.what, where=record.where) from error
        scope = purpose.scope(record)
        try:
            secret = wrapper.unwrap(record.wrapped)
        except KeyUnusableError as error:
            raise error.inside(f"{record.where}: data key {record.dek_id}") from error
        if len(secret) not in {KEY_BYTES, VAULT_KEY_BYTES}:
            raise KeyUnusableError(
                f"data key {record.dek_id} has {len(secret)} bytes, not {KEY_BYTES} or {VAULT_KEY_BYTES}",
                where=record.where,
            )
        if _is_known(unlocked, record, scope, secret):
            known.append(record.dek_id)
            continue
        live.append(
            LiveKey(
                scope=scope,
                dek_id=record.dek_id,
                secret=secret,
                mek_version=record.mek_version,
                state=record.state,
            )
        )
    with_keys = unlocked.with_live_keys(live, now=now)
    return TakenOver(unlocked=with_keys, taken=tuple(one.dek_id for one in live), known=tuple(known))


def _is_known(unlocked: UnlockedKeyring, record: Record, scope: Scope, secret: bytes) -> bool:
    """Return whether exactly this key is there.

    Raises:
        KeyUnusableError: Another key has its name, or it is there for another purpose, or locked.
    """
    dek = unlocked.keyring.deks.get(record.dek_id)
    if dek is None:
        return False
    key = unlocked.keys.get(record.dek_id)
    if key is None:
        raise KeyUnusableError(f"data key {record.dek_id} is in the keyring already, and locked", where=record.where)
    if dek.scope != scope:
        raise KeyUnusableError(
            f"data key {record.dek_id} is in the keyring already, for {dek.scope}", where=record.where
        )
    if not hmac.compare_digest(key.secret, secret):
        raise KeyUnusableError(f"another key is in the keyring under the name {record.dek_id}", where=record.where)
    return True
