"""The documents of one member on disk, to be read by ordinal.

A target's documents may stand in any order, so the base's must be readable in any, and by workers: they open the files
by name. Law: what is put is what is read; memory does not grow with the number of documents.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.archive.scratch import ScratchFile, StoredFile
from kit.documents import KEY_BYTES, Run, keys_of

_OFFSETS = struct.Struct("<QQ")
_OFFSET_BYTES = 8
_BATCH = 1 << 16
_BATCH_DOCUMENTS = 1 << 12


class StoredDocuments:
    """Documents that a store wrote, being read. A context manager that closes its files."""

    def __init__(self, place: Path) -> None:
        """Open what a store keeps at ``place``.

        Raises:
            OutputError: The files are gone.
        """
        self._use(StoredFile(_data(place)), StoredFile(_ends(place)))
        self.count = self._ends.size // _OFFSET_BYTES

    def _use(self, data: StoredFile, ends: StoredFile) -> None:
        self._documents, self._ends = data, ends

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes of all documents."""
        return self._documents.size

    def read(self, first: int, count: int) -> bytes:
        """Read documents that follow each other, joined; fewer at the end."""
        start, end = self.span(first, count)
        return self._documents.read(start, end - start)

    def read_span(self, start: int, end: int) -> bytes:
        """Read what stands from ``start`` to ``end``, within all documents joined."""
        return self._documents.read(start, end - start)

    def span(self, first: int, count: int) -> tuple[int, int]:
        """Give where documents that follow each other begin and end, within all of them joined."""
        if first >= self.count or count <= 0:
            return self._documents.size, self._documents.size
        if count == 1 and first:
            start, end = _OFFSETS.unpack(self._ends.read((first - 1) * _OFFSET_BYTES, _OFFSETS.size))
            return start, end
        last = min(first + count, self.count) - 1
        return (0 if first == 0 else self._end(first - 1)), self._end(last)

    def bounds(self, first: int, count: int) -> array[int]:
        """Give where the documents from ``first`` begin, and where the last of them ends: one number more than those.

        Fewer documents at the end; no number at all, where there is none.
        """
        last = min(first + count, self.count)
        if first >= last:
            return array("Q")
        before = max(first - 1, 0)
        bounds = array("Q", self._ends.read(before * _OFFSET_BYTES, (last - before) * _OFFSET_BYTES))
        if not first:
            bounds.insert(0, 0)
        return bounds

    def documents(self, first: int, count: int) -> list[bytes]:
        """Read documents that follow each other, one by one."""
        bounds = self.bounds(first, count)
        if not bounds:
            return []
        start = bounds[0]
        data = self._documents.read(start, bounds[-1] - start)
        return [data[at - start : end - start] for at, end in pairwise(bounds)]

    def chunks(self, first: int, count: int, size: int) -> Iterator[bytes]:
        """Read documents that follow each other, joined, in pieces of at most ``size`` bytes."""
        start, end = self.span(first, count)
        for at in range(start, end, size):
            yield self._documents.read(at, min(size, end - at))

    def ranges(self, size: int) -> Iterator[tuple[int, array[int]]]:
        """Go through all documents, about ``size`` bytes at a time; gives the first ordinal, and bounds."""
        first = 0
        while first < self.count:
            bounds = self.bounds(first, _BATCH_DOCUMENTS)
            count = max(1, bisect_right(bounds, bounds[0] + size) - 1)
            yield first, bounds[: count + 1]
            first += count

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        self._documents.close()
        self._ends.close()

    def _end(self, ordinal: int) -> int:
        return int.from_bytes(self._ends.read(ordinal * _OFFSET_BYTES, _OFFSET_BYTES), "little")


class DocumentStore(StoredDocuments):
    """Documents that come as runs, in files of a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the files.

        Raises:
            OutputError: They cannot be made.
        """
        self.place = folder / name
        """What :class:`StoredDocuments` are opened by, once all is put."""
        self.data = ScratchFile(_data(self.place))
        """The documents, joined."""
        self._into = ScratchFile(_ends(self.place))
        self._keys = ScratchFile(self.place.with_name(f"{name}.keys"))
        self._use(self.data, self._into)
        self.count = 0
        self.largest_run = 0
        """Bytes of the largest run, which is one document where it is over the size of a run."""

    def keeping(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on chunks of documents back to back, and store their bytes on the way.

        Raises:
            OutputError: The disk is full or failed.
        """
        for chunk in chunks:
            self.data.append(chunk)
            yield chunk

    def put(self, runs: Iterable[Run], *, keyed: bool = True, kept: bool = False) -> None:
        """Store documents behind those that are there.

        Args:
            runs: The documents.
            keyed: They are to be matched.
            kept: Their bytes are stored already, on their way (:meth:`keeping`).

        Raises:
            OutputError: The disk is full or failed.
        """
        data, ends = self.data, self._into
        for run in runs:
            base = run.offset if kept else data.size
            if not kept:
                data.append(run.data)
            ends.append(array("Q", map(base.__add__, run.ends)).tobytes())
            if keyed:
                self._keys.append(keys_of(run.data, run.ends))
            self.count += len(run)
            self.largest_run = max(self.largest_run, len(run.data))
        self.flush()

    def flush(self) -> None:
        """Hand all to the system; needed before reading.

        Raises:
            OutputError: The disk is full or failed.
        """
        for file in (self.data, self._into, self._keys):
            file.flush()

    def keys(self, first: int) -> array[int]:
        """Give keys from the document ``first`` on, as many as are worth holding; none at the end."""
        return array("Q", self._keys.read(first * KEY_BYTES, _BATCH * KEY_BYTES))

    def remove(self) -> None:
        """Close the files and give their room back."""
        self.close()
        for file in (self.data, self._into, self._keys):
            file.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        super().close()
        self._keys.close()


def _data(place: Path) -> Path:
    return place.with_name(f"{place.name}.documents")


def _ends(place: Path) -> Path:
    return place.with_name(f"{place.name}.ends")
