"""What a job has done, one record a line, so that another process can go on: schemas/journal.md.

Pure: records to bytes and back. Each line begins with a CRC-32 that continues the one of the line before, so a line is
read only if everything before it is what was written. The checksum keeps out a crash and a bad medium, and nobody who
forges a journal: so nothing in it is believed. Its values are of the types and ranges that a run writes, or it is
refused; frames are compared with what they must hold, and a finished kit is judged again. Law: whatever tail of a
journal is lost or torn by a crash, :func:`scan` gives the records before it, in order, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from isal import isal_zlib

from kit.errors import KitError, ManifestError
from kit.manifest.fields import Fields
from kit.values import Limits, strict_json

FORMAT = 2
BEGIN = "begin"
FRAME = "frame"
RESTART = "restart"
READY = "ready"

LONGEST_LINE = 256 * 1024 * 1024
"""The longest is the first one of a kit in a folder: it has the digest of every member."""
_LIMITS = Limits(json_bytes=LONGEST_LINE)
_LARGEST_CRC = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place between two records: bytes before it, and the checksum that the next record continues."""

    offset: int = 0
    crc32: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record; ``after`` is where the next one begins."""

    kind: str
    body: Mapping[str, Any]
    after: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a job was begun with. Law: ``Begun.of(begun.to_json()) == begun``."""

    format: int
    tool: str
    version: str
    options: Mapping[str, Any]
    base: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Take a record of kind :data:`BEGIN` apart.

        Raises:
            ManifestError: It is not one.
        """
        fields = Fields.of(dict(body), BEGIN)
        fields.exactly({"format", "tool", "options", "base"})
        tool = fields.object("tool")
        return cls(
            format=fields.integer("format"),
            tool=tool.text("name"),
            version=tool.text("version"),
            options=fields.object("options").members,
            base=fields.object("base").members,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the body of the record."""
        tool = {"name": self.tool, "version": self.version}
        return {"format": self.format, "tool": tool, "options": dict(self.options), "base": dict(self.base)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A finished frame of the spool. Law: ``FrameRecord.of(record.to_json()) == record``."""

    offset: int
    size: int
    """Bytes in the spool, from ``offset``."""
    length: int
    """Bytes it decodes to."""
    crc32: int
    """Of the bytes in the spool."""
    piece: bool = False
    """Whether it came out of a piece of work, which another process need not do in full again."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Take a record of kind :data:`FRAME` apart.

        Raises:
            ManifestError: It is not one.
        """
        fields = Fields.of(dict(body), FRAME)
        fields.exactly({"at", "size", "length", "crc32"}, {"piece"})
        if fields.integer("crc32") > _LARGEST_CRC or fields.members.get("piece", True) is not True:
            raise ManifestError(f"{FRAME}: crc32 or piece is out of range")
        return cls(
            offset=fields.integer("at"),
            size=fields.integer("size"),
            length=fields.integer("length"),
            crc32=fields.integer("crc32"),
            piece="piece" in fields.members,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the body of the record."""
        body = {"at": self.offset, "size": self.size, "length": self.length, "crc32": self.crc32}
        return body | {"piece": True} if self.piece else body


def encode_record(kind: str, body: Mapping[str, Any], before: Position) -> tuple[bytes, Position]:
    """Return the line of a record that stands at ``before``, and the position after it."""
    # ASCII: JSON escapes what is not, so a line feed or a lone surrogate of a name cannot break a line.
    text = json.dumps({"record": kind, **body}, separators=(",", ":")).encode("ascii")
    crc32 = checksum(text, before.crc32)
    line = b"%08x %s\n" % (crc32, text)
    return line, Position(offset=before.offset + len(line), crc32=crc32)


def scan(lines: Iterable[bytes], start: Position | None = None) -> Iterator[Record]:
    """Yield the records of a journal from ``start`` up to the first line that is torn, foreign, or not its turn."""
    at = start or Position()
    for line in lines:
        prefix, text = line[:9], line[9:-1]
        crc32 = checksum(text, at.crc32)
        if prefix != b"%08x " % crc32 or not line.endswith(b"\n"):
            return
        try:
            fields = Fields.of(strict_json.parse(text, limits=_LIMITS, where="journal"), "journal")
            kind = fields.text("record")
        except KitError:
            return
        at = Position(offset=at.offset + len(line), crc32=crc32)
        yield Record(kind=kind, body={key: fields.members[key] for key in fields.members if key != "record"}, after=at)


def checksum(data: bytes, before: int = 0) -> int:
    """Continue a CRC-32 (the one of gzip) over ``data``; 25 GB/s here, so that it costs nothing beside a frame."""
    return int(isal_zlib.crc32(data, before))
