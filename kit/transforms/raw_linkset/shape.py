"""Every name of ``rawLinkset`` v1, and where its inputs stand in a stored document: the one table to adapt.

Collections of one platform do not agree on spelling: observations are camelCase, ``advisory_raw`` is snake_case, and
both occur within one kit. A :class:`Place` therefore lists the paths a value may stand at; the first that is there
wins. No other module of this package spells a field of these documents (schemas/raw-linkset.md, "Names").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 1
RAW_LINKSET: Final = "rawLinkset"

ALIASES: Final = "aliases"
PURLS: Final = "purls"
CPES: Final = "cpes"
REFERENCES: Final = "references"
SCOPES: Final = "scopes"
RELATIONSHIPS: Final = "relationships"
RECONCILED_FROM: Final = "reconciled_from"
NOTES: Final = "notes"

ELEMENTS: Final = (ALIASES, PURLS, CPES, REFERENCES, SCOPES, RELATIONSHIPS, RECONCILED_FROM, NOTES)
"""The elements of ``rawLinkset`` in the order they are written; SCOPES and RELATIONSHIPS may be absent."""

TYPE: Final = "type"
URL: Final = "url"
SOURCE: Final = "source"
TARGET: Final = "target"

RECONCILED_FROM_SPELLINGS: Final = (RECONCILED_FROM, "reconciledFrom")
"""How the linkset of a snapshot may spell it; what is written is always RECONCILED_FROM."""


@dataclass(frozen=True, slots=True)
class Place:
    """The paths at which one value may stand, most usual first; ``str()`` gives them for a message."""

    paths: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, *dotted: str) -> Place:
        """Read ``"upstream.upstreamId"``-like paths; ``Place.parse(*str(place).split(" | ")) == place``."""
        return cls(tuple(tuple(path.split(".")) for path in dotted))

    def find(self, document: Mapping[str, Any]) -> Any:
        """Return the value at the first path that exists and is not null, else None."""
        for path in self.paths:
            met: Any = document
            for step in path:
                met = met.get(step) if isinstance(met, Mapping) else None
            if met is not None:
                return met
        return None

    def __str__(self) -> str:
        return " | ".join(".".join(path) for path in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentShape:
    """Where one kind of document keeps what the backfill needs of it."""

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
    """The subdocument whose ``aliases`` stand in for those of a snapshot's linkset without any."""


OBSERVATION: Final = DocumentShape(
    tenant=Place.parse("tenant"),
    vendor=Place.parse("source.vendor"),
    upstream_id=Place.parse("upstream.upstreamId", "upstream.upstream_id"),
    content_hash=Place.parse("upstream.contentHash", "upstream.content_hash"),
    format=Place.parse("content.format"),
    spec_version=Place.parse("content.specVersion", "content.spec_version"),
    raw=Place.parse("content.raw"),
    linkset=Place.parse("linkset"),
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
"""``dto``, the cache source; deployments differ most here, so a configuration file may replace any of these."""
