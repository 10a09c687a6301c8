"""Data keys (DEKs): their purpose, the keys derived from them, the check that detects a wrong one, and a run's keys.

A data key is 32 random bytes, or the 96 of a key vault (schemas/keyring.md, "Keys in and out"). Everything but the
key of ``compat`` is derived from it by HKDF-SHA-256 (RFC 5869, no salt: the input is uniform already, section 3.3)
under a label of its own, so that no two uses share a key (schemas/envelope.md, "Keys").

- :class:`KeySet` has the keys of one run: which data key seals for each purpose, which ones open, and which are known
  but locked. It is made from an unlocked keyring, and :meth:`kit.engine.executors.WorkExecutor.hand_out` sends it to
  workers.
- :class:`Mac` is HMAC-SHA-256 under a key that is used repeatedly. A key costs two blocks of SHA-256 and OpenSSL's
  setup, more than hashing half a kilobyte. So from its second use on, the state after the key is kept and copied. Not
  before: with a hundred thousand owners, most keys are used once.
- :func:`encode_parts` joins length-prefixed parts (schemas/envelope.md, "Encoding"). Parts are never joined by a
  separator, since a name may contain it.

Laws: no secret appears in a ``repr`` or an error; ``encode_parts`` is injective.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace as with_changes
from typing import Final, Protocol, final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from kit.encryption.envelope import JSON_TAG, JSON_TEXT, Envelope
from kit.errors import EnvelopeError, KeyUnusableError, StoppedError

_LENGTH: Final = struct.Struct(">I")


def length(data: bytes) -> bytes:
    """Return the prefix of a part: its length as four bytes, big-endian."""
    return len(data).to_bytes(4, "big")


def part(data: bytes) -> bytes:
    """Return one part: its length as four bytes, big-endian, then its bytes."""
    return length(data) + data


def encode_parts(parts: Iterable[bytes]) -> bytes:
    """Return all parts, each length-prefixed."""
    return b"".join([part(data) for data in parts])


def number(value: int) -> bytes:
    """Return a number as a part's content: four bytes, big-endian, unsigned."""
    return _LENGTH.pack(value)


TYPE_PARTS: Final = (*[part(bytes((bson_type,))) for bson_type in range(JSON_TEXT)], part(JSON_TAG))
"""Every BSON type as a part, and at :data:`~kit.encryption.envelope.JSON_TEXT` that of a value kept as text."""


def key_part(dek_id: str, mek_version: int) -> bytes:
    """Return the last parts of associated data: the key's name and version."""
    return encode_parts((dek_id.encode(), number(mek_version)))


KEY_BYTES = 32
VAULT_KEY_BYTES = 96
"""Bytes of a key of client-side field level encryption: three keys in one, which ``bound`` derives its own from."""
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
        return hashlib.sha256(encode_parts((_SCOPE, *self.parts(dek_id)))).digest()


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
        if len(self.secret) not in {KEY_BYTES, VAULT_KEY_BYTES}:
            raise KeyUnusableError(
                f"data key {self.dek_id} has {len(self.secret)} bytes, not {KEY_BYTES} or {VAULT_KEY_BYTES}"
            )
        pseudorandom_key = extract(self.secret)
        object.__setattr__(self, "pseudorandom_key", pseudorandom_key)
        object.__setattr__(self, "iv_key", expand(pseudorandom_key, encode_parts((_IV_KEY,))))
        object.__setattr__(self, "digest_key", expand(pseudorandom_key, encode_parts((_VALUE_DIGEST,))))
        object.__setattr__(self, "part", key_part(self.dek_id, self.mek_version))

    def __reduce__(self) -> tuple[object, ...]:
        return _data_key, (self.dek_id, self.scope, self.mek_version, self.secret)

    @property
    def commitment(self) -> str:
        """Hex digest that fixes key, name and purpose. It reveals nothing of the key, which has 256 bits of entropy."""
        info = encode_parts((_COMMITMENT, *self.scope.parts(self.dek_id)))
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


_HMAC_SHA256: Final = SHA256()
_CACHE_SIZE: Final = 4096
"""Maximum keys whose state is kept: those of the owners of a few runs."""


@final
class Mac:
    """HMAC-SHA-256 under one key. Law: ``Mac(key).digest(data) == hmac.digest(key, data, "sha256")``, each time."""

    __slots__ = ("_key", "_keyed", "_used")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._used = False
        self._keyed: HMAC | None = None

    def digest(self, data: bytes) -> bytes:
        """Return the 32 bytes for ``data``."""
        keyed = self._keyed
        if keyed is None:
            if not self._used:
                self._used = True
                return hmac.digest(self._key, data, "sha256")
            keyed = self._keyed = HMAC(self._key, _HMAC_SHA256)
        mac = keyed.copy()
        mac.update(data)
        return mac.finalize()


@final
class KeyMacs:
    """The MACs under one data key, kept while documents of its owner follow each other.

    Attributes:
        document_keys: MAC under the pseudorandom key; see :meth:`document_key`.
        vectors: MAC under the key of synthetic initialisation vectors.
        values: MAC under the key of value digests.
    """

    __slots__ = ("document_keys", "values", "vectors")

    def __init__(self, key: DataKey) -> None:
        self.document_keys = Mac(key.pseudorandom_key)
        self.vectors = Mac(key.iv_key)
        self.values = Mac(key.digest_key)

    def document_key(self, prefix: bytes, document: bytes) -> bytes:
        """Return HKDF-Expand of ``prefix + document`` to 32 bytes.

        That is one block: T(1) = HMAC(PRK, T(0) | info | 0x01), where T(0) is empty (RFC 5869 section 2.3).
        """
        return self.document_keys.digest(b"".join((prefix, document, b"\x01")))


