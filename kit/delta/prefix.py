"""Bytes of any kind, in pieces, each packed against the stretch of the base where it is likely to have come from.

For members that are no collections. The stretch is that at the same relative place, with room on both sides, so memory
is bounded however large the members are. Laws: pieces need one another for nothing; ``unpacked(packed(…)) == target``.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.delta.packing import pack, unpack
from kit.delta.varint import Reader, unsigned

PIECE_BYTES = 4 * 1024 * 1024
_ROOM = 4 * 1024 * 1024
MOST_STRETCH = PIECE_BYTES + 2 * _ROOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Where in the base something may be repeated from."""

    start: int
    size: int


def stretch_of(offset: int, *, base_size: int, target_size: int) -> Stretch:
    """Choose the stretch of the base for the piece at ``offset`` of the target."""
    place = offset * base_size // max(target_size, 1)
    start = max(0, place - _ROOM)
    return Stretch(start=start, size=min(base_size - start, MOST_STRETCH))


def packed(data: bytes, stretch: Stretch, base: bytes, level: int) -> bytes:
    """Pack one piece against ``base``, the bytes of its stretch."""
    return unsigned(stretch.start) + unsigned(stretch.size) + pack(data, base, level=level)


def stretch_in(piece: bytes) -> tuple[Stretch, Reader]:
    """Read which stretch a piece needs.

    Raises:
        ArchiveError: The piece is malformed.
    """
    reader = Reader(piece, "a piece")
    start = reader.unsigned()
    return Stretch(start=start, size=reader.bounded(MOST_STRETCH, "stretch")), reader


def unpacked(reader: Reader, base: bytes) -> bytes:
    """Unpack a piece, given the bytes of its stretch.

    Raises:
        ArchiveError: The piece is malformed, or does not fit the base.
    """
    data = unpack(reader, base, most=PIECE_BYTES)
    reader.finish()
    return data
