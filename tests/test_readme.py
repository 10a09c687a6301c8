from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import kit
from scripts import make_docs

ROOT = make_docs.ROOT
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".git", "node_modules"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def test_the_generated_parts_of_the_readme_are_current() -> None:
    page = make_docs.README.read_text()
    assert make_docs.updated(page) == page


def test_a_command_without_its_part_in_the_readme_is_an_error() -> None:
    with pytest.raises(ValueError, match="kit verify"):
        make_docs.updated(make_docs.README.read_text().replace("<!-- generated: kit verify -->", ""))


def test_the_check_neither_writes_nor_complains(capsys: pytest.CaptureFixture[str]) -> None:
    before = make_docs.README.stat().st_mtime_ns
    assert make_docs.main(["--check"]) == 0
    assert make_docs.README.stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_the_library_example_is_true(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    outcome = doctest.testfile(str(ROOT / page), module_relative=False)
    assert outcome.attempted > 10
    assert outcome.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_what_the_package_exports_is_there_sorted_and_documented() -> None:
    assert sorted(kit.__all__) == kit.__all__
    assert [name for name in kit.__all__ if not (getattr(kit, name).__doc__ or "").strip()] == []
