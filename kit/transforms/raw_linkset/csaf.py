"""CSAF 2.0 and 2.1 (https://docs.oasis-open.org/csaf/csaf/v2.1/csaf-v2.1.html): security advisories and VEX.

==========  =========================================================================================================
aliases     ``/document/tracking/id``, ``/document/tracking/aliases/*`` (section 3.2.1.12), then for each of
            ``/vulnerabilities/*`` its ``cve`` and its ``ids/*/text`` (3.2.3.2, 3.2.3.6)
purls       ``purl`` (2.0), then ``purls/*`` (2.1) of every ``product_identification_helper`` (3.1.3.3)
cpes        ``cpe`` of the same helpers
references  ``/document/references/*``, then each ``/vulnerabilities/*/references/*``: ``category``, ``url``
==========  =========================================================================================================

Helpers are found walking ``product_tree`` depth first: ``branches``, ``full_product_names``, then
``relationships/*/full_product_name`` (2.0) and ``product_paths/*/full_product_name``, which replaced them in 2.1.
Within a branch: its ``product``, then its ``branches``. Section numbers are those of 2.0.

The schema closes every object on the way. A member that neither version has counts one skipped, so that a value that a
later version moves is noticed as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.transforms.raw_linkset.extractor import OTHERS, Needs, Pointers, ProjectionBuilder, take_strings
from kit.transforms.raw_linkset.projection import EMPTY, Extraction, Reference

_VERSIONS: Final = frozenset({"2.0", "2.1"})
_TRACKING_ALIASES: Final = Pointers("/document/tracking/aliases")
_HELPER: Final = "product_identification_helper"


_NEEDS: Final[Needs] = {
    "document": {
        "csaf_version": None,
        "tracking": {"id": None, "aliases": None, OTHERS: {}},
        "references": None,
        OTHERS: {},
    },
    "product_tree": None,
    "vulnerabilities": {"cve": None, "ids": None, "references": None, OTHERS: {}},
    OTHERS: {},
}


def _members(names: str) -> frozenset[str]:
    # By definition, extensions (2.1) hold nothing that the core has a place for (conformance clause 28).
    return frozenset((*names.split(), "extensions"))


# The members that either schema has at each place; x_ and $ are known everywhere.
_TOP: Final = _members("document product_tree vulnerabilities")
_DOCUMENT: Final = _members(
    "acknowledgments aggregate_severity category csaf_version distribution lang license_expression notes publisher "
    "references source_lang title tracking"
)
_TRACKING: Final = _members(
    "aliases current_release_date generator id initial_release_date revision_history status version"
)
_VULNERABILITY: Final = _members(
    "acknowledgments cve cwe cwes disclosure_date discovery_date first_known_exploitation_dates flags ids involvements "
    "metrics notes product_status references release_date remediations scores threats title"
)
_PRODUCT_TREE: Final = _members("branches full_product_names product_groups product_paths relationships")
_BRANCH: Final = _members("branches category name product")
_PRODUCT: Final = _members("name product_id product_identification_helper")
_RELATIONSHIP: Final = _members("category full_product_name product_reference relates_to_product_reference")
_PATH: Final = _members("beginning_product_reference full_product_name subpaths")
_IDENTIFIERS: Final = _members("cpe hashes model_numbers purl purls sbom_urls serial_numbers skus x_generic_uris")


# The format's own name, and those of its profiles (section 4), which ``document.category`` has.
_FAMILIES: Final = frozenset(
    {
        *("csaf", "csaf-json", "csaf-base", "csaf-vex", "csaf-security-advisory", "csaf-informational-advisory"),
        *("csaf-security-incident-response", "csaf-deprecated-security-advisory", "csaf-superseded", "csaf-withdrawn"),
    }
)
_FORMATS: Final = _FAMILIES.union(f"{name}-2" for name in _FAMILIES)


@dataclass(frozen=True, slots=True)
class CsafExtractor:
    """Reads CSAF 2.0 and 2.1, every profile."""

    name: str = "csaf"
    formats: frozenset[str] = _FORMATS
    needs: Needs = field(default_factory=lambda: _NEEDS, hash=False, compare=False)

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Check for ``document.csaf_version`` (section 3.2.1.4) and a tracking id."""
        document = raw.get("document")
        if not isinstance(document, dict):
            return False
        version = document.get("csaf_version")
        tracking = document.get("tracking")
        return (
            type(version) is str
            and version in _VERSIONS
            and isinstance(tracking, dict)
            and type(tracking.get("id")) is str
        )

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        """Return the projection of ``raw``; refused if it states another version or has no identifier."""
        builder = ProjectionBuilder()
        document = builder.take_member(raw, "document")
        version = document.get("csaf_version")
        if type(version) is str and version not in _VERSIONS:
            return Extraction(EMPTY, 0, f"csaf_version is {version!r}, not 2.0 or 2.1")
        builder.count_unknown(raw, _TOP)
        builder.count_unknown(document, _DOCUMENT)
        tracking = builder.take_member(document, "tracking")
        builder.count_unknown(tracking, _TRACKING)
        builder.add_string(tracking, "id", "/document/tracking", builder.aliases, builder.alias_pointers)
        builder.skipped += take_strings(
            tracking.get("aliases"), _TRACKING_ALIASES, builder.aliases, builder.alias_pointers
        )
        _take_references(document.get("references"), "/document/references", builder)
        for index, vulnerability in builder.take_objects(raw.get("vulnerabilities")):
            _take_vulnerability(vulnerability, f"/vulnerabilities/{index}", builder)
        _walk_product_tree(builder.take_member(raw, "product_tree"), builder)
        return builder.finish("it has no id at /document/tracking/id")


