"""The layout of the target's container: its headers, byte for byte, and the lengths of its frames.

Headers are packed against the blocks that one template predicts for the names and sizes in the delta's own manifest. So
a layout needs nothing of the base except what a recipe computes, and does not depend on the base's container. Laws:
``parse(encode(l)) == l``; headers that differ in name and size alone cost next to nothing; so do frames that a recipe
cuts, since the site computes their lengths itself; one group of headers is held at a time.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from kit.delta.packing import Reader, pack, unpack, unsigned
from kit.values import MemberPath

GROUP = 4096
"""Members whose headers are packed together."""
_LEVEL = 19
_BLOCK = 512
_NAME, _SIZE, _SUM, _MAGIC, _PREFIX = slice(0, 100), slice(124, 136), slice(148, 156), slice(257, 263), slice(345, 500)
"""Fields of a tar header (POSIX ustar)."""
_USTAR, _HERE = b"ustar\0", b"./"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header blocks of one entry of a container."""

    data: bytes
    has_body: bool
    """Whether the next member of the target is its body; folders and links have no body."""


class File(Protocol):
    """What a header repeats of a member in the manifest."""

    @property
    def path(self) -> MemberPath:
        """Its name."""
        ...

    @property
    def size(self) -> int:
        """Bytes of its body."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """See the module docstring."""

    headers: tuple[Header, ...]
    frames: tuple[int, ...]
    """Decoded bytes of each frame of a container that is restored byte for byte; empty where it is not, or is not
    compressed."""


def encode_layout(layout: Layout, files: Sequence[File], made: Sequence[int] = ()) -> bytes:
    """Return the encoded layout of ``files``, in the order of their bodies; ``made`` are a recipe's frame lengths."""
    template = _template(layout.headers)
    parts = [pack(template, level=_LEVEL)]
    headers = iter(layout.headers)
    for group in _groups(files):
        taken = list(_with_bodies(headers, len(group)))
        if len(parts) == _groups_of(files):  # the last group has what follows the last body, too
            taken += headers
        # Sizes first, so that the headers of a group are one repetition of the prediction.
        sizes = [unsigned(len(header.data) << 1 | header.has_body) for header in taken]
        body = b"".join((unsigned(len(taken)), *sizes, *(header.data for header in taken)))
        parts.append(pack(body, _predict(template, group), level=_LEVEL))
    known = _lengths(made)
    frames = pack(_lengths((len(layout.frames), *layout.frames)), known, level=_LEVEL)
    return b"".join((*parts, unsigned(_mark(known)), frames))


def parse_layout(data: bytes, files: Sequence[File], made: Sequence[int] = (), *, most: int) -> Layout:
    """Return the layout of ``data``; headers and frames make at most ``most`` bytes each.

    If this program's recipe cuts other frames than the builder's, no frames are known: the members are the same, the
    archive around them is not.

    Raises:
        ArchiveError: It is malformed, or its headers have more or fewer bodies than there are files.
    """
    outer = Reader(data, "the layout")
    headers = tuple(_headers(outer, files, most=most))
    frames = _parse_frames(outer, _lengths(made), most=most)
    outer.finish()
    return Layout(headers=headers, frames=frames)


def parse_headers(data: bytes, files: Sequence[File], *, most: int) -> Iterator[Header]:
    """Yield the headers of a layout one by one, without its frames.

    Raises:
        ArchiveError: As :func:`parse_layout`.
    """
    yield from _headers(Reader(data, "the layout"), files, most=most)


def _headers(outer: Reader, files: Sequence[File], *, most: int) -> Iterator[Header]:
    template = unpack(outer, most=_BLOCK)
    for group in _groups(files):
        data = unpack(outer, _predict(template, group), most=most)
        most -= len(data)
        reader = Reader(data, "the layout")
        words = [reader.unsigned() for _ in range(reader.bounded(len(data), "number of headers"))]
        bodies = sum(word & 1 for word in words)
        if bodies != len(group):
            raise reader.fault(f"has headers of {bodies:,} files; the manifest lists {len(group):,}")
        for word in words:
            yield Header(data=reader.take(word >> 1), has_body=bool(word & 1))
        reader.finish()


