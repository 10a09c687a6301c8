"""What the core extracts of each format, copies of a snapshot and gives to the lookup is what the reference does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import bson
import pytest
from hypothesis import given, settings, strategies as st

from kit.documents import core
from kit.transforms.raw_linkset import RawLinkset, csaf, cve, registry, runs, shape
from kit.transforms.raw_linkset.extractor import Extractor, Needs
from kit.transforms.raw_linkset.runs import CACHE, SNAPSHOT
from kit.values import CollectionName
from tests.kits import snapshot
from tests.tiers import examples
from tests.transforms.raw_linkset.altered import NUMBERS, agreeing, altered, csaf as csaf_document, ghsa, record
from tests.transforms.raw_linkset.both import hold_together, needs_core
from tests.transforms.raw_linkset.published_data import ADVISORIES, KITS, advisories, collection
from tests.transforms.raw_linkset.test_transform import DTO, RAW, cached

pytestmark = needs_core

FORMATS = ("osv", "csaf", "cve", "ghsa")
all_formats = pytest.mark.parametrize("name", FORMATS)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.binary(max_size=3) | TEXT
REST = st.dictionaries(
    st.sampled_from(["url", "purl", "cpes", "$ref", "x", "x_y", "é"]), ODD | st.lists(TEXT, max_size=2), max_size=2
)


def mostly(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One in twelve is something else."""
    return st.integers(0, 11).flatmap(lambda chance: value if chance else ODD)


