"""One small document for each rule of schemas/raw-linkset.md, "Extraction"."""

from __future__ import annotations

from typing import Any

import pytest

from kit.transforms.raw_linkset import csaf, cve, ghsa, osv
from kit.transforms.raw_linkset.extractor import Extractor
from kit.transforms.raw_linkset.projection import Extraction, Projection, Reference, Relationship

OSV: dict[str, Any] = {
    "schema_version": "1.6.0",
    "id": "GO-1",
    "modified": "2024-01-01T00:00:00Z",
    "aliases": ["ghsa-x", "CVE-1", "ghsa-x"],
    "upstream": ["UP-1", "UP-1"],
    "related": ["CVE-2", "CVE-2"],
    "affected": [
        {
            "package": {"ecosystem": "Go", "name": "a", "purl": "pkg:GoLang/A?x=y"},
            "database_specific": {"cpes": ["c1"]},
        },
        {"package": {"ecosystem": "Go", "name": "b"}},
        {"package": {"purl": " pkg:golang/b "}, "database_specific": {"other": 1}},
        {"database_specific": None, "package": None},
    ],
    "references": [{"type": "WEB", "url": "u2"}, {"url": "u1"}, {"type": "WEB", "url": "u2"}],
    "database_specific": {"cpes": ["c2", "c1"]},
}

CSAF: dict[str, Any] = {
    "document": {
        "csaf_version": "2.0",
        "tracking": {"id": "ICSA-1", "aliases": ["old", "old"]},
        "references": [{"category": "self", "url": "u", "summary": "s"}, {"url": "u"}],
    },
    "vulnerabilities": [
        {
            "cve": "CVE-1",
            "ids": [{"system_name": "x", "text": "id-1"}],
            "references": [{"category": "external", "url": "v"}],
        },
        {"ids": [{"text": "id-2"}]},
        {"cve": "CVE-1"},
    ],
    "product_tree": {
        "relationships": [
            {
                "full_product_name": {
                    "product_identification_helper": {"purl": "pkg:rpm/last", "cpe": "cpe:/a:last:last"}
                }
            },
            {"category": "default_component_of"},
        ],
        "full_product_names": [{"product_identification_helper": {"cpe": "cpe:/a:flat:flat"}}, {"name": "bare"}],
        "branches": [
            {
                "branches": [
                    {
                        "product": {
                            "product_identification_helper": {"purl": "pkg:rpm/deep", "purls": ["pkg:rpm/deep2"]}
                        }
                    },
                    {"branches": [{"product": {"product_identification_helper": {"cpe": "cpe:/a:deeper:deeper"}}}]},
                ],
                "product": {"product_identification_helper": {"cpe": "cpe:/a:own:own"}},
            },
            {"product": {"product_identification_helper": {"purl": "pkg:rpm/second"}}},
        ],
    },
}

CVE: dict[str, Any] = {
    "dataType": "CVE_RECORD",
    "dataVersion": "5.1",
    "cveMetadata": {"cveId": "CVE-1", "state": "PUBLISHED"},
    "containers": {
        "adp": [
            {
                "providerMetadata": {"shortName": "CISA-ADP"},
                "affected": [{"cpes": ["c4"], "packageURL": "pkg:a/2"}],
                "references": [{"url": "u1", "tags": ["x_transferred"]}],
                "alternateIds": ["ALT-2"],
            },
            {"title": "nothing to take"},
            {"references": [{"url": "u3"}]},
        ],
        "cna": {
            "providerMetadata": {"shortName": "acme"},
            "alternateIds": ["ALT-1"],
            "affected": [{"vendor": "v"}, {"packageURL": "pkg:a/1", "cpes": ["c1", "c1"]}],
            "cpeApplicability": [{"nodes": [{"cpeMatch": [{"criteria": "c2"}, {"criteria": "c3"}]}, {}]}],
            "references": [{"url": "u1", "tags": ["patch", "vendor"]}, {"url": "u2", "tags": []}],
        },
    },
}

