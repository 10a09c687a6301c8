"""Parts as bytes, each preceded by its length (schemas/envelope.md, "Encoding").

So no two sequences of parts have the same encoding; parts are never joined by a separator, since a separator may stand
in a name. Law: ``encode`` is injective.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

_LENGTH: Final = struct.Struct(">I")


def length(data: bytes) -> bytes:
    """What stands before a part: its length as four bytes, big-endian."""
    return len(data).to_bytes(4, "big")


def part(data: bytes) -> bytes:
    """One part: its length as four bytes, big-endian, then its bytes."""
    return length(data) + data


def encode(parts: Iterable[bytes]) -> bytes:
    """All parts, each with its length in front."""
    return b"".join([part(data) for data in parts])


def number(value: int) -> bytes:
    """A number as a part's content: four bytes, big-endian, unsigned."""
    return _LENGTH.pack(value)


TYPE_PARTS: Final = tuple([part(bytes((bson_type,))) for bson_type in range(256)])
"""Every BSON type as a part."""


def key_part(dek_id: str, mek_version: int) -> bytes:
    """The last parts of associated data: whose key."""
    return encode((dek_id.encode(), number(mek_version)))