@final
class MacCache:
    """The states of the keys used most recently, for a process with many runs."""

    __slots__ = ("_macs",)

    def __init__(self) -> None:
        self._macs: dict[str, KeyMacs] = {}

    def of(self, key: DataKey) -> KeyMacs:
        """Return the MACs under ``key``; a run has one key of each name."""
        # Each step is one dict operation: threads may make the state of a key twice, but never get another key's.
        macs = self._macs.get(key.dek_id)
        if macs is None:
            if len(self._macs) >= _CACHE_SIZE:
                self._macs.clear()
            macs = self._macs[key.dek_id] = KeyMacs(key)
        return macs

    def __reduce__(self) -> tuple[object, ...]:
        # A worker begins with an empty cache.
        return MacCache, ()


class KeySource(Protocol):
    """The source of a run's keys: the keys themselves, or where workers find them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The data keys that seal, sorted; known when the source is made."""
        ...

    @property
    def complete(self) -> bool:
        """Whether no data key is locked."""
        ...

    def key_set(self) -> KeySet:
        """Return the keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """Data keys by name and by purpose."""

    scopes: Mapping[str, Scope]
    """Every data key the keyring has, locked ones included."""
    opening: Mapping[str, DataKey] = field(repr=False)
    """The data keys that can be used."""
    sealing: Mapping[Scope, str]
    """The active key of each scope."""
    mek_versions: int
    """The newest version that an envelope may state: of the keyring's master keys, or of the platform's."""
    replaced: frozenset[str] = frozenset()
    """Data keys under which no envelope may be left."""
    macs: MacCache = field(default_factory=MacCache, init=False, repr=False, compare=False)
    """States derived from these keys, for those used most recently."""

    @property
    def names(self) -> tuple[str, ...]:
        """The data keys that seal, sorted."""
        return tuple(sorted(self.sealing.values()))

    @property
    def complete(self) -> bool:
        """Whether no data key is locked."""
        return all(dek_id in self.opening for dek_id in self.scopes)

    def key_set(self) -> KeySet:
        """See :class:`KeySource`."""
        return self

    def without(self, replaced: frozenset[str]) -> KeySet:
        """Return the keys without those that were replaced: an envelope under one of them is an error."""
        return with_changes(
            self,
            scopes={dek_id: scope for dek_id, scope in self.scopes.items() if dek_id not in replaced},
            opening={dek_id: key for dek_id, key in self.opening.items() if dek_id not in replaced},
            sealing={scope: dek_id for scope, dek_id in self.sealing.items() if dek_id not in replaced},
            replaced=replaced,
        )

    def sealing_key(self, scope: Scope) -> DataKey:
        """Return the key that seals for ``scope``.

        Raises:
            KeyUnusableError: There is none, or it is locked.
        """
        dek_id = self.sealing.get(scope)
        if dek_id is None:
            raise KeyUnusableError(
                f"no data key for {scope}", hint="keys are made before a run, for the owners found then"
            )
        return self.opening_key(dek_id)

    def at_hand(self, scope: Scope) -> DataKey | None:
        """Return the key that seals for ``scope``, or None if there is none or it is locked."""
        dek_id = self.sealing.get(scope)
        return self.opening.get(dek_id) if dek_id is not None else None

    def opening_key(self, dek_id: str) -> DataKey:
        """Return the key called ``dek_id``.

        Raises:
            KeyUnusableError: The keyring does not have it, or it is locked.
        """
        key = self.opening.get(dek_id)
        if key is None:
            why = (
                "is locked: no credential for its master key was given"
                if dek_id in self.scopes
                else "is not in the keyring"
            )
            raise KeyUnusableError(f"data key {dek_id} {why}")
        return key

    def check(self, envelope: Envelope, scope: Scope) -> DataKey | None:
        """Check that an envelope's key is known and is this owner's; return it, or None if it is locked.

        Raises:
            KeyUnusableError: The keyring does not have the key: it was lost, or the envelope is foreign.
            StoppedError: The key is another owner's, context's or product's.
            EnvelopeError: It states a master key that the keyring never had.
        """
        if envelope.dek_id in self.replaced:
            raise EnvelopeError(f"is still sealed under data key {envelope.dek_id}, which was replaced")
        known = self.scopes.get(envelope.dek_id)
        if known is None:
            raise KeyUnusableError(f"data key {envelope.dek_id} is not in the keyring")
        if known != scope:
            raise StoppedError(f"owner mismatch: data key {envelope.dek_id} is for {known}, the document for {scope}")
        if envelope.mek_version > self.mek_versions:
            raise EnvelopeError(f"states master key {envelope.mek_version}; the keyring has {self.mek_versions}")
        return self.opening.get(envelope.dek_id)


NO_KEYS = KeySet(scopes={}, opening={}, sealing={}, mek_versions=0)
"""The keys of a transform before a run sets them."""