GHSA: dict[str, Any] = {
    "ghsa_id": "GHSA-1",
    "cve_id": "CVE-1",
    "url": "https://api.example.org",
    "identifiers": [{"type": "GHSA", "value": "GHSA-1"}, {"type": "CVE", "value": "CVE-1"}],
    "references": ["u1", {"url": "u2"}, "u1"],
}


def test_osv() -> None:
    assert osv.EXTRACTOR.extract(OSV) == Extraction(
        Projection(
            aliases=("GO-1", "ghsa-x", "CVE-1", "ghsa-x"),
            purls=("pkg:GoLang/A?x=y", " pkg:golang/b "),
            cpes=("c1", "c2", "c1"),
            references=(Reference("u2", "WEB"), Reference("u1"), Reference("u2", "WEB")),
            relationships=(
                *(Relationship("upstream", "GO-1", "UP-1"), Relationship("upstream", "GO-1", "UP-1")),
                *(Relationship("related", "GO-1", "CVE-2"), Relationship("related", "GO-1", "CVE-2")),
            ),
            reconciled_from=(
                *("/id", "/aliases/0", "/aliases/1", "/aliases/2"),
                *("/affected/0/package/purl", "/affected/2/package/purl"),
                *("/affected/0/database_specific/cpes/0", "/database_specific/cpes/0", "/database_specific/cpes/1"),
                *("/references/0", "/references/1", "/references/2"),
            ),
        ),
        skipped=0,
    )


def test_csaf_products_are_met_depth_first_and_a_branchs_own_product_first() -> None:
    helper = "product_identification_helper"
    branches = "/product_tree/branches"
    assert csaf.EXTRACTOR.extract(CSAF) == Extraction(
        Projection(
            aliases=("ICSA-1", "old", "old", "CVE-1", "id-1", "id-2", "CVE-1"),
            purls=("pkg:rpm/deep", "pkg:rpm/deep2", "pkg:rpm/second", "pkg:rpm/last"),
            cpes=("cpe:/a:own:own", "cpe:/a:deeper:deeper", "cpe:/a:flat:flat", "cpe:/a:last:last"),
            references=(Reference("u", "self"), Reference("u"), Reference("v", "external")),
            reconciled_from=(
                *("/document/tracking/id", "/document/tracking/aliases/0", "/document/tracking/aliases/1"),
                *("/vulnerabilities/0/cve", "/vulnerabilities/0/ids/0/text", "/vulnerabilities/1/ids/0/text"),
                "/vulnerabilities/2/cve",
                f"{branches}/0/branches/0/product/{helper}/purl",
                f"{branches}/0/branches/0/product/{helper}/purls/0",
                f"{branches}/1/product/{helper}/purl",
                f"/product_tree/relationships/0/full_product_name/{helper}/purl",
                f"{branches}/0/product/{helper}/cpe",
                f"{branches}/0/branches/1/branches/0/product/{helper}/cpe",
                f"/product_tree/full_product_names/0/{helper}/cpe",
                f"/product_tree/relationships/0/full_product_name/{helper}/cpe",
                *("/document/references/0", "/document/references/1", "/vulnerabilities/0/references/0"),
            ),
        ),
        skipped=0,
    )


