"""Whole runs by the core, and documents that it leaves open by the reference.

The core is passed all names (``shape``) at each call, and the registry's answer for each stated format: it reads those
with a shipped extractor. Law: the result is what ``RawLinkset`` returns document by document; None if that must process
all of them.

Keys join a snapshot or cached payload with its observation. A key is one byte for the kind of entry, the 16-byte
BLAKE2b digest of (database, tenant, vendor, upstream id), and that of the content hash. Without its last part it finds
other revisions of the same advisory. Parts are length-prefixed, so no two different tuples have the same input; with
128 bits, an accidental collision among 2^32 keys is rarer than 2^-64. The value of a key is the number of skipped
values of the source, and the finished element.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from kit.documents import core
from kit.transforms.protocol import Change, ChangeTotals, Lookup, RewrittenRun
from kit.transforms.raw_linkset import outcomes, registry, shape

SNAPSHOT = b"S"
CACHE = b"C"
NONE_SKIPPED: Final = bytes(4)
"""The first bytes of an entry without skipped values: the count, 32 bits, little-endian."""
UNREADABLE: Final = b"\xff" * 4
"""The first bytes of an entry whose document cannot be read; the reason follows, as UTF-8."""
_DIGEST = 16


def advisory_digest(database: bytes, tenant: bytes, vendor: bytes, upstream_id: bytes) -> bytes:
    """Return the digest of what all revisions of an advisory share."""
    lengths = b"%d,%d,%d;" % (len(database), len(tenant), len(vendor))
    return blake2b(b"".join((lengths, database, tenant, vendor, upstream_id)), digest_size=_DIGEST).digest()


def revision_digest(content_hash: bytes) -> bytes:
    """Return the digest of what identifies a revision."""
    return blake2b(content_hash, digest_size=_DIGEST).digest()


SOURCES: Final = ((outcomes.FROM_SNAPSHOT, SNAPSHOT), (outcomes.FROM_CACHE, CACHE))
"""Sources in a kit besides the observations, in the order they are tried: the outcome, and the kind of key."""
_FORMATS: Final = 256
_DOUBT: Final = (-1, b"")

Fallback = Callable[[Sequence[int]], Sequence[Change]]
"""Returns the changes of the documents with these numbers, as ``RawLinkset.apply``."""


def kinds_of(lookup: Lookup) -> list[bytes]:
    """Return the kinds of sources that the kit has: most have one or none, and a key costs as much as a walk."""
    return [kind for _, kind in SOURCES if lookup.has_prefix(kind)]


def rewrite(  # noqa: PLR0917  once for every run
    names: shape.Names,
    tenants: frozenset[str] | None,
    database: str,
    lookup: Lookup,
    data: bytes,
    ends: Sequence[int],
    fallback: Fallback,
) -> RewrittenRun | None:
    """Return a run of observations, rewritten; None if each must be processed by itself.

    Raises:
        KitError: From ``fallback``, the lookup or the registry.
    """
    if core.rewrite is None or core.keys is None:
        return None
    places, kinds = names.observation, kinds_of(lookup)
    found = None
    if kinds:
        keys = core.keys(data, ends, names=names, places=places, tenants=tenants, database=database)
        if keys is None:
            return None
        found = _find_all(keys, kinds, lookup.find([kind + key for kind in kinds for key in keys if key]))
    result = core.rewrite(
        data,
        ends,
        names=names,
        places=places,
        tenants=tenants,
        found=found,
        sources=len(kinds),
        format_of=_find_shipped,
    )
    if result is None or len(result[3]) == len(ends):
        return None
    made, flags, tallies, left = result
    changes = fallback([number for number, _ in left]) if left else []
    body = data if made is None else made
    touched = list(map(bool, flags))
    parts: list[bytes] = []
    kept = 0
    for (number, at), change in zip(left, changes, strict=True):
        if change.document is not None:
            parts += body[kept:at], change.document
            kept = at + ends[number] - (ends[number - 1] if number else 0)
            touched[number] = True
    totals = ChangeTotals(changes)
    named = (
        outcomes.PRESENT,
        outcomes.NOT_SELECTED,
        outcomes.FROM_CONTENT,
        *[outcome for outcome, _ in _sources_of(kinds)],
    )
    for tenant, present, not_selected, from_content, from_source in tallies:
        for outcome, documents in zip(named, (present, not_selected, from_content, *from_source), strict=True):
            if documents:
                key = tenant, outcome
                totals.outcomes[key] = totals.outcomes.get(key, 0) + documents
    return RewrittenRun(b"".join([*parts, body[kept:]]) if parts else body, touched, totals)


def pairs(
    names: shape.Names, places: shape.DocumentShape, kind: bytes, database: str, documents: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes] | None]:
    """Yield what each document of a run contributes to the lookup; None if the reference must decide.

    Args:
        names: The names of the element.
        places: The places in these documents.
        kind: The kind of their keys: :data:`SNAPSHOT`, whose linkset is copied, or :data:`CACHE`.
        database: The database they are in.
        documents: The run.
    """
    found = None
    if core.gather is not None:
        ends = list(itertools.accumulate(map(len, documents)))
        format_of = None if kind == SNAPSHOT else _find_shipped
        found = core.gather(
            b"".join(documents), ends, names=names, places=places, database=database, format_of=format_of
        )
    if found is None:
        yield from itertools.repeat(None, len(documents))
        return
    for pair in found:
        yield (kind + pair[0], NONE_SKIPPED + pair[1]) if pair is not None else None


def _find_all(
    keys: Sequence[bytes | None], kinds: Sequence[bytes], values: Mapping[bytes, Sequence[bytes]]
) -> list[tuple[int, bytes] | None]:
    """Return what the kit has for each document, in the form that the core takes."""
    return [_find(key, kinds, values) if key else None if key is not None else _DOUBT for key in keys]


def _find(key: bytes, kinds: Sequence[bytes], values: Mapping[bytes, Sequence[bytes]]) -> tuple[int, bytes] | None:
    for number, kind in enumerate(kinds):
        found = set(values.get(kind + key, ()))
        if found:
            value = found.pop()
            is_plain = not found and value.startswith(NONE_SKIPPED)
            return (number, value[len(NONE_SKIPPED) :]) if is_plain else _DOUBT
    return None


def _sources_of(kinds: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [source for source in SOURCES if source[1] in kinds]


@lru_cache(maxsize=_FORMATS)
def _find_shipped(name: str) -> str | None:
    """Return the shipped extractor of a format; cached, since a look-up costs as much as reading a document."""
    return registry.load().shipped(name)
