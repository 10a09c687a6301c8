"""The key that joins a snapshot or cached payload with its observation.

A key is one byte for the kind of entry, the 16-byte BLAKE2b digest of (database, tenant, vendor, upstream id), and that
of the content hash. Without its last part it finds other revisions of the same advisory. Parts are length-prefixed, so
no two different tuples have the same input; with 128 bits, an accidental collision among 2^32 keys is rarer than 2^-64.
The value of a key is the number of skipped values of the source, and the finished element.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

SNAPSHOT = b"S"
CACHE = b"C"
NONE_SKIPPED: Final = bytes(4)
"""The first bytes of an entry without skipped values: the count, 32 bits, little-endian."""
UNREADABLE: Final = b"\xff" * 4
"""The first bytes of an entry whose document cannot be read; the reason follows, as UTF-8."""
_DIGEST = 16


def advisory_digest(database: bytes, tenant: bytes, vendor: bytes, upstream_id: bytes) -> bytes:
    """Return the digest of what all revisions of an advisory share."""
    lengths = b"%d,%d,%d;" % (len(database), len(tenant), len(vendor))
    return blake2b(b"".join((lengths, database, tenant, vendor, upstream_id)), digest_size=_DIGEST).digest()


def revision_digest(content_hash: bytes) -> bytes:
    """Return the digest of what identifies a revision."""
    return blake2b(content_hash, digest_size=_DIGEST).digest()
