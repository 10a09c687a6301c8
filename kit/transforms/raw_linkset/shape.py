"""The places in stored documents of the inputs of ``rawLinkset`` v1: the one table to adapt.

The names of its own elements are in :mod:`kit.transforms.projections`, which also checks the shape. The places in
cached payloads differ by deployment and are parsed from a file (:func:`parse_cache_map`, schemas/cache-map.md).

Collections of one platform do not agree on spelling: observations are camelCase, ``advisory_raw`` is snake_case, and
both occur within one kit. A :class:`Place` therefore lists the possible paths of a value; the first that exists wins.
No other module of this package names a field of these documents (schemas/raw-linkset.md, "Names").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from kit.errors import ContentError
from kit.transforms.projections import (
    ALIASES,
    CPES,
    ELEMENTS,
    LINKSET,
    NOTES,
    PURLS,
    RAW_LINKSET,
    RECONCILED_FROM,
    REFERENCES,
    RELATIONSHIPS,
    SCOPES,
    SOURCE,
    TARGET,
    TYPE,
    URL,
    Layout,
)
from kit.values import Limits, strict_json
from kit.values.fields import Fields

__all__ = [
    "ADVISORY_RAW",
    "ALIASES",
    "CPES",
    "DTO",
    "ELEMENTS",
    "ENVELOPE",
    "LINKSET",
    "NAMES",
    "NOTES",
    "OBSERVATION",
    "PURLS",
    "RAW_LINKSET",
    "RECONCILED_FROM",
    "RECONCILED_FROM_SPELLINGS",
    "REFERENCES",
    "RELATIONSHIPS",
    "SCOPES",
    "SOURCE",
    "TARGET",
    "TYPE",
    "URL",
    "VERSION",
    "CacheMap",
    "DocumentShape",
    "Names",
    "Place",
    "parse_cache_map",
]

VERSION: Final = 1

RECONCILED_FROM_SPELLINGS: Final = (RECONCILED_FROM, "reconciledFrom")
"""Spellings in the linkset of a snapshot; RECONCILED_FROM is what is written."""

ENVELOPE: Final = "__encrypted"
"""The member that makes a raw document an envelope, which cannot be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """The possible paths of one value, most usual first; ``str()`` is for messages."""

    paths: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, *dotted: str) -> Place:
        """Return the place of dotted paths, such as ``"upstream.upstreamId"``.

        Law: ``Place.parse(*str(place).split(" | ")) == place``.
        """
        return cls(tuple(tuple(path.split(".")) for path in dotted))

    def find(self, document: Mapping[str, Any]) -> Any:
        """Return the value at the first path that exists and is not null, else None."""
        for path in self.paths:
            found: Any = document
            for step in path:
                found = found.get(step) if isinstance(found, Mapping) else None
            if found is not None:
                return found
        return None

    def __str__(self) -> str:
        return " | ".join(".".join(path) for path in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentShape:
    """Where one kind of document has what the backfill needs."""

    tenant: Place
    vendor: Place
    upstream_id: Place
    content_hash: Place
    format: Place
    spec_version: Place
    raw: Place
    """The upstream advisory, decoded."""
    linkset: Place
    identifiers: Place
    """The subdocument whose ``aliases`` replace those of a snapshot's linkset that has none."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """All names of the element, and of the documents it is made of, as one value for the core."""

    linkset: str = LINKSET
    raw_linkset: str = RAW_LINKSET
    aliases: str = ALIASES
    purls: str = PURLS
    cpes: str = CPES
    references: str = REFERENCES
    scopes: str = SCOPES
    relationships: str = RELATIONSHIPS
    reconciled_from: str = RECONCILED_FROM
    reconciled_from_spellings: tuple[str, ...] = RECONCILED_FROM_SPELLINGS
    notes: str = NOTES
    type: str = TYPE
    url: str = URL
    source: str = SOURCE
    target: str = TARGET
    envelope: str = ENVELOPE
    observation: DocumentShape
    snapshot: DocumentShape

    @cached_property
    def layout(self) -> Layout:
        """The layout by which an element of these names is checked."""
        lists = (self.aliases, self.purls, self.cpes, self.references, self.scopes, self.relationships)
        elements = (*lists, self.reconciled_from, self.notes)
        return Layout(self.linkset, self.raw_linkset, elements, (self.type, self.url, self.source, self.target))


OBSERVATION: Final = DocumentShape(
    tenant=Place.parse("tenant"),
    vendor=Place.parse("source.vendor"),
    upstream_id=Place.parse("upstream.upstreamId", "upstream.upstream_id"),
    content_hash=Place.parse("upstream.contentHash", "upstream.content_hash"),
    format=Place.parse("content.format"),
    spec_version=Place.parse("content.specVersion", "content.spec_version"),
    raw=Place.parse("content.raw"),
    linkset=Place.parse(LINKSET),
    identifiers=Place.parse("identifiers"),
)
"""``advisory_observations``."""

ADVISORY_RAW: Final = DocumentShape(
    tenant=Place.parse("tenant"),
    vendor=Place.parse("source.vendor"),
    upstream_id=Place.parse("upstream.upstream_id", "upstream.upstreamId"),
    content_hash=Place.parse("upstream.content_hash", "upstream.contentHash"),
    format=Place.parse("content.format"),
    spec_version=Place.parse("content.spec_version", "content.specVersion"),
    raw=Place.parse("content.raw"),
    linkset=Place.parse("linkset"),
    identifiers=Place.parse("identifiers"),
)
"""``advisory_raw``, the snapshot source."""

DTO: Final = DocumentShape(
    tenant=Place.parse("tenant"),
    vendor=Place.parse("source.vendor", "sourceName", "source_name"),
    upstream_id=Place.parse("upstream.upstream_id", "upstream.upstreamId", "upstreamId", "upstream_id"),
    content_hash=Place.parse("upstream.content_hash", "upstream.contentHash", "contentHash", "content_hash"),
    format=Place.parse("format", "content.format"),
    spec_version=Place.parse("specVersion", "spec_version", "content.spec_version", "content.specVersion"),
    raw=Place.parse("payload", "content.raw"),
    linkset=Place.parse("linkset"),
    identifiers=Place.parse("identifiers"),
)
"""``dto``, the cache source; deployments differ most here, so a cache map may replace any of these."""

NAMES: Final = Names(observation=OBSERVATION, snapshot=ADVISORY_RAW)
"""The names of version 1."""


_FIELDS = frozenset({"tenant", "vendor", "upstreamId", "contentHash", "format", "payload"})
_NAMES = {"upstreamId": "upstream_id", "contentHash": "content_hash", "payload": "raw"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMap:
    """The collection of cached payloads, and the places of the fields in its documents."""

    collection: str
    places: DocumentShape

    def to_json(self) -> dict[str, Any]:
        """Return its JSON with every field named, for ``parse_cache_map``."""
        names = {name: _NAMES.get(name, name) for name in sorted(_FIELDS)}
        places: dict[str, Place] = {given: getattr(self.places, name) for given, name in names.items()}
        fields = {given: [".".join(path) for path in place.paths] for given, place in places.items()}
        return {"schemaVersion": "1", "collection": self.collection, "fields": fields}


def parse_cache_map(data: bytes, *, where: str) -> CacheMap:
    """Return a cache map; fields that it does not name keep their default places.

    Raises:
        ContentError: It is not strict JSON, or not of the form of schemas/cache-map.schema.json.
    """
    try:
        return _read(Fields.of(strict_json.parse(data, limits=Limits(), where=where), "cache map"))
    except ContentError as error:
        raise (error if error.where else error.inside(where)) from error.__cause__


def _read(document: Fields) -> CacheMap:
    document.exactly(("schemaVersion",), ("collection", "fields"))
    if (version := document.text("schemaVersion")) != "1":
        raise document.refusal(f"is version {version!r}; this program reads '1'")
    collection = document.text("collection") if "collection" in document.members else "dto"
    fields = document.object("fields") if "fields" in document.members else Fields({}, "fields")
    places: dict[str, Any] = {_NAMES.get(name, name): _place(name, fields) for name in fields.members}
    return CacheMap(collection=collection, places=dataclasses.replace(DTO, **places))


def _place(name: str, fields: Fields) -> Place:
    if name not in _FIELDS:
        raise fields.refusal(f"unknown field {name!r}; the fields are {', '.join(sorted(_FIELDS))}")
    paths = fields.members[name]
    listed = paths if isinstance(paths, list) else [paths]
    if not listed or not all(isinstance(path, str) and all(path.split(".")) for path in listed):
        raise fields.refusal(f"{name}: dotted paths are expected")
    return Place.parse(*listed)
