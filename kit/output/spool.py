"""The spool of a job: its finished frames, one after another in one file, also those of a process that died.

Frames come in the same order in every run of a job (the engine delivers in the order of the archive), so the frames of
an earlier process are a prefix of those that this one will write. :meth:`Spool.next_piece` returns the frame on record
for the next piece of work; the caller checks that it is the work's result. :meth:`Spool.write` only counts a frame that
is already in the spool.

Laws: every frame was passed to :meth:`Spool.write` in this run, so none is taken over because the journal names it; the
first frame that is missing, damaged or other than recorded ends the prefix, and everything from there on is written
anew; offsets are the same as in a run that was never interrupted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kit.archive.frames import Frame
from kit.errors import OutputError
from kit.output.disk import open_own, write_all, writing
from kit.output.journal import FRAME, FrameRecord, JournalFile, Position, checksum
from kit.output.publish import sync_folder

CHECKPOINT_BYTES = 32 * 1024 * 1024
"""Bytes of finished frames after which they are synced and recorded. A power cut costs at most that, a second or two of
work; the price is two syncs, for which another thread waits (docs/design/journal.md)."""
_CHECKPOINT_FRAMES = 4096
"""Number of frames after which the same is done, so that the records of tiny ones do not fill the memory."""


_COPY_BYTES = 4 * 1024 * 1024
_NO_SUCH_COPY = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""The errors of copy_file_range(2) where the system or the file system does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a frame is in the spool, and how many bytes it decodes to."""

    offset: int
    size: int
    length: int
    sha256: bytes = b""
    """That of :class:`kit.archive.frames.Frame`."""


