"""Parses one 512-byte tar header, strictly: POSIX ustar (IEEE Std 1003.1, pax), GNU and v7 layouts.

``tarfile`` skips what it does not understand, and other tools guess differently. A signed archive must mean the same to
all of them. Laws: a field that decides what a member is, is either fully understood or refused; bytes hidden behind a
terminator are refused; numbers are non-negative, except times. Kinds of entries other than files, folders and (if
permitted) links are refused. Stops at the block: errors name the fault, and the caller adds the offset.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from kit.errors import ArchiveError

BLOCK_BYTES = 512
ZERO_BLOCK = bytes(BLOCK_BYTES)
NAME_BYTES = 100
MAX_ID = (1 << 32) - 2
"""Largest owner and group: GNU tar fails on one that its system cannot hold."""
MAX_TIME = 253_402_300_799
"""The last second of the year 9999: readers fail on times that their calendar does not hold."""
MIN_TIME = -62_135_596_800
"""The first second of the year 1, for the same reason."""
_MAX_SIZE = (1 << 63) - 1
"""Largest size any tool here can address; base-256 fields can hold more."""

# Digits, led by spaces (old writers) and ended by space or NUL; a full field has no terminator (bsdtar ustar).
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_BLANK = re.compile(rb"[ \0]*")
# Zero to GNU tar 1.34, bsdtar, Python and Go; Rust's tar writes it. GNU tar warns of nothing but spaces.
_BLANK_WITH_NUL = re.compile(rb" *\0[ \0]*")


class EntryKind(enum.Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


class ExtensionKind(enum.Enum):
    """Records in front of a member that add to its header, by their type flag."""

    PAX = b"x"
    PAX_GLOBAL = b"g"
    GNU_LONG_NAME = b"L"
    GNU_LONG_LINK = b"K"


class Layout(enum.Enum):
    """The layout of the header, by its magic and version (bytes 257 to 264)."""

    USTAR = b"ustar\x0000"
    GNU = b"ustar  \x00"
    V7 = bytes(8)


_KINDS = {
    b"0": EntryKind.FILE,
    b"\0": EntryKind.FILE,
    b"1": EntryKind.HARDLINK,
    b"2": EntryKind.SYMLINK,
    b"5": EntryKind.DIRECTORY,
}
_REFUSED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"7": "a contiguous file",
    b"D": "a GNU incremental folder dump",
    b"M": "a GNU multi-volume continuation",
    b"N": "an old GNU name record",
    b"S": "a sparse file",
    b"V": "a GNU volume label",
    b"X": "a Solaris extension record",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TarHeader:
    """The fields of one header block; names are bytes, since extension records may yet replace them."""

    kind: EntryKind | ExtensionKind
    layout: Layout
    is_old_file: bool
    """Whether its flag is NUL: a file or, to some readers, a folder if the name ends in a slash."""
    name: bytes
    link: bytes
    size: int
    mode: int
    mtime: int


def parse_header(block: bytes) -> TarHeader:
    """Parse 512 bytes that are not a zero block.

    Raises:
        ArchiveError: Wrong checksum, unknown magic, a field not understood, or an entry kind that is refused.
    """
    check_sum(block)
    try:
        layout = Layout(block[257:265])
    except ValueError:
        raise ArchiveError(f"has the unknown tar magic {block[257:265]!r}") from None
    kind = _kind(block, layout)
    for label, start, end in (("uid", 108, 116), ("gid", 116, 124), ("devmajor", 329, 337), ("devminor", 337, 345)):
        # Unused here, but a reader that cannot parse them fails. Devices are blank in headers of v7.
        if _number(block[start:end], label, blank=_BLANK) > MAX_ID and label in {"uid", "gid"}:
            raise ArchiveError(f"has a {label} over {MAX_ID}")
    mtime = _time(block[136:148])
    return TarHeader(
        kind=kind,
        layout=layout,
        is_old_file=block[156:157] == b"\0",
        name=_full_name(block, layout),
        link=_text(block[157:257], "linkname"),
        size=_number(block[124:136], "size"),
        mode=_number(block[100:108], "mode") & 0o7777,
        mtime=mtime,
    )


def check_sum(block: bytes) -> None:
    """Check the header checksum: the sum of all bytes, those of the field itself taken as spaces.

    Only the unsigned sum counts: the signed one of some ancient writers would let two different headers pass.

    Raises:
        ArchiveError: It differs.
    """
    stored = _number(block[148:156], "checksum", blank=None)
    if stored != sum(block) - sum(block[148:156]) + 8 * 0x20:
        raise ArchiveError("is no tar header: its checksum does not match")


def _kind(block: bytes, layout: Layout) -> EntryKind | ExtensionKind:
    flag = block[156:157]
    if flag in _KINDS:
        # v7 has no flag for folders, they are files with a slash (bsdtar --format=v7 still writes them so).
        if flag == b"\0" and layout is Layout.V7 and _text(block[:NAME_BYTES], "name").endswith(b"/"):
            return EntryKind.DIRECTORY
        return _KINDS[flag]
    if flag in {b"x", b"g", b"L", b"K"} and layout is not Layout.V7:
        return ExtensionKind(flag)
    raise ArchiveError(f"is {_REFUSED.get(flag, 'of an unknown kind')} (type flag {flag!r}), which no kit may hold")


def _full_name(block: bytes, layout: Layout) -> bytes:
    name = _text(block[:NAME_BYTES], "name")
    if layout is Layout.USTAR:
        if block[500:].strip(b"\0"):
            raise ArchiveError("has bytes after the last field of its header")
        prefix = _text(block[345:500], "prefix")
        return prefix + b"/" + name if prefix and name else name
    if block[345:].strip(b"\0"):
        # GNU keeps times and sparse maps where ustar keeps the prefix, and tarfile takes either for a prefix.
        raise ArchiveError("has a prefix, time or sparse map where its layout has none")
    return name


def _text(field: bytes, label: str) -> bytes:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise ArchiveError(f"has bytes hidden behind the end of its {label}")
    return text


def _time(field: bytes) -> int:
    """Read an mtime: as other numbers, but negative before 1970 (base 256: octal digits have no sign)."""
    value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else _number(field, "mtime", blank=_BLANK)
    if not MIN_TIME <= value <= MAX_TIME:
        raise ArchiveError(f"has an mtime outside of the years 1 to 9999: {value}")
    return value


def _number(field: bytes, label: str, *, blank: re.Pattern[bytes] | None = _BLANK_WITH_NUL) -> int:
    """Read octal digits, or the base-256 form of GNU and star (first bit set, big-endian, two's complement).

    A field of the form ``blank`` is 0.
    """
    match = _OCTAL.fullmatch(field)
    if match:
        return int(match[1], 8)
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
        if value <= _MAX_SIZE:
            return value
        raise ArchiveError(f"declares an oversized {label}: {value}")
    if field[0] & 0x80:
        raise ArchiveError(f"declares a negative or oversized {label}: {field!r}")
    if blank is not None and blank.fullmatch(field):
        return 0
    raise ArchiveError(f"has a {label} that is no octal number: {field!r}")
