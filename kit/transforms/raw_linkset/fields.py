"""Reads single fields of a stored document by :class:`shape.Place`, without decoding the document.

Each nested document on the way is walked once per :class:`Fields`, however many fields are read from it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from kit.documents import Kind, Wanted, elements, index, is_deeper, prune, string_at
from kit.errors import BsonError
from kit.transforms.raw_linkset.extractor import Needs
from kit.transforms.raw_linkset.shape import Place

Found: TypeAlias = tuple[int, int, int]
"""(kind, start of the value, end of the value)."""

# Dates stay integers: upstreams write years that Python's datetime does not have.
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS
)
MAX_LEVELS = 500
"""Maximum levels of a decoded document; MongoDB nests to 100, and dumps to 200."""
_DOCUMENT, _NULL, _STRING = int(Kind.DOCUMENT), int(Kind.NULL), int(Kind.STRING)


class Fields:
    """One document, read by place."""

    __slots__ = ("_levels", "document", "top")

    def __init__(self, document: bytes) -> None:
        """Walk the top level.

        Raises:
            BsonError: It is malformed or repeats a name.
        """
        self.document = document
        self.top: dict[bytes, Found] = index(document)
        self._levels: dict[tuple[bytes, ...], dict[bytes, Found]] = {}

    def find(self, place: Place) -> Found | None:
        """Return the value at the first of the place's paths that exists and is not null.

        Raises:
            BsonError: A document on the way is malformed or repeats a name.
        """
        for parents, leaf in _encoded_paths(place):
            level = self._level(parents) if parents else self.top
            found = level.get(leaf)
            if found is not None and found[0] != _NULL:
                return found
        return None

    def text(self, place: Place) -> str | None:
        """Return a string; None if it is missing or something else.

        Raises:
            BsonError: As :meth:`find`, or the string is not valid UTF-8.
        """
        found = self.find(place)
        return string_at(self.document, found) if found is not None and found[0] == _STRING else None

    def raw_text(self, place: Place) -> bytes | None:
        """Return the bytes of a string, unchecked: enough to be hashed into a key."""
        found = self.find(place)
        return self.document[found[1] + 4 : found[2] - 1] if found is not None and found[0] == _STRING else None

    def subdocument(self, place: Place) -> dict[str, Any] | None:
        """Return a nested document, decoded; None if it is missing or something else.

        Raises:
            BsonError: It is malformed or holds a string that is not UTF-8.
        """
        found = self.find(place)
        if found is None or found[0] != _DOCUMENT:
            return None
        return decode(self.document[found[1] : found[2]])

    def only(self, found: Found, needs: Needs) -> dict[str, Any]:
        """Return the parts of a nested document that ``needs`` names, decoded.

        Raises:
            BsonError: The nested document is malformed.
            ContentError: It repeats a name that is needed.
        """
        return decode(prune(self.document, found[1], _encode_once(needs)))

    def _level(self, parents: tuple[bytes, ...]) -> dict[bytes, Found]:
        level = self._levels.get(parents)
        if level is None:
            above = self._level(parents[:-1]) if len(parents) > 1 else self.top
            found = above.get(parents[-1])
            is_document = found is not None and found[0] == _DOCUMENT
            level = self._levels[parents] = index(self.document, found[1]) if found and is_document else {}
        return level


def decode(document: bytes) -> dict[str, Any]:
    """Return one whole document as dicts and lists.

    Raises:
        BsonError: It is malformed, holds a string that is not UTF-8, or has more than :data:`MAX_LEVELS` levels.
    """
    # Otherwise the depth of Python's stack would decide.
    if is_deeper(document, MAX_LEVELS):
        raise BsonError(f"cannot be decoded: nested over {MAX_LEVELS} levels")
    try:
        return bson.decode(document, OPTIONS)
    except (BSONError, ValueError, OverflowError) as error:
        raise BsonError(f"cannot be decoded: {error}") from error


_wanted_by_needs: dict[int, tuple[Needs, Wanted]] = {}


def _encode_once(needs: Needs) -> Wanted:
    """Return the encoded names, made once for each extractor; keyed by id, and kept alive so that none is reused."""
    known = _wanted_by_needs.get(id(needs))
    if known is None:
        known = _wanted_by_needs[id(needs)] = (needs, _encode_needs(needs))
    return known[1]


def _encode_needs(needs: Needs) -> Wanted:
    # To full depth, though decoding everything below the third level would cost less (75 µs an advisory, not 90): what
    # is read decides what is refused, and the core must refuse the same.
    return {name.encode(): None if inner is None else _encode_needs(inner) for name, inner in needs.items()}


_paths_by_place: dict[int, tuple[Place, tuple[tuple[tuple[bytes, ...], bytes], ...]]] = {}


def _encoded_paths(place: Place) -> tuple[tuple[tuple[bytes, ...], bytes], ...]:
    """Return the encoded paths, made once for each place; keyed by id, since a hash costs more than the search."""
    known = _paths_by_place.get(id(place))
    if known is None:
        encoded = [tuple([step.encode() for step in path]) for path in place.paths]
        known = _paths_by_place[id(place)] = (place, tuple([(path[:-1], path[-1]) for path in encoded]))
    return known[1]


def is_envelope(document: bytes, start: int, mark: bytes) -> bool:
    """Return whether the document at ``start`` is an envelope; one with repeated names may be.

    Raises:
        BsonError: It is malformed.
    """
    try:
        return mark in index(document, start)
    except BsonError:
        return any(element.name == mark for element in elements(document, start))
