"""Builds HTML pages that are safe to open, whatever a kit contains: the shell of all HTML reports.

Laws, each kept by construction:

1. Text is text. No string becomes markup: :func:`element` escapes its content, and characters that a browser would obey
   (:mod:`kit.reports.spelling`), in text and in attributes.
2. A page loads nothing and runs nothing. No element and no attribute here can name another document, a script, an event
   or a style. The policy in the page's head forbids it, too.
3. Equal reports give equal bytes: no clock, no random identifier, attributes in the order of the call.
4. Nothing is shown by colour or background alone: a page reads the same on paper and in black and white.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.reports.spelling import printable
from kit.reports.style import STYLE

_ELEMENTS = frozenset({
    *("main", "header", "section", "footer", "div", "figure", "figcaption", "h1", "h2", "h3", "p"),
    *("dl", "dt", "dd", "ol", "ul", "li", "table", "caption", "colgroup", "col", "thead", "tbody", "tr", "th", "td"),
    *("b", "br", "code", "em", "small", "span", "strong", "wbr"),
    *("svg", "g", "circle", "line", "path", "rect", "text", "title", "tspan"),
})  # fmt: skip
_VOID = frozenset({"br", "col", "wbr"})
_ATTRIBUTES = frozenset({
    *("aria-hidden", "aria-label", "class", "colspan", "id", "lang", "role", "rowspan", "scope", "span", "width"),
    *("cx", "cy", "d", "height", "preserveAspectRatio", "r", "rx", "viewBox", "x", "x1", "x2", "y", "y1", "y2"),
    *("fill", "stroke", "stroke-dasharray", "stroke-width", "text-anchor"),
})  # fmt: skip
_IDENTIFIER = re.compile(r"[a-z0-9-]+( [a-z0-9-]+)*")
_OPTION = re.compile(r"(--[a-z][a-z-]*)")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Html:
    """Markup. Only :func:`element` makes it, so that a plain string is always text."""

    markup: str


Content = str | int | Html | None | Iterable["Content"]
"""The content of an element: text, a number, markup, nothing, or several of these."""


def escaped(text: str) -> str:
    """Return text escaped for element content and for attribute values in double quotes."""
    return printable(text).translate(_ESCAPES)


def element(name: str, *content: Content, **attributes: str | int | None) -> Html:
    """Return an element. Attributes are named as in HTML, with ``_`` for ``-`` (``class_``); None omits one.

    Raises:
        ValueError: No page needs that element or attribute. The code is wrong, never the kit.
    """
    if name not in _ELEMENTS:
        raise ValueError(f"no page needs an element {name!r}")
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{_markup(content)}</{name}>")


def page(title: str, *body: Content) -> bytes:
    """Return a complete, self-contained page in UTF-8."""
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n'
        "<head>\n"
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light">\n'
        f"<title>{escaped(title)}</title>\n"
        f"<style>\n{STYLE}</style>\n"
        "</head>\n"
        f"<body>\n{element('main', body).markup}\n</body>\n"
        "</html>\n"
    ).encode()


def section(heading: str, *content: Content, identifier: str) -> Html:
    """Return a section of a page with its heading."""
    return _on_new_line(element("section", element("h2", heading), content, id=identifier))


def facts(pairs: Iterable[tuple[str, Content]]) -> Html:
    """Return a list of names and values without those that are None."""
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in pairs if value is not None]
    return _on_new_line(element("dl", rows))


def grid(
    heads: Sequence[str], rows: Iterable[Sequence[Content]], *, numbers: Sequence[int] = (), inner: bool = False
) -> Html:
    """Return a table. The columns in ``numbers`` are counts, aligned right; an inner table is inside another.

    The first cell of a row names it. A table that is too wide scrolls on screen, and is complete on paper.
    """
    head = [element("th", text, scope="col", class_=_cell(at, numbers)) for at, text in enumerate(heads)]
    lines = [
        _on_new_line(
            element(
                "tr",
                [
                    element("th", cell, scope="row") if not at else element("td", cell, class_=_cell(at, numbers))
                    for at, cell in enumerate(row)
                ],
            )
        )
        for row in rows
    ]
    parts = element("thead", element("tr", head)), element("tbody", lines)
    table = element("table", parts, class_="inner" if inner else None)
    return _on_new_line(element("div", table, class_="wide"))


def bar(part: int, whole: int) -> Html:
    """Return a share as a bar: full only if nothing is missing, empty only if there is nothing."""
    length = 0 if part <= 0 else 1000 if part >= whole else min(max(part * 1000 // whole, 1), 999)
    filled = element("rect", x=0, y=0, width=length, height=100, class_="filled")
    frame = element("rect", x=0, y=0, width=1000, height=100, class_="frame")
    label = f"{part:,} of {whole:,}"
    box = {"viewBox": "0 0 1000 100", "preserveAspectRatio": "none"}
    return element("svg", filled, frame, class_="bar", role="img", aria_label=label, **box)


def code(text: object) -> Html:
    """Return a path, digest or key id: it may break anywhere, and has its own text direction."""
    return element("code", str(text))


def prose(text: str) -> Content:
    """Return a sentence in which no option of a command is broken after its dashes."""
    return [element("span", part, class_="whole") if part.startswith("--") else part for part in _OPTION.split(text)]


def _attribute(key: str, value: str | int) -> str:
    name = key.rstrip("_").replace("_", "-")
    if name not in _ATTRIBUTES:
        raise ValueError(f"no page needs an attribute {name!r}")
    text = str(value)
    if name in {"class", "id"} and not _IDENTIFIER.fullmatch(text):
        raise ValueError(f"{name}={text!r} is not one of our own words")
    return f' {name}="{escaped(text)}"'


def _markup(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Html):
        return content.markup
    if isinstance(content, int):
        return f"{content:,}"
    if isinstance(content, str):
        return escaped(content)
    return "".join(map(_markup, content))


def _on_new_line(made: Html) -> Html:
    # Line ends between blocks, so that two reports can be compared by line.
    return Html(f"\n{made.markup}")


def _cell(column: int, numbers: Sequence[int]) -> str | None:
    return "number" if column in numbers else None