def test_csaf_product_paths_are_read_as_relationships_were() -> None:
    helper = "product_identification_helper"
    raw = {
        "$schema": "https://docs.oasis-open.org/csaf/csaf/v2.1/schema/csaf.json",
        "document": {
            "category": "csaf_security_advisory",
            "csaf_version": "2.1",
            "distribution": {"tlp": {"label": "CLEAR"}},
            "license_expression": "MIT",
            "title": "t",
            "tracking": {"id": "HARBOR-1", "status": "final", "version": "1"},
        },
        "product_tree": {
            "product_paths": [
                {
                    "beginning_product_reference": "P-1",
                    "full_product_name": {
                        "name": "crane on quay",
                        "product_id": "P-3",
                        helper: {"cpe": "cpe:/a:path", "purls": ["pkg:rpm/path", "pkg:rpm/path2"], "skus": ["s"]},
                    },
                    "subpaths": [{"category": "installed_on", "next_product_reference": "P-2"}],
                },
                {"full_product_name": {"name": "bare", "product_id": "P-4"}},
            ],
            "full_product_names": [{"product_id": "P-1", helper: {"cpe": "cpe:/a:flat"}}],
            "product_groups": [{"group_id": "G-1", "product_ids": ["P-1", "P-2"]}],
        },
        "vulnerabilities": [
            {
                "cve": "CVE-1",
                "cwes": [{"id": "CWE-1"}],
                "disclosure_date": "2026-01-01T00:00:00Z",
                "first_known_exploitation_dates": [{"date": "2026-01-01T00:00:00Z"}],
                "ids": [{"system_name": "x", "text": "id-1", "product_ids": ["P-1"]}],
                "metrics": [{"content": {"epss": {}}, "source": "https://example.org"}],
            }
        ],
        "x_extensions": [{"any": "thing"}],
    }
    path = f"/product_tree/product_paths/0/full_product_name/{helper}"
    assert csaf.EXTRACTOR.extract(raw) == Extraction(
        Projection(
            aliases=("HARBOR-1", "CVE-1", "id-1"),
            purls=("pkg:rpm/path", "pkg:rpm/path2"),
            cpes=("cpe:/a:flat", "cpe:/a:path"),
            reconciled_from=(
                *("/document/tracking/id", "/vulnerabilities/0/cve", "/vulnerabilities/0/ids/0/text"),
                *(f"{path}/purls/0", f"{path}/purls/1"),
                *(f"/product_tree/full_product_names/0/{helper}/cpe", f"{path}/cpe"),
            ),
        ),
        skipped=0,
    )


HELPED = {"product_identification_helper": {"purl": "pkg:rpm/lost", "cpe": "cpe:/a:lost"}}


@pytest.mark.parametrize(
    "unknown",
    [
        {"product_tree": {"product_combinations": [{"full_product_name": HELPED}]}},
        {"product_tree": {"productPaths": [{"full_product_name": HELPED}]}},
        {"product_tree": {"product_paths": [{"products": [HELPED]}]}},
        {"product_tree": {"relationships": [{"product": HELPED}]}},
        {"product_tree": {"branches": [{"full_product_name": HELPED}]}},
        {"product_tree": {"branches": [{"branches": [{"products": [HELPED]}]}]}},
        {"product_tree": {"full_product_names": [{"identification_helper": {"cpe": "cpe:/a:lost"}}]}},
        {"product_tree": {"full_product_names": [{"product_identification_helper": {"cpes": ["cpe:/a:lost"]}}]}},
        {"productTree": {"full_product_names": [HELPED]}},
        {"vulnerability": [{"cve": "CVE-LOST"}]},
        {"vulnerabilities": [{"cves": ["CVE-LOST"]}]},
    ],
)
def test_a_csaf_member_that_no_version_has_is_counted(unknown: dict[str, Any]) -> None:
    extraction = csaf.EXTRACTOR.extract({"document": {"tracking": {"id": "X"}}} | unknown)
    assert (extraction.projection, extraction.skipped) == (
        Projection(aliases=("X",), reconciled_from=("/document/tracking/id",)),
        1,
    )


@pytest.mark.parametrize(
    "unknown",
    [
        {"containers": {"cnaContainer": CVE["containers"]["cna"]}},
        {"containers": {"adpContainer": [{}]}},
        {"cnaContainer": CVE["containers"]["cna"]},
        {"container": {}},
    ],
)
def test_a_cve_container_of_another_name_is_counted(unknown: dict[str, Any]) -> None:
    extraction = cve.EXTRACTOR.extract({"dataVersion": "5.2", "cveMetadata": {"cveId": "CVE-1"}} | unknown)
    assert (extraction.projection, extraction.skipped) == (
        Projection(aliases=("CVE-1",), reconciled_from=("/cveMetadata/cveId",)),
        1,
    )


