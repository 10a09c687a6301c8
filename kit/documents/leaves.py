"""A document's leaf in the Merkle tree of its collection, which binds its ``_id`` (schemas/merkle.md).

A leaf commits to the typed ``_id`` and the digest of the document. So neighbours can be shown, and absence proven,
without showing their content. Leaves are passed on as sorted lines of text, ``<key> <leaf hash>`` in hex: their order
as bytes is the order of the leaves. Law: equal documents give equal lines, whatever run they are in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kit.documents.elements import elements
from kit.documents.kinds import INT32, Kind
from kit.errors import BsonError

_TEXT = frozenset({Kind.STRING, Kind.CODE, Kind.SYMBOL})
_HASH_DIGITS = 64


def identity_key(document: bytes) -> bytes:
    """Return the typed ``_id``: its type byte and its value, or only the text of a string.

    Empty where there is no ``_id``, or the document is malformed before it. A text without its length sorts as MongoDB
    sorts it, so that dumps in order of ``_id`` are sorted.
    """
    # Nearly every _id is a string and the first element: 0.3 µs here, 1.5 µs below.
    if document[4:9] == b"\x02_id\0" and len(document) >= 19:
        end = 13 + int(INT32.unpack_from(document, 9)[0])
        if 14 <= end < len(document):
            return b"\x02" + document[13 : end - 1]
    try:
        for element in elements(document):
            if element.name == b"_id":
                value = document[element.value : element.end]
                return bytes([element.kind]) + (value[4:-1] if element.kind in _TEXT else value)
    except BsonError:
        pass
    return b""


def leaf_data(key: bytes, digest: bytes) -> bytes:
    """Return the data that a leaf commits to: the typed ``_id`` and the 32 bytes of the document's SHA-256."""
    return key + digest


def leaf_lines(documents: Iterable[bytes]) -> bytes:
    """Return the leaves of documents as sorted lines."""
    sha256, lines = hashlib.sha256, []
    for document in documents:
        key = identity_key(document)
        # leaf_hash(leaf_data(key, digest)), inlined because of its cost.
        leaf = sha256(b"\0" + key + sha256(document).digest())
        lines.append(f"{key.hex()} {leaf.hexdigest()}\n")
    lines.sort()
    return "".join(lines).encode("ascii")


def key_of(line: bytes) -> bytes:
    """Return the typed ``_id`` of a line."""
    return bytes.fromhex(line[: -_HASH_DIGITS - 2].decode("ascii"))


def hash_digits(line: bytes) -> bytes:
    """Return the leaf hash of a line, in hex digits."""
    return line[-_HASH_DIGITS - 1 : -1]
