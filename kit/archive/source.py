"""Bytes from files: the port through which archives are opened, and readers over chunks of what comes from it.

- :class:`FileSource` opens a path once and never again by name, so the bytes verified are the bytes used. It opens only
  regular files and follows no link. Code above takes a :class:`ByteSource`, so a test can put a fault in its place.
- :class:`ChunkReader` pulls bytes from an iterator of chunks. Decoders and the tar reader use it for a container's file
  and for the body of a member with a codec of its own.
- :func:`prefetch` runs an iterator of chunks ahead in a thread. Decoders release the interpreter's lock, as hashing and
  compression do, so one more thread uses one more core.

Laws: errors of the system become errors of ours. What is read does not depend on how the chunks were cut; ``offset`` is
the count of bytes taken so far; a chunk that is taken in full is passed on without a copy. :class:`KnownBytes` are only
skipped, by a caller that knows them, and never read as anything else. Prefetching keeps the chunks, their order and the
error at their end; at most ``ahead`` chunks wait; a dead thread is not waited for; closing or dropping the generator
ends the thread before it returns; where the system allows no thread, chunks are made on demand.
Stops at bytes: nothing here knows an archive.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Protocol, Self, TypeVar

from kit.errors import ArchiveError, LimitError, UnreadableError
from kit.values import Limits
from kit.waiting import LOOK_SECONDS

CHUNK_BYTES = 256 * 1024
"""What is read at once: large enough to hide the call, small enough to stay in a core's cache (measured)."""

# O_NONBLOCK: opening a FIFO must not wait for a writer; it means nothing for the regular files that pass the check.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class ByteSource(Protocol):
    """Bytes with a position."""

    @property
    def size(self) -> int | None:
        """Number of all bytes, if known."""
        ...

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes at the position and advance; ``b""`` only at the end."""
        ...

    def seek(self, offset: int) -> None:
        """Set the position, counted from the start."""
        ...

    def tell(self) -> int:
        """Return the position."""
        ...


class FileSource:
    """One regular file behind one descriptor, which it owns and closes.

    Reads are positioned (``pread``), so the descriptor itself has no state that two readers could disturb.
    """

    def __init__(self, descriptor: int, *, name: str) -> None:
        """Take over ``descriptor``; it is closed here if it is refused.

        Raises:
            UnreadableError: It is not a regular file.
        """
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise UnreadableError("is not a regular file", where=name)
        self._descriptor = descriptor
        self._name = name
        self._offset = 0
        self._status = status

    @classmethod
    def open(cls, path: Path, *, directory: int | None = None, name: str = "") -> Self:
        """Open ``path``, relative to the folder descriptor ``directory`` when given.

        Raises:
            UnreadableError: It is absent, a link, not a regular file, or may not be read.
        """
        name = name or str(path)
        try:
            descriptor = os.open(path, OPEN_FLAGS, dir_fd=directory)
        except (OSError, ValueError) as error:
            raise unreadable(error, name) from error
        return cls(descriptor, name=name)

    @property
    def size(self) -> int:
        """Size in bytes when the file was opened."""
        return self._status.st_size

    @property
    def descriptor(self) -> int:
        """The open descriptor; this object still owns it."""
        return self._descriptor

    @property
    def status(self) -> os.stat_result:
        """The status of the open descriptor."""
        return self._status

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes.

        Raises:
            UnreadableError: The medium failed; names file and offset.
        """
        data = self.read_at(self._offset, size)
        self._offset += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to ``size`` bytes from ``offset``, and leave the position alone.

        Raises:
            UnreadableError: As :meth:`read`.
        """
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise unreadable(error, f"{self._name}: byte {offset}") from error

    def seek(self, offset: int) -> None:
        """Set the position."""
        self._offset = offset

    def tell(self) -> int:
        """Return the position."""
        return self._offset

    def close(self) -> None:
        """Close the descriptor; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def source_chunks(source: ByteSource, *, name: str, start: int = 0) -> Iterator[bytes]:
    """Yield every byte from ``start``, in chunks.

    Each iterator keeps its own position, so several may share a source; of a file also in several threads.

    Raises:
        UnreadableError: A read failed; names ``name`` and the offset.
    """
    offset = start
    while True:
        try:
            if isinstance(source, FileSource):
                data = source.read_at(offset, CHUNK_BYTES)
            else:
                source.seek(offset)
                data = source.read(CHUNK_BYTES)
        except OSError as error:
            raise unreadable(error, f"{name}: byte {offset}") from error
        if not data:
            return
        offset += len(data)
        yield data


