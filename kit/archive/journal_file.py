"""The journal of a job on disk: appended in batches, each after the data it names.

Laws: a record is in the file only once the data that was written before it was appended is on disk, so the journal
never names a frame that the disk does not have; a failed sync is never tried again, since the system may have dropped
what it could not write and report success the second time; an interrupted append is repeated at the same place.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kit.archive.disk import sync_folder, writing
from kit.archive.journal import BEGIN, FRAME, READY, RESTART, Position, Record, encode_record, scan


class JournalFile:
    """The file ``journal`` of a job folder; not there until the first record is appended and synced."""

    def __init__(self, path: Path) -> None:
        """Read what is there, up to the last whole record; what follows it is overwritten.

        Raises:
            OutputError: It is there and cannot be read.
        """
        self.path = path
        self.begun: Record | None = None
        self.restarted: Record | None = None
        """The latest record of kind RESTART: frames before it are void."""
        self.ready: Record | None = None
        self.frames = 0
        """Frames recorded since the latest pass began."""
        self._end = Position()
        self._handed = self._end
        """Where the latest batch ends, written or about to be."""
        self._pending: list[tuple[bytes, Position]] = []
        """Lines, each with the position after it: one step of the interpreter appends both, so no signal parts them."""
        self._file: int | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._batch: Future[None] | None = None
        self._broken = False
        for record in self._records():
            self._end = self._handed = record.after
            self._take(record)

    def frame_records(self) -> Iterator[Record]:
        """Give the records of the latest pass, read as they are asked for."""
        start = self.restarted or self.begun
        for record in self._records(start.after if start is not None else None):
            if record.kind == FRAME:
                yield record

    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        """Add a record to the batch; nothing is written yet."""
        before = self._pending[-1][1] if self._pending else self._handed
        self._pending.append(encode_record(kind, body, before))
        self._take(Record(kind=kind, body=body, after=self._pending[-1][1]))

    def write(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append a record and put it on disk at once; what it tells of must be there already.

        Raises:
            OutputError: The disk is full or failed.
        """
        with writing(self.path):
            self.append(kind, body)
            self.sync()

    def sync_soon(self, data: int) -> None:
        """Sync the open file ``data``, then write the batch, on another thread; waits for the batch before.

        Raises:
            OSError: The batch before this one could not be written.
        """
        self._wait()
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="journal")
        if self._pending:
            self._batch = self._worker.submit(self._flush, data, self._pending)
            self._handed = self._pending[-1][1]
            self._pending = []

    def sync(self, data: int | None = None) -> None:
        """Sync ``data``, then write what is pending; it is on disk on return.

        Raises:
            OSError: The disk is full or failed.
        """
        self._wait()
        if self._pending:
            self._flush(data, self._pending)
            self._handed = self._pending[-1][1]
            self._pending = []

    def rewind(self, to: Position, frames: int) -> None:
        """Forget the records after ``to``: what they name is not what was written; ``frames`` are before it.

        Raises:
            OSError: The disk failed.
        """
        self._end = self._handed = to
        self.frames = frames
        self._pending = []
        if self.path.exists():
            os.truncate(self.path, to.offset)

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
                file = self.path.open("rb")
            except FileNotFoundError:
                return
            with file:
                file.seek(start.offset if start is not None else 0)
                yield from scan(file, start)

    def _take(self, record: Record) -> None:
        if record.kind == FRAME:
            self.frames += 1
        elif record.kind == BEGIN:
            self.begun = record
        elif record.kind == READY:
            self.ready = record
        elif record.kind == RESTART:
            self.restarted, self.frames = record, 0

    def _wait(self) -> None:
        if self._batch is not None:
            self._batch.result()
            self._batch = None

    def _flush(self, data: int | None, batch: list[tuple[bytes, Position]]) -> None:
        after = batch[-1][1]
        if self._end == after:
            return  # a signal came between the writing and the forgetting
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
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._file, self._end.offset)
            sync_folder(self.path.parent)
        offset = self._end.offset
        view = memoryview(lines)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written
        os.fdatasync(self._file)
