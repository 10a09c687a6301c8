"""Binary deltas: bytes of any kind, in pieces, each packed against the stretch of the base it likely comes from.

For members that are no collections. The stretch is at the same relative offset, with room on both sides, so memory is
bounded however large the members are. Laws: pieces are independent; ``unpack_piece(pack_piece(…)) == target``.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.delta.packing import Reader, pack, unpack, unsigned

PIECE_BYTES = 4 * 1024 * 1024
_ROOM = 4 * 1024 * 1024
MAX_STRETCH = PIECE_BYTES + 2 * _ROOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A range of the base that a piece may repeat."""

    start: int
    size: int


def choose_stretch(offset: int, *, base_size: int, target_size: int) -> Stretch:
    """Return the stretch of the base for the piece at ``offset`` of the target."""
    place = offset * base_size // max(target_size, 1)
    start = max(0, place - _ROOM)
    return Stretch(start=start, size=min(base_size - start, MAX_STRETCH))


def pack_piece(data: bytes, stretch: Stretch, base: bytes, level: int) -> bytes:
    """Return one piece, packed against ``base``, the bytes of its stretch."""
    return unsigned(stretch.start) + unsigned(stretch.size) + pack(data, base, level=level)


def parse_stretch(piece: bytes) -> tuple[Stretch, Reader]:
    """Return the stretch that a piece needs, and the reader of its rest.

    Raises:
        ArchiveError: The piece is malformed.
    """
    reader = Reader(piece, "a piece")
    start = reader.unsigned()
    return Stretch(start=start, size=reader.bounded(MAX_STRETCH, "stretch")), reader


def unpack_piece(reader: Reader, base: bytes) -> bytes:
    """Return the bytes of a piece; ``base`` are those of its stretch.

    Raises:
        ArchiveError: The piece is malformed, or does not match the base.
    """
    data = unpack(reader, base, most=PIECE_BYTES)
    reader.finish()
    return data
