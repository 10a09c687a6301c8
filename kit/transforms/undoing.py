"""The ways back from a changed document: every document that may have become it, in one order.

More than one document may lead to the same one: where values are mapped, or where an element was removed. The engine
tries the ways until it finds the document that it read, and puts the number of that way on record. A later reader takes
the same way, and a digest over the whole member decides (schemas/reshape-record.md, "Ways").

Laws: the order depends on the transforms and the document alone; way 0 is the document itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import TypeAlias

from kit.documents import without_last
from kit.errors import KitError
from kit.transforms.protocol import Transform
from kit.values import CollectionName

Ways: TypeAlias = "tuple[tuple[int, int], ...]"
"""(documents, way) of the documents that changed, in their order."""
MOST_WAYS = 100_000
"""Documents tried for one way back; no chain of a migration has as many."""


def ways_back(name: CollectionName, transforms: Sequence[Transform], document: bytes) -> Iterator[bytes]:
    """Yield the document, and what it may have been before the transforms of a chain, whichever of them changed it."""
    yield document
    for number in reversed(range(len(transforms))):
        for before in _befores(name, transforms[number], document):
            yield from ways_back(name, transforms[:number], before)


def find_way(name: CollectionName, transforms: Sequence[Transform], new: bytes, old: bytes) -> int | None:
    """Return the number of the first way that leads back to ``old``; None where none does."""
    found = islice(ways_back(name, transforms, new), MOST_WAYS)
    return next((way for way, before in enumerate(found) if before == old), None)


def take_way(name: CollectionName, transforms: Sequence[Transform], new: bytes, way: int) -> bytes | None:
    """Return the document at the end of a way; None where there is no such way."""
    if not 0 <= way < MOST_WAYS:
        return None
    try:
        return next(islice(ways_back(name, transforms, new), way, None), None)
    except KitError:
        return None


def join_ways(pieces: Iterable[tuple[int, int]]) -> Ways:
    """Return ways with neighbours that are the same way joined."""
    return tuple((sum(count for count, _ in group), way) for way, group in groupby(pieces, key=lambda one: one[1]))


def _befores(name: CollectionName, transform: Transform, document: bytes) -> Iterator[bytes]:
    if transform.appends:
        before = without_last(document, transform.appends)
        if before is not None:
            yield before
        return
    yield from transform.earlier(name, document)
