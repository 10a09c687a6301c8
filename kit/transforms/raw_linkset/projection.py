"""The value of ``rawLinkset`` v1: its contents, their order, and how it is made of a snapshot's linkset.

The element that is appended is a projection as BSON, by pymongo's encoder. Its element names and their order are those
of ``shape`` (schemas/raw-linkset.md, "Names").

References and relationships are named tuples, not dataclasses: a record has up to hundreds of them, and a frozen
dataclass costs four times as much to build, which was a third of the extraction.

Laws: values are exactly the strings of the source, in its order, duplicates kept; nothing is trimmed, re-cased, sorted
or merged; encoding is a function of the value alone, so equal projections give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError

from kit.errors import ContentError
from kit.transforms.raw_linkset import shape


class Reference(NamedTuple):
    """One link of an advisory; ``type`` and ``source`` are None if the source has no string for them."""

    url: str
    type: str | None = None
    source: str | None = None

    def to_document(self, names: shape.Names = shape.NAMES) -> dict[str, str]:
        """Return the subdocument in its order: type, url, source."""
        document = {} if self.type is None else {names.type: self.type}
        document[names.url] = self.url
        if self.source is not None:
            document[names.source] = self.source
        return document


class Relationship(NamedTuple):
    """A relationship of one advisory to another; a member is None if a snapshot has no string for it."""

    type: str | None
    source: str | None
    target: str | None

    def to_document(self, names: shape.Names = shape.NAMES) -> dict[str, str]:
        """Return the subdocument in its order: type, source, target."""
        members = ((names.type, self.type), (names.source, self.source), (names.target, self.target))
        return {name: value for name, value in members if value is not None}


@dataclass(frozen=True, slots=True)
class Projection:
    """One ``rawLinkset``; ``scopes`` and ``relationships`` are None if the source has none, and then not written."""

    aliases: tuple[str, ...] = ()
    purls: tuple[str, ...] = ()
    cpes: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    scopes: tuple[str, ...] | None = None
    relationships: tuple[Relationship, ...] | None = None
    reconciled_from: tuple[str, ...] = ()
    """RFC 6901 pointers into the source."""
    notes: Mapping[str, str] = field(default_factory=dict)

    def to_document(self, names: shape.Names = shape.NAMES) -> dict[str, Any]:
        """Return the subdocument for BSON and JSON encoders, in the order of ``shape.ELEMENTS``."""
        kind, url = names.type, names.url
        document: dict[str, Any] = {
            names.aliases: self.aliases,
            names.purls: self.purls,
            names.cpes: self.cpes,
            # Inlined for the two usual forms: a call for each reference would double the cost of this method.
            names.references: [
                {kind: reference[1], url: reference[0]}
                if reference[2] is None and reference[1] is not None
                else reference.to_document(names)
                for reference in self.references
            ],
        }
        if self.scopes is not None:
            document[names.scopes] = self.scopes
        if self.relationships is not None:
            document[names.relationships] = [relationship.to_document(names) for relationship in self.relationships]
        document[names.reconciled_from] = self.reconciled_from
        document[names.notes] = self.notes
        return document


EMPTY = Projection()


@dataclass(frozen=True, slots=True)
class Extraction:
    """The result for one source document."""

    projection: Projection
    skipped: int
    """Values that were skipped because they do not match the source's schema."""
    refusal: str | None = None
    """Why the document is not of the extractor's format. Nothing of it may be used then; it is unresolvable."""


def from_linkset(
    linkset: Mapping[str, Any], identifiers: Mapping[str, Any] | None, names: shape.Names = shape.NAMES
) -> Extraction:
    """Return the ``linkset`` of an ``advisory_raw`` document as a projection (schemas/raw-linkset.md, "Snapshot").

    Args:
        linkset: The decoded subdocument; containers are ``dict`` and ``list``.
        identifiers: The document's ``identifiers``, whose ``aliases`` are taken when ``linkset`` has none.
        names: Of the lists and their members.
    """
    reading = _LinksetReader(names)
    aliases = reading.strings(linkset.get(names.aliases))
    if not aliases and identifiers is not None:
        aliases = reading.strings(identifiers.get(names.aliases))
    pointers = None
    for name in names.reconciled_from_spellings:
        pointers = pointers if pointers is not None else linkset.get(name)
    scopes = linkset.get(names.scopes)
    relationships = linkset.get(names.relationships)
    projection = Projection(
        aliases,
        reading.strings(linkset.get(names.purls)),
        reading.strings(linkset.get(names.cpes)),
        reading.references(linkset.get(names.references)),
        None if scopes is None else reading.strings(scopes),
        None if relationships is None else reading.relationships(relationships),
        reading.strings(pointers),
        reading.notes(linkset.get(names.notes)),
    )
    return Extraction(projection, reading.skipped)


class _LinksetReader:
    """Reads lists of a linkset, and counts values that should be strings and are not."""

    __slots__ = ("names", "skipped")

    def __init__(self, names: shape.Names) -> None:
        self.names = names
        self.skipped = 0

    def listed(self, values: object) -> list[Any]:
        if isinstance(values, list):
            return values
        self.skipped += values is not None
        return []

    def strings(self, values: object) -> tuple[str, ...]:
        listed = self.listed(values)
        # The exact type: bson.Code is a subclass of str and would be written back as JavaScript.
        taken = tuple([value for value in listed if type(value) is str])
        self.skipped += len(listed) - len(taken)
        return taken

    def member(self, document: Mapping[str, Any], name: str) -> str | None:
        value = document.get(name)
        if type(value) is str:
            return value
        self.skipped += name in document
        return None

    def references(self, values: object) -> tuple[Reference, ...]:
        names, taken = self.names, []
        for value in self.listed(values):
            url = value.get(names.url) if isinstance(value, dict) else None
            if type(url) is str:
                taken.append(Reference(url, self.member(value, names.type), self.member(value, names.source)))
            else:
                self.skipped += 1
        return tuple(taken)

    def relationships(self, values: object) -> tuple[Relationship, ...]:
        names, taken = self.names, []
        for value in self.listed(values):
            if isinstance(value, dict):
                members = [self.member(value, name) for name in (names.type, names.source, names.target)]
                if members != [None, None, None]:
                    taken.append(Relationship(*members))
            else:
                self.skipped += 1
        return tuple(taken)

    def notes(self, values: object) -> dict[str, str]:
        if not isinstance(values, dict):
            self.skipped += values is not None
            return {}
        taken = {name: value for name, value in values.items() if type(value) is str}
        self.skipped += len(values) - len(taken)
        return taken


_LENGTH_BYTES = 4
"""A BSON document opens with its own length (bsonspec.org) ..."""
_END_BYTES = 1
"""... and ends in a NUL; between them are its elements."""


def encode_element(projection: Projection, names: shape.Names = shape.NAMES) -> bytes:
    """Return the BSON element to append to a document: type byte 3, its name, NUL, the subdocument.

    Raises:
        ContentError: A string cannot be BSON (a lone surrogate from JSON; a NUL in the name of a note).
    """
    name = names.raw_linkset
    try:
        document = bson.encode({name: projection.to_document(names)})
    except (BSONError, UnicodeEncodeError, OverflowError) as error:
        raise ContentError(f"{name} cannot be BSON: {error}", where=name) from error
    return document[_LENGTH_BYTES:-_END_BYTES]
