"""The documents of one member on disk, to be read by ordinal, and which of two members' documents belong together.

A target's documents may stand in any order, so the base's must be readable in any. Laws: memory does not grow with the
number of documents beyond eight bytes each for the matching; the k-th document of an ``_id`` is matched with the k-th
of the same ``_id`` on the other side, whatever stands between; documents without an ``_id`` are matched by all their
bytes.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from operator import sub
from pathlib import Path

from kit.archive.scratch import ScratchFile
from kit.documents import Run, elements
from kit.errors import BsonError

_OFFSET = struct.Struct("<Q")
_KEY_BYTES = 8
_BATCH = 1 << 16
_BATCH_DOCUMENTS = 1 << 12
PART_DOCUMENTS = 400_000
"""Documents whose keys are held at a time: some 70 MB of Python's own."""


class DocumentStore:
    """Documents that came as runs, in files of ``folder``."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the files.

        Raises:
            OutputError: They cannot be made.
        """
        self._data = ScratchFile(folder / f"{name}.documents")
        self._ends = ScratchFile(folder / f"{name}.ends")
        self._keys = ScratchFile(folder / f"{name}.keys")
        self.count = 0
        self.largest = 0
        """Bytes of the largest document."""

    @property
    def size(self) -> int:
        """Bytes of all documents."""
        return self._data.size

    def put(self, runs: Iterable[Run], *, keyed: bool = True) -> None:
        """Store documents behind those that are there; ``keyed`` where they are to be matched.

        Raises:
            OutputError: The disk is full or failed.
        """
        for run in runs:
            base = self._data.size
            self._data.append(run.data)
            self._ends.append(array("Q", [base + end for end in run.ends]).tobytes())
            if keyed:
                self._keys.append(b"".join(map(_key, run)))
            self.count += len(run)
            self.largest = max(self.largest, *map(sub, run.ends, (0, *run.ends)))
        for file in (self._data, self._ends, self._keys):
            file.flush()

    def read(self, first: int, count: int) -> bytes:
        """Read documents that follow each other, joined; fewer at the end."""
        start, end = self.span(first, count)
        return self._data.read(start, end - start)

    def span(self, first: int, count: int) -> tuple[int, int]:
        """Give where documents that follow each other begin and end, within all of them joined."""
        if first >= self.count or count <= 0:
            return self._data.size, self._data.size
        last = min(first + count, self.count) - 1
        start = 0 if first == 0 else self._end(first - 1)
        return start, self._end(last)

    def documents(self, first: int, count: int) -> list[bytes]:
        """Read documents that follow each other, one by one."""
        last = min(first + count, self.count)
        if first >= last:
            return []
        start, _ = self.span(first, 1)
        ends = array("Q", self._ends.read(first * _OFFSET.size, (last - first) * _OFFSET.size))
        data = self._data.read(start, ends[-1] - start)
        found = []
        at = 0
        for end in ends:
            found.append(data[at : end - start])
            at = end - start
        return found

    def chunks(self, first: int, count: int, size: int) -> Iterator[bytes]:
        """Read documents that follow each other, joined, in pieces of at most ``size`` bytes."""
        start, end = self.span(first, count)
        for at in range(start, end, size):
            yield self._data.read(at, min(size, end - at))

    def batches(self, size: int) -> Iterator[tuple[int, list[bytes]]]:
        """Read all documents, in batches of about ``size`` bytes, each with the ordinal of its first."""
        first = start = 0
        while first < self.count:
            ends = array("Q", self._ends.read(first * _OFFSET.size, _BATCH_DOCUMENTS * _OFFSET.size))
            count = max(1, bisect_right(ends, start + size))
            yield first, self.documents(first, count)
            start = ends[count - 1]
            first += count

    def key_batches(self) -> Iterator[tuple[int, array[int]]]:
        """Give the keys, in batches with the ordinal of each batch's first."""
        for first in range(0, self.count, _BATCH):
            yield first, array("Q", self._keys.read(first * _KEY_BYTES, _BATCH * _KEY_BYTES))

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        for file in (self._data, self._ends, self._keys):
            file.close()

    def _end(self, ordinal: int) -> int:
        return int(_OFFSET.unpack(self._ends.read(ordinal * _OFFSET.size, _OFFSET.size))[0])


def matched(base: DocumentStore, target: DocumentStore) -> array[int]:
    """Give for each document of ``target`` the ordinal of its older self in ``base``, or -1.

    Keys are digests of eight bytes: two that collide match documents that have nothing in common, which costs bytes,
    and is no error.
    """
    found = array("q", [-1]) * target.count
    parts = max(1, -(-base.count // PART_DOCUMENTS))
    for part in range(parts):
        # One part of the keys at a time: every document of an ``_id`` is in the same part.
        places: dict[int, int | deque[int]] = {}
        for first, keys in base.key_batches():
            for ordinal, key in enumerate(keys, first):
                if key % parts == part:
                    _add(places, key, ordinal)
        for first, keys in target.key_batches():
            for ordinal, key in enumerate(keys, first):
                if key % parts == part and (place := places.get(key)) is not None:
                    if isinstance(place, int):
                        found[ordinal] = place
                        del places[key]
                    else:
                        found[ordinal] = place.popleft()
                        if not place:
                            del places[key]
    return found


def _add(places: dict[int, int | deque[int]], key: int, ordinal: int) -> None:
    met = places.get(key)
    if met is None:
        places[key] = ordinal
    elif isinstance(met, int):
        places[key] = deque((met, ordinal))
    else:
        met.append(ordinal)


def _key(document: bytes) -> bytes:
    """Digest the typed ``_id``, or all of a document that has none or cannot be walked up to it."""
    if document[5:9] == b"_id\0":
        try:
            element = next(elements(document))
            return hashlib.blake2b(document[4 : element.end], digest_size=_KEY_BYTES).digest()
        except BsonError:
            return hashlib.blake2b(document, digest_size=_KEY_BYTES).digest()
    try:
        for element in elements(document):
            if element.name == b"_id":
                value = document[element.start : element.end]
                return hashlib.blake2b(value, digest_size=_KEY_BYTES).digest()
    except BsonError:
        pass
    return hashlib.blake2b(document, digest_size=_KEY_BYTES).digest()
