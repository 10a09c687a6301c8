"""The pages in a real browser: nothing is cut off or out of sight, and all of it can be read, in every light.

The pages are those whose pictures are in docs/pictures. axe-core, which knows the rules of WCAG, looks for faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page

from docs.build.make_screenshots import LIGHTS, PICTURES, browser, opened, pages, show
from tests.commands import ROOT

NAMES = ("verdict-valid", "verdict-patched", "verdict-refused", "diff")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason="needs Chromium"),
    pytest.mark.xdist_group("browser"),
]

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OUT_OF_SIGHT = """() => [...document.querySelectorAll("body *")].filter(one => {
  const box = one.getBoundingClientRect();
  const clip = getComputedStyle(one);
  return box.right > innerWidth + 1 || box.left < -1
    || (clip.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1);
}).map(one => one.outerHTML.slice(0, 160))"""
"""Elements that reach beyond the page, or that show a part of themselves only when they are scrolled."""
HIDDEN = """() => [...document.querySelectorAll("main *:not(thead, thead *)")].filter(one => {
  const box = one.getBoundingClientRect();
  return one.textContent.trim() && !one.closest("svg") && (box.width < 1 || box.height < 1);
}).map(one => one.outerHTML.slice(0, 160))"""
CELLS = """() => [...document.querySelectorAll("tbody td")].map(one => [
  one.dataset.label ?? "", getComputedStyle(one, "::before").content])"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll("main *")]
  .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .map(one => {
    const size = parseFloat(getComputedStyle(one).fontSize);
    const picture = one.ownerSVGElement;
    return picture ? size * picture.getBoundingClientRect().width / picture.viewBox.baseVal.width : size;
  }))"""
"""The size of the smallest text, in CSS pixels, as it is shown."""
SIGNS = """place => [...document.querySelectorAll(place)].map(one =>
  [one.textContent, getComputedStyle(one, "::before").content])"""
PAPER = """() => getComputedStyle(document.documentElement).backgroundColor"""


@dataclass(frozen=True)
class Desk:
    tab: Page
    pages: dict[str, Path]

    def show(self, name: str, light: str) -> Page:
        return show(self.tab, self.pages[name], LIGHTS[light])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    program = browser()
    assert program is not None
    written = pages(tmp_path_factory.mktemp("pages"))
    with opened(program) as tab:
        yield Desk(tab, written)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_out_of_sight_hidden_or_too_small(name: str, desk: Desk) -> None:
    for light in LIGHTS:
        page = desk.show(name, light)
        assert page.evaluate(OUT_OF_SIGHT) == [], light
        assert page.evaluate(HIDDEN) == [], light
        assert page.evaluate(SMALLEST) >= 9, light


@pytest.mark.parametrize("light", ["light", "dark", "narrow"])
@pytest.mark.parametrize("name", NAMES)
def test_a_tool_that_knows_the_rules_finds_no_fault(name: str, light: str, desk: Desk) -> None:
    told = Axe().run(desk.show(name, light), options={"runOnly": RULES}).response
    assert [rule["id"] for rule in told["passes"] if rule["id"] == "color-contrast"]  # it did look
    assert [(rule["id"], node["html"]) for rule in told["violations"] for node in rule["nodes"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_on_a_narrow_screen_each_value_has_its_heading(name: str, desk: Desk) -> None:
    cells = desk.show(name, "narrow").evaluate(CELLS)
    assert cells
    assert [one for one in cells if not one[0] or one[1] != f'"{one[0]}: "'] == []


def test_a_verdict_has_a_sign_and_a_word(desk: Desk) -> None:
    def signs(name: str, place: str) -> list[tuple[str, str]]:
        told = desk.show(name, "light").evaluate(SIGNS, place)
        return [(text, content.strip('"').strip()) for text, content in told]

    assert signs("verdict-valid", ".verdict .word") == [("Valid", "\N{CHECK MARK}")]
    assert signs("verdict-refused", ".verdict .word") == [("Refused", "\N{BALLOT X}")]
    states = signs("verdict-refused", ".obligation .state")
    assert set(states) == {("Holds", "\N{CHECK MARK}"), ("FAILED", "\N{BALLOT X}"), ("Not checked", "none")}


def test_the_dark_is_dark_and_paper_is_white(desk: Desk) -> None:
    def brightness(light: str) -> int:
        return sum(map(int, re.findall(r"\d+", desk.show("verdict-valid", light).evaluate(PAPER))[:3]))

    assert brightness("dark") < 100
    assert (brightness("light"), brightness("print")) == (765, 765)


def test_the_pictures_are_there_and_small_and_each_is_shown_somewhere() -> None:
    pictures = {path.name: path for path in PICTURES.glob("*")}
    assert set(pictures) == {f"{name}-{light}.png" for name in NAMES for light in LIGHTS}
    for name, path in pictures.items():
        with Image.open(path) as image:
            assert image.width == LIGHTS[name.removesuffix(".png").rpartition("-")[2]].width
        assert path.stat().st_size < 150_000
    text = (ROOT / "docs" / "pictures.md").read_text()
    assert sorted(re.findall(r"\(pictures/([^)]*)\)", text)) == sorted(pictures)
