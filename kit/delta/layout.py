"""The layout of the target's container: its headers, byte for byte, and where its frames are cut.

Law: ``parse(print(l)) == l``; headers that the base has too cost next to nothing, since they are packed against them.
"""

from __future__ import annotations

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


def print_layout(layout: Layout, base_headers: Sequence[bytes]) -> bytes:
    """Print a layout against the headers of the base, in their order."""
    body = bytearray(unsigned(len(layout.headers)))
    for header in layout.headers:
        body += unsigned(len(header.data) << 1 | header.has_body)
        body += header.data
    frames = print_lengths(layout.frames)
    return pack(bytes(body), b"".join(base_headers), level=_LEVEL) + frames


def parse_layout(data: bytes, base_headers: Sequence[bytes], *, most: int) -> Layout:
    """Read a layout of at most ``most`` bytes.

    Raises:
        ArchiveError: It is malformed, or of another base.
    """
    outer = Reader(data, "the layout")
    reader = Reader(unpack(outer, b"".join(base_headers), most=most), "the layout")
    frames = parse_lengths(outer, most=most)
    outer.finish()
    headers: list[Header] = []
    for _ in range(reader.bounded(most, "number of headers")):
        word = reader.unsigned()
        headers.append(Header(data=reader.take(word >> 1), has_body=bool(word & 1)))
    reader.finish()
    return Layout(headers=tuple(headers), frames=frames)


def print_lengths(lengths: Sequence[int]) -> bytes:
    """Print the lengths of frames."""
    return pack(b"".join(map(unsigned, (len(lengths), *lengths))), level=_LEVEL)


def parse_lengths(outer: Reader, *, most: int) -> tuple[int, ...]:
    """Read the lengths of frames.

    Raises:
        ArchiveError: They are malformed.
    """
    reader = Reader(unpack(outer, most=most), "frame lengths")
    lengths = tuple(reader.unsigned() for _ in range(reader.bounded(most, "number of frames")))
    reader.finish()
    return lengths
