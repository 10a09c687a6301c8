"""What a job has done, one record a line, so that another process can go on: schemas/journal.md.

Pure: records to bytes and back. Each line begins with a CRC-32 that continues the one of the line before, so a line is
believed only if everything before it is what was written. Law: whatever tail of a journal is lost or torn by a crash,
:func:`scan` gives the records before it, in order, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from isal import isal_zlib

FORMAT = 1
BEGIN = "begin"
FRAME = "frame"
RESTART = "restart"
READY = "ready"

Note = Mapping[str, Any]
"""What the writer of a frame needs to know of it again, as JSON."""


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
class FrameRecord:
    """A finished frame of the spool. Law: ``FrameRecord.of(record.to_json()) == record``."""

    offset: int
    size: int
    """Bytes in the spool, from ``offset``."""
    length: int
    """Bytes it decodes to."""
    crc32: int
    """Of the bytes in the spool."""
    note: Note | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Take a record of kind :data:`FRAME` apart."""
        return cls(
            offset=body["at"], size=body["size"], length=body["length"], crc32=body["crc32"], note=body.get("note")
        )

    def to_json(self) -> dict[str, Any]:
        """Give the body of the record."""
        body = {"at": self.offset, "size": self.size, "length": self.length, "crc32": self.crc32}
        return body if self.note is None else body | {"note": self.note}


def encode_record(kind: str, body: Mapping[str, Any], before: Position) -> tuple[bytes, Position]:
    """Make the line of a record that stands at ``before``, and the position after it."""
    # ASCII: JSON escapes what is not, so a line feed or a lone surrogate of a name cannot break a line.
    text = json.dumps({"record": kind, **body}, separators=(",", ":")).encode("ascii")
    crc32 = checksum(text, before.crc32)
    line = b"%08x %s\n" % (crc32, text)
    return line, Position(offset=before.offset + len(line), crc32=crc32)


def scan(lines: Iterable[bytes], start: Position | None = None) -> Iterator[Record]:
    """Give the records of a journal from ``start`` up to the first line that is torn, foreign, or not its turn."""
    at = start or Position()
    for line in lines:
        prefix, text = line[:9], line[9:-1]
        crc32 = checksum(text, at.crc32)
        if prefix != b"%08x " % crc32 or not line.endswith(b"\n"):
            return
        # Under its checksum a line is as it was written; 32 bits do not keep out who forges it, nor need they: the
        # folder is the user's own, and what is made of it is verified in full before it gets its name.
        try:
            body = json.loads(text)
        except ValueError:
            return
        if not isinstance(body, dict) or "record" not in body:
            return
        at = Position(offset=at.offset + len(line), crc32=crc32)
        yield Record(kind=body.pop("record"), body=body, after=at)


def checksum(data: bytes, before: int = 0) -> int:
    """Continue a CRC-32 (the one of gzip) over ``data``; 25 GB/s here, so that it costs nothing beside a frame."""
    return int(isal_zlib.crc32(data, before))
