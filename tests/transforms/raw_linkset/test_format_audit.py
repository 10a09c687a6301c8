"""Every row of docs/design/format-audit.md is what the extractor does, and the core makes the same of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.transforms.raw_linkset import RawLinkset, csaf, cve, ghsa, osv
from kit.transforms.raw_linkset.extractor import Extractor
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.projection import Projection
from kit.transforms.raw_linkset.shape import Place
from tests.kits import observation
from tests.transforms.raw_linkset.altered import agreeing
from tests.transforms.raw_linkset.both import hold_together, needs_core

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


@needs_core
@pytest.mark.parametrize(("name", "path", "goes_to"), ROWS, ids=[f"{name}{path}" for name, path, _ in ROWS])
def test_the_core_makes_the_same_of_it_or_leaves_what_is_counted(name: str, path: str, goes_to: str) -> None:
    extractor, base = FORMATS[name]
    raw = with_value(base, path.split("/")[1:])
    observed = observation(1, content={"format": extractor.name, "raw": raw}, linkset=agreeing(extractor.name, raw))
    assert hold_together(RawLinkset(), [bson.encode(observed)]) == ([0] if goes_to == COUNTED else [])


def test_every_section_has_its_rows() -> None:
    assert {name for name, _, _ in ROWS} == set(FORMATS)
    assert len(ROWS) > 100