def test_private_extensions_of_a_cve_record_are_no_unknown_containers() -> None:
    raw = CVE | {"x_top": {}, "containers": CVE["containers"] | {"x_more": {}}}
    assert cve.EXTRACTOR.extract(raw) == cve.EXTRACTOR.extract(CVE)


def test_cve_takes_the_cna_container_first_wherever_it_stands() -> None:
    cna, adp = "/containers/cna", "/containers/adp"
    assert cve.EXTRACTOR.extract(CVE) == Extraction(
        Projection(
            aliases=("CVE-1", "ALT-1", "ALT-2"),
            purls=("pkg:a/1", "pkg:a/2"),
            cpes=("c1", "c1", "c2", "c3", "c4"),
            references=(
                Reference("u1", "patch", "acme"),
                Reference("u2", "reference", "acme"),
                Reference("u1", "x_transferred", "CISA-ADP"),
                Reference("u3", "reference"),
            ),
            reconciled_from=(
                *("/cveMetadata/cveId", f"{cna}/alternateIds/0", f"{adp}/0/alternateIds/0"),
                *(f"{cna}/affected/1/packageURL", f"{adp}/0/affected/0/packageURL"),
                *(f"{cna}/affected/1/cpes/0", f"{cna}/affected/1/cpes/1"),
                f"{cna}/cpeApplicability/0/nodes/0/cpeMatch/0/criteria",
                f"{cna}/cpeApplicability/0/nodes/0/cpeMatch/1/criteria",
                f"{adp}/0/affected/0/cpes/0",
                *(f"{cna}/references/0", f"{cna}/references/1", f"{adp}/0/references/0", f"{adp}/2/references/0"),
            ),
        ),
        skipped=0,
    )


def test_a_rejected_cve_record_has_its_identifier_and_not_what_replaced_it() -> None:
    rejected = {
        "dataVersion": "5.1",
        "cveMetadata": {"cveId": "CVE-1", "state": "REJECTED"},
        "containers": {"cna": {"rejectedReasons": [{"value": "dup"}], "replacedBy": ["CVE-2"]}},
    }
    extraction = cve.EXTRACTOR.extract(rejected)
    assert extraction == Extraction(Projection(aliases=("CVE-1",), reconciled_from=("/cveMetadata/cveId",)), 0)


def test_cve_containers_beyond_the_usual_number_keep_their_pointers() -> None:
    added = [{"references": [{"url": f"u{index}"}]} for index in range(7)]
    raw = {"cveMetadata": {"cveId": "CVE-1"}, "containers": {"adp": added}}
    pointers = cve.EXTRACTOR.extract(raw).projection.reconciled_from
    assert pointers[1:] == tuple(f"/containers/adp/{index}/references/0" for index in range(7))


def test_ghsa() -> None:
    assert ghsa.EXTRACTOR.extract(GHSA) == Extraction(
        Projection(
            aliases=("GHSA-1", "CVE-1", "GHSA-1", "CVE-1"),
            references=(Reference("u1", "reference"), Reference("u2", "reference"), Reference("u1", "reference")),
            reconciled_from=(
                *("/ghsa_id", "/cve_id", "/identifiers/0/value", "/identifiers/1/value"),
                *("/references/0", "/references/1", "/references/2"),
            ),
        ),
        skipped=0,
    )


def test_a_ghsa_without_a_cve_has_lost_nothing() -> None:
    assert ghsa.EXTRACTOR.extract({"ghsa_id": "GHSA-1", "cve_id": None, "references": None}).skipped == 0


