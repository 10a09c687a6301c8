"""The documents of one member on disk, to be read by ordinal.

A target's documents may stand in any order, so the base's must be readable in any, and by workers: they open the files
by name. Law: what is put is what is read; memory does not grow with the number of documents.

Which documents of two collections belong together: those of one ``_id``, wherever they stand.

Laws: the k-th document of an ``_id`` is matched with the k-th of the same ``_id`` on the other side, whatever stands
between; documents without an ``_id`` are matched by all their bytes; memory is bounded, however many documents there
are: what was found is kept on disk, and keys are looked up a part at a time.

Which documents of a base are like a new one: those that share texts or links with it that few others have.

A new advisory repeats much of an older one of the same project, wherever that stands. Nothing is indexed but the
features of the new documents; the base is read once and asked for those. Laws: the answer depends on the documents
alone; memory is bounded by :data:`MOST_FEATURES`; what is found only decides what a delta refers to, never what is
right.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.delta.features import features, new_places, note
from kit.documents import KEY_BYTES, Run, keys_of
from kit.output.scratch import ScratchFile, StoredFile

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


PART_DOCUMENTS = 400_000
"""Documents of the base whose keys are held at a time: some 70 MB of Python's own."""
_ORDINAL_BYTES = 8
_AT_A_TIME = 1 << 16


class Matching:
    """For each document of a target the ordinal of its older self in the base, or -1."""

    def __init__(self, file: ScratchFile, count: int) -> None:
        """Give what ``file`` holds: a number for each of ``count`` documents."""
        self._file = file
        self.count = count

    def of(self, first: int, count: int) -> array[int]:
        """Give the ordinals for ``count`` documents from ``first`` on; fewer at the end."""
        return array("q", self._file.read(first * _ORDINAL_BYTES, count * _ORDINAL_BYTES))

    def unmatched(self) -> Iterator[int]:
        """Give the ordinals of the documents that have no older self."""
        for first in range(0, self.count, _AT_A_TIME):
            ordinals = self.of(first, _AT_A_TIME)
            if -1 in ordinals:
                yield from (place for place, ordinal in enumerate(ordinals, first) if ordinal < 0)

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        self._file.close()


def matched(base: DocumentStore, target: DocumentStore) -> Matching:
    """Match the documents of ``target`` with those of ``base``, in a file beside the target's.

    Raises:
        OutputError: The disk is full or failed.
    """
    parts = max(1, -(-base.count // PART_DOCUMENTS))
    found = _part(base, target, 0, parts, lambda _, count: array("q", [-1]) * count)
    for part in range(1, parts):
        before = found
        found = _part(base, target, part, parts, before.of)
        before.close()
    return found


def _part(
    base: DocumentStore, target: DocumentStore, part: int, parts: int, known: Callable[[int, int], array[int]]
) -> Matching:
    """Add what one part of the keys tells; every document of an ``_id`` is in the same part."""
    places = _places(base, part, parts)
    # Two names in turn: one is read while the other is written.
    file = ScratchFile(target.place.with_name(f"{target.place.name}.matches-{part % 2}"))
    for first, keys in _batches(target):
        found = known(first, len(keys))
        _look_up(places, keys, found)
        file.append(found.tobytes())
    file.flush()
    return Matching(file, target.count)


def _batches(store: DocumentStore) -> Iterator[tuple[int, array[int]]]:
    first = 0
    while keys := store.keys(first):
        yield first, keys
        first += len(keys)


def _places(base: DocumentStore, part: int, parts: int) -> dict[int, int | deque[int]]:
    """Give where in the base each key of a part stands."""
    places: dict[int, int | deque[int]] = {}
    for first, keys in _batches(base):
        for ordinal, key in enumerate(keys, first):
            if parts > 1 and key % parts != part:
                continue
            met = places.setdefault(key, ordinal)
            if met != ordinal:
                if isinstance(met, int):
                    places[key] = met = deque((met,))
                met.append(ordinal)
    return places


def _look_up(places: dict[int, int | deque[int]], keys: array[int], found: array[int]) -> None:
    """Enter the place of each key that is known here; each place once, in their order."""
    for at, key in enumerate(keys):
        place = places.get(key)
        if place is None:
            continue
        if isinstance(place, int):
            found[at] = place
            del places[key]
        else:
            found[at] = place.popleft()
            if not place:
                del places[key]


MOST_FEATURES = 100_000
_READ_BYTES = 4 * 1024 * 1024
_WEIGHT = 1 << 40


class Likeness:
    """See the module docstring."""

    def __init__(self, base: DocumentStore, target: DocumentStore, matching: Matching) -> None:
        """Look for what is like the documents of ``target`` that have no older self in ``base``."""
        self._places: dict[bytes, list[int]] = {}
        for document in (target.read(place, 1) for place in matching.unmatched()):
            if len(self._places) > MOST_FEATURES:
                break
            for feature in features(document):
                self._places.setdefault(feature, new_places())
        if self._places:
            for first, bounds in base.ranges(_READ_BYTES):
                start = bounds[0]
                data = base.read_span(start, bounds[-1])
                note(data, [end - start for end in bounds[1:]], first, self._places)

    def of(self, document: bytes, most: int) -> list[int]:
        """Give at most ``most`` ordinals in the base, the most alike first: a feature counts by how rare it is."""
        shared: Counter[int] = Counter()
        for feature in features(document):
            places = self._places.get(feature)
            if places is not None and places[0]:
                for ordinal in places[1:]:
                    if ordinal >= 0:
                        shared[ordinal] += _WEIGHT // places[0]
        return [ordinal for ordinal, _ in sorted(shared.items(), key=lambda item: (-item[1], -item[0]))[:most]]
