"""The journal of a job: its finished work, one record a line, so that another process can resume (schemas/journal.md).

Each line begins with a CRC-32 that continues that of the line before, so a line is read only if everything before it is
what was written. The checksum detects a crash or a bad medium but no forgery, so nothing in a journal is believed: its
values must have the types and ranges that a run writes, frames are compared with what they must hold, and a finished
kit is judged again. Records are appended in batches, each after the data that it names.

Laws: a record is in the file only once the data that was written before it is on disk, so the journal never names a
frame that the disk does not have. A failed sync is never tried again, since the system may have dropped what it could
not write, and report success the second time. An interrupted append is repeated at the same place. Whatever tail of a
journal a crash loses or tears, :func:`scan` yields the records before it, in order, and nothing else.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from isal import isal_zlib

from kit.errors import KitError, ManifestError, OutputError
from kit.output.disk import open_own, writing
from kit.output.publish import sync_folder
from kit.values import Limits, strict_json
from kit.values.fields import ManifestFields
from kit.waiting import SteadyThreads

FORMAT = 3
ASKED = "asked"
BEGIN = "begin"
JUDGED = "judged"
FRAME = "frame"
RESTART = "restart"
READY = "ready"

MAX_LINE_BYTES = 256 * 1024 * 1024
"""The longest line is what was judged of a kit in a folder: it has the digest of every member."""
_LIMITS = Limits(json_bytes=MAX_LINE_BYTES)
_MAX_CRC = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place between two records: the bytes before it, and the checksum that the next record continues."""

    offset: int = 0
    crc32: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record; ``after`` is where the next one begins."""

    kind: str
    body: Mapping[str, Any]
    after: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRecord:
    """The options with which a job began. Law: ``BeginRecord.of(begun.to_json()) == begun``."""

    format: int
    tool: str
    version: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Parse a record of kind :data:`BEGIN`.

        Raises:
            ManifestError: It is not one.
        """
        fields = ManifestFields.of(dict(body), BEGIN)
        fields.exactly({"format", "tool", "options"})
        tool = fields.object("tool")
        return cls(
            format=fields.integer("format"),
            tool=tool.text("name"),
            version=tool.text("version"),
            options=fields.object("options").members,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the body of the record."""
        tool = {"name": self.tool, "version": self.version}
        return {"format": self.format, "tool": tool, "options": dict(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRecord:
    """The kit that a job judged and found good. Law as of :class:`BeginRecord`."""

    base: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Parse a record of kind :data:`JUDGED`.

        Raises:
            ManifestError: It is not one.
        """
        fields = ManifestFields.of(dict(body), JUDGED)
        fields.exactly({"base"})
        return cls(base=fields.object("base").members)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the record."""
        return {"base": dict(self.base)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command was asked for, so that ``--resume`` needs no options again. Law as of :class:`BeginRecord`."""

    verb: str
    """The command, without ``kit``."""
    kit: str
    """The kit that it reads: its path from the root."""
    tool: str
    version: str
    options: Mapping[str, Any]
    """By the long name of the option; no keys and no trust."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the fields of a record of kind :data:`ASKED`.

        Raises:
            ManifestError: It is not one.
        """
        fields = ManifestFields.of(dict(body), ASKED)
        fields.exactly({"verb", "kit", "tool", "options"})
        tool = fields.object("tool")
        return cls(
            verb=fields.text("verb"),
            kit=fields.text("kit"),
            tool=tool.text("name"),
            version=tool.text("version"),
            options=fields.object("options").members,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the body of the record."""
        tool = {"name": self.tool, "version": self.version}
        return {"verb": self.verb, "kit": self.kit, "tool": tool, "options": dict(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A finished frame of the spool. Law: ``FrameRecord.of(record.to_json()) == record``."""

    offset: int
    size: int
    """Bytes in the spool, from ``offset``."""
    length: int
    """Decoded bytes."""
    crc32: int
    """Checksum of the bytes in the spool."""
    piece: bool = False
    """Whether it is the result of a piece of work, which another process need not repeat in full."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Parse a record of kind :data:`FRAME`.

        Raises:
            ManifestError: It is not one.
        """
        fields = ManifestFields.of(dict(body), FRAME)
        fields.exactly({"at", "size", "length", "crc32"}, {"piece"})
        if fields.integer("crc32") > _MAX_CRC or fields.members.get("piece", True) is not True:
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
    """Return the line of a record at position ``before``, and the position after it."""
    # JSON escapes what is not ASCII, so a line feed or a lone surrogate in a name cannot break a line.
    text = json.dumps({"record": kind, **body}, separators=(",", ":")).encode("ascii")
    crc32 = checksum(text, before.crc32)
    line = b"%08x %s\n" % (crc32, text)
    return line, Position(offset=before.offset + len(line), crc32=crc32)


def scan(lines: Iterable[bytes], start: Position | None = None) -> Iterator[Record]:
    """Yield the records of a journal from ``start`` up to the first line that is torn, foreign or out of order."""
    at = start or Position()
    for line in lines:
        prefix, text = line[:9], line[9:-1]
        crc32 = checksum(text, at.crc32)
        if prefix != b"%08x " % crc32 or not line.endswith(b"\n"):
            return
        try:
            fields = ManifestFields.of(strict_json.parse(text, limits=_LIMITS, where="journal"), "journal")
            kind = fields.text("record")
        except KitError:
            return
        at = Position(offset=at.offset + len(line), crc32=crc32)
        yield Record(kind=kind, body={key: fields.members[key] for key in fields.members if key != "record"}, after=at)


def checksum(data: bytes, before: int = 0) -> int:
    """Return the CRC-32 (that of gzip) ``before``, continued over ``data``; at 25 GB/s it costs next to nothing."""
    return int(isal_zlib.crc32(data, before))


class JournalFile:
    """The file ``journal`` of a job folder; it exists once the first record is appended and synced."""

    def __init__(self, path: Path) -> None:
        """Read the file up to the last complete record; what follows it is overwritten.

        Raises:
            OutputError: It exists and cannot be read, or holds what no run writes.
        """
        self.path = path
        self.asked: Asked | None = None
        self.begun: BeginRecord | None = None
        self.judged: JudgedRecord | None = None
        self.restarted: Record | None = None
        """The latest record of kind RESTART: frames before it are void."""
        self.ready: Record | None = None
        self.frames = 0
        """Frames recorded since the latest pass began."""
        self._end = Position()
        self._handed = self._end
        """End of the latest batch, written or about to be."""
        self._pending: list[tuple[bytes, Position]] = []
        """Lines, each with the position after it: one step of the interpreter appends both, so no signal parts them."""
        self._file: int | None = None
        self._worker: SteadyThreads | None = None
        self._batch: Future[None] | None = None
        self._broken = False
        self._pass_start = self._judged_at = self._end
        """Positions at which the records of the latest pass begin, and after that of what was judged."""
        for record in self._records():
            self._check(record)
            self._end = self._handed = record.after
            self._apply(record)

    @property
    def pass_start(self) -> Position:
        """Position at which the records of the latest pass begin."""
        return self._pass_start

    def frame_records(self) -> Iterator[tuple[FrameRecord, Position]]:
        """Yield the records of the latest pass and the position after each, read on demand."""
        for record in self._records(self._pass_start):
            if record.kind == FRAME:
                yield FrameRecord.of(record.body), record.after

    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        """Add a record to the batch; nothing is written yet."""
        before = self._pending[-1][1] if self._pending else self._handed
        self._pending.append(encode_record(kind, body, before))
        self._apply(Record(kind=kind, body=body, after=self._pending[-1][1]))

    def write(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append a record and write it to the disk at once; what it names must be there already.

        Raises:
            OutputError: The disk is full or failed.
        """
        with writing(self.path):
            self.append(kind, body)
            self.sync()

    def sync_soon(self, data: int) -> None:
        """Sync the open file ``data``, then write the batch, on another thread; wait for the batch before it first.

        Where the system allows no thread, it is written at once.

        Raises:
            OSError: The batch before this one could not be written.
            StoppedError: The thread died, and the batch before is lost.
        """
        self._wait()
        if self._worker is None:
            try:
                self._worker = SteadyThreads(1, name="journal")
            except RuntimeError:  # the system allows no more threads
                self.sync(data)
                return
        if self._pending:
            self._batch = self._worker.submit(self._flush, data, self._pending)
            self._handed = self._pending[-1][1]
            self._pending = []

    def sync(self, data: int | None = None) -> None:
        """Sync ``data``, then write what is pending; it is on disk on return.

        Raises:
            OSError: The disk is full or failed.
            StoppedError: The thread that wrote the batch before died.
        """
        self._wait()
        if self._pending:
            self._flush(data, self._pending)
            self._handed = self._pending[-1][1]
            self._pending = []

    def rewind(self, to: Position, frames: int) -> None:
        """Drop the records after ``to``, whose frames are not what was written; ``frames`` is the number before it.

        What was judged stays so, whichever frames were on record before it.

        Raises:
            OSError: The disk failed.
        """
        self._end = self._handed = to
        self.frames = frames
        self._pending = []
        with suppress(FileNotFoundError):
            file = open_own(self.path, os.O_WRONLY)
            try:
                os.ftruncate(file, to.offset)
            finally:
                os.close(file)
        if self.judged is not None and self._judged_at.offset > to.offset:
            self.append(JUDGED, self.judged.to_json())

    def close(self) -> None:
        """End the thread and close the file; what is pending is dropped. Further calls do nothing."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = None
        self._batch = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _records(self, start: Position | None = None) -> Iterator[Record]:
        with writing(self.path):
            try:
                descriptor = open_own(self.path, os.O_RDONLY)
            except FileNotFoundError:
                return
            with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor
                file.seek(start.offset if start is not None else 0)
                yield from scan(iter(lambda: file.readline(MAX_LINE_BYTES), b""), start)

    def _check(self, record: Record) -> None:
        """Check that a run writes such a record at this place.

        Raises:
            OutputError: No run does.
        """
        try:
            self._require_turn(record.kind)
            if record.kind == FRAME:
                FrameRecord.of(record.body)
            elif record.kind == BEGIN:
                BeginRecord.of(record.body)
            elif record.kind == JUDGED:
                JudgedRecord.of(record.body)
            elif record.kind == ASKED:
                Asked.of(record.body)
        except ManifestError as error:
            raise OutputError(
                f"is no journal of a run of this program: at byte {self._end.offset:,}: {error.what}",
                where=str(self.path),
                hint="give the run up with --abandon, and begin it again",
            ) from error

    def _require_turn(self, kind: str) -> None:
        first = self.begun is None
        if kind == ASKED and first and self.asked is None:
            return
        if kind == JUDGED:
            is_due = not first and self.judged is None
        elif kind in {RESTART, READY}:
            is_due = self.judged is not None
        else:
            is_due = kind == (BEGIN if first else FRAME)
        if not is_due or self.ready is not None:
            raise ManifestError(f"a record {kind!r} is not expected there")

    def _apply(self, record: Record) -> None:
        if record.kind == FRAME:
            self.frames += 1
        elif record.kind == ASKED:
            self.asked = Asked.of(record.body)
        elif record.kind == BEGIN:
            self.begun = BeginRecord.of(record.body)
            self._pass_start = record.after
        elif record.kind == JUDGED:
            self.judged, self._judged_at = JudgedRecord.of(record.body), record.after
            if not self.frames:
                self._pass_start = record.after
        elif record.kind == READY:
            self.ready = record
        elif record.kind == RESTART:
            self.restarted, self.frames = record, 0
            self._pass_start = record.after

    def _wait(self) -> None:
        if self._batch is not None and self._worker is not None:
            self._worker.result_of(self._batch)
            self._batch = None

    def _flush(self, data: int | None, batch: list[tuple[bytes, Position]]) -> None:
        after = batch[-1][1]
        if self._end == after:
            return  # a signal came after the write and before the batch was cleared
        if self._broken:
            raise OSError(errno.EIO, "an earlier sync of this job failed")
        try:
            self._write(data, b"".join(line for line, _ in batch))
        except OSError:
            self._broken = True
            raise
        self._end = after

    def _write(self, data: int | None, lines: bytes) -> None:
        if data is not None:
            os.fdatasync(data)
        if self._file is None:
            self._file = open_own(self.path, os.O_WRONLY | os.O_CREAT)
            os.ftruncate(self._file, self._end.offset)
            sync_folder(self.path.parent)
        offset = self._end.offset
        view = memoryview(lines)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written
        os.fdatasync(self._file)
