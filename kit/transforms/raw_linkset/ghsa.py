"""GitHub security advisories as the REST API gives them (https://docs.github.com/rest/security-advisories).

==========  =====================================================================================================
aliases     ``/ghsa_id``, ``/cve_id``, ``/identifiers/*/value``
references  ``/references/*``, a string (global advisories) or an object with ``url``; the type is ``reference``
==========  =====================================================================================================

The API names packages by ecosystem and name only: a purl made of them would not be a verbatim value. The advisory
*database* publishes OSV, and GraphQL spells ``ghsaId``; both are refused here, since they have no ``ghsa_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.transforms.raw_linkset.extractor import Needs, Pointers, elements
from kit.transforms.raw_linkset.projection import Extraction, Projection, Reference

_IDENTIFIERS: Final = Pointers("/identifiers", "/value")
_REFERENCES: Final = Pointers("/references")
_KIND: Final = "reference"


_NEEDS: Final[Needs] = dict.fromkeys(("cve_id", "ghsa_id", "identifiers", "references"))


@dataclass(frozen=True, slots=True)
class GhsaExtractor:
    """Reads GHSA REST documents, global and of a repository."""

    name: str = "ghsa"
    formats: frozenset[str] = frozenset(
        {"ghsa", "ghsa-rest", "ghsa-json", "github-advisory", "github-security-advisory"}
    )
    needs: Needs = field(default_factory=lambda: _NEEDS, hash=False, compare=False)

    def __reduce__(self) -> str:
        """Pickle by name: there is one instance."""
        return "EXTRACTOR"

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Check for ``ghsa_id``, a name no other format has."""
        return type(raw.get("ghsa_id")) is str

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        """Return the projection of ``raw``; refused if it has no ``ghsa_id``."""
        identifier = raw.get("ghsa_id")
        refusal = None if type(identifier) is str else "it has no GHSA id at /ghsa_id"
        aliases: list[str] = []
        pointers: list[str] = []
        skipped = 0
        for name in ("ghsa_id", "cve_id"):
            value = raw.get(name)
            if type(value) is str:
                aliases.append(value)
                pointers.append(f"/{name}")
            else:
                # The API's own schema has null for an advisory without a CVE id; that is not a skipped value.
                skipped += name in raw and (value is not None or name != "cve_id")
        listed, lost = elements(raw.get("identifiers"))
        skipped += lost
        for index, entry in enumerate(listed):
            value = entry.get("value") if isinstance(entry, dict) else None
            if type(value) is str:
                aliases.append(value)
                pointers.append(_IDENTIFIERS[index])
            else:
                skipped += 1
        references: list[Reference] = []
        listed, lost = elements(raw.get("references"))
        skipped += lost
        for index, entry in enumerate(listed):
            url = entry.get("url") if isinstance(entry, dict) else entry
            if type(url) is str:
                references.append(Reference(url, _KIND))
                pointers.append(_REFERENCES[index])
            else:
                skipped += 1
        projection = Projection(tuple(aliases), (), (), tuple(references), None, None, tuple(pointers), {})
        return Extraction(projection, skipped, refusal)


EXTRACTOR: Final[GhsaExtractor] = GhsaExtractor()
