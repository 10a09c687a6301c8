"""Documents of collections on disk: stored, matched between base and target, and searched for similar ones.

- Stores: the documents of one member, read by ordinal. Those of a target may be in any order, so the base's must be
  readable in any order, and by workers, which open the files by name. Law: what is read is what was stored.
- Matching: documents with the same ``_id`` belong together, wherever they are. Laws: the k-th document of an ``_id``
  is matched with the k-th of that ``_id`` on the other side, whatever is between; documents without an ``_id`` are
  matched by all their bytes. Matches are kept on disk, and keys are looked up one part at a time.
- Likeness: a new document is similar to those of the base that share texts or links with it that few others have. A
  new advisory repeats much of an older one of the same project. Only the features of new documents are indexed, and
  the base is read once to look for them. Laws: the result depends on the documents alone; it decides only what a delta
  refers to, never whether the delta is right.

Law of all three: memory is bounded, however many documents there are (features: :data:`MAX_FEATURES`).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.delta.features import features, new_places, note
from kit.delta.texts import cut_pieces
from kit.documents import KEY_BYTES, Run, keys_of
from kit.output.scratch import ScratchFile, StoredFile
from kit.values import CollectionFormat

_OFFSETS = struct.Struct("<QQ")
_OFFSET_BYTES = 8
_BATCH = 1 << 16
_BATCH_DOCUMENTS = 1 << 12


class StoredDocuments:
    """The documents of a finished store, for reading. A context manager that closes its files."""

    def __init__(self, place: Path) -> None:
        """Open the files of the store at ``place``.

        Raises:
            OutputError: The files are gone.
        """
        self._use(StoredFile(_data_path(place)), StoredFile(_ends_path(place)))
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
        """Number of bytes of all documents."""
        return self._documents.size

    def read(self, first: int, count: int) -> bytes:
        """Return consecutive documents, joined; fewer at the end."""
        start, end = self.span(first, count)
        return self._documents.read(start, end - start)

    def read_span(self, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` to ``end`` of all documents joined."""
        return self._documents.read(start, end - start)

    def span(self, first: int, count: int) -> tuple[int, int]:
        """Return where consecutive documents begin and end, in all documents joined."""
        if first >= self.count or count <= 0:
            return self._documents.size, self._documents.size
        if count == 1 and first:
            start, end = _OFFSETS.unpack(self._ends.read((first - 1) * _OFFSET_BYTES, _OFFSETS.size))
            return start, end
        last = min(first + count, self.count) - 1
        return (0 if first == 0 else self._end(first - 1)), self._end(last)

    def bounds(self, first: int, count: int) -> array[int]:
        """Return where each document from ``first`` on begins, and where the last one ends.

        That is one number more than documents. There are fewer at the end, and no number if there is no document.
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
        """Return consecutive documents as a list; fewer at the end."""
        bounds = self.bounds(first, count)
        if not bounds:
            return []
        start = bounds[0]
        data = self._documents.read(start, bounds[-1] - start)
        return [data[at - start : end - start] for at, end in pairwise(bounds)]

    def chunks(self, first: int, count: int, size: int) -> Iterator[bytes]:
        """Yield consecutive documents, joined, in pieces of at most ``size`` bytes."""
        start, end = self.span(first, count)
        for at in range(start, end, size):
            yield self._documents.read(at, min(size, end - at))

    def ranges(self, size: int) -> Iterator[tuple[int, array[int]]]:
        """Yield the first ordinal and the bounds of all documents, about ``size`` bytes at a time."""
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
    """Stores documents, which arrive as runs, in files of a folder; of a collection in JSON its pieces of text."""

    def __init__(self, folder: Path, name: str, format_: CollectionFormat = CollectionFormat.BSON) -> None:
        """Create the files for documents of a format.

        Raises:
            OutputError: They cannot be created.
        """
        self.format = format_
        self.place = folder / name
        """The place from which :class:`StoredDocuments` opens the finished store."""
        self.data = ScratchFile(_data_path(self.place))
        """The documents, joined."""
        self._ends_file = ScratchFile(_ends_path(self.place))
        self._keys = ScratchFile(self.place.with_name(f"{name}.keys"))
        self._use(self.data, self._ends_file)
        self.count = 0
        self.largest_run = 0
        """Bytes of the largest run. A document larger than the size of a run is a run of its own."""

    def spool_bytes(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield chunks of documents back to back, and store their bytes on the way.

        Raises:
            OutputError: The disk is full or failed.
        """
        for chunk in chunks:
            self.data.append(chunk)
            yield chunk

    def put(self, runs: Iterable[Run], *, keyed: bool = True, kept: bool = False) -> None:
        """Store documents after the present ones.

        Args:
            runs: The documents.
            keyed: Store their keys, too, for matching.
            kept: Their bytes are already stored (:meth:`spool_bytes`).

        Raises:
            OutputError: The disk is full or failed.
        """
        data, ends = self.data, self._ends_file
        for run in runs:
            base = run.offset if kept else data.size
            if not kept:
                data.append(run.stored)
            places: Sequence[int]
            if self.has_texts:
                places, keys = cut_pieces(run, by_lines=self.format is CollectionFormat.NDJSON)
            else:
                places, keys = run.ends, keys_of(run.data, run.ends) if keyed else b""
            ends.append(array("Q", map(base.__add__, places)).tobytes())
            if keyed:
                self._keys.append(keys)
            self.count += len(places)
            self.largest_run = max(self.largest_run, len(run.stored))
        self.flush()

    @property
    def has_texts(self) -> bool:
        """Whether the documents are pieces of text, which a segment encodes by their carriers."""
        return self.format is not CollectionFormat.BSON

    def flush(self) -> None:
        """Flush all files to the system; needed before reading.

        Raises:
            OutputError: The disk is full or failed.
        """
        for file in (self.data, self._ends_file, self._keys):
            file.flush()

    def keys(self, first: int) -> array[int]:
        """Return a batch of keys from the document ``first`` on; none at the end."""
        return array("Q", self._keys.read(first * KEY_BYTES, _BATCH * KEY_BYTES))

    def remove(self) -> None:
        """Close and delete the files."""
        self.close()
        for file in (self.data, self._ends_file, self._keys):
            file.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        super().close()
        self._keys.close()


