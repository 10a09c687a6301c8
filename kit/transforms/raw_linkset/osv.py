"""OSV 1.x (https://ossf.github.io/osv-schema/): Go, PyPA, OSV.dev, Red Hat and SUSE conversions.

=============  ============================================================================================
aliases        ``/id``, ``/aliases/*``
purls          ``/affected/*/package/purl``
cpes           ``/affected/*/database_specific/cpes/*``, ``/database_specific/cpes/*``
references     ``/references/*``: ``type``, ``url``
relationships  ``/upstream/*`` as {upstream, id, other}, then ``/related/*`` as {related, id, other}; no pointers
=============  ============================================================================================

The schema defines ``upstream`` as the vulnerabilities that this one carries downstream, and ``related`` as those that
are closely related: neither identifies the same vulnerability, so neither is an alias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.transforms.raw_linkset.extractor import Needs, Pointers, elements, take_strings
from kit.transforms.raw_linkset.projection import EMPTY, Extraction, Projection, Reference, Relationship

_ALIASES: Final = Pointers("/aliases")
_PURLS: Final = Pointers("/affected", "/package/purl")
_CPES: Final = Pointers("/database_specific/cpes")
_REFERENCES: Final = Pointers("/references")
_RELATIONSHIPS: Final = ("upstream", "related")
"""Lists of other advisories, in the order they are taken; each names the type of its relationships."""


_NEEDS: Final[Needs] = {
    **dict.fromkeys(("schema_version", "id", "modified", "aliases", "upstream", "related", "references")),
    "affected": {"package": None, "database_specific": None},
    "database_specific": None,
}


@dataclass(frozen=True, slots=True)
class OsvExtractor:
    """Reads OSV 1.x."""

    name: str = "osv"
    formats: frozenset[str] = frozenset({"osv", "osv-1", "osv-json", "osv-schema", "osv-schema-1"})
    needs: Needs = field(default_factory=lambda: _NEEDS, hash=False, compare=False)

    def __reduce__(self) -> str:
        """Pickle by name: there is one instance."""
        return "EXTRACTOR"

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Check for ``id`` and ``modified``, all that the schema requires, and for no other major version."""
        return type(raw.get("id")) is str and "modified" in raw and _version_refusal(raw) is None

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        """Return the projection of ``raw``; refused if it states another major version or has no identifier."""
        refusal = _version_refusal(raw)
        if refusal is not None:
            return Extraction(EMPTY, 0, refusal)
        aliases: list[str] = []
        pointers: list[str] = []
        skipped = 0
        identifier = raw.get("id")
        if type(identifier) is str:
            aliases.append(identifier)
            pointers.append("/id")
        else:
            skipped += "id" in raw
        if "aliases" in raw:
            skipped += take_strings(raw["aliases"], _ALIASES, aliases, pointers)
        purls: list[str] = []
        cpes: list[str] = []
        cpe_pointers: list[str] = []
        skipped += _take_affected(raw.get("affected"), purls, pointers, cpes, cpe_pointers)
        if "database_specific" in raw:
            skipped += _take_cpes(raw["database_specific"], None, cpes, cpe_pointers)
        pointers += cpe_pointers
        references: list[Reference] = []
        skipped += _take_references(raw.get("references"), references, pointers)
        relationships: list[Relationship] = []
        for name in _RELATIONSHIPS:
            if name in raw:
                skipped += _take_others(raw[name], name, identifier, relationships)
        projection = Projection(
            tuple(aliases),
            tuple(purls),
            tuple(cpes),
            tuple(references),
            None,
            tuple(relationships) or None,
            tuple(pointers),
            {},
        )
        return Extraction(projection, skipped, None if aliases else "it has no OSV identifier at /id")


def _version_refusal(raw: Mapping[str, Any]) -> str | None:
    # By the schema, absent or not a string means 1.0.0; a later major version may mean anything.
    version = raw.get("schema_version")
    if type(version) is str and version[:2] != "1." and version != "1":
        return f"schema_version is {version!r}, not OSV 1.x"
    return None


def _take_affected(
    values: object, purls: list[str], purl_pointers: list[str], cpes: list[str], cpe_pointers: list[str]
) -> int:
    listed, skipped = elements(values)
    for index, affected in enumerate(listed):
        if not isinstance(affected, dict):
            skipped += 1
            continue
        package = affected.get("package")
        if isinstance(package, dict):
            purl = package.get("purl")
            if type(purl) is str:
                purls.append(purl)
                purl_pointers.append(_PURLS[index])
            else:
                skipped += "purl" in package
        else:
            skipped += package is not None
        if "database_specific" in affected:
            skipped += _take_cpes(affected["database_specific"], index, cpes, cpe_pointers)
    return skipped


def _take_cpes(database_specific: object, affected: int | None, taken: list[str], pointers: list[str]) -> int:
    """Append the CPEs of the ``database_specific`` of one ``affected`` entry, or of the advisory itself (None)."""
    if not isinstance(database_specific, dict):
        return database_specific is not None
    if "cpes" not in database_specific:
        return 0
    where = _CPES if affected is None else Pointers(f"/affected/{affected}/database_specific/cpes", kept=0)
    return take_strings(database_specific["cpes"], where, taken, pointers)


def _take_references(values: object, taken: list[Reference], pointers: list[str]) -> int:
    listed, skipped = elements(values)
    lost = []
    new = tuple.__new__  # half the cost of calling the class, in the hottest loop
    for index, reference in enumerate(listed):
        url = reference.get("url") if isinstance(reference, dict) else None
        if type(url) is not str:
            lost.append(index)
            continue
        kind = reference.get("type")
        if type(kind) is not str:
            skipped += "type" in reference
            kind = None
        taken.append(new(Reference, (url, kind, None)))
    pointers += _REFERENCES.without(lost, len(listed))
    return skipped + len(lost)


def _take_others(values: object, kind: str, identifier: object, taken: list[Relationship]) -> int:
    listed, skipped = elements(values)
    # Without an identifier of its own, the advisory names only one end of the relationship.
    source = identifier if type(identifier) is str else None
    others = [Relationship(kind, source, other) for other in listed if type(other) is str]
    taken += others
    return skipped + len(listed) - len(others)


EXTRACTOR: Final[OsvExtractor] = OsvExtractor()
