"""HMAC-SHA-256 under a key that is used again and again.

A key costs two blocks of SHA-256 and OpenSSL's setup, more than hashing half a kilobyte. So from its second use on, the
state after the key is kept and copied. Not before: with a hundred thousand owners, most keys are used once.
"""

from __future__ import annotations

import hmac
from typing import Final, final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from kit.encryption.data_keys import DataKey

_SHA256: Final = SHA256()
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
            keyed = self._keyed = HMAC(self._key, _SHA256)
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
