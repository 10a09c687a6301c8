from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import kit
from docs.build import make_docs
from tests.tiers import slow

ROOT = make_docs.ROOT
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".git", "node_modules"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("page", make_docs.pages(), ids=lambda page: page.name)
def test_what_the_program_says_of_itself_is_current(page: Path) -> None:
    assert page.read_text() == make_docs.pages()[page], "run docs/build/make_docs.py"


def test_the_reference_has_every_command_and_the_front_page_leads_to_each() -> None:
    paths = [context.command_path for _, context in make_docs.commands()]
    headings = re.findall(r"^## (kit .*)$", make_docs.REFERENCE.read_text(), re.MULTILINE)
    assert paths == headings
    assert [
        path for path in paths if f"(docs/reference.md#{path.replace(' ', '-')})" not in make_docs.README.read_text()
    ] == []


def test_a_part_the_front_page_lacks_or_has_twice_is_an_error() -> None:
    page = make_docs.README.read_text()
    for spoilt in (
        page.replace("<!-- generated: commands -->", ""),
        page + "<!-- generated: commands -->\n<!-- end of generated -->",
    ):
        with pytest.raises(ValueError, match="commands"):
            make_docs.updated(spoilt)


def test_the_check_neither_writes_nor_complains(capsys: pytest.CaptureFixture[str]) -> None:
    before = make_docs.README.stat().st_mtime_ns, make_docs.REFERENCE.stat().st_mtime_ns
    assert make_docs.main(["--check"]) == 0
    assert (make_docs.README.stat().st_mtime_ns, make_docs.REFERENCE.stat().st_mtime_ns) == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("page", ["README.md", *slow("docs/library.md")])
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