@pytest.mark.parametrize("count", [127, 128, 129, 1000])
def test_lists_of_any_length_have_all_their_pointers(count: int) -> None:
    raw = {"id": "X", "aliases": [f"A-{index}" for index in range(count)]}
    pointers = osv.EXTRACTOR.extract(raw).projection.reconciled_from
    assert pointers == ("/id", *(f"/aliases/{index}" for index in range(count)))


def test_a_value_lost_in_the_middle_moves_no_pointer() -> None:
    raw: dict[str, Any] = {
        "id": "X",
        "aliases": ["A", 1, "B"],
        "references": [{"url": "u"}, {"url": 1}, {"url": "v", "type": "T"}] + [{"url": "w"}] * 200,
    }
    extraction = osv.EXTRACTOR.extract(raw)
    assert extraction.skipped == 2
    later = [f"/references/{index}" for index in range(3, 203)]
    assert list(extraction.projection.reconciled_from) == [
        *("/id", "/aliases/0", "/aliases/2", "/references/0", "/references/2"),
        *later,
    ]


@pytest.mark.parametrize(
    ("extractor", "raw", "skipped"),
    [
        (osv.EXTRACTOR, {"id": 5, "aliases": ["A"]}, 1),
        (osv.EXTRACTOR, {"id": "X", "aliases": ["A", None, 5, ["B"]]}, 3),
        (osv.EXTRACTOR, {"id": "X", "aliases": None, "upstream": None, "affected": None, "references": None}, 0),
        (osv.EXTRACTOR, {"id": "X", "aliases": "A", "upstream": {}, "affected": {}, "references": 0}, 4),
        (osv.EXTRACTOR, {"id": "X", "affected": [5, {"package": []}, {"package": {"purl": 5}}]}, 3),
        (osv.EXTRACTOR, {"id": "X", "affected": [{"database_specific": []}, {"database_specific": {"cpes": 1}}]}, 2),
        (osv.EXTRACTOR, {"id": "X", "references": ["u", {}, {"url": "u", "type": 5}]}, 3),
        (osv.EXTRACTOR, {"id": "X", "related": ["A", 5], "database_specific": 5}, 2),
        (osv.EXTRACTOR, {"id": "X", "related": "A"}, 1),
        (csaf.EXTRACTOR, {"document": [], "product_tree": 5, "vulnerabilities": {}}, 3),
        (csaf.EXTRACTOR, {"document": {"tracking": {"id": None, "aliases": [5]}}}, 2),
        (csaf.EXTRACTOR, {"vulnerabilities": [5, {"cve": 5, "ids": [5, {"text": 5}], "references": [5]}]}, 5),
        (csaf.EXTRACTOR, {"document": {"references": [{"category": "self"}, {"url": "u", "category": 5}]}}, 2),
        (csaf.EXTRACTOR, {"product_tree": {"branches": [5, {"branches": 5}, {"product": 5}]}}, 3),
        (csaf.EXTRACTOR, {"product_tree": {"full_product_names": [5, {"product_identification_helper": 5}]}}, 2),
        (csaf.EXTRACTOR, {"product_tree": {"relationships": [5, {"full_product_name": 5}]}}, 2),
        (
            csaf.EXTRACTOR,
            {"product_tree": {"branches": [{"product": {"product_identification_helper": {"purls": [5], "cpe": 5}}}]}},
            2,
        ),
        (cve.EXTRACTOR, {"cveMetadata": 5, "containers": []}, 2),
        (cve.EXTRACTOR, {"cveMetadata": {"cveId": 5}, "containers": {"cna": 5, "adp": [5, None]}}, 4),
        (cve.EXTRACTOR, {"containers": {"cna": {"providerMetadata": {"shortName": 5}, "references": []}}}, 1),
        (cve.EXTRACTOR, {"containers": {"cna": {"affected": [5, {"packageURL": 5, "cpes": [5]}, {"cpes": 5}]}}}, 4),
        (
            cve.EXTRACTOR,
            {"containers": {"cna": {"cpeApplicability": [{"nodes": [{"cpeMatch": [{"criteria": 5}]}]}]}}},
            1,
        ),
        (cve.EXTRACTOR, {"containers": {"cna": {"references": [5, {}, {"url": "u", "tags": [5]}]}}}, 3),
        (
            cve.EXTRACTOR,
            {"containers": {"cna": {"references": [{"url": "u", "tags": {}}, {"url": "u", "tags": 0}]}}},
            2,
        ),
        (ghsa.EXTRACTOR, {"ghsa_id": None, "cve_id": 5, "identifiers": [5, {}], "references": [5, {}]}, 6),
        (ghsa.EXTRACTOR, {"identifiers": 5, "references": {}}, 2),
    ],
)
def test_what_does_not_fit_is_skipped_and_counted(extractor: Extractor, raw: dict[str, Any], skipped: int) -> None:
    assert extractor.extract(raw).skipped == skipped


