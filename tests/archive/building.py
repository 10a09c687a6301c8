"""Builds tar archives byte by byte, the sound ones and those no tool would write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.archive import ArchiveDestination, Spool
from kit.archive.chunks import ChunkReader
from kit.archive.journal_file import JournalFile
from kit.archive.tar_reader import Member, read_tar
from kit.values import Codec, Limits

LIMITS = Limits()
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
) -> bytes:
    size_field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    for at, value in (
        (0, name),
        (100, mode),
        (108, uid),
        (116, b"0000000\0"),
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
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    return bytes(block)


def padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % 512)


def member(name: bytes = b"a", body: bytes = b"", **fields: bytes) -> bytes:
    return header(name, size=len(body), **fields) + padded(body)


def record(key: str, value: bytes) -> bytes:
    """One PAX record; its length counts its own digits."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(*records: bytes, flag: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/a", b"".join(records), flag=flag)


def long_name(name: bytes, flag: bytes = b"L") -> bytes:
    return member(b"././@LongLink", name, flag=flag, magic=GNU)


@dataclass(frozen=True, kw_only=True)
class Read:
    """A member with its body held whole."""

    member: Member
    body: bytes

    @property
    def name(self) -> str:
        return str(self.member.path)


def collect(members: Iterable[tuple[Member, Iterable[bytes]]]) -> list[Read]:
    return [Read(member=member, body=b"".join(body)) for member, body in members]


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(data: bytes, *, limits: Limits = LIMITS, allow_links: bool = False, chunk: int = 1 << 20) -> list[Read]:
    reader = ChunkReader(chunked(data, chunk), where="kit.tar")
    return collect(read_tar(reader, limits, where="kit.tar", allow_links=allow_links))


def names(data: bytes, *, limits: Limits = LIMITS, allow_links: bool = False) -> list[str]:
    return [item.name for item in read(data, limits=limits, allow_links=allow_links)]


def archive_in(folder: Path, *, codec: Codec) -> ArchiveDestination:
    """Make a destination with a journal of its own."""
    return ArchiveDestination(folder, Spool(folder, JournalFile(folder / "journal")), codec=codec)