def _data_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.documents")


def _ends_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.ends")


PART_DOCUMENTS = 400_000
"""Documents of the base whose keys are held at a time: about 70 MB of Python objects."""
_ORDINAL_BYTES = 8
_AT_A_TIME = 1 << 16


class Matching:
    """For each document of a target, the ordinal of its earlier version in the base, or -1."""

    def __init__(self, file: ScratchFile, count: int) -> None:
        """Read from ``file``, which holds one number for each of ``count`` documents."""
        self._file = file
        self.count = count

    def of(self, first: int, count: int) -> array[int]:
        """Return the ordinals for ``count`` documents from ``first`` on; fewer at the end."""
        return array("q", self._file.read(first * _ORDINAL_BYTES, count * _ORDINAL_BYTES))

    def unmatched(self) -> Iterator[int]:
        """Yield the ordinals of the documents that have no earlier version."""
        for first in range(0, self.count, _AT_A_TIME):
            ordinals = self.of(first, _AT_A_TIME)
            if -1 in ordinals:
                yield from (place for place, ordinal in enumerate(ordinals, first) if ordinal < 0)

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        self._file.close()


def match_documents(base: DocumentStore, target: DocumentStore) -> Matching:
    """Match the documents of ``target`` with those of ``base``, in a file next to the target's.

    Raises:
        OutputError: The disk is full or failed.
    """
    parts = max(1, -(-base.count // PART_DOCUMENTS))
    found = _match_part(base, target, 0, parts, lambda _, count: array("q", [-1]) * count)
    for part in range(1, parts):
        before = found
        found = _match_part(base, target, part, parts, before.of)
        before.close()
    return found


def _match_part(
    base: DocumentStore, target: DocumentStore, part: int, parts: int, known: Callable[[int, int], array[int]]
) -> Matching:
    """Add the matches of one part of the keys; all documents of one ``_id`` are in the same part."""
    places = _index_part(base, part, parts)
    # Two names in turn: one is read while the other is written.
    file = ScratchFile(target.place.with_name(f"{target.place.name}.matches-{part % 2}"))
    for first, keys in _read_batches(target):
        found = known(first, len(keys))
        _look_up(places, keys, found)
        file.append(found.tobytes())
    file.flush()
    return Matching(file, target.count)


def _read_batches(store: DocumentStore) -> Iterator[tuple[int, array[int]]]:
    first = 0
    while keys := store.keys(first):
        yield first, keys
        first += len(keys)


def _index_part(base: DocumentStore, part: int, parts: int) -> dict[int, int | deque[int]]:
    """Return the ordinals in the base of each key of a part."""
    places: dict[int, int | deque[int]] = {}
    for first, keys in _read_batches(base):
        for ordinal, key in enumerate(keys, first):
            if parts > 1 and key % parts != part:
                continue
            known = places.setdefault(key, ordinal)
            if known != ordinal:
                if isinstance(known, int):
                    places[key] = known = deque((known,))
                known.append(ordinal)
    return places


def _look_up(places: dict[int, int | deque[int]], keys: array[int], found: array[int]) -> None:
    """Enter into ``found`` the ordinal of each key in ``places``; each ordinal is used once, in order."""
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


MAX_FEATURES = 100_000
_READ_BYTES = 4 * 1024 * 1024
_WEIGHT = 1 << 40


class Likeness:
    """Finds the documents of a base that are similar to a new one."""

    def __init__(self, base: DocumentStore, target: DocumentStore, matching: Matching) -> None:
        """Read ``base`` for features of the documents of ``target`` that have no earlier version in it."""
        self._places: dict[bytes, list[int]] = {}
        for document in (target.read(place, 1) for place in matching.unmatched()):
            if len(self._places) > MAX_FEATURES:
                break
            for feature in features(document):
                self._places.setdefault(feature, new_places())
        if self._places:
            for first, bounds in base.ranges(_READ_BYTES):
                start = bounds[0]
                data = base.read_span(start, bounds[-1])
                note(data, [end - start for end in bounds[1:]], first, self._places)

    def of(self, document: bytes, most: int) -> list[int]:
        """Return at most ``most`` ordinals in the base, the most similar first: rare features count more."""
        shared: Counter[int] = Counter()
        for feature in features(document):
            places = self._places.get(feature)
            if places is not None and places[0]:
                for ordinal in places[1:]:
                    if ordinal >= 0:
                        shared[ordinal] += _WEIGHT // places[0]
        return [ordinal for ordinal, _ in sorted(shared.items(), key=lambda item: (-item[1], -item[0]))[:most]]
