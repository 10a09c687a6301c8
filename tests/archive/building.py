"""Reads archives built byte by byte (``conformance.build.tar_bytes``): sound ones, and those no tool would write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.build.tar_bytes import (
    END,
    GNU,
    USTAR,
    V7,
    header,
    long_name,
    member,
    padded,
    pax,
    record,
    with_checksum,
)
from kit.archive.read.tar import Member, read_tar
from kit.archive.source import ChunkReader
from kit.archive.write.tar import ArchiveDestination
from kit.output.journal import BEGIN, FORMAT, BeginRecord, JournalFile
from kit.output.spool import Spool
from kit.values import STRICT, Allowed, Codec, Limits

__all__ = [
    "END",
    "GNU",
    "LIMITS",
    "USTAR",
    "V7",
    "Read",
    "archive_in",
    "chunked",
    "collect",
    "header",
    "long_name",
    "member",
    "names",
    "padded",
    "pax",
    "read",
    "record",
    "with_checksum",
]

LIMITS = Limits()


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


def read(
    data: bytes,
    *,
    limits: Limits = LIMITS,
    allow_links: bool = False,
    allowed: Allowed = STRICT,
    chunk: int = 1 << 20,
) -> list[Read]:
    reader = ChunkReader(chunked(data, chunk), where="kit.tar")
    permitted = replace(allowed, links=allowed.links or allow_links)
    return collect(read_tar(reader, limits, where="kit.tar", allowed=permitted))


def names(data: bytes, *, limits: Limits = LIMITS, allow_links: bool = False) -> list[str]:
    return [item.name for item in read(data, limits=limits, allow_links=allow_links)]


def archive_in(folder: Path, *, codec: Codec, proves: bool = False) -> ArchiveDestination:
    """Make a destination with a journal of its own."""
    journal = JournalFile(folder / "journal")
    if journal.begun is None:
        journal.append(BEGIN, BeginRecord(format=FORMAT, tool="kit", version="1", options={}).to_json())
    return ArchiveDestination(folder, Spool(folder, journal), codec=codec, proves=proves)
