"""What a page calls a file of the project is there; a note of what was says so by naming no file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import ROOT

PAGES = sorted(
    path
    for folder in (".", "benchmarks", "conformance", "core", "docs", "fixtures", "hardening", "schemas")
    for path in (ROOT / folder).glob("**/*.md" if folder in {"docs", "schemas"} else "*.md")
    if path.name != "CHANGELOG.md"
)
PLACES = "benchmarks|conformance|core|deploy|docs|fixtures|hardening|kit|schemas|scripts|tests"
MODULE = re.compile(r"`(\w+\.py)`")
NAMED = re.compile(rf"`((?:{PLACES})/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not any((ROOT / form).exists() for form in (name, f"{name}.py"))] == []


def test_a_module_that_a_page_names_without_its_room_is_in_one() -> None:
    there = {path.name for room in PLACES.split("|") for path in (ROOT / room).rglob("*.py")}
    named = {(page.name, name) for page in PAGES for name in MODULE.findall(page.read_text(encoding="utf-8"))}
    # The page about packages of others has an example of one.
    assert sorted(named - {(page, name) for page, name in named if name in there or page == "extractors.md"}) == []


def test_files_are_named() -> None:
    assert sum(len(NAMED.findall(page.read_text(encoding="utf-8"))) for page in PAGES) > 100
