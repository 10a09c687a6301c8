"""The shell of the HTML reports: nothing that a kit says becomes markup, fetches, runs, hides or steers."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, strategies as st

from kit.reports import html
from kit.reports.html import Html, bar, element, facts, grid, page, section
from kit.reports.text import printable
from tests.reports.pages import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' style='position:fixed",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "<!-- -->]]><![CDATA[<?php ?>",
    "javascript:alert(1)",
    "\u202egpj.exe\u202c \u2066x\u2069 \u200b\ufeff\x00\x1b[31m\r\n\x85\u2028",
    "\udc80 lone surrogate",
]


def whole(text: str) -> bytes:
    """Put a text in every place a page has for one."""
    return page(
        text,
        element("h1", text),
        facts([(text, text), ("nothing", None)]),
        section(text, element("p", text, aria_label=text), identifier="part"),
        grid([text, "n"], [[text, 1234], [html.code(text), Html("<b>x</b>")]], numbers=(1,)),
        element("svg", element("title", text), element("text", text, x=1, y=2), viewBox="0 0 1 1", role="img"),
    )


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_text_is_shown_and_never_obeyed(text: str) -> None:
    parsed, usual = Page(whole(text)), Page(whole("x"))
    assert parsed.faults == []
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in usual.elements]
    assert parsed.text.count(" ".join(printable(text).split())) >= 6


@given(text=st.text(alphabet=st.characters(codec=None), max_size=40))
def test_any_text_comes_back_from_a_parser_as_it_is_spelled(text: str) -> None:
    data = page("t", element("p", text, aria_label=text))
    parsed = Page(data)
    assert parsed.faults == []
    attributes = dict(parsed.elements[-1][1])
    assert attributes == {"aria-label": printable(text)}
    assert " ".join(printable(text).split()) == parsed.text
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs"} or char == "\n" for char in data.decode())


def test_equal_pages_have_equal_bytes_and_forbid_everything_but_their_style() -> None:
    assert whole("x") == whole("x")
    policy = next(facts for tag, facts in Page(whole("x")).elements if facts.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline'")


@pytest.mark.parametrize("name", ["script", "a", "img", "iframe", "link", "style", "form", "p onclick"])
def test_an_element_that_fetches_or_runs_cannot_be_made(name: str) -> None:
    with pytest.raises(ValueError, match="no page needs"):
        element(name)


@pytest.mark.parametrize("name", ["href", "src", "style", "onclick", "xlink_href", "srcdoc"])
def test_an_attribute_that_fetches_or_runs_cannot_be_made(name: str) -> None:
    with pytest.raises(ValueError, match="no page needs"):
        element("p", **{name: "x"})


def test_an_identifier_is_one_of_ours() -> None:
    with pytest.raises(ValueError, match="our own words"):
        element("p", id='x" onclick="y')


@pytest.mark.parametrize(
    ("part", "whole", "width"),
    [(0, 0, "0"), (0, 5, "0"), (1, 1_000_000, "1"), (999_999, 1_000_000, "999"), (5, 5, "1000"), (1, 2, "500")],
)
def test_a_bar_is_full_only_when_nothing_is_missing_and_empty_only_when_all_is(
    part: int, whole: int, width: str
) -> None:
    parsed = Page(page("t", bar(part, whole)))
    assert [facts["width"] for tag, facts in parsed.elements if facts.get("class") == "filled"] == [width]
    assert [facts["aria-label"] for tag, facts in parsed.elements if tag == "svg"] == [f"{part:,} of {whole:,}"]


def colours(theme: str) -> dict[str, str]:
    """Return the variables of a theme by name; the dark one inherits nothing that it does not set."""
    blocks = re.findall(r":root \{(.*?)\}", html.STYLE, re.DOTALL)
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in blocks)
    assert light.keys() == dark.keys()
    return light if theme == "light" else dark


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    dark, light = sorted(map(luminance, (one, two)))
    return (light + 0.05) / (dark + 0.05)


def test_the_computation_of_contrast_is_that_of_the_standard() -> None:
    assert round(contrast("#fff", "#000"), 2) == 21
    assert round(contrast("#777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_enough_contrast(theme: str) -> None:
    found = colours(theme)
    assert contrast(found["ink"], found["paper"]) >= 12
    for name in ("soft", "good", "bad", "warn"):
        assert contrast(found[name], found["paper"]) >= 4.5, name
    assert contrast(found["fill"], found["paper"]) >= 3  # a bar (WCAG 2.2, 1.4.11)


def test_no_colour_is_outside_of_the_variables_so_that_dark_is_dark_everywhere() -> None:
    rules = re.sub(r":root \{.*?\}", "", html.STYLE, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,6}\b", rules) == []
    assert "prefers-color-scheme: dark" in html.STYLE.partition("@media screen and (")[2][:40]  # never on paper


def test_what_colour_shows_a_sign_shows_as_well() -> None:
    for kind in (".good .word", ".bad .word", ".verdict.forced .word", ".holds .state", ".failed .state"):
        assert re.search(rf"{re.escape(kind)}::before[^{{]*\{{ content: ", html.STYLE), kind


def test_on_a_narrow_screen_every_value_has_its_heading_and_no_table_scrolls() -> None:
    parsed = Page(page("t", grid(["a", 'b"<', ""], [["1", "2", "3"]])))
    cells = [facts.get("data-label") for tag, facts in parsed.elements if tag == "td"]
    assert cells == ['b"<', None]
    narrow = html.STYLE.partition("@media screen and (max-width: 40rem) {")[2].partition("\n}\n")[0]
    assert "content: attr(data-label)" in narrow
    assert ".wide { overflow: visible; }" in narrow
    assert "min-width" not in narrow
    assert "tr, tbody th, td { display: block; }" in narrow
