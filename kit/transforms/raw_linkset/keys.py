"""Which snapshot or cached payload belongs to which observation: the key both sides are known by.

A key is the 16-byte BLAKE2b digest of (kind of entry, database, tenant, vendor, upstream id) followed by that of the
content hash. The first half alone tells whether another revision of the same advisory is there. Parts are
length-prefixed, so no
two different tuples have the same input; 128 bits make an accidental meeting of two of 2^32 keys rarer than 2^-64.
"""

from __future__ import annotations

from hashlib import blake2b

SNAPSHOT = b"snapshot"
CACHE = b"cache"
HALF = 16


def advisory_key(kind: bytes, database: bytes, tenant: bytes, vendor: bytes, upstream_id: bytes) -> bytes:
    """Give the first half of a key: the same for every revision of one advisory."""
    parts = (kind, database, tenant, vendor, upstream_id)
    return blake2b(b"".join([len(part).to_bytes(4, "little") + part for part in parts]), digest_size=HALF).digest()


def revision_key(advisory: bytes, content_hash: bytes) -> bytes:
    """Give the whole key of one revision."""
    return advisory + blake2b(content_hash, digest_size=HALF).digest()