def parse_layout_of_base(data: bytes, base_headers: Sequence[bytes], made: Sequence[int] = (), *, most: int) -> Layout:
    """Return a layout that an earlier version encoded: packed against the headers of the base's container.

    Raises:
        ArchiveError: It is malformed, or that container had other headers.
    """
    outer = Reader(data, "the layout")
    reader = Reader(unpack(outer, b"".join(base_headers), most=most), "the layout")
    frames = _parse_frames(outer, _lengths(made), most=most)
    outer.finish()
    headers: list[Header] = []
    for _ in range(reader.bounded(most, "number of headers")):
        word = reader.unsigned()
        headers.append(Header(data=reader.take(word >> 1), has_body=bool(word & 1)))
    reader.finish()
    return Layout(headers=tuple(headers), frames=frames)


def _groups(files: Sequence[File]) -> Iterator[Sequence[File]]:
    """Yield the files in groups; without files, one empty group for folders and links."""
    for at in range(0, max(len(files), 1), GROUP):
        yield files[at : at + GROUP]


def _groups_of(files: Sequence[File]) -> int:
    return max(1, -(-len(files) // GROUP))


def _with_bodies(headers: Iterator[Header], count: int) -> Iterator[Header]:
    """Yield headers up to that of the last of ``count`` files."""
    while count:
        for header in islice(headers, 1):
            count -= header.has_body
            yield header
            break
        else:
            return


def _template(headers: Iterable[Header]) -> bytes:
    """Return the most common header, name, size and sum left blank; of several the first."""
    plain = Counter(_blank(header.data[-_BLOCK:]) for header in headers if header.has_body)
    return max(plain, key=plain.__getitem__, default=b"")


def _blank(block: bytes) -> bytes:
    made = bytearray(block)
    if len(made) == _BLOCK:
        lead = _HERE if made.startswith(_HERE) else b""
        made[_NAME], made[_SIZE], made[_SUM] = lead.ljust(100, b"\0"), bytes(12), bytes(8)
        if made[_MAGIC] == _USTAR:
            made[_PREFIX] = bytes(155)
    return bytes(made)


def _predict(template: bytes, files: Iterable[File]) -> bytes:
    """Return the blocks that files most likely have.

    They are a dictionary: a name that a header cannot hold need not be spelled correctly, only have its letters here.
    """
    if len(template) != _BLOCK:
        return b""
    return b"".join(_block(template, file) for file in files)


def _block(template: bytes, file: File) -> bytes:
    made = bytearray(template)
    name, prefix, front = file.path.text.encode(), b"", b""
    if made.startswith(_HERE):
        name = _HERE + name
    if len(name) > 100:
        at = name.rfind(b"/", 0, 156)
        if made[_MAGIC] == _USTAR and at >= len(name) - 101:
            prefix, name = name[:at], name[at + 1 :]
            made[_PREFIX] = prefix.ljust(155, b"\0")
        else:
            front, name = name + bytes(-len(name) % _BLOCK), name[:100]
    made[_NAME] = name.ljust(100, b"\0")
    made[_SIZE] = b"%011o\0" % (file.size & 0o77777777777)
    made[_SUM] = b" " * 8
    made[_SUM] = b"%06o\0 " % sum(made)
    return front + bytes(made)


def _parse_frames(outer: Reader, known: bytes, *, most: int) -> tuple[int, ...]:
    if outer.unsigned() != _mark(known):
        outer.rest()
        return ()
    return _parse_lengths(unpack(outer, known, most=most), most=most)


def _mark(known: bytes) -> int:
    """Return a checksum that identifies a dictionary; 0 for none."""
    return zlib.crc32(known) + 1 if known else 0


def encode_lengths(lengths: Sequence[int]) -> bytes:
    """Return the encoded lengths of frames."""
    return pack(_lengths((len(lengths), *lengths)), level=_LEVEL)


def parse_lengths(outer: Reader, *, most: int) -> tuple[int, ...]:
    """Return the lengths of frames.

    Raises:
        ArchiveError: They are malformed.
    """
    return _parse_lengths(unpack(outer, most=most), most=most)


def _lengths(lengths: Sequence[int]) -> bytes:
    return b"".join(map(unsigned, lengths))


def _parse_lengths(data: bytes, *, most: int) -> tuple[int, ...]:
    reader = Reader(data, "frame lengths")
    lengths = tuple(reader.unsigned() for _ in range(reader.bounded(most, "number of frames")))
    reader.finish()
    return lengths