def holding(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.fixed_dictionaries({}, optional={name: mostly(value) for name, value in members.items()})
    return st.tuples(some, st.just({}) | st.just({}) | REST).map(lambda two: {**two[1], **two[0]})


def several(value: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(value, max_size=most)


REFERENCE = holding(url=TEXT, type=TEXT, tags=several(TEXT), category=TEXT).map(lambda one: {"url": "u", **one})
CONTAINER = holding(
    providerMetadata=holding(shortName=TEXT),
    alternateIds=several(TEXT),
    affected=several(holding(packageURL=TEXT, cpes=several(TEXT))),
    cpeApplicability=several(holding(nodes=several(holding(cpeMatch=several(holding(criteria=TEXT)))))),
    references=several(mostly(REFERENCE), 13),
)
PRODUCT = holding(name=TEXT, product_identification_helper=holding(purl=TEXT, purls=several(TEXT), cpe=TEXT))
BRANCH = holding(name=TEXT, product=PRODUCT)
BRANCHES = several(holding(category=TEXT, branches=several(holding(branches=several(BRANCH), product=PRODUCT))))
COMBINED = several(holding(category=TEXT, full_product_name=PRODUCT))
DOCUMENTS = {
    "cve": holding(
        dataVersion=st.sampled_from(["5.1", "5.", "5", "4.0"]),
        cveMetadata=holding(cveId=TEXT),
        containers=holding(cna=CONTAINER, adp=several(CONTAINER)),
        dataType=TEXT,
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
    "csaf": holding(
        product_tree=holding(
            branches=BRANCHES, full_product_names=several(PRODUCT), relationships=COMBINED, product_paths=COMBINED
        ),
        vulnerabilities=several(holding(cve=TEXT, ids=several(holding(text=TEXT)), references=several(REFERENCE))),
        document=holding(
            csaf_version=st.sampled_from(["2.0", "2.1", "1.2"]),
            tracking=holding(id=TEXT, aliases=several(TEXT)).map(lambda one: {"id": "X", **one}),
            references=several(REFERENCE),
            title=TEXT,
        ).map(lambda one: {"tracking": {"id": "X"}, **one}),
    ).map(lambda one: {"document": {"csaf_version": "2.0", "tracking": {"id": "X"}}, **one}),
    "ghsa": holding(
        cve_id=TEXT,
        ghsa_id=TEXT,
        identifiers=several(holding(value=TEXT, type=TEXT)),
        references=several(TEXT | REFERENCE),
    ).map(lambda one: {"ghsa_id": "X", **one}),
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
    notes=st.dictionaries(TEXT.map(lambda text: text.replace("\0", "")), TEXT, max_size=1),
).map(lambda one: {"aliases": ["A"], **one})


def observed(name: str, raw: Any, **changes: Any) -> bytes:
    content = {"format": name, "raw": raw, "after": "x"}
    return bson.encode({"_id": 1, "tenant": "t", "content": content, "linkset": agreeing(name, raw), **changes})


def spoil(document: bytes, first: int, data: st.DataObject) -> bytes:
    """Change a byte, but not the frame, which the framing has seen to."""
    spoiled = bytearray(document)
    spoiled[data.draw(st.integers(first, len(spoiled) - 2))] ^= data.draw(st.integers(1, 255))
    return bytes(spoiled)


@all_formats
@settings(deadline=None)
@given(data=st.data())
def test_what_is_extracted_is_what_the_reference_extracts(name: str, data: st.DataObject) -> None:
    document = observed(name, data.draw(DOCUMENTS[name]))
    hold_together(RawLinkset(), [document])


@all_formats
@settings(deadline=None)
@given(data=st.data())
def test_of_a_spoiled_document_nothing_else_is_made(name: str, data: st.DataObject) -> None:
    document = observed(name, data.draw(DOCUMENTS[name]))
    hold_together(RawLinkset(), [spoil(document, document.index(b"\3raw\0") + 5, data)])


def hold_pairs(name: CollectionName, document: bytes) -> bool:
    """Check that what the core gives to the lookup is what the reference gives; return whether it gave anything."""
    kind, where = (SNAPSHOT, shape.ADVISORY_RAW) if name == RAW else (CACHE, shape.DTO)
    (pair,) = runs.pairs(shape.NAMES, where, kind, name.database, [document])
    if pair is not None:
        assert pair == RawLinkset()._pair(name, document)
    return pair is not None


@settings(deadline=None)
@given(LINKSETS, st.none() | st.just({"aliases": ["B"]}) | ODD, st.data())
def test_a_copied_linkset_is_the_references(linkset: dict[str, Any], identifiers: Any, data: st.DataObject) -> None:
    document = bson.encode(snapshot(1, linkset=linkset, identifiers=identifiers))
    if data.draw(st.booleans()):
        document = spoil(document, 4, data)
    hold_pairs(RAW, document)


@settings(deadline=None, max_examples=examples(300))
@given(NUMBERS, st.data())
def test_an_altered_snapshot_gives_to_the_lookup_what_its_fields_say(number: int, data: st.DataObject) -> None:
    linkset = {
        "aliases": ["a", "b"],
        "references": [{"url": "u", "type": "t", "source": "s"}],
        "relationships": [{"type": "t", "source": "s", "target": "x"}, {}],
        "scopes": ["s"],
        "reconciled_from": ["/a"],
        "notes": {},
    }
    hold_pairs(RAW, altered(snapshot(number, linkset=linkset), data))


@settings(deadline=None)
@given(data=st.data())
def test_an_altered_payload_gives_to_the_lookup_what_its_fields_say(data: st.DataObject) -> None:
    name, payload = data.draw(st.sampled_from([("cve", record(1)), ("CSAF", csaf_document(1)), ("ghsa", ghsa(1))]))
    hold_pairs(DTO, altered(cached(1, format=name, payload=payload), data))


def test_plain_snapshots_and_payloads_are_read_by_the_core() -> None:
    assert hold_pairs(RAW, bson.encode(snapshot(1)))
    assert hold_pairs(RAW, bson.encode(snapshot(1, linkset={}, identifiers={"aliases": ["x"]})))
    assert hold_pairs(DTO, bson.encode(cached(1)))


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
@given(ours=OBSERVED, theirs=OBSERVED | LINKSETS, same=st.booleans(), data=st.data())
def test_agreement_is_the_references(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    same: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    linkset = {**theirs, **{name: ours[name][::-1] for name in ours}} if same else theirs
    raw = {
        "id": "a",
        "aliases": ours["aliases"],
        "affected": [{"package": {"purl": purl}} for purl in ours["purls"]],
        "database_specific": {"cpes": ours["cpes"]},
        "references": ours["references"],
    }
    document = observed("osv", raw, linkset=linkset)
    if data.draw(st.booleans()):
        document = spoil(document, document.rindex(b"\3linkset\0") + 9, data)
    hold_together(RawLinkset(), [document])


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
def test_an_unknown_container_is_left_to_the_reference_which_counts_it(name: str, raw: dict[str, Any]) -> None:
    bases: dict[str, dict[str, Any]] = {
        "cve": {"dataVersion": "5.2", "cveMetadata": {"cveId": "CVE-1"}},
        "csaf": {"document": {"tracking": {"id": "X"}}},
    }
    document = observed(name, bases[name] | raw)
    assert hold_together(RawLinkset(), [document]) == [0]


PLAIN = {
    "cve": record(1)
    | {"dataType": "CVE_RECORD", "x_generator": 1}
    | {"containers": {"cna": record(1)["containers"]["cna"], "adp": [{}, {"references": None}], "x_other": 1}},
    "osv": {
        "schema_version": "1.6.0",
        "id": "GO-1",
        "modified": "2024",
        "aliases": ["CVE-1"],
        "upstream": ["CVE-2"],
        "related": None,
        "affected": [
            {"package": {"purl": "pkg:npm/a", "name": "a"}, "database_specific": {"cpes": ["c"], "score": 1.5}},
            {"package": None, "ranges": [{"$ref": 1}]},
        ],
        "references": [{"url": "https://example.org", "type": "WEB"}] * 12,
        "database_specific": {"cpes": ["e"], "url": "u", "é": [{}]},
    },
    "csaf": csaf_document(1),
    "ghsa": ghsa(1) | {"severity": "low"},
}


@all_formats
def test_a_plain_document_is_never_left_to_the_reference(name: str) -> None:
    documents = [observed(spelled, PLAIN[name]) for spelled in (name, name.upper(), f" {name} ")]
    assert hold_together(RawLinkset(), documents) == []


def test_formats_that_others_claim_or_nobody_are_not_taken() -> None:
    class Other:
        name = "other"
        formats = frozenset({"osv-1.6", "other"})
        needs: Needs = MappingProxyType({})
        recognises = extract = None

    known = registry.Registry((*registry._BUILT_IN, Other()))  # type: ignore[arg-type]
    stated = ("osv", "OSV 1.5", "CSAF 2.0", "osv 1.6", "other", "unknown", "osv 2")
    assert [known.shipped(name) for name in stated] == ["osv", "osv", "csaf", None, None, None, None]


def covers(table: Needs | None, needs: Needs | None) -> bool:
    """Whether the core reads of a format what the reference reads."""
    if needs is None or table is None:
        return needs is table
    return set(table) == set(needs) and all(covers(table[name], needs[name]) for name in needs)


def test_the_table_of_each_format_is_what_the_reference_reads() -> None:
    assert core.tables is not None
    tables = json.loads(core.tables())
    built_in: dict[str, Extractor] = {one.name: one for one in registry._BUILT_IN}
    assert set(tables) == set(built_in)
    for name, extractor in built_in.items():
        assert covers(tables[name]["needs"], extractor.needs), name
    known: Mapping[str, Mapping[str, Any]] = {name: table["known"] or {} for name, table in tables.items()}
    for module, name in ((csaf, "csaf"), (cve, "cve")):
        assert known[name]
        for place, members in known[name].items():
            assert set(members) == getattr(module, place)
    assert not known["osv"]
    assert not known["ghsa"]


@cache
def sampled(name: str) -> list[tuple[str, Any]]:
    every = 1 if name == "osv-schema-fixtures" else 7
    listed = (one for number, one in enumerate(advisories(name)) if number % every == 0)
    return [(one["format"].removesuffix("-unspecified"), one["raw"]) for one in listed]


@pytest.mark.slow
@pytest.mark.parametrize("name", ADVISORIES)
def test_published_advisories_are_read_by_the_core(name: str) -> None:
    documents = [observed(stated, raw) for stated, raw in sampled(name)]
    left = hold_together(RawLinkset(), documents)
    assert len(left) <= (10 if name == "osv-schema-fixtures" else len(documents) / 100)


@pytest.mark.slow
@pytest.mark.parametrize("kit", KITS)
def test_observations_and_snapshots_of_published_kits_come_out_alike(kit: str) -> None:
    hold_together(RawLinkset(), list(map(bson.encode, collection(kit, "advisory_observations"))))
    for document in map(bson.encode, collection(kit, "advisory_raw")):
        hold_pairs(RAW, document)
