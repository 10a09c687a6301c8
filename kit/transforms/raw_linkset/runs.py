"""Whole runs through the core, and its documents of doubt through the reference.

The core is handed all names (``shape``) at each call, and the answer of the registry to each stated format: it reads
those whose extractor is a shipped one. Law: what is returned is what ``RawLinkset`` gives one document after the other;
None where that must be asked for all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from kit.documents import core
from kit.transforms.change import Change, Rewritten, Summed
from kit.transforms.protocol import Lookup
from kit.transforms.raw_linkset import outcomes, registry, shape
from kit.transforms.raw_linkset.keys import CACHE, NONE_SKIPPED, SNAPSHOT

SOURCES: Final = ((outcomes.FROM_SNAPSHOT, SNAPSHOT), (outcomes.FROM_CACHE, CACHE))
"""What a kit may have beside the observations, in the order it is tried: the outcome, and the kind of key."""
_FORMATS: Final = 256
_DOUBT: Final = (-1, b"")

Alone = Callable[[Sequence[int]], Sequence[Change]]
"""Decides about the documents of these numbers, as ``RawLinkset.apply``."""


def kinds_of(lookup: Lookup) -> list[bytes]:
    """Return the kinds of sources the kit has at all: most have one or none, and a key costs as much as a walk."""
    return [kind for _, kind in SOURCES if lookup.has_prefix(kind)]


def rewrite(  # noqa: PLR0917  once for every run
    names: shape.Names,
    tenants: frozenset[str] | None,
    database: str,
    lookup: Lookup,
    data: bytes,
    ends: Sequence[int],
    alone: Alone,
) -> Rewritten | None:
    """Return what becomes of a run of observations; None where each must be asked for.

    Raises:
        KitError: Of ``alone``, of the lookup or of the registry.
    """
    if core.rewrite is None or core.keys is None:
        return None
    places, kinds = names.observation, kinds_of(lookup)
    found = None
    if kinds:
        keys = core.keys(data, ends, names=names, places=places, tenants=tenants, database=database)
        if keys is None:
            return None
        found = _found(keys, kinds, lookup.find([kind + key for kind in kinds for key in keys if key]))
    result = core.rewrite(
        data,
        ends,
        names=names,
        places=places,
        tenants=tenants,
        found=found,
        sources=len(kinds),
        format_of=_shipped,
    )
    if result is None or len(result[3]) == len(ends):
        return None
    made, flags, tallies, left = result
    changes = alone([number for number, _ in left]) if left else []
    body = data if made is None else made
    touched = list(map(bool, flags))
    parts: list[bytes] = []
    kept = 0
    for (number, at), change in zip(left, changes, strict=True):
        if change.document is not None:
            parts += body[kept:at], change.document
            kept = at + ends[number] - (ends[number - 1] if number else 0)
            touched[number] = True
    summed = Summed(changes)
    named = outcomes.PRESENT, outcomes.NOT_SELECTED, outcomes.FROM_CONTENT, *[outcome for outcome, _ in _of(kinds)]
    for tenant, present, not_selected, from_content, from_source in tallies:
        for outcome, documents in zip(named, (present, not_selected, from_content, *from_source), strict=True):
            if documents:
                key = tenant, outcome
                summed.outcomes[key] = summed.outcomes.get(key, 0) + documents
    return Rewritten(b"".join([*parts, body[kept:]]) if parts else body, touched, summed)


def pairs(
    names: shape.Names, places: shape.DocumentShape, kind: bytes, database: str, documents: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes] | None]:
    """Return what each document of a run gives to the lookup; None where the reference must say.

    Args:
        names: Of the element.
        places: Of these documents.
        kind: Of their keys: :data:`SNAPSHOT`, whose linkset is copied, or :data:`CACHE`.
        database: They are in.
        documents: The run.
    """
    gathered = None
    if core.gather is not None:
        ends = list(itertools.accumulate(map(len, documents)))
        format_of = None if kind == SNAPSHOT else _shipped
        gathered = core.gather(
            b"".join(documents), ends, names=names, places=places, database=database, format_of=format_of
        )
    if gathered is None:
        yield from itertools.repeat(None, len(documents))
        return
    for pair in gathered:
        yield (kind + pair[0], NONE_SKIPPED + pair[1]) if pair is not None else None


def _found(
    keys: Sequence[bytes | None], kinds: Sequence[bytes], values: Mapping[bytes, Sequence[bytes]]
) -> list[tuple[int, bytes] | None]:
    """Return what the kit has for each document, as the core is told it."""
    return [_of_key(key, kinds, values) if key else None if key is not None else _DOUBT for key in keys]


def _of_key(key: bytes, kinds: Sequence[bytes], values: Mapping[bytes, Sequence[bytes]]) -> tuple[int, bytes] | None:
    for number, kind in enumerate(kinds):
        found = set(values.get(kind + key, ()))
        if found:
            value = found.pop()
            is_plain = not found and value.startswith(NONE_SKIPPED)
            return (number, value[len(NONE_SKIPPED) :]) if is_plain else _DOUBT
    return None


def _of(kinds: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [source for source in SOURCES if source[1] in kinds]


@lru_cache(maxsize=_FORMATS)
def _shipped(name: str) -> str | None:
    """Ask the registry; remembered, since it costs as much as reading a document."""
    return registry.load().shipped(name)
