"""The journal of a job on disk: appended in batches, each after the data it names.

Laws: a record is in the file only once the data that was written before it was appended is on disk, so the journal
never names a frame that the disk does not have; a failed sync is never tried again, since the system may have dropped
what it could not write and report success the second time; an interrupted append is repeated at the same place.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.archive.disk import open_own, writing
from kit.archive.journal import (
    BEGIN,
    FRAME,
    LONGEST_LINE,
    READY,
    RESTART,
    Begun,
    FrameRecord,
    Position,
    Record,
    encode_record,
    scan,
)
from kit.archive.steady import SteadyThreads
from kit.errors import ManifestError, OutputError
from kit.publishing import sync_folder


class JournalFile:
    """The file ``journal`` of a job folder; not there until the first record is appended and synced."""

    def __init__(self, path: Path) -> None:
        """Read what is there, up to the last whole record; what follows it is overwritten.

        Raises:
            OutputError: It is there and cannot be read, or holds what no run writes.
        """
        self.path = path
        self.begun: Begun | None = None
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
        self._worker: SteadyThreads | None = None
        self._batch: Future[None] | None = None
        self._broken = False
        self._passed = self._end
        """Where the records of the latest pass begin."""
        for record in self._records():
            self._check(record)
            self._end = self._handed = record.after
            self._take(record)

    @property
    def pass_start(self) -> Position:
        """Where the records of the latest pass begin."""
        return self._passed

    def frame_records(self) -> Iterator[tuple[FrameRecord, Position]]:
        """Yield the records of the latest pass and the position after each, read as they are asked for."""
        for record in self._records(self._passed):
            if record.kind == FRAME:
                yield FrameRecord.of(record.body), record.after

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

        Where no thread can be had it is written at once.

        Raises:
            OSError: The batch before this one could not be written.
            StoppedError: The thread is gone, and with it the batch before.
        """
        self._wait()
        if self._worker is None:
            try:
                self._worker = SteadyThreads(1, name="journal")
            except RuntimeError:  # the system allows no more of them
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
            StoppedError: The thread that wrote the batch before is gone.
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
        with suppress(FileNotFoundError):
            file = open_own(self.path, os.O_WRONLY)
            try:
                os.ftruncate(file, to.offset)
            finally:
                os.close(file)

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
                yield from scan(iter(lambda: file.readline(LONGEST_LINE), b""), start)

    def _check(self, record: Record) -> None:
        """Refuse a record that no run writes, or not at this place.

        Raises:
            OutputError: It is one.
        """
        try:
            self._require_turn(record.kind)
            if record.kind == FRAME:
                FrameRecord.of(record.body)
            elif record.kind == BEGIN:
                Begun.of(record.body)
        except ManifestError as error:
            raise OutputError(
                f"is no journal of a run of this program: at byte {self._end.offset:,}: {error.what}",
                where=str(self.path),
                hint="give the run up with --abandon, and begin it again",
            ) from error

    def _require_turn(self, kind: str) -> None:
        first = self.begun is None
        if (kind == BEGIN) != first or self.ready is not None or kind not in {BEGIN, FRAME, RESTART, READY}:
            raise ManifestError(f"a record {kind!r} is not expected there")

    def _take(self, record: Record) -> None:
        if record.kind == FRAME:
            self.frames += 1
        elif record.kind == BEGIN:
            self.begun = Begun.of(record.body)
            self._passed = record.after
        elif record.kind == READY:
            self.ready = record
        elif record.kind == RESTART:
            self.restarted, self.frames = record, 0
            self._passed = record.after

    def _wait(self) -> None:
        if self._batch is not None and self._worker is not None:
            self._worker.result_of(self._batch)
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
            self._file = open_own(self.path, os.O_WRONLY | os.O_CREAT)
            os.ftruncate(self._file, self._end.offset)
            sync_folder(self.path.parent)
        offset = self._end.offset
        view = memoryview(lines)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written
        os.fdatasync(self._file)
