"""Which documents of a base are like a new one: those that share texts or links with it that few others have.

A new advisory repeats much of an older one of the same project, wherever that stands. Nothing is indexed but the
features of the new documents; the base is read once and asked for those. Laws: the answer depends on the documents
alone; memory is bounded by :data:`MOST_FEATURES`; what is found only decides what a delta refers to, never what is
right.
"""

from __future__ import annotations

from collections import Counter

from kit.delta.features import features, new_places, note
from kit.engine.document_store import DocumentStore
from kit.engine.matching import Matching

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
