"""Laws of all extractors, attacked with documents that have the right names and anything at all under them."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings, strategies as st

from kit.transforms.raw_linkset import csaf, cve, ghsa, osv
from kit.transforms.raw_linkset.extractor import Extractor
from kit.transforms.raw_linkset.projection import encode_element, from_linkset

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT

INNER = [
    *(
        "package",
        "purl",
        "cpes",
        "database_specific",
        "type",
        "url",
        "value",
        "tracking",
        "id",
        "aliases",
        "references",
    ),
    *("cve", "ids", "text", "branches", "product", "product_identification_helper", "purls", "cpe", "category"),
    *("full_product_names", "relationships", "full_product_name", "cveId", "cna", "adp", "affected", "packageURL"),
    *("cpeApplicability", "nodes", "cpeMatch", "criteria", "tags", "providerMetadata", "shortName", "alternateIds"),
]
EXTRACTORS = {one.name: one for one in (osv.EXTRACTOR, csaf.EXTRACTOR, cve.EXTRACTOR, ghsa.EXTRACTOR)}
every_extractor = pytest.mark.parametrize("extractor", EXTRACTORS.values(), ids=EXTRACTORS)

ANYTHING = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(INNER) | TEXT, inner, max_size=5),
    max_leaves=30,
)


def listed(element: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(element | SCALAR, max_size=4) | SCALAR


def holding(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=members)


REFERENCES = listed(holding(url=SCALAR, type=SCALAR, category=SCALAR, tags=listed(TEXT)) | TEXT)
PRODUCT = holding(product_identification_helper=holding(purl=SCALAR, purls=listed(TEXT), cpe=SCALAR) | SCALAR)
BRANCHES = st.recursive(
    listed(holding(product=PRODUCT)),
    lambda inner: st.lists(holding(product=PRODUCT | SCALAR, branches=inner), max_size=3),
    max_leaves=4,
)
CONTAINER = holding(
    providerMetadata=holding(shortName=SCALAR) | SCALAR,
    alternateIds=listed(TEXT),
    affected=listed(holding(packageURL=SCALAR, cpes=listed(TEXT))),
    cpeApplicability=listed(holding(nodes=listed(holding(cpeMatch=listed(holding(criteria=SCALAR)))))),
    references=REFERENCES,
)
DATABASE_SPECIFIC = holding(cpes=listed(TEXT)) | SCALAR
NEARLY = {
    "osv": holding(
        id=SCALAR,
        aliases=listed(TEXT),
        upstream=listed(TEXT),
        related=listed(TEXT),
        affected=listed(
            holding(package=holding(purl=SCALAR) | SCALAR, database_specific=DATABASE_SPECIFIC),
        ),
        references=REFERENCES,
        database_specific=DATABASE_SPECIFIC,
    ),
    "csaf": holding(
        document=holding(tracking=holding(id=SCALAR, aliases=listed(TEXT)), references=REFERENCES),
        vulnerabilities=listed(holding(cve=SCALAR, ids=listed(holding(text=SCALAR)), references=REFERENCES)),
        product_tree=holding(
            branches=BRANCHES,
            full_product_names=listed(PRODUCT),
            relationships=listed(holding(full_product_name=PRODUCT)),
            product_paths=listed(holding(full_product_name=PRODUCT, subpaths=SCALAR)),
            productPaths=listed(PRODUCT),
        ),
    ),
    "cve": holding(
        cveMetadata=holding(cveId=SCALAR) | SCALAR,
        containers=holding(cna=CONTAINER | SCALAR, adp=listed(CONTAINER), cnaContainer=CONTAINER),
    ),
    "ghsa": holding(ghsa_id=SCALAR, cve_id=SCALAR, identifiers=listed(holding(value=SCALAR)), references=REFERENCES),
}


def documents(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of nearly the format ``name``, or with anything at all under what it needs."""
    return NEARLY[name] | st.fixed_dictionaries({}, optional=dict.fromkeys(EXTRACTORS[name].needs, ANYTHING))


