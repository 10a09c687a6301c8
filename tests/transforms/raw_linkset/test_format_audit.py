"""Every row of docs/design/format-audit.md is what the extractor does, and its direct twin gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.documents import index
from kit.transforms.raw_linkset import csaf, cve, ghsa, osv
from kit.transforms.raw_linkset.element import encode_element
from kit.transforms.raw_linkset.extractor import Extractor
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.projection import Projection
from kit.transforms.raw_linkset.shape import Place

PAGE = Path(__file__).parents[3] / "docs" / "design" / "format-audit.md"
MARK = "the value"
NOWHERE, COUNTED = "\u2013", "counted"
FORMATS: dict[str, tuple[Extractor, dict[str, Any]]] = {
    "OSV": (osv.EXTRACTOR, {"id": "X", "references": [{"url": "u"}]}),
    "CSAF": (
        csaf.EXTRACTOR,
        {
            "document": {"tracking": {"id": "X"}, "references": [{"url": "u"}]},
            "vulnerabilities": [{"references": [{"url": "u"}]}],
        },
    ),
    "CVE": (
        cve.EXTRACTOR,
        {
            "dataVersion": "5.2",
            "cveMetadata": {"cveId": "X"},
            "containers": {"cna": {"references": [{"url": "u"}]}, "adp": [{"references": [{"url": "u"}]}]},
        },
    ),
    "GitHub": (ghsa.EXTRACTOR, {"ghsa_id": "X", "identifiers": [{"value": "X"}]}),
}
"""By the first word of a section: who reads it, and a document with the least that it needs."""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield (format, path, where its value goes) for every row of the page."""
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("### "):
            section = line.split()[1]
        elif found := re.fullmatch(r"\| `(/[^`]+)` \| (\S+) \| .*\|", line):
            path, goes_to = found.groups()
            choice = re.search(r"\{([^}]+)\}", path)
            for one in choice[1].split(",") if choice else [""]:
                yield section, path.replace(choice[0], one) if choice else path, goes_to


def with_value(document: Any, steps: list[str]) -> Any:
    """Return ``document`` with MARK at the path ``steps``; "*" is the first place of a list."""
    if not steps:
        return MARK
    step, *others = steps
    if step == "*":
        listed = list(document) if isinstance(document, list) else []
        return [with_value(listed[0] if listed else None, others), *listed[1:]]
    owner = dict(document) if isinstance(document, dict) else {}
    owner[step] = with_value(owner.get(step), others)
    return owner


def places_of_mark(projection: Projection) -> set[str]:
    """Return where of a projection MARK is."""
    lists = {
        "aliases": projection.aliases,
        "purls": projection.purls,
        "cpes": projection.cpes,
        "references": [reference.url for reference in projection.references],
        "type": [reference.type for reference in projection.references],
        "source": [reference.source for reference in projection.references],
        "relationships": [one.target for one in projection.relationships or ()],
    }
    return {name for name, values in lists.items() if MARK in values}


ROWS = list(rows())


@pytest.mark.parametrize(("name", "path", "goes_to"), ROWS, ids=[f"{name}{path}" for name, path, _ in ROWS])
def test_a_field_goes_where_the_page_puts_it(name: str, path: str, goes_to: str) -> None:
    extractor, base = FORMATS[name]
    raw = with_value(base, path.split("/")[1:])
    document = bson.encode({"raw": raw})
    fields = Fields(document)
    found = fields.find(Place.parse("raw"))
    assert found is not None
    extraction = extractor.extract(fields.only(found, extractor.needs))
    assert extraction == extractor.extract(raw), "what is not needed is not read"
    assert extraction.refusal is None
    assert extraction.skipped == (goes_to == COUNTED)
    assert places_of_mark(extraction.projection) == ({goes_to} - {NOWHERE, COUNTED})


@pytest.mark.parametrize(("name", "path", "goes_to"), [row for row in ROWS if row[0] in {"OSV", "CVE"}])
def test_the_direct_twin_gives_the_same_or_leaves_what_is_counted(name: str, path: str, goes_to: str) -> None:
    pytest.importorskip("librt", reason="mypyc's run-time library is not installed")
    from kit.transforms.raw_linkset.direct import cve as direct_cve, osv as direct_osv  # noqa: PLC0415  may be absent

    extractor, base = FORMATS[name]
    raw = with_value(base, path.split("/")[1:])
    document = bson.encode({"raw": raw})
    read = {"OSV": direct_osv.osv_element, "CVE": direct_cve.cve_element}[name]
    element = read(document, index(document, index(document)[b"raw"][1]))
    if goes_to == COUNTED or path.startswith("/x_"):
        assert element is None
    else:
        assert element == encode_element(extractor.extract(raw).projection)


def test_every_section_has_its_rows() -> None:
    assert {name for name, _, _ in ROWS} == set(FORMATS)
    assert len(ROWS) > 100
