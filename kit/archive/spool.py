"""The finished frames of a job, one after another in one file, those of a process that died included.

Frames come in the same order in every run of a job (the engine delivers in the order of the archive), so what an
earlier process finished is a prefix of what this one will write. :meth:`Spool.finished` gives the next frame of that
prefix, so that nobody makes it again; :meth:`Spool.write` of that frame then only counts. Laws: what is taken over has
the checksum of its record; the first frame that is missing, damaged or other than recorded ends the prefix, and
everything from there on is written anew; offsets are the same as in a run that was never interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kit.archive.disk import sync_folder, write_all, writing
from kit.archive.encoding import Frame
from kit.archive.journal import FRAME, FrameRecord, Note, Position, Record, checksum
from kit.archive.journal_file import JournalFile
from kit.errors import OutputError

CHECKPOINT_BYTES = 32 * 1024 * 1024
"""Finished frames are put on disk and recorded every so many bytes: what a power cut costs at most, a second or two of
work, against two syncs that another thread waits for (docs/design/journal.md)."""
_CHECKPOINT_FRAMES = 4096
"""And at least every so many frames, so that the records of tiny ones do not pile up in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a frame is in the spool, and how many bytes it decodes to."""

    offset: int
    size: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A frame that an earlier process made, and what was noted of it."""

    frame: Frame
    note: Note | None


class Spool:
    """See the module docstring. Takes frames until :meth:`close`, or until a write fails."""

    def __init__(self, folder: Path, journal: JournalFile, *, checkpoint_bytes: int = CHECKPOINT_BYTES) -> None:
        """Open the spool of the job in ``folder``, at the frames that ``journal`` has of its latest pass.

        Raises:
            OutputError: It cannot be made or opened there.
        """
        self._folder = folder
        self._journal = journal
        self._checkpoint_bytes = checkpoint_bytes
        self._end = 0
        self._frames = 0
        self._recorded: Position | None = None
        """After the record of the last frame that was taken over."""
        self._unsynced = 0
        self._unsynced_frames = 0
        self._failed = False
        self._kept: Iterator[Record] | None = journal.frame_records() if journal.frames else None
        self._next: tuple[FrameRecord, Position, bytes] | None = None
        with writing(folder):
            mode = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file: BinaryIO = open(os.open(folder / "spool", mode, 0o600), "r+b", buffering=0)  # noqa: PTH123, SIM115
            sync_folder(folder)
            if self._kept is None:
                os.ftruncate(self._file.fileno(), 0)

    def finished(self) -> Finished | None:
        """Give the next frame if an earlier process finished it; the caller writes it next, or something else."""
        kept = self._peek()
        if kept is None:
            return None
        record, _, data = kept
        return Finished(frame=Frame(encoded=data, length=record.length), note=record.note)

    def write(self, frame: Frame, note: Note | None = None) -> Extent:
        """Append a frame, or count it where it is the one that is there.

        Raises:
            OutputError: The bytes, or a batch before them, could not be written.
        """
        extent = Extent(offset=self._end, size=len(frame.encoded), length=frame.length)
        kept = self._peek()
        if kept is not None and kept[2] == frame.encoded and kept[0].length == frame.length:
            self._recorded, self._next = kept[1], None
        else:
            with self._guarded():
                if kept is not None:
                    self._leave_kept()
                write_all(self._file, frame.encoded)
                self._record(extent, frame.encoded, note)
        self._end += extent.size
        self._frames += 1
        return extent

    def read(self, extent: Extent, size: int) -> Iterator[bytes]:
        """Read an extent in pieces of at most ``size`` bytes.

        Raises:
            OSError: The disk failed, or the file is shorter than what was written to it.
        """
        offset, left = extent.offset, extent.size
        while left:
            data = os.pread(self._file.fileno(), min(left, size), offset)
            if not data:
                raise OSError(f"the spool ends {left} bytes early")
            yield data
            offset += len(data)
            left -= len(data)

    def sync(self) -> None:
        """Put everything written on disk, and on record.

        Raises:
            OSError: The disk is full or failed.
        """
        self._journal.sync(self._file.fileno())

    def close(self) -> None:
        """Close the file. Further calls do nothing."""
        self._file.close()

    def _peek(self) -> tuple[FrameRecord, Position, bytes] | None:
        if self._next is None and self._kept is not None:
            found = next(self._kept, None)
            record = FrameRecord.of(found.body) if found is not None else None
            if found is not None and record is not None and record.offset == self._end:
                data = self._stored(record)
                if len(data) == record.size and checksum(data) == record.crc32:
                    self._next = record, found.after, data
            if self._next is None:
                with self._guarded():
                    self._leave_kept()
        return self._next

    def _stored(self, record: FrameRecord) -> bytes:
        """Read a frame, or what is there of it."""
        data = os.pread(self._file.fileno(), record.size, record.offset)
        while len(data) < record.size and (
            more := os.pread(self._file.fileno(), record.size - len(data), record.offset + len(data))
        ):
            data += more
        return data

    def _leave_kept(self) -> None:
        """Go on from here by writing: cut off what is not known to be good, in the journal first."""
        self._kept = self._next = None
        start = self._journal.restarted or self._journal.begun
        position = self._recorded or (start.after if start is not None else Position())
        self._journal.rewind(position, self._frames)
        os.ftruncate(self._file.fileno(), self._end)
        self._file.seek(self._end)

    def _record(self, extent: Extent, encoded: bytes, note: Note | None) -> None:
        record = FrameRecord(
            offset=extent.offset, size=extent.size, length=extent.length, crc32=checksum(encoded), note=note
        )
        self._journal.append(FRAME, record.to_json())
        self._unsynced += extent.size
        self._unsynced_frames += 1
        if self._unsynced >= self._checkpoint_bytes or self._unsynced_frames >= _CHECKPOINT_FRAMES:
            self._unsynced = self._unsynced_frames = 0
            self._journal.sync_soon(self._file.fileno())

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let nothing follow a write that failed or was interrupted: it may have left a part of a frame behind."""
        if self._failed:
            raise OutputError("an earlier write failed", where=str(self._folder))
        self._failed = True
        with writing(self._folder):
            yield
        self._failed = False
