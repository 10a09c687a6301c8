"""Length-prefixed parts (schemas/envelope.md, "Encoding").

No two sequences of parts have the same encoding. Parts are never joined by a separator, since a name may contain it.
Law: ``encode`` is injective.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

_LENGTH: Final = struct.Struct(">I")


def length(data: bytes) -> bytes:
    """Return the prefix of a part: its length as four bytes, big-endian."""
    return len(data).to_bytes(4, "big")


def part(data: bytes) -> bytes:
    """Return one part: its length as four bytes, big-endian, then its bytes."""
    return length(data) + data


def encode(parts: Iterable[bytes]) -> bytes:
    """Return all parts, each length-prefixed."""
    return b"".join([part(data) for data in parts])


def number(value: int) -> bytes:
    """Return a number as a part's content: four bytes, big-endian, unsigned."""
    return _LENGTH.pack(value)


TYPE_PARTS: Final = tuple([part(bytes((bson_type,))) for bson_type in range(256)])
"""Every BSON type as a part."""


def key_part(dek_id: str, mek_version: int) -> bytes:
    """Return the last parts of associated data: the key's name and version."""
    return encode((dek_id.encode(), number(mek_version)))
