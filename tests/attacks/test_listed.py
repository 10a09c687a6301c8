"""docs/faults.md lists hostile archives by the names of their tests: each of them is there."""

from __future__ import annotations

import re

import pytest

from tests.commands import ROOT

_SECTION = (ROOT / "docs/faults.md").read_text().partition("## Hostile archives, one by one")[2].partition("\n## ")[0]
ROWS = [
    (cells[1].strip(" `"), re.findall(r"`([^`]+)`", cells[2].partition("; in two places")[0]))
    for line in _SECTION.splitlines()
    if line.startswith("|") and (cells := line.strip("|").split("|")) and "test_" in cells[1]
]


def test_the_table_is_read() -> None:
    assert len(ROWS) > 20
    assert sum(len(names) for _, names in ROWS) > 100


@pytest.mark.parametrize(("file", "names"), ROWS, ids=[f"{number}" for number in range(len(ROWS))])
def test_every_name_is_that_of_a_test(file: str, names: list[str]) -> None:
    source = (ROOT / "tests" / file).read_text()
    assert [name for name in names if f'"{name}"' not in source and f"def {name}(" not in source] == []
