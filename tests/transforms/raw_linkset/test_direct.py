"""The direct ways give what their twins give, or nothing; they are the same compiled and interpreted."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import index
from kit.errors import KitError
from kit.transforms.raw_linkset import csaf, cve, divergence, osv, shape
from kit.transforms.raw_linkset.element import encode_element
from kit.transforms.raw_linkset.extractor import Extractor
from kit.transforms.raw_linkset.fields import Fields, decode
from kit.transforms.raw_linkset.projection import from_linkset
from kit.transforms.raw_linkset.shape import Place
from tests.transforms.raw_linkset.published_data import advisories

pytest.importorskip("librt", reason="mypyc's run-time library is not installed")

from kit.transforms.raw_linkset.direct import agreement, cve as direct_cve, linkset, osv as direct_osv
from kit.transforms.raw_linkset.direct.asked import Direct

TWINS: dict[str, tuple[Direct, Extractor]] = {
    "cve": (direct_cve.cve_element, cve.EXTRACTOR),
    "osv": (direct_osv.osv_element, osv.EXTRACTOR),
}
both = pytest.mark.parametrize("name", TWINS)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.binary(max_size=3) | TEXT
REST = st.dictionaries(
    st.sampled_from(["url", "purl", "cpes", "$ref", "x", "é"]), ODD | st.lists(TEXT, max_size=2), max_size=2
)


def mostly(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One in twelve is something else."""
    return st.integers(0, 11).flatmap(lambda chance: value if chance else ODD)


