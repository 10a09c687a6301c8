"""The layout of the target's container: its headers, byte for byte, and where its frames are cut.

Law: ``parse(print(l)) == l``; headers that the base has too cost next to nothing, since they are packed against them,
and neither do frames that a recipe cuts, whose lengths the site finds out when it computes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from kit.delta.packing import pack, unpack
from kit.delta.varint import Reader, unsigned

_LEVEL = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header blocks of one entry of a container."""

    data: bytes
    has_body: bool
    """Whether the next member of the target is its body; folders and links have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """See the module docstring."""

    headers: tuple[Header, ...]
    frames: tuple[int, ...]
    """Decoded bytes of each frame of a container that comes back byte for byte; empty where it does not, or is not
    compressed."""


def print_layout(layout: Layout, base_headers: Sequence[bytes], made: Sequence[int] = ()) -> bytes:
    """Print a layout against the headers of the base, in their order, and the lengths of frames that a recipe made."""
    body = bytearray(unsigned(len(layout.headers)))
    for header in layout.headers:
        body += unsigned(len(header.data) << 1 | header.has_body)
        body += header.data
    known = _lengths(made)
    frames = pack(_lengths((len(layout.frames), *layout.frames)), known, level=_LEVEL)
    return pack(bytes(body), b"".join(base_headers), level=_LEVEL) + unsigned(_mark(known)) + frames


def parse_layout(data: bytes, base_headers: Sequence[bytes], made: Sequence[int] = (), *, most: int) -> Layout:
    """Read a layout of at most ``most`` bytes.

    Where this program's recipe cuts other frames than that of the builder, none are known: the members are the same,
    and the archive around them is not.

    Raises:
        ArchiveError: It is malformed, or of another base.
    """
    outer = Reader(data, "the layout")
    reader = Reader(unpack(outer, b"".join(base_headers), most=most), "the layout")
    frames = _frames(outer, _lengths(made), most=most)
    outer.finish()
    headers: list[Header] = []
    for _ in range(reader.bounded(most, "number of headers")):
        word = reader.unsigned()
        headers.append(Header(data=reader.take(word >> 1), has_body=bool(word & 1)))
    reader.finish()
    return Layout(headers=tuple(headers), frames=frames)


def _frames(outer: Reader, known: bytes, *, most: int) -> tuple[int, ...]:
    if outer.unsigned() != _mark(known):
        outer.rest()
        return ()
    return _parsed(unpack(outer, known, most=most), most=most)


def _mark(known: bytes) -> int:
    """Tell one dictionary from another; 0 for none."""
    return zlib.crc32(known) + 1 if known else 0


def print_lengths(lengths: Sequence[int]) -> bytes:
    """Print the lengths of frames."""
    return pack(_lengths((len(lengths), *lengths)), level=_LEVEL)


def parse_lengths(outer: Reader, *, most: int) -> tuple[int, ...]:
    """Read the lengths of frames.

    Raises:
        ArchiveError: They are malformed.
    """
    return _parsed(unpack(outer, most=most), most=most)


def _lengths(lengths: Sequence[int]) -> bytes:
    return b"".join(map(unsigned, lengths))


def _parsed(data: bytes, *, most: int) -> tuple[int, ...]:
    reader = Reader(data, "frame lengths")
    lengths = tuple(reader.unsigned() for _ in range(reader.bounded(most, "number of frames")))
    reader.finish()
    return lengths
