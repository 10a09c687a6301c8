"""Which documents of a base are like a new one: those that share texts or links with it that few others have.

A new advisory repeats much of an older one of the same project, wherever that stands. Nothing is indexed but the
features of the new documents; the base is read once and asked for those. Laws: the answer depends on the documents
alone; memory is bounded by :data:`MOST_FEATURES`; what is found only decides what a delta refers to, never what is
right.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from kit.delta.features import features, known_features
from kit.engine.document_store import DocumentStore
from kit.engine.matching import Matching

MOST_FEATURES = 100_000
_KEPT = 4
"""Documents of the base that are remembered of each feature: the latest."""
_READ_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Places:
    """Where in the base a feature stands."""

    latest: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    count: int = 0


class Likeness:
    """See the module docstring."""

    def __init__(self, base: DocumentStore, target: DocumentStore, matching: Matching) -> None:
        """Look for what is like the documents of ``target`` that have no older self in ``base``."""
        self._found: dict[bytes, _Places] = {}
        for document in (target.read(place, 1) for place in matching.unmatched()):
            if len(self._found) > MOST_FEATURES:
                break
            for feature in features(document):
                self._found.setdefault(feature, _Places())
        if self._found:
            self._search(base)

    def of(self, document: bytes, most: int) -> list[int]:
        """Give at most ``most`` ordinals in the base, the most alike first: a feature counts by how rare it is."""
        shared: Counter[int] = Counter()
        for feature in features(document):
            places = self._found.get(feature)
            if places is not None:
                for ordinal in set(places.latest):
                    shared[ordinal] += _WEIGHT // places.count
        return [ordinal for ordinal, _ in sorted(shared.items(), key=lambda item: (-item[1], -item[0]))[:most]]

    def _search(self, base: DocumentStore) -> None:
        found = self._found
        for first, documents in base.batches(_READ_BYTES):
            for ordinal, document in enumerate(documents, first):
                for feature in known_features(document, found):
                    places = found[feature]
                    places.latest.append(ordinal)
                    places.count += 1


_WEIGHT = 1 << 40
