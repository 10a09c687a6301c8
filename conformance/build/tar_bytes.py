"""Writes tar archives byte by byte (POSIX.1-1988 ustar, PAX, GNU), so that any field can be wrong."""

from __future__ import annotations

END = bytes(1024)
USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)


def header(
    name: bytes = b"a",
    *,
    size: int | bytes = 0,
    flag: bytes = b"0",
    link: bytes = b"",
    magic: bytes = USTAR,
    mode: bytes = b"0000644\0",
    mtime: bytes = b"00000000012\0",
    prefix: bytes = b"",
    tail: bytes = b"",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
) -> bytes:
    """Give one header block; every field can be any bytes."""
    size_field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    for at, value in (
        (0, name),
        (100, mode),
        (108, uid),
        (116, gid),
        (124, size_field),
        (136, mtime),
        (156, flag),
        (157, link),
        (257, magic),
        (345, prefix),
        (500, tail),
    ):
        block[at : at + len(value)] = value
    return with_checksum(block)


def with_checksum(block: bytes | bytearray, *, signed: bool = False) -> bytes:
    """Put the checksum into a header block; ``signed`` sums bytes as some old writers did."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    return bytes(block)


def padded(body: bytes) -> bytes:
    """Fill a body up to whole blocks."""
    return body + bytes(-len(body) % 512)


def member(name: bytes = b"a", body: bytes = b"", **fields: bytes) -> bytes:
    """Give a header and its padded body."""
    return header(name, size=len(body), **fields) + padded(body)


def record(key: str, value: bytes) -> bytes:
    """Give one PAX record; its length counts its own digits."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(*records: bytes, flag: bytes = b"x") -> bytes:
    """Give an extension header with these records, for the next member or, with ``flag=b"g"``, for all."""
    return member(b"PaxHeaders/a", b"".join(records), flag=flag)


def long_name(name: bytes, flag: bytes = b"L") -> bytes:
    """Give GNU tar's member that holds a long name."""
    return member(b"././@LongLink", name, flag=flag, magic=GNU)