def _take_vulnerability(vulnerability: dict[str, Any], where: str, builder: ProjectionBuilder) -> None:
    builder.count_unknown(vulnerability, _VULNERABILITY)
    builder.add_string(vulnerability, "cve", where, builder.aliases, builder.alias_pointers)
    for index, identifier in builder.take_objects(vulnerability.get("ids")):
        builder.add_string(identifier, "text", f"{where}/ids/{index}", builder.aliases, builder.alias_pointers)
    _take_references(vulnerability.get("references"), f"{where}/references", builder)


def _take_references(values: object, where: str, builder: ProjectionBuilder) -> None:
    for index, reference in builder.take_objects(values):
        url = reference.get("url")
        if type(url) is str:
            builder.references.append(Reference(url, builder.take_text(reference, "category")))
            builder.reference_pointers.append(f"{where}/{index}")
        else:
            builder.skipped += 1


def _walk_product_tree(tree: dict[str, Any], builder: ProjectionBuilder) -> None:
    builder.count_unknown(tree, _PRODUCT_TREE)
    _walk_branches(tree.get("branches"), "/product_tree/branches", builder)
    for index, product in builder.take_objects(tree.get("full_product_names")):
        _take_product(product, f"/product_tree/full_product_names/{index}", builder)
    for name, known in (("relationships", _RELATIONSHIP), ("product_paths", _PATH)):
        for index, combination in builder.take_objects(tree.get(name)):
            builder.count_unknown(combination, known)
            product = builder.take_member(combination, "full_product_name")
            _take_product(product, f"/product_tree/{name}/{index}/full_product_name", builder)


def _walk_branches(branches: object, where: str, builder: ProjectionBuilder) -> None:
    # A stack, no recursion: the upstream chooses the depth, and an extractor never raises.
    pending = [(f"{where}/{index}", branch) for index, branch in reversed(builder.take_objects(branches))]
    while pending:
        here, branch = pending.pop()
        builder.count_unknown(branch, _BRANCH)
        if "product" in branch:
            _take_product(builder.take_member(branch, "product"), f"{here}/product", builder)
        if "branches" in branch:
            children = builder.take_objects(branch["branches"])
            pending += [(f"{here}/branches/{index}", child) for index, child in reversed(children)]


def _take_product(product: dict[str, Any], where: str, builder: ProjectionBuilder) -> None:
    builder.count_unknown(product, _PRODUCT)
    if _HELPER not in product:
        return
    helper = builder.take_member(product, _HELPER)
    builder.count_unknown(helper, _IDENTIFIERS)
    where = f"{where}/{_HELPER}"
    builder.add_string(helper, "purl", where, builder.purls, builder.purl_pointers)
    builder.add_strings(helper.get("purls"), f"{where}/purls", builder.purls, builder.purl_pointers)
    builder.add_string(helper, "cpe", where, builder.cpes, builder.cpe_pointers)


EXTRACTOR: Final[CsafExtractor] = CsafExtractor()
