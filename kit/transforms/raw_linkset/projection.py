"""The value of ``rawLinkset`` v1: what it holds, in what order it is written, and how a snapshot's linkset becomes one.

Laws: values are the very strings of the source, in its order, duplicates kept; nothing is trimmed, re-cased, sorted or
merged. Encoding is a function of the value alone, so equal projections give equal bytes. Element names and order are
those of ``shape`` (schemas/raw-linkset.md).

References and relationships are named tuples, not dataclasses: a record has up to hundreds of them, and a frozen
dataclass costs four times as much to build, which was a third of the whole extraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kit.transforms.raw_linkset import shape


class Reference(NamedTuple):
    """One link of an advisory; ``type`` and ``source`` are None where the source has no string for them."""

    url: str
    type: str | None = None
    source: str | None = None

    def to_document(self) -> dict[str, str]:
        """Give the subdocument in its order: type, url, source."""
        document = {} if self.type is None else {shape.TYPE: self.type}
        document[shape.URL] = self.url
        if self.source is not None:
            document[shape.SOURCE] = self.source
        return document


class Relationship(NamedTuple):
    """One advisory's tie to another; a member is None where a snapshot has no string for it."""

    type: str | None
    source: str | None
    target: str | None

    def to_document(self) -> dict[str, str]:
        """Give the subdocument in its order: type, source, target."""
        members = ((shape.TYPE, self.type), (shape.SOURCE, self.source), (shape.TARGET, self.target))
        return {name: value for name, value in members if value is not None}


@dataclass(frozen=True, slots=True)
class Projection:
    """One ``rawLinkset``; ``scopes`` and ``relationships`` are None where the source has none, and then not written."""

    aliases: tuple[str, ...] = ()
    purls: tuple[str, ...] = ()
    cpes: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    scopes: tuple[str, ...] | None = None
    relationships: tuple[Relationship, ...] | None = None
    reconciled_from: tuple[str, ...] = ()
    """RFC 6901 pointers into the source."""
    notes: Mapping[str, str] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Give the subdocument as BSON and JSON encoders take it, in the order of ``shape.ELEMENTS``."""
        document: dict[str, Any] = {
            shape.ALIASES: self.aliases,
            shape.PURLS: self.purls,
            shape.CPES: self.cpes,
            # Spelled out for the two usual forms: a call for each reference would double the cost of this method.
            shape.REFERENCES: [
                {shape.TYPE: reference[1], shape.URL: reference[0]}
                if reference[2] is None and reference[1] is not None
                else reference.to_document()
                for reference in self.references
            ],
        }
        if self.scopes is not None:
            document[shape.SCOPES] = self.scopes
        if self.relationships is not None:
            document[shape.RELATIONSHIPS] = [relationship.to_document() for relationship in self.relationships]
        document[shape.RECONCILED_FROM] = self.reconciled_from
        document[shape.NOTES] = self.notes
        return document


EMPTY = Projection()


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one source document gave."""

    projection: Projection
    skipped: int
    """Values left out because they are not what the source's schema has at that place."""
    refusal: str | None = None
    """Why the document is not of the extractor's format; then nothing of it may be used, it is unresolvable."""


def from_linkset(linkset: Mapping[str, Any], identifiers: Mapping[str, Any] | None) -> Extraction:
    """Copy the ``linkset`` of an ``advisory_raw`` document, the snapshot source (schemas/raw-linkset.md, "Snapshot").

    Args:
        linkset: The decoded subdocument; containers are ``dict`` and ``list``.
        identifiers: The document's ``identifiers``, whose ``aliases`` are taken when ``linkset`` has none.
    """
    reading = _Reading()
    aliases = reading.strings(linkset.get(shape.ALIASES))
    if not aliases and identifiers is not None:
        aliases = reading.strings(identifiers.get(shape.ALIASES))
    pointers = None
    for name in shape.RECONCILED_FROM_SPELLINGS:
        pointers = pointers if pointers is not None else linkset.get(name)
    scopes = linkset.get(shape.SCOPES)
    relationships = linkset.get(shape.RELATIONSHIPS)
    projection = Projection(
        aliases,
        reading.strings(linkset.get(shape.PURLS)),
        reading.strings(linkset.get(shape.CPES)),
        reading.references(linkset.get(shape.REFERENCES)),
        None if scopes is None else reading.strings(scopes),
        None if relationships is None else reading.relationships(relationships),
        reading.strings(pointers),
        reading.notes(linkset.get(shape.NOTES)),
    )
    return Extraction(projection, reading.skipped)


class _Reading:
    """Copies lists of a linkset and counts what is not a string where one belongs."""

    __slots__ = ("skipped",)

    def __init__(self) -> None:
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
        taken = []
        for value in self.listed(values):
            url = value.get(shape.URL) if isinstance(value, dict) else None
            if type(url) is str:
                taken.append(Reference(url, self.member(value, shape.TYPE), self.member(value, shape.SOURCE)))
            else:
                self.skipped += 1
        return tuple(taken)

    def relationships(self, values: object) -> tuple[Relationship, ...]:
        taken = []
        for value in self.listed(values):
            if isinstance(value, dict):
                members = [self.member(value, name) for name in (shape.TYPE, shape.SOURCE, shape.TARGET)]
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
