"""Which snapshot or cached payload belongs to which observation: the key both sides are known by.

A key is one byte for the kind of entry, the 16-byte BLAKE2b digest of (database, tenant, vendor, upstream id), and that
of the content hash. All but the last part tells whether another revision of the same advisory is there. Parts are
length-prefixed, so no two different tuples have the same input; 128 bits make an accidental meeting of two of 2^32 keys
rarer than 2^-64. Under a key stands how many values of the source were skipped, and the finished element.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

SNAPSHOT = b"S"
CACHE = b"C"
NONE_SKIPPED: Final = bytes(4)
"""How an entry begins of whose values none was skipped: the count, 32 bits, little-endian."""
UNREADABLE: Final = b"\xff" * 4
"""How an entry begins whose document cannot be read; the reason follows, as UTF-8."""
_DIGEST = 16


def advisory_digest(database: bytes, tenant: bytes, vendor: bytes, upstream_id: bytes) -> bytes:
    """Digest what is the same for every revision of one advisory."""
    lengths = b"%d,%d,%d;" % (len(database), len(tenant), len(vendor))
    return blake2b(b"".join((lengths, database, tenant, vendor, upstream_id)), digest_size=_DIGEST).digest()


def revision_digest(content_hash: bytes) -> bytes:
    """Digest what tells one revision from another."""
    return blake2b(content_hash, digest_size=_DIGEST).digest()
