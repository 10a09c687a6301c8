"""Compares pairs of documents: what a worker does with a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import zstandard

from kit.comparison.fields import FieldChange, compare, is_migration
from kit.errors import BsonError

SHOWN_FIELDS = 12
"""Fields listed of one document; the others are counted."""
# At home in one thread of one process, each: these objects must not be shared between threads.
_COMPRESSOR, _DECOMPRESSOR = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()


class Pair(NamedTuple):
    """Two versions of a document, and the number the pair is known by."""

    number: int
    name: str
    """The ``_id``, for messages."""
    before: bytes
    """Compressed by :func:`packed`."""
    after: bytes


class Compared(NamedTuple):
    """What came out for one pair."""

    number: int
    shown: tuple[FieldChange, ...]
    """The first :data:`SHOWN_FIELDS`."""
    total: int
    """How many changes there are in all."""
    is_migration: bool
    """Nothing but rawLinkset or encryption differs."""
    all: tuple[tuple[str, str], ...]
    """(path, how) of every change, for the counts."""


def packed(document: bytes) -> bytes:
    """Make a document small for its stay on disk, at little cost."""
    return _COMPRESSOR.compress(document)


def unpacked(data: bytes) -> bytes:
    """Undo :func:`packed`."""
    return _DECOMPRESSOR.decompress(data)


def compare_pairs(pairs: Sequence[Pair]) -> list[Compared]:
    """Compare each pair.

    Raises:
        BsonError: A document is malformed where it differs from the other one.
    """
    return [_compared(pair) for pair in pairs]


def _compared(pair: Pair) -> Compared:
    before = unpacked(pair.before)
    try:
        changes = compare(before, pair.after)
    except BsonError as error:
        raise error.inside(f"document {pair.name}") from error.__cause__
    return Compared(
        number=pair.number,
        shown=tuple(changes[:SHOWN_FIELDS]),
        total=len(changes),
        is_migration=is_migration(changes),
        all=tuple((change.path, change.how.value) for change in changes),
    )
