"""The finished frames of a job, one after another in one file, those of a process that died included.

Frames come in the same order in every run of a job (the engine delivers in the order of the archive), so what an
earlier process finished is a prefix of what this one will write. :meth:`Spool.next_piece` gives what is on record of
the next piece of work, for whoever can tell that it is what the work would give; :meth:`Spool.write` of a frame that is
there already only counts. Laws: every frame is one that was handed to :meth:`Spool.write` in this run, so nothing is
taken over because the journal names it; the first frame that is missing, damaged or other than recorded ends the
prefix, and everything from there on is written anew; offsets are the same as in a run that was never interrupted.
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
"""Finished frames are put on disk and recorded every so many bytes: what a power cut costs at most, a second or two of
work, against two syncs that another thread waits for (docs/design/journal.md)."""
_CHECKPOINT_FRAMES = 4096
"""And at least every so many frames, so that the records of tiny ones do not pile up in memory."""


_COPY_BYTES = 4 * 1024 * 1024
_NO_SUCH_COPY = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""What copy_file_range(2) ends in where system or file system have no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a frame is in the spool, and how many bytes it decodes to."""

    offset: int
    size: int
    length: int
    sha256: bytes = b""
    """As of :class:`kit.archive.frames.Frame`."""


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
        """Return the frame that an earlier process recorded for the next piece of work; nothing where there is none.

        It may be anything: the journal alone vouches for it.
        """
        while self._ahead is not None:
            record, _ = next(self._ahead, (None, None))
            if record is None or (data := self._stored(record)) is None:
                self._ahead = None
            elif record.piece:
                return data
        return b""

    def write(self, frame: Frame, *, piece: bool = False) -> Extent:
        """Append a frame, or count it where it is the one that is there.

        Args:
            frame: The frame.
            piece: Whether it came out of a piece of work, so that :meth:`next_piece` gives it to a later process.

        Raises:
            OutputError: The bytes, or a batch before them, could not be written.
        """
        extent = Extent(offset=self._end, size=len(frame.encoded), length=frame.length, sha256=frame.sha256)
        kept = self._peek()
        if kept is not None and kept[2] == frame.encoded and kept[0].length == frame.length:
            self._recorded, self._next = kept[1], None
        else:
            with self._guarded():
                if kept is not None:
                    self._leave_kept()
                write_all(self._file, frame.encoded)
                self._record(extent, frame.encoded, piece=piece)
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

    def copy(self, extent: Extent, target: BinaryIO) -> None:
        """Append an extent to an unbuffered file, by the system where it can: nothing is brought here and back then.

        What is copied is on its way to the disk at once, so that little is left for a sync; and the spool's pages are
        given back, which the target's can then have.

        Raises:
            OSError: The disk is full or failed, or the spool is shorter than what was written to it.
        """
        source, offset, end = self._file.fileno(), extent.offset, extent.offset + extent.size
        while offset < end:
            size = min(end - offset, _COPY_BYTES)
            at = target.tell()
            done = _copied(source, target.fileno(), size, offset)
            if not done:
                for piece in self.read(Extent(offset=offset, size=size, length=0), size):
                    write_all(target, piece)
                done = size
            _not_wanted(target.fileno(), at, done)
            _not_wanted(source, offset, done)
            offset += done

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
            record, after = next(self._kept, (None, None))
            if record is not None and after is not None and record.offset == self._end:
                data = self._stored(record)
                self._next = (record, after, data) if data is not None else None
            if self._next is None:
                with self._guarded():
                    self._leave_kept()
        return self._next

    def _stored(self, record: FrameRecord) -> bytes | None:
        """Read a frame; None where it is not there, or is not what was recorded."""
        if record.offset + record.size > os.fstat(self._file.fileno()).st_size:
            return None  # nothing is asked for that is not there: a record may name any size
        data = os.pread(self._file.fileno(), record.size, record.offset)
        while len(data) < record.size and (
            more := os.pread(self._file.fileno(), record.size - len(data), record.offset + len(data))
        ):
            data += more
        return data if len(data) == record.size and checksum(data) == record.crc32 else None

    def _leave_kept(self) -> None:
        """Go on from here by writing: cut off what is not known to be good, in the journal first."""
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


def _copied(source: int, target: int, size: int, offset: int) -> int:
    """Have the system copy up to ``size`` bytes to where ``target`` is, and return how many; 0 where it does not."""
    copy_file_range = getattr(os, "copy_file_range", None)  # of Linux
    try:
        return int(copy_file_range(source, target, size, offset)) if copy_file_range is not None else 0
    except OSError as error:
        if error.errno not in _NO_SUCH_COPY:
            raise
        return 0


def _not_wanted(descriptor: int, offset: int, size: int) -> None:
    """Have pages written, if they are not on disk yet, and let go, if they are (posix_fadvise(2))."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # advice; what fails to be written is found by the sync
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
