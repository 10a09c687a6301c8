"""Which documents of two collections belong together: those of one ``_id``, wherever they stand.

Laws: the k-th document of an ``_id`` is matched with the k-th of the same ``_id`` on the other side, whatever stands
between; documents without an ``_id`` are matched by all their bytes; memory is bounded, however many documents there
are: what was found is kept on disk, and keys are looked up a part at a time.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator

from kit.archive.scratch import ScratchFile
from kit.engine.document_store import DocumentStore

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
