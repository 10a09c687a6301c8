"""Data keys (DEKs): their purpose, what is derived from them, and how a wrong one is detected.

A data key is 32 random bytes. Everything but the key of ``compat`` envelopes is derived from it by HKDF-SHA-256
(RFC 5869, no salt: the input is uniform already, section 3.3) under a label of its own, so that no two uses share a
key (schemas/envelope.md, "Keys"). Law: no secret appears in a ``repr`` or an error.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from kit.encryption.encoding import encode, key_part
from kit.errors import KeyUnusableError

KEY_BYTES = 32
_SHA256 = hashes.SHA256()
_IV_KEY = b"offline-kit/iv-key"
_COMMITMENT = b"offline-kit/commitment"
_SCOPE = b"offline-kit/scope"
_VALUE_DIGEST = b"offline-kit/value-digest"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Scope:
    """The purpose of a data key: the values of one owner in one context of one product."""

    product: str
    context: str
    owner: str

    def __str__(self) -> str:
        return f"product {self.product!r}, context {self.context!r}, owner {self.owner!r}"

    def parts(self, dek_id: str) -> tuple[bytes, ...]:
        """Return the parts that bind a key to its name and purpose."""
        return dek_id.encode(), self.product.encode(), self.context.encode(), self.owner.encode()

    def digest(self, dek_id: str) -> bytes:
        """Return the SHA-256 of name and purpose, which is wrapped with the key (schemas/keyring.md, "Wrapping")."""
        return hashlib.sha256(encode((_SCOPE, *self.parts(dek_id)))).digest()


def extract(secret: bytes) -> bytes:
    """Return the pseudorandom key of RFC 5869 2.2, without salt."""
    return HKDF.extract(_SHA256, None, secret)


def expand(pseudorandom_key: bytes, info: bytes) -> bytes:
    """Return 32 bytes for one purpose (RFC 5869 2.3)."""
    return HKDFExpand(_SHA256, KEY_BYTES, info).derive(pseudorandom_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """A data key in memory; stored keys are wrapped."""

    dek_id: str
    scope: Scope
    mek_version: int
    """The version that envelopes state: that of the MEK under which the key was made. A rewrap does not change it, so
    that plaintext sealed again gives the same bytes (schemas/keyring.md, "Rewrap")."""
    secret: bytes = field(repr=False)
    pseudorandom_key: bytes = field(init=False, repr=False, compare=False)
    iv_key: bytes = field(init=False, repr=False, compare=False)
    digest_key: bytes = field(init=False, repr=False, compare=False)
    """The key of value digests (``proof``)."""
    part: bytes = field(init=False, repr=False, compare=False)
    """Its part of associated data, made once for all values."""

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise KeyUnusableError(f"data key {self.dek_id} has {len(self.secret)} bytes, not {KEY_BYTES}")
        pseudorandom_key = extract(self.secret)
        object.__setattr__(self, "pseudorandom_key", pseudorandom_key)
        object.__setattr__(self, "iv_key", expand(pseudorandom_key, encode((_IV_KEY,))))
        object.__setattr__(self, "digest_key", expand(pseudorandom_key, encode((_VALUE_DIGEST,))))
        object.__setattr__(self, "part", key_part(self.dek_id, self.mek_version))

    def __reduce__(self) -> tuple[object, ...]:
        return _data_key, (self.dek_id, self.scope, self.mek_version, self.secret)

    @property
    def commitment(self) -> str:
        """Hex digest that fixes key, name and purpose. It reveals nothing of the key, which has 256 bits of entropy."""
        info = encode((_COMMITMENT, *self.scope.parts(self.dek_id)))
        return expand(self.pseudorandom_key, info).hex()

    def check(self, commitment: str) -> None:
        """Check a recorded commitment.

        Raises:
            KeyUnusableError: This is another key, or the record is of another purpose.
        """
        if not hmac.compare_digest(self.commitment, commitment):
            raise KeyUnusableError(
                f"data key {self.dek_id} is not the one the keyring committed to ({self.scope})",
                hint="the keyring was altered or damaged; restore it from its backup",
            )


def _data_key(dek_id: str, scope: Scope, mek_version: int, secret: bytes) -> DataKey:
    return DataKey(dek_id=dek_id, scope=scope, mek_version=mek_version, secret=secret)