def unreadable(error: Exception, where: str) -> UnreadableError:
    """Return the system's error as one of ours, in the system's words; for a link, with a hint."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return UnreadableError(
            "cannot be read: it is a symbolic link, which is not followed",
            where=where,
            hint=f"name the file or folder that it leads to: readlink -f {shlex.quote(where)}",
        )
    words = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return UnreadableError(f"cannot be read: {words}", where=where)


def read_small(
    path: Path, *, at_most: int = 64 * 1024, check: Callable[[os.stat_result], None] | None = None
) -> bytes | None:
    """Return the content of a small file that may be next to a kit; None where there is none.

    Args:
        path: The file; a link is not followed, and a FIFO is not waited for.
        at_most: Largest accepted size in bytes.
        check: Gets the status of the open file, and raises to refuse it.

    Raises:
        UnreadableError: It exists, but cannot be read, is no regular file, or is larger than ``at_most`` bytes.
        KitError: Raised by ``check``.
    """
    if not os.path.lexists(path):
        return None
    source = FileSource.open(path)
    try:
        if check is not None:
            check(source.status)
        if source.size > at_most:
            raise UnreadableError(f"is {source.size:,} bytes long; at most {at_most:,} are expected", where=str(path))
        data = b""
        while part := source.read(at_most - len(data)):  # a read may return less than there is (read(2))
            data += part
        return data
    finally:
        source.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBytes:
    """A placeholder in a stream for bytes that need not be read, since their content is known."""

    length: int


class ChunkReader:
    """Takes bytes from ``chunks`` (empty chunks are allowed); ``where`` names the stream in errors.

    The stream may be a part of a larger one that begins at its byte ``start``. Offsets then count from the start of the
    larger one.
    """

    __slots__ = ("_at", "_before", "_chunk", "_chunks", "_known", "where")

    def __init__(self, chunks: Iterable[bytes | KnownBytes], *, where: str, start: int = 0) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self._before = start
        self._known = 0
        """Number of known bytes that come next."""
        self.where = where

    @property
    def offset(self) -> int:
        """Bytes taken since the start."""
        return self._before + self._at

    def at_end(self) -> bool:
        """Return whether no byte is left; take the next chunk if that is needed to know."""
        while self._at == len(self._chunk) and not self._known:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._before += len(self._chunk)
            self._at = 0
            if isinstance(chunk, KnownBytes):
                self._chunk, self._known = b"", chunk.length
            else:
                self._chunk = chunk
        return False

    def skip_known(self, size: int) -> int:
        """Skip up to ``size`` known bytes, and return how many; 0 if the next ones must be read."""
        if self.at_end():
            return 0
        taken = min(self._known, size)
        self._known -= taken
        self._before += taken
        return taken

    def read_some(self, size: int) -> bytes:
        """Take between 1 and ``size`` bytes, without joining chunks; ``b""`` at the end or for size 0."""
        if not size or self.at_end():
            return b""
        if self._known:
            raise self.fault("another entry begins here than the one that was written", self.offset)
        start = self._at
        chunk = self._chunk
        self._at = min(start + size, len(chunk))
        return chunk[start : self._at]  # CPython returns the same object when the slice is all of it

    def unread(self, size: int) -> None:
        """Return the last ``size`` bytes of the latest :meth:`read_some` to the stream."""
        self._at -= size

    def read_up_to(self, size: int) -> bytes:
        """Take ``size`` bytes, or all that is left."""
        data = self.read_some(size)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (part := self.read_some(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read_exactly(self, size: int, inside: str) -> bytes:
        """Take ``size`` bytes.

        Raises:
            ArchiveError: The stream ends too early; the message names ``inside`` and both offsets.
        """
        start = self.offset
        data = self.read_up_to(size)
        if len(data) != size:
            raise self.cut(inside, start)
        return data

    def cut(self, inside: str, start: int) -> ArchiveError:
        """Return the error for a stream that ends inside something that began at byte ``start``."""
        return ArchiveError(
            f"is cut: it ends at byte {self.offset}, inside {inside} from byte {start}", where=self.where
        )

    def fault(self, what: str, at: int) -> ArchiveError:
        """Return the error for something wrong at byte ``at``."""
        return ArchiveError(f"{what} (byte {at})", where=self.where)


def check_ratio(reader: ChunkReader, produced: int, limits: Limits) -> None:
    """Refuse a stream that expands more than ``limits.ratio`` times, once past ``limits.ratio_floor_bytes``.

    A decompression bomb costs its maker nothing and the host everything. The floor exempts small, sound, very
    repetitive streams.

    Raises:
        LimitError: The ``produced`` bytes are too many for the bytes that were taken from ``reader`` so far.
    """
    taken = max(reader.offset, 1)
    if produced > limits.ratio_floor_bytes and produced > limits.ratio * taken:
        ratio = -(-produced // taken)
        raise LimitError(
            f"expands {ratio} times by byte {taken} ({produced} bytes so far), over the limit ratio = {limits.ratio}",
            where=reader.where,
            hint=f"if this kit is known to be sound, raise it: --max ratio={ratio}",
        )


T = TypeVar("T")

_AHEAD = 4


def prefetch(chunks: Iterator[T], *, ahead: int = _AHEAD) -> Iterator[T]:
    """Yield ``chunks``, of which up to ``ahead`` are made in advance.

    Raises:
        KitError: Raised by ``chunks``, at the same place among them.
        MemoryError: The thread died without a report: it had no memory left to pass its error on.
    """
    queue: Queue[tuple[T] | BaseException | None] = Queue(ahead)
    stopped = threading.Event()

    def fill() -> None:
        try:
            for chunk in chunks:
                queue.put((chunk,))
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  passed on, and raised where the chunk would have been used
            queue.put(error)
        else:
            queue.put(None)

    thread = threading.Thread(target=fill, name="prefetch", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system allows no more threads
        yield from chunks
        return
    try:
        while (item := _next(queue, thread)) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()
        _end(thread, queue)


def _next(queue: Queue[tuple[T] | BaseException | None], thread: threading.Thread) -> tuple[T] | BaseException | None:
    while True:
        try:
            return queue.get(timeout=LOOK_SECONDS)
        except Empty:
            # What the thread put there before it ended is still in the queue.
            if not thread.is_alive() and queue.empty():
                raise MemoryError from None


def _end(thread: threading.Thread, queue: Queue[tuple[T] | BaseException | None]) -> None:
    """Wait for a stopped thread to end; drop what it still puts, since it may wait for room in the queue."""
    while thread.is_alive():
        while not queue.empty():
            queue.get_nowait()
        if thread is threading.current_thread():
            return  # the garbage collector ended the generator from within the thread, which now ends by itself
        thread.join(0.01)
