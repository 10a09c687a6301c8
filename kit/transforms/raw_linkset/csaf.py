"""CSAF 2.0 and 2.1 (https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html): security advisories and VEX.

==========  =========================================================================================================
aliases     ``/document/tracking/id``, ``/document/tracking/aliases/*`` (section 3.2.1.12), then for each of
            ``/vulnerabilities/*`` its ``cve`` and its ``ids/*/text`` (3.2.3.2, 3.2.3.6)
purls       ``purl`` (2.0), then ``purls/*`` (2.1) of every ``product_identification_helper`` (3.1.3.3)
cpes        ``cpe`` of the same helpers
references  ``/document/references/*``, then each ``/vulnerabilities/*/references/*``: ``category``, ``url``
==========  =========================================================================================================

Helpers are met walking ``product_tree`` depth first: ``branches``, ``full_product_names``, then
``relationships/*/full_product_name`` (3.2.2); within a branch its ``product``, then its ``branches``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.transforms.raw_linkset.extractor import Needs
from kit.transforms.raw_linkset.projection import EMPTY, Extraction, Reference
from kit.transforms.raw_linkset.taking import Gathered, Pointers, take_strings

_VERSIONS: Final = frozenset({"2.0", "2.1"})
_TRACKING_ALIASES: Final = Pointers("/document/tracking/aliases")
_HELPER: Final = "product_identification_helper"


_NEEDS: Final[Needs] = {
    "document": {"csaf_version": None, "tracking": {"id": None, "aliases": None}, "references": None},
    "product_tree": None,
    "vulnerabilities": {"cve": None, "ids": None, "references": None},
}


@dataclass(frozen=True, slots=True)
class CsafExtractor:
    """Reads CSAF 2.0 and 2.1, every profile."""

    name: str = "csaf"
    formats: frozenset[str] = frozenset({"csaf", "csaf-2", "csaf-json", "csaf-json-2", "csaf-vex", "csaf-vex-2"})
    needs: Needs = field(default_factory=lambda: _NEEDS, hash=False, compare=False)

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Ask for ``document.csaf_version`` (section 3.2.1.4) and a tracking id."""
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
        """Project ``raw``; refused if it states another version or has no identifier at all."""
        got = Gathered()
        document = got.member(raw, "document")
        version = document.get("csaf_version")
        if type(version) is str and version not in _VERSIONS:
            return Extraction(EMPTY, 0, f"csaf_version is {version!r}, not 2.0 or 2.1")
        tracking = got.member(document, "tracking")
        got.take(tracking, "id", "/document/tracking", got.aliases, got.alias_pointers)
        got.skipped += take_strings(tracking.get("aliases"), _TRACKING_ALIASES, got.aliases, got.alias_pointers)
        _take_references(document.get("references"), "/document/references", got)
        for index, vulnerability in got.objects(raw.get("vulnerabilities")):
            _take_vulnerability(vulnerability, f"/vulnerabilities/{index}", got)
        _walk_product_tree(got.member(raw, "product_tree"), got)
        return got.extraction("it has no id at /document/tracking/id")


def _take_vulnerability(vulnerability: dict[str, Any], where: str, got: Gathered) -> None:
    got.take(vulnerability, "cve", where, got.aliases, got.alias_pointers)
    for index, identifier in got.objects(vulnerability.get("ids")):
        got.take(identifier, "text", f"{where}/ids/{index}", got.aliases, got.alias_pointers)
    _take_references(vulnerability.get("references"), f"{where}/references", got)


def _take_references(values: object, where: str, got: Gathered) -> None:
    for index, reference in got.objects(values):
        url = reference.get("url")
        if type(url) is str:
            got.references.append(Reference(url, got.text(reference, "category")))
            got.reference_pointers.append(f"{where}/{index}")
        else:
            got.skipped += 1


def _walk_product_tree(tree: dict[str, Any], got: Gathered) -> None:
    _walk_branches(tree.get("branches"), "/product_tree/branches", got)
    for index, product in got.objects(tree.get("full_product_names")):
        _take_product(product, f"/product_tree/full_product_names/{index}", got)
    for index, relationship in got.objects(tree.get("relationships")):
        product = got.member(relationship, "full_product_name")
        _take_product(product, f"/product_tree/relationships/{index}/full_product_name", got)


def _walk_branches(branches: object, where: str, got: Gathered) -> None:
    # A stack, not recursion: the depth is the upstream's choice, and an extractor never raises.
    pending = [(f"{where}/{index}", branch) for index, branch in reversed(got.objects(branches))]
    while pending:
        here, branch = pending.pop()
        if "product" in branch:
            _take_product(got.member(branch, "product"), f"{here}/product", got)
        if "branches" in branch:
            children = got.objects(branch["branches"])
            pending += [(f"{here}/branches/{index}", child) for index, child in reversed(children)]


def _take_product(product: dict[str, Any], where: str, got: Gathered) -> None:
    if _HELPER not in product:
        return
    helper = got.member(product, _HELPER)
    where = f"{where}/{_HELPER}"
    got.take(helper, "purl", where, got.purls, got.purl_pointers)
    got.strings(helper.get("purls"), f"{where}/purls", got.purls, got.purl_pointers)
    got.take(helper, "cpe", where, got.cpes, got.cpe_pointers)


EXTRACTOR: Final[CsafExtractor] = CsafExtractor()