def holding(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.fixed_dictionaries({}, optional={name: mostly(value) for name, value in members.items()})
    return st.tuples(some, REST | st.just({})).map(lambda two: {**two[1], **two[0]})


def several(value: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(value, max_size=most)


REFERENCE = holding(url=TEXT, type=TEXT, tags=several(TEXT)).map(lambda one: {"url": "u", **one})
CONTAINER = holding(
    providerMetadata=holding(shortName=TEXT),
    alternateIds=several(TEXT),
    affected=several(holding(packageURL=TEXT, cpes=several(TEXT))),
    cpeApplicability=several(holding(nodes=several(holding(cpeMatch=several(holding(criteria=TEXT)))))),
    references=several(mostly(REFERENCE), 13),
)
DOCUMENTS = {
    "cve": holding(
        dataVersion=st.sampled_from(["5.1", "5.", "5", "4.0"]),
        cveMetadata=holding(cveId=TEXT),
        containers=holding(cna=CONTAINER, adp=several(CONTAINER), cnaContainer=CONTAINER, x_more=TEXT),
        dataType=TEXT,
        cnaContainer=CONTAINER,
    ).map(lambda one: {"dataVersion": "5.1", "cveMetadata": {"cveId": "CVE-1"}, "containers": {"cna": {}}, **one}),
    "osv": holding(
        id=TEXT,
        schema_version=st.sampled_from(["1.6.0", "1", "2.0"]),
        modified=TEXT,
        aliases=several(TEXT),
        upstream=several(TEXT),
        related=several(TEXT),
        affected=several(holding(package=holding(purl=TEXT, name=TEXT), database_specific=holding(cpes=several(TEXT)))),
        references=several(mostly(REFERENCE)),
        database_specific=holding(cpes=several(TEXT), severity=TEXT),
    ).map(lambda one: {"id": "X", **one}),
}
TEXTS = several(TEXT, 4)
LINKSETS = holding(
    aliases=TEXTS,
    purls=TEXTS,
    cpes=TEXTS,
    references=several(holding(url=TEXT, type=TEXT, source=TEXT).map(lambda one: {"url": "u", **one})),
    scopes=TEXTS,
    relationships=several(holding(type=TEXT, source=TEXT, target=TEXT)),
    reconciled_from=TEXTS,
    reconciledFrom=TEXTS,
    notes=st.just({}),
).map(lambda one: {"aliases": ["A"], **one})


def raw_twin(extractor: Extractor, document: bytes) -> bytes | None:
    """Give the element by way of the decoded document; None where anything at all is not plain."""
    fields = Fields(document)
    found = fields.find(Place.parse("raw"))
    if found is None or b"__encrypted" in index(document, found[1]):
        return None
    extraction = extractor.extract(fields.only(found, extractor.needs))
    plain = extraction.refusal is None and not extraction.skipped
    return encode_element(extraction.projection) if plain else None


def raw_element(read: Direct, document: bytes) -> bytes | None:
    return read(document, index(document, index(document)[b"raw"][1]))


def linkset_twin(document: bytes) -> bytes | None:
    fields = Fields(document)
    found = fields.subdocument(shape.ADVISORY_RAW.linkset)
    assert found is not None
    extraction = from_linkset(found, fields.subdocument(shape.ADVISORY_RAW.identifiers))
    return encode_element(extraction.projection) if not extraction.skipped else None


def linkset_element(document: bytes) -> bytes | None:
    fields = Fields(document)
    found = fields.find(shape.ADVISORY_RAW.linkset)
    assert found is not None
    return linkset.linkset_element(document, found[1], fields.find(shape.ADVISORY_RAW.identifiers))


@both
@settings(deadline=None)
@given(data=st.data())
def test_an_element_is_the_twins(name: str, data: st.DataObject) -> None:
    read, extractor = TWINS[name]
    document = bson.encode({"_id": 1, "raw": data.draw(DOCUMENTS[name]), "after": "x"})
    given_element = raw_element(read, document)
    assert given_element is None or given_element == raw_twin(extractor, document)


@both
@settings(deadline=None)
@given(data=st.data())
def test_of_a_spoiled_document_nothing_else_is_made(name: str, data: st.DataObject) -> None:
    read, extractor = TWINS[name]
    spoiled = bytearray(bson.encode({"raw": data.draw(DOCUMENTS[name])}))
    spoiled[data.draw(st.integers(9, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        given_element = raw_element(read, bytes(spoiled))
    except (KitError, KeyError):  # the level above is broken
        return
    assert given_element is None or given_element == raw_twin(extractor, bytes(spoiled))


@settings(deadline=None)
@given(LINKSETS, st.none() | st.just({"aliases": ["B"]}) | ODD)
def test_a_copied_linkset_is_the_twins(document: dict[str, Any], identifiers: Any) -> None:
    data = bson.encode({"_id": 1, "linkset": document, "identifiers": identifiers})
    given_element = linkset_element(data)
    assert given_element is None or given_element == linkset_twin(data)


@settings(deadline=None)
@given(LINKSETS, st.data())
def test_of_a_spoiled_linkset_nothing_else_is_made(document: dict[str, Any], data: st.DataObject) -> None:
    spoiled = bytearray(bson.encode({"linkset": document}))
    spoiled[data.draw(st.integers(17, len(spoiled) - 3))] ^= data.draw(st.integers(1, 255))
    given_element = linkset_element(bytes(spoiled))
    assert given_element is None or given_element == linkset_twin(bytes(spoiled))


ALIKE = st.lists(
    st.sampled_from(["a", "A", "b", "é", "É", "pkg:npm/a", "cpe:2.3:a:b:c", "https://example.org/1"]), max_size=6
)
OBSERVED = st.fixed_dictionaries(
    {
        "aliases": ALIKE,
        "purls": ALIKE,
        "cpes": ALIKE,
        "references": ALIKE.map(lambda urls: [{"url": url} for url in urls]),
    }
)


@settings(deadline=None)
@given(OBSERVED, OBSERVED | LINKSETS, st.booleans())
def test_agreement_is_the_twins(ours: dict[str, Any], theirs: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    projection = from_linkset(ours, None).projection
    observed = {**theirs, **{name: ours[name][::-1] for name in ours}} if same else theirs
    document = bson.encode({"linkset": observed})
    if agreement.agrees(encode_element(projection), document, index(document)[b"linkset"][1]):
        assert divergence.compare(projection, decode(document)["linkset"]) is None


@settings(deadline=None)
@given(OBSERVED, st.data())
def test_agreement_of_a_spoiled_linkset_is_the_twins(ours: dict[str, Any], data: st.DataObject) -> None:
    projection = from_linkset(ours, None).projection
    spoiled = bytearray(bson.encode({"linkset": ours}))
    spoiled[data.draw(st.integers(17, len(spoiled) - 3))] ^= data.draw(st.integers(1, 255))
    if agreement.agrees(encode_element(projection), bytes(spoiled), 13):
        fields = Fields(bytes(spoiled))
        found = fields.subdocument(shape.OBSERVATION.linkset)
        assert found is not None
        assert divergence.compare(projection, found) is None


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("cve", {"containers": {"cna": {}, "cnaContainer": {"references": [{"url": "lost"}]}}}),
        ("cve", {"containers": {"cna": {}}, "cnaContainer": {"references": [{"url": "lost"}]}}),
        ("cve", {"containers": {"cna": {}, "\u00e9": 1}}),
        ("csaf", {"product_tree": {"productPaths": []}}),
        ("csaf", {"productTree": {}}),
        ("csaf", {"document": {"tracking": {"id": "X", "alias": "lost"}}}),
        ("csaf", {"vulnerabilities": [{"cves": ["lost"]}]}),
    ],
)
def test_an_unknown_container_is_left_to_the_twin_which_counts_it_undecoded(name: str, raw: dict[str, Any]) -> None:
    bases: dict[str, dict[str, Any]] = {
        "cve": {"dataVersion": "5.2", "cveMetadata": {"cveId": "CVE-1"}},
        "csaf": {"document": {"tracking": {"id": "X"}}},
    }
    document = bson.encode({"raw": bases[name] | raw})
    fields = Fields(document)
    found = fields.find(Place.parse("raw"))
    assert found is not None
    extractors: dict[str, Extractor] = {"cve": cve.EXTRACTOR, "csaf": csaf.EXTRACTOR}
    extractor = extractors[name]
    extraction = extractor.extract(fields.only(found, extractor.needs))
    assert (extraction.skipped, extraction.refusal) == (1, None)
    assert name not in TWINS or raw_element(TWINS[name][0], document) is None


PUBLISHED = {"cve": ("cisa-vulnrichment.sample",), "osv": ("go-vulndb-osv", "pypa")}


@both
def test_published_advisories_are_read_directly(name: str) -> None:
    read, extractor = TWINS[name]
    met = plain = 0
    for source in PUBLISHED[name]:
        for number, record in enumerate(advisories(source)):
            if number % 20:
                continue
            document = bson.encode({"raw": record.get("raw", record)})
            expected = raw_twin(extractor, document)
            given_element = raw_element(read, document)
            assert given_element is None or given_element == expected
            met += expected is not None
            plain += given_element is not None
    assert plain == met > 100


@both
def test_a_plain_document_is_never_in_doubt(name: str) -> None:
    reference = {"url": "https://example.org", "type": "WEB", "tags": ["vendor-advisory", "x"]}
    product = {"packageURL": "pkg:npm/a", "cpes": ["cpe:2.3:a:b:c", "d"], "vendor": "v", "versions": [{"version": "1"}]}
    container = {
        "providerMetadata": {"orgId": "o", "shortName": "s"},
        "alternateIds": ["ALT-1"],
        "affected": [product, {}, product],
        "cpeApplicability": [{"nodes": [{"cpeMatch": [{"criteria": "cpe:2.3:a:b:c", "vulnerable": True}]}]}],
        "references": [reference] * 12,
    }
    plain = {
        "cve": {
            "dataVersion": "5.1",
            "cveMetadata": {"cveId": "CVE-1", "state": "PUBLISHED"},
            "containers": {"cna": container, "adp": [container, {}]},
        },
        "osv": {
            "schema_version": "1.6.0",
            "id": "GO-1",
            "modified": "2024",
            "aliases": ["CVE-1"],
            "upstream": ["CVE-2"],
            "related": ["CVE-3"],
            "affected": [
                {"package": {"purl": "pkg:npm/a", "name": "a"}, "database_specific": {"cpes": ["c"], "score": 1.5}}
            ],
            "references": [reference],
            "database_specific": {"cpes": ["e"], "url": "u"},
        },
    }
    read, extractor = TWINS[name]
    document = bson.encode({"raw": plain[name]})
    assert raw_element(read, document) == raw_twin(extractor, document) is not None