@pytest.mark.parametrize(
    ("extractor", "raw", "reason"),
    [
        (osv.EXTRACTOR, OSV | {"schema_version": "2.0.0"}, "schema_version is '2.0.0', not OSV 1.x"),
        (osv.EXTRACTOR, {"summary": "x", "related": ["A"]}, "it has no OSV identifier at /id"),
        (csaf.EXTRACTOR, {"document": {"csaf_version": "1.2"}}, "csaf_version is '1.2', not 2.0 or 2.1"),
        (csaf.EXTRACTOR, {"document": {"csaf_version": "2.0"}}, "it has no id at /document/tracking/id"),
        (cve.EXTRACTOR, CVE | {"dataVersion": "4.0"}, "dataVersion is '4.0', not CVE JSON 5.x"),
        (cve.EXTRACTOR, {"CVE_data_meta": {"ID": "CVE-1"}}, "it has no CVE id at /cveMetadata/cveId"),
        (ghsa.EXTRACTOR, {"ghsaId": "GHSA-1"}, "it has no GHSA id at /ghsa_id"),
    ],
)
def test_a_document_of_another_format_or_version_is_refused(
    extractor: Extractor, raw: dict[str, Any], reason: str
) -> None:
    assert extractor.extract(raw).refusal == reason


@pytest.mark.parametrize("version", ["1", "1.0.0", "1.9", 1, None])
def test_every_osv_1_is_read(version: object) -> None:
    assert osv.EXTRACTOR.extract({"id": "X", "schema_version": version}).refusal is None


@pytest.mark.parametrize("version", ["5", "5.0", "5.2", 5])
def test_every_cve_5_is_read(version: object) -> None:
    assert cve.EXTRACTOR.extract(CVE | {"dataVersion": version}).refusal is None


def test_an_extractor_reads_only_what_it_needs() -> None:
    for extractor, raw in ((osv.EXTRACTOR, OSV), (csaf.EXTRACTOR, CSAF), (cve.EXTRACTOR, CVE), (ghsa.EXTRACTOR, GHSA)):
        rooted = {name: value for name, value in raw.items() if name in extractor.needs}
        assert extractor.extract(rooted) == extractor.extract(raw)
        assert extractor.recognises(rooted)
        assert extractor.recognises(raw)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"csaf_version": "2.0"}, {"csaf_version": 2, "tracking": {"id": "x"}}]
)
def test_csaf_is_recognised_by_version_and_id_only(document: object) -> None:
    assert not csaf.EXTRACTOR.recognises({"document": document})


def test_a_product_tree_of_any_depth_is_walked() -> None:
    tree: dict[str, Any] = {"product": {"product_identification_helper": {"purl": "pkg:deep/est"}}}
    for _ in range(5000):
        tree = {"branches": [tree]}
    raw = {"document": {"tracking": {"id": "X"}}, "product_tree": tree}
    assert csaf.EXTRACTOR.extract(raw).projection.purls == ("pkg:deep/est",)
