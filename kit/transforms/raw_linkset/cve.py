"""CVE JSON 5.x (https://github.com/CVEProject/cve-schema): the cna container, then each adp container in its order.

==========  =====================================================================================================
aliases     ``/cveMetadata/cveId``, then per container ``alternateIds/*``
purls       per container ``affected/*/packageURL``
cpes        per container ``affected/*/cpes/*``, then ``cpeApplicability/*/nodes/*/cpeMatch/*/criteria``
references  per container ``references/*``: first of ``tags``, else ``reference``; ``url``; the container's
            ``providerMetadata.shortName``
==========  =====================================================================================================

A rejected record is treated like any other: it has an identifier, and no products to project; ``replacedBy``
names other advisories, not aliases. CVE JSON 4 shares neither layout nor member names and is refused. Both levels above
the containers are closed in the schema: any other member there, such as ``cnaContainer``, counts one skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.transforms.raw_linkset.extractor import OTHERS, Needs, Pointers, ProjectionBuilder, take_strings
from kit.transforms.raw_linkset.projection import EMPTY, Extraction, Reference

_UNTAGGED: Final = "reference"
_FAMILY: Final = "5."


class _Place:
    """The pointers of one container."""

    __slots__ = ("alternates", "prefix", "purls", "references")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.alternates = Pointers(f"{prefix}/alternateIds")
        self.purls = Pointers(f"{prefix}/affected", "/packageURL")
        self.references = Pointers(f"{prefix}/references")


_CNA: Final = _Place("/containers/cna")
_ADP: Final = tuple(_Place(f"/containers/adp/{index}") for index in range(4))
"""The program's own container, CISA's and one or two more cover nearly all records; others are made on demand."""


_CONTAINER: Final[Needs] = {
    "alternateIds": None,
    "affected": {"packageURL": None, "cpes": None},
    "cpeApplicability": {"nodes": {"cpeMatch": {"criteria": None}}},
    "references": {"url": None, "tags": None},
    "providerMetadata": {"shortName": None},
}
_NEEDS: Final[Needs] = {
    "dataVersion": None,
    "cveMetadata": {"cveId": None},
    "containers": {"cna": _CONTAINER, "adp": _CONTAINER, OTHERS: {}},
    OTHERS: {},
}
MEMBERS: Final = frozenset({"dataType", "dataVersion", "cveMetadata", "containers"})
CONTAINERS: Final = frozenset({"cna", "adp"})


@dataclass(frozen=True, slots=True)
class CveExtractor:
    """Reads CVE JSON 5.x."""

    name: str = "cve"
    formats: frozenset[str] = frozenset(
        {
            *("cve", "cve-5", "cve-json", "cve-json-5", "cve-record", "cve-record-5", "cvelist", "cvelist-5"),
            *("cve-record-format", "cve-record-format-5"),
        }
    )
    needs: Needs = field(default_factory=lambda: _NEEDS, hash=False, compare=False)

    def __reduce__(self) -> str:
        """Pickle by name: there is one instance."""
        return "EXTRACTOR"

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Check for ``dataVersion`` 5.x and ``cveMetadata.cveId``, both required by the schema."""
        version = raw.get("dataVersion")
        metadata = raw.get("cveMetadata")
        return (
            type(version) is str
            and version.startswith(_FAMILY)
            and isinstance(metadata, dict)
            and type(metadata.get("cveId")) is str
        )

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        """Return the projection of ``raw``; refused if it states another major version or has no identifier."""
        version = raw.get("dataVersion")
        if type(version) is str and not version.startswith(_FAMILY) and version != "5":
            return Extraction(EMPTY, 0, f"dataVersion is {version!r}, not CVE JSON 5.x")
        builder = ProjectionBuilder()
        builder.count_unknown(raw, MEMBERS)
        identifier = builder.take_text(builder.take_member(raw, "cveMetadata"), "cveId")
        if identifier is not None:
            builder.aliases.append(identifier)
            builder.alias_pointers.append("/cveMetadata/cveId")
        containers = builder.take_member(raw, "containers")
        builder.count_unknown(containers, CONTAINERS)
        _take_container(builder.take_member(containers, "cna"), _CNA, builder)
        for index, container in builder.take_objects(containers.get("adp")):
            place = _ADP[index] if index < len(_ADP) else _Place(f"/containers/adp/{index}")
            _take_container(container, place, builder)
        return builder.finish("it has no CVE id at /cveMetadata/cveId")


def _take_container(container: dict[str, Any], place: _Place, builder: ProjectionBuilder) -> None:
    if "alternateIds" in container:
        builder.skipped += take_strings(
            container["alternateIds"], place.alternates, builder.aliases, builder.alias_pointers
        )
    if "affected" in container:
        _take_affected(container["affected"], place, builder)
    if "cpeApplicability" in container:
        _take_applicability(container["cpeApplicability"], f"{place.prefix}/cpeApplicability", builder)
    if "references" in container:
        source = builder.take_text(builder.take_member(container, "providerMetadata"), "shortName")
        _take_references(container["references"], source, place.references, builder)


def _take_affected(values: object, place: _Place, builder: ProjectionBuilder) -> None:
    for index, product in builder.take_objects(values):
        purl = builder.take_text(product, "packageURL")
        if purl is not None:
            builder.purls.append(purl)
            builder.purl_pointers.append(place.purls[index])
        if "cpes" in product:
            builder.add_strings(
                product["cpes"], f"{place.prefix}/affected/{index}/cpes", builder.cpes, builder.cpe_pointers
            )


def _take_applicability(values: object, prefix: str, builder: ProjectionBuilder) -> None:
    for outer, block in builder.take_objects(values):
        for middle, node in builder.take_objects(block.get("nodes")):
            for inner, match in builder.take_objects(node.get("cpeMatch")):
                criteria = builder.take_text(match, "criteria")
                if criteria is not None:
                    builder.cpes.append(criteria)
                    builder.cpe_pointers.append(f"{prefix}/{outer}/nodes/{middle}/cpeMatch/{inner}/criteria")


def _take_references(values: object, source: str | None, pointers: Pointers, builder: ProjectionBuilder) -> None:
    listed = builder.take_list(values)
    lost = []
    new = tuple.__new__  # half the cost of calling the class, in the hottest loop
    for index, reference in enumerate(listed):
        url = reference.get("url") if isinstance(reference, dict) else None
        if type(url) is not str:
            lost.append(index)
            continue
        kind = _UNTAGGED
        tags = reference.get("tags")
        if tags and isinstance(tags, list) and type(tags[0]) is str:
            kind = tags[0]
        elif tags is not None and tags != []:
            builder.skipped += 1
        builder.references.append(new(Reference, (url, kind, source)))
    builder.reference_pointers += pointers.without(lost, len(listed))
    builder.skipped += len(lost)


EXTRACTOR: Final[CveExtractor] = CveExtractor()
