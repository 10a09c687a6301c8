"""Compares pairs of documents: what a worker does with a batch of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import zstandard

from kit.comparison.fields import RAW_LINKSET, FieldChange, How, compare, is_migration
from kit.comparison.sketch import reason
from kit.comparison.values import document_of
from kit.documents import validate
from kit.errors import BsonError, KitError
from kit.values import Limits

SHOWN_FIELDS = 12
"""Fields listed of one document; the others are counted."""


class _Codecs(threading.local):
    """These objects must not be shared between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


class Pair(NamedTuple):
    """Two versions of a document, and the number the pair is known by."""

    number: int
    name: str
    """The ``_id``."""
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
    unread: tuple[str, str] = ("", "")
    """Why the first and the second document cannot be compared; nothing where they can."""


def packed(document: bytes) -> bytes:
    """Make a document small for its stay on disk, at little cost."""
    return _codecs.compressor.compress(document)


def unpacked(data: bytes) -> bytes:
    """Undo :func:`packed`."""
    return _codecs.decompressor.decompress(data)


def compare_pairs(pairs: Sequence[Pair]) -> list[Compared]:
    """Compare each pair; that a document cannot be read where it differs from its partner is part of what comes out."""
    return [_compared(pair) for pair in pairs]


def appended_only(number: int, *, gained: bool, elements: int) -> Compared:
    """Return what comes out for a document and the same one with a ``rawLinkset`` appended.

    Args:
        number: Of the pair.
        gained: Whether the second document has it; otherwise the first one.
        elements: How many it has.
    """
    change = FieldChange(path=RAW_LINKSET, how=How.ADDED, after=document_of(elements))
    change = change if gained else change.mirrored()
    return Compared(number, (change,), 1, is_migration=True, all=((change.path, change.how.value),))


def _compared(pair: Pair) -> Compared:
    before = unpacked(pair.before)
    try:
        changes = compare(before, pair.after)
    except BsonError as error:
        unread = _fault(before), _fault(pair.after)
        if not any(unread):
            unread = reason(error), reason(error)
        return Compared(pair.number, (), 0, is_migration=False, all=(), unread=unread)
    return Compared(
        number=pair.number,
        shown=tuple(changes[:SHOWN_FIELDS]),
        total=len(changes),
        is_migration=is_migration(changes),
        all=tuple((change.path, change.how.value) for change in changes),
    )


def _fault(document: bytes) -> str:
    """Return what is wrong with a document; "" where nothing is."""
    try:
        validate(document, limits=Limits(document_bytes=len(document)))
    except KitError as error:
        return reason(error)
    return ""
