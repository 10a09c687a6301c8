"""The profile ``csfle``: values as drivers of MongoDB encrypt them on the client (schemas/envelope.md).

AEAD_AES_256_CBC_HMAC_SHA_512: AES-256 in CBC mode with PKCS#7 padding, then HMAC-SHA-512 cut to 32 bytes, under a data
key of 96 bytes that is three keys in one (the client-side encryption specification of MongoDB's drivers,
``bson-binary-encrypted/binary-encrypted.md``; draft-mcgrew-aead-aes-cbc-hmac-sha2). Authenticated with a value are
algorithm, key and BSON type, and nothing of its place: an envelope that is moved to another document or field opens.

Laws: ``unseal`` undoes ``seal``; deterministic sealing of equal values of one type under one key gives equal bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

from kit.documents import Kind
from kit.encryption.envelope import (
    CSFLE_DETERMINISTIC,
    CSFLE_IV_BYTES,
    CSFLE_RANDOM,
    CSFLE_TAG_BYTES,
    Envelope,
    Profile,
    spell_uuid,
)
from kit.encryption.keys import VAULT_KEY_BYTES, DataKey
from kit.errors import ContentError, EnvelopeError, KeyUnusableError

_BLOCK_BITS: Final = 128
_UUID_BYTES: Final = 16
_NEVER: Final = frozenset({Kind.UNDEFINED, Kind.NULL, Kind.MIN_KEY, Kind.MAX_KEY})
_NOT_DETERMINISTIC: Final = _NEVER | {
    Kind.DOUBLE,
    Kind.DOCUMENT,
    Kind.ARRAY,
    Kind.BOOLEAN,
    Kind.CODE_WITH_SCOPE,
    Kind.DECIMAL128,
}


def check_key(key: DataKey) -> DataKey:
    """Return the key if it can seal in this profile.

    Raises:
        KeyUnusableError: It has not 96 bytes, or its name is no UUID, which stored values have of a key.
    """
    if len(key.secret) != VAULT_KEY_BYTES:
        raise KeyUnusableError(
            f"data key {key.dek_id} has {len(key.secret)} bytes, and csfle seals with keys of {VAULT_KEY_BYTES}",
            hint="kit keyring import --adapter key-vault",
        )
    _key_uuid(key.dek_id)
    return key


def check_type(kind: int, *, is_deterministic: bool) -> None:
    """Check that drivers take a value of this type.

    Raises:
        ContentError: They do not.
    """
    if kind in _NEVER:
        raise ContentError(f"csfle seals no value of BSON type {kind}")
    if is_deterministic and kind in _NOT_DETERMINISTIC:
        raise ContentError(f"csfle seals no value of BSON type {kind} deterministically", hint="--iv random")


def seal(key: DataKey, kind: int, value: bytes, vector: bytes | None = None) -> Envelope:
    """Return the envelope of a value; without a vector the algorithm is deterministic.

    Raises:
        ContentError: Values of this type cannot be sealed so.
    """
    check_type(kind, is_deterministic=vector is None)
    algorithm = CSFLE_DETERMINISTIC if vector is None else CSFLE_RANDOM
    associated = _associated_data(algorithm, key.dek_id, kind)
    mac_key, cipher_key, vector_key = (key.secret[at : at + 32] for at in (0, 32, 64))
    if vector is None:
        vector = _mac(vector_key, associated, _bits(associated), value)[:CSFLE_IV_BYTES]
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(AES(cipher_key), modes.CBC(vector)).encryptor()
    ciphertext = encryptor.update(padder.update(value) + padder.finalize()) + encryptor.finalize()
    return Envelope(
        profile=Profile.CSFLE,
        ciphertext=ciphertext,
        iv=vector,
        tag=_mac(mac_key, associated, vector, ciphertext, _bits(associated))[:CSFLE_TAG_BYTES],
        dek_id=key.dek_id,
        mek_version=key.mek_version,
        bson_type=kind,
        algorithm=algorithm,
    )


def unseal(key: DataKey, envelope: Envelope) -> bytes:
    """Return the value bytes of an envelope.

    Raises:
        EnvelopeError: It does not authenticate under this key, or is not what the deterministic algorithm gives.
    """
    kind = envelope.bson_type
    if kind is None:
        raise AssertionError(envelope)
    associated = _associated_data(envelope.algorithm, envelope.dek_id, kind)
    mac_key, cipher_key, vector_key = (key.secret[at : at + 32] for at in (0, 32, 64))
    expected = _mac(mac_key, associated, envelope.iv, envelope.ciphertext, _bits(associated))[:CSFLE_TAG_BYTES]
    if not hmac.compare_digest(expected, envelope.tag):
        raise EnvelopeError(f"does not open under data key {envelope.dek_id}: altered, or not sealed under this key")
    decryptor = Cipher(AES(cipher_key), modes.CBC(envelope.iv)).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    try:
        padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
        value = unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise EnvelopeError(f"opens under data key {envelope.dek_id}, but is not padded") from error
    if envelope.algorithm == CSFLE_DETERMINISTIC:
        vector = _mac(vector_key, associated, _bits(associated), value)[:CSFLE_IV_BYTES]
        if not hmac.compare_digest(vector, envelope.iv):
            raise EnvelopeError(f"opens under data key {envelope.dek_id}, but its vector is not the deterministic one")
    return value


def _associated_data(algorithm: int, dek_id: str, kind: int) -> bytes:
    return bytes((algorithm,)) + _key_uuid(dek_id) + bytes((kind,))


def _key_uuid(dek_id: str) -> bytes:
    try:
        found = bytes.fromhex(dek_id.replace("-", ""))
    except ValueError:
        found = b""
    if len(found) != _UUID_BYTES or spell_uuid(found) != dek_id:
        raise KeyUnusableError(
            f"data key {dek_id} is not named by a UUID, as csfle needs", hint="kit keyring import --adapter key-vault"
        )
    return found


def _bits(data: bytes) -> bytes:
    return (len(data) * 8).to_bytes(8, "big")


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), hashlib.sha512)