def strings_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(strings_of, value.values()))
    if isinstance(value, list):
        return set().union(*map(strings_of, value))
    return {value} if isinstance(value, str) else set()


def resolve(document: Any, pointer: str) -> Any:
    """RFC 6901, section 4."""
    for token in pointer.split("/")[1:]:
        step = token.replace("~1", "/").replace("~0", "~")
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


@every_extractor
@settings(deadline=None)
@given(data=st.data())
def test_no_document_makes_an_extractor_raise_or_is_changed_by_it(extractor: Extractor, data: st.DataObject) -> None:
    raw = data.draw(documents(extractor.name))
    before = copy.deepcopy(raw)
    first = extractor.extract(raw)
    assert extractor.extract(raw) == first
    assert extractor.recognises(raw) in {True, False}
    assert raw == before
    assert first.skipped >= 0
    assert (first.refusal is None) == bool(first.projection.aliases) or extractor.name == "ghsa"
    encode_element(first.projection)


@every_extractor
@settings(deadline=None)
@given(data=st.data())
def test_every_value_is_a_string_of_the_document_as_it_stands(extractor: Extractor, data: st.DataObject) -> None:
    raw = data.draw(documents(extractor.name))
    projection = extractor.extract(raw).projection
    theirs = strings_of(raw)
    ours = {*projection.aliases, *projection.purls, *projection.cpes, *(one.url for one in projection.references)}
    ours |= {one.source for one in projection.references if one.source is not None}
    assert {one.type for one in projection.relationships or ()} <= {"upstream", "related"}
    ours |= {one.target for one in projection.relationships or () if one.target is not None}
    ours |= {one.type for one in projection.references if one.type not in {None, "reference"}}
    assert ours <= theirs


@every_extractor
@settings(deadline=None)
@given(data=st.data())
def test_every_pointer_leads_to_its_value_in_order(extractor: Extractor, data: st.DataObject) -> None:
    raw = data.draw(documents(extractor.name))
    projection = extractor.extract(raw).projection
    met = [resolve(raw, pointer) for pointer in projection.reconciled_from]
    met = [value["url"] if isinstance(value, dict) else value for value in met]
    urls = [reference.url for reference in projection.references]
    assert met == [*projection.aliases, *projection.purls, *projection.cpes, *urls]


@settings(deadline=None)
@given(
    aliases=st.lists(TEXT, max_size=8),
    references=st.lists(st.fixed_dictionaries({"url": TEXT, "type": TEXT}), max_size=8),
    seed=st.integers(0, 2**32),
)
def test_shuffling_a_list_shuffles_what_is_taken(
    aliases: list[str], references: list[dict[str, str]], seed: int
) -> None:
    order = random.Random(seed)  # noqa: S311 -- a shuffle that can be repeated, not a secret
    order.shuffle(aliases)
    order.shuffle(references)
    projection = osv.EXTRACTOR.extract({"id": "X", "aliases": aliases, "references": references}).projection
    assert list(projection.aliases[1:]) == aliases
    assert [(one.url, one.type) for one in projection.references] == [(one["url"], one["type"]) for one in references]


@settings(deadline=None)
@given(linkset=st.dictionaries(st.sampled_from(["aliases", "purls", "cpes", "references"]), ANYTHING), other=ANYTHING)
def test_no_linkset_makes_the_snapshot_source_raise(linkset: dict[str, Any], other: Any) -> None:
    # Of a document in BSON, in which no name can have a NUL.
    assume(not isinstance(other, dict) or not any("\0" in name for name in other))
    full = linkset | {"scopes": other, "relationships": other, "notes": other, "reconciled_from": other}
    extraction = from_linkset(full, {"aliases": other})
    encode_element(extraction.projection)
    assert strings_of(extraction.projection.to_document()["notes"]) <= strings_of(other)
