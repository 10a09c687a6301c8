"""Compares pairs of documents, a batch for each worker."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import zstandard

from kit.comparison.fields import RAW_LINKSET, FieldChange, How, compare, is_migration
from kit.comparison.sketch import reason
from kit.comparison.values import render_document
from kit.documents import validate
from kit.errors import BsonError, KitError
from kit.values import Limits

SHOWN_FIELDS = 12
"""Maximum fields listed for one document; the others are counted."""


class _Codecs(threading.local):
    """A compressor and a decompressor for each thread: they must not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


class Pair(NamedTuple):
    """Two versions of a document, and the number of the pair."""

    number: int
    name: str
    """The ``_id``."""
    before: bytes
    """Compressed by :func:`compress`."""
    after: bytes


class Compared(NamedTuple):
    """The result for one pair."""

    number: int
    shown: tuple[FieldChange, ...]
    """The first :data:`SHOWN_FIELDS`."""
    total: int
    """Number of all changes."""
    is_migration: bool
    """Nothing but rawLinkset or encryption differs."""
    all: tuple[tuple[str, str], ...]
    """(path, how) of every change, for the counts."""
    unread: tuple[str, str] = ("", "")
    """Why the first and the second document cannot be compared; empty if they can."""


def compress(document: bytes) -> bytes:
    """Return a document compressed for spooling, at little cost."""
    return _codecs.compressor.compress(document)


def decompress(data: bytes) -> bytes:
    """Return the document that :func:`compress` compressed."""
    return _codecs.decompressor.decompress(data)


def compare_pairs(pairs: Sequence[Pair]) -> list[Compared]:
    """Return the result of each pair; a document that cannot be read where the two differ is part of its result."""
    return [_compare(pair) for pair in pairs]


def compare_appended(number: int, *, gained: bool, elements: int) -> Compared:
    """Return the result for a document and the same document with a ``rawLinkset`` appended.

    Args:
        number: Of the pair.
        gained: Whether the second document has it; otherwise the first has.
        elements: Number of its elements.
    """
    change = FieldChange(path=RAW_LINKSET, how=How.ADDED, after=render_document(elements))
    change = change if gained else change.mirrored()
    return Compared(number, (change,), 1, is_migration=True, all=((change.path, change.how.value),))


def _compare(pair: Pair) -> Compared:
    before = decompress(pair.before)
    try:
        changes = compare(before, pair.after)
    except BsonError as error:
        unread = _find_fault(before), _find_fault(pair.after)
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


def _find_fault(document: bytes) -> str:
    """Return what is wrong with a document; "" if nothing is."""
    try:
        validate(document, limits=Limits(document_bytes=len(document)))
    except KitError as error:
        return reason(error)
    return ""