class Spool:
    """The spool file of one job. It takes frames until :meth:`close`, or until a write fails."""

    def __init__(self, folder: Path, journal: JournalFile, *, checkpoint_bytes: int = CHECKPOINT_BYTES) -> None:
        """Open the spool of the job in ``folder``, with the frames that ``journal`` has of the latest pass.

        Raises:
            OutputError: It cannot be created or opened.
        """
        self._folder = folder
        self._journal = journal
        self._checkpoint_bytes = checkpoint_bytes
        self._end = 0
        self._frames = 0
        self._recorded: Position | None = None
        """Position after the record of the last frame that was taken over."""
        self._unsynced = 0
        self._unsynced_frames = 0
        self._failed = False
        self._kept: Iterator[tuple[FrameRecord, Position]] | None = journal.frame_records() if journal.frames else None
        self._ahead: Iterator[tuple[FrameRecord, Position]] | None = journal.frame_records() if journal.frames else None
        self._next: tuple[FrameRecord, Position, bytes] | None = None
        with writing(folder):
            spool = open_own(folder / "spool", os.O_RDWR | os.O_CREAT)
            self._file: BinaryIO = open(spool, "r+b", buffering=0)  # noqa: PTH123, SIM115
            sync_folder(folder)
            if self._kept is None:
                os.ftruncate(self._file.fileno(), 0)

    def next_piece(self) -> bytes:
        """Return the frame that an earlier process recorded for the next piece of work; empty if there is none.

        Its content is not verified: only the journal names it.

        Raises:
            OutputError: The disk failed.
        """
        while self._ahead is not None:
            record, _ = next(self._ahead, (None, None))
            if record is None or (data := self._read_frame(record)) is None:
                self._ahead = None
            elif record.piece:
                return data
        return b""

    def write(self, frame: Frame, *, piece: bool = False) -> Extent:
        """Append a frame, or only count it if the spool already has it there.

        Args:
            frame: The frame.
            piece: Whether it is the result of a piece of work, for :meth:`next_piece` of a later process.

        Raises:
            OutputError: The bytes, or a batch before them, could not be written.
        """
        extent = Extent(offset=self._end, size=len(frame.encoded), length=frame.length, sha256=frame.sha256)
        kept = self._peek()
        if kept is not None and kept[2] == frame.encoded and kept[0].length == frame.length:
            self._recorded, self._next = kept[1], None
        else:
            with self._guard():
                if kept is not None:
                    self._discard_kept()
                write_all(self._file, frame.encoded)
                self._record(extent, frame.encoded, piece=piece)
        self._end += extent.size
        self._frames += 1
        return extent

    def commit(self) -> None:
        """Sync and record, soon, what was written since the last commit; nothing where all is on record.

        Raises:
            OutputError: This batch, or one before it, could not be written.
        """
        if self._unsynced_frames:
            with self._guard():
                self._commit()

    def read(self, extent: Extent, size: int) -> Iterator[bytes]:
        """Yield an extent in pieces of at most ``size`` bytes.

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

    def copy(self, extent: Extent, target: BinaryIO) -> None:
        """Append an extent to an unbuffered file, copied within the system where possible.

        The system begins to write the copy to the disk at once, so that little is left for a sync. The cached pages of
        the spool are released, for those of the target.

        Raises:
            OSError: The disk is full or failed, or the spool is shorter than what was written to it.
        """
        source, offset, end = self._file.fileno(), extent.offset, extent.offset + extent.size
        while offset < end:
            size = min(end - offset, _COPY_BYTES)
            at = target.tell()
            done = _copy_range(source, target.fileno(), size, offset)
            if not done:
                for piece in self.read(Extent(offset=offset, size=size, length=0), size):
                    write_all(target, piece)
                done = size
            _drop_cached(target.fileno(), at, done)
            _drop_cached(source, offset, done)
            offset += done

    def sync(self) -> None:
        """Sync and record everything that was written.

        Raises:
            OSError: The disk is full or failed.
        """
        self._journal.sync(self._file.fileno())

    def close(self) -> None:
        """Close the file. Further calls do nothing."""
        self._file.close()

    def _peek(self) -> tuple[FrameRecord, Position, bytes] | None:
        if self._next is None and self._kept is not None:
            record, after = next(self._kept, (None, None))
            if record is not None and after is not None and record.offset == self._end:
                data = self._read_frame(record)
                self._next = (record, after, data) if data is not None else None
            if self._next is None:
                with self._guard():
                    self._discard_kept()
        return self._next

    def _read_frame(self, record: FrameRecord) -> bytes | None:
        """Return the bytes of a frame; None if they are missing, or not what was recorded.

        Raises:
            OutputError: The disk failed.
        """
        with writing(self._folder):
            if record.offset + record.size > os.fstat(self._file.fileno()).st_size:
                return None  # checked first, since a record may name any size
            extent = Extent(offset=record.offset, size=record.size, length=record.length)
            data = b"".join(self.read(extent, record.size)) if record.size else b""
        return data if checksum(data) == record.crc32 else None

    def _discard_kept(self) -> None:
        """Discard the rest of an earlier process's frames and write from here on; the journal is cut first."""
        self._kept = self._ahead = self._next = None
        self._journal.rewind(self._recorded or self._journal.pass_start, self._frames)
        os.ftruncate(self._file.fileno(), self._end)
        self._file.seek(self._end)

    def _record(self, extent: Extent, encoded: bytes, *, piece: bool) -> None:
        record = FrameRecord(
            offset=extent.offset, size=extent.size, length=extent.length, crc32=checksum(encoded), piece=piece
        )
        self._journal.append(FRAME, record.to_json())
        self._unsynced += extent.size
        self._unsynced_frames += 1
        if self._unsynced >= self._checkpoint_bytes or self._unsynced_frames >= _CHECKPOINT_FRAMES:
            self._commit()

    def _commit(self) -> None:
        self._unsynced = self._unsynced_frames = 0
        self._journal.sync_soon(self._file.fileno())

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Refuse every write after one that failed or was interrupted: it may have left a part of a frame."""
        if self._failed:
            raise OutputError("an earlier write failed", where=str(self._folder))
        self._failed = True
        with writing(self._folder):
            yield
        self._failed = False


def _copy_range(source: int, target: int, size: int, offset: int) -> int:
    """Let the system copy up to ``size`` bytes to the position of ``target``, and return how many; 0 if it cannot."""
    copy_file_range = getattr(os, "copy_file_range", None)  # of Linux
    try:
        return int(copy_file_range(source, target, size, offset)) if copy_file_range is not None else 0
    except OSError as error:
        if error.errno not in _NO_SUCH_COPY:
            raise
        return 0


def _drop_cached(descriptor: int, offset: int, size: int) -> None:
    """Let the system write cached pages to the disk, and release those that are there (posix_fadvise(2))."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # advice; what fails to be written is found by the sync
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
