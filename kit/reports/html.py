"""Builds HTML pages that are safe to open, whatever a kit contains: the shell of all HTML reports.

Laws, each kept by construction:

1. Text is text. No string becomes markup: :func:`element` escapes its content, and characters that a browser would obey
   (:mod:`kit.reports.text`), in text and in attributes.
2. A page loads nothing and runs nothing. No element and no attribute here can name another document, a script, an event
   or a style. The policy in the page's head forbids it, too.
3. Equal reports give equal bytes: no clock, no random identifier, attributes in the order of the call.
4. Nothing is shown by colour or background alone: a page reads the same on paper and in black and white.

The style of all HTML reports, without external fonts or pictures: light or dark as the reader's system is, and black
on white on paper. On a narrow screen a table becomes a list with the heading in front of each value, so that no column
is out of sight. Colours are the variables at its head; a test computes their contrast (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.reports.text import printable

STYLE = """\
:root { color-scheme: light dark; --ink: #111; --soft: #555; --rule: #bbb; --hair: #ddd; --paper: #fff;
  --good: #176b2c; --bad: #b3161b; --warn: #8a4b00; --fill: #444; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #b0b4b8; --rule: #5a6066; --hair: #33383d; --paper: #14171a;
    --good: #6fd08c; --bad: #ff8a80; --warn: #ffc46b; --fill: #b0b4b8; }
}
* { box-sizing: border-box; }
html { background: var(--paper); -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
  direction: ltr; }
main { max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; font-weight: 600; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 0 0 .75rem; }
h3 { font-size: 1rem; font-weight: 600; }
dl + h3, figure + h3 { margin-top: 1.1rem; }
p { margin: 0 0 .75rem; overflow-wrap: anywhere; }
section { margin-top: 2.25rem; padding-top: .9rem; border-top: 1px solid var(--ink); }
small, .soft { color: var(--soft); font-size: .87em; }
.kicker { margin: 0 0 .35rem; color: var(--soft); font-size: .87rem; }
code { font: .87em/1.45 "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere;
  unicode-bidi: isolate; }
.whole { white-space: nowrap; }
h1 code { font-size: 1em; }

.verdict { margin: 1.25rem 0 0; padding: 1rem 1.25rem; border: 2px solid var(--ink); }
.verdict > :last-child { margin-bottom: 0; }
.verdict .word { margin: 0 0 .35rem; font-size: 1.5rem; font-weight: 700; line-height: 1.2; }
.verdict.good, .verdict.bad, .verdict.forced { border-left-width: 10px; }
.verdict.good { border-color: var(--good); }
.verdict.bad { border-color: var(--bad); }
.verdict.forced { border-color: var(--warn); border-style: dashed; border-left-style: solid; }
.verdict.good .word, .holds .state { color: var(--good); }
.verdict.bad .word, .failed .state { color: var(--bad); }
.verdict.forced .word, .forced .state { color: var(--warn); }
.good .word::before, .holds .state::before { content: "\\2713  "; }
.bad .word::before, .failed .state::before { content: "\\2717  "; }
.verdict.forced .word::before, .forced .state::before { content: "!  "; }

dl { margin: 0; }
dl > div { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1rem; padding: .3rem 0;
  border-bottom: 1px solid var(--hair); }
dl > div:last-child { border-bottom: 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
dd > div + div { margin-top: .2rem; }

.wide { overflow-x: auto; margin: 0 0 .75rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--hair); text-align: left; vertical-align: top;
  overflow-wrap: break-word; unicode-bidi: isolate; }
thead th { border-bottom: 1px solid var(--ink); color: var(--soft); font-weight: 400; overflow-wrap: normal;
  vertical-align: bottom; }
tbody th { font-weight: 400; min-width: 8rem; }
th:last-child, td:last-child { padding-right: 0; }
th.number, td.number { text-align: right; white-space: nowrap; overflow-wrap: normal; }
table.inner { font-size: .87rem; margin: .4rem 0; }

.obligation { display: grid; grid-template-columns: 1fr 7rem; gap: 0 1rem; padding: .65rem 0 .65rem .75rem;
  border-bottom: 1px solid var(--hair); border-left: 8px solid transparent; }
.obligation:last-child { border-bottom: 0; }
.obligation h3 { grid-column: 1; padding-left: 1.5rem; position: relative; }
.obligation .count { position: absolute; left: 0; font-weight: 400; color: var(--soft); }
.obligation .state { grid-column: 2; text-align: right; white-space: nowrap; }
.obligation .body { grid-column: 1 / -1; padding-left: 1.5rem; min-width: 0; }
.obligation .body p { margin: .1rem 0 0; }
.obligation.failed { border-left-color: var(--bad); }
.obligation.forced { border-left-color: var(--warn); }
.obligation.failed .state, .obligation.forced .state { font-weight: 700; }

svg { display: block; max-width: 100%; height: auto; }
svg text { font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; font-size: 13px;
  fill: var(--ink); }
svg .strong { font-weight: 600; }
svg .soft { fill: var(--soft); font-size: 12px; }
svg .box { fill: var(--paper); stroke: var(--ink); stroke-width: 1; }
svg .box.now { stroke-width: 2.5; }
svg .doubt { stroke-dasharray: 5 4; }
svg .arrow { fill: none; stroke: var(--ink); stroke-width: 1; }
svg .head { fill: var(--ink); }
svg.bar { width: 9rem; min-width: 5rem; height: .8rem; margin-top: .3rem; }
svg.bar { overflow: visible; }
svg.bar .filled { fill: var(--fill); }
svg.bar .frame { fill: none; stroke: var(--ink); stroke-width: 1; vector-effect: non-scaling-stroke; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--soft); font-size: .87rem; margin-top: .4rem; }

footer { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: .87rem; }

@media screen and (max-width: 40rem) {
  body { font-size: 14px; }
  main { padding: 1.25rem 1rem 2.5rem; }
  h1 { font-size: 1.35rem; }
  dl > div { grid-template-columns: 1fr; }
  .obligation { grid-template-columns: 1fr 6.5rem; }
  .wide { overflow: visible; }
  table, tbody, tr, tbody th, td { display: block; }
  thead { display: none; }
  tr { padding: .5rem 0; border-bottom: 1px solid var(--rule); }
  tbody th, td { border: 0; padding: .1rem 0; overflow-wrap: anywhere; }
  tbody th { font-weight: 600; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
  td.number { text-align: left; white-space: normal; }
}
@page { margin: 18mm 16mm; }
@media print {
  html { font-size: 10pt; }
  table { font-size: 8.5pt; }
  table.inner { font-size: 8pt; }
  th, td { padding-right: .6rem; }
  body { font-size: 9.5pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  section { margin-top: 1.4rem; }
  h2, h3 { break-after: avoid; }
  tr, figure, .verdict, dl > div, .obligation { break-inside: avoid; }
  thead { display: table-header-group; }
  svg, .verdict { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""


_ELEMENTS = frozenset({
    *("main", "header", "section", "footer", "div", "figure", "figcaption", "h1", "h2", "h3", "p"),
    *("dl", "dt", "dd", "ol", "ul", "li", "table", "caption", "colgroup", "col", "thead", "tbody", "tr", "th", "td"),
    *("b", "br", "code", "em", "small", "span", "strong", "wbr"),
    *("svg", "g", "circle", "line", "path", "rect", "text", "title", "tspan"),
})  # fmt: skip
_VOID = frozenset({"br", "col", "wbr"})
_ATTRIBUTES = frozenset({
    *("aria-hidden", "aria-label", "class", "colspan", "data-label", "id", "lang", "role", "rowspan", "scope", "span"),
    "width",
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
        '<meta name="generator" content="offline-kit">\n'  # by which the next report knows what it may replace
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
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

    The first cell of a row names it. On a narrow screen each value has
    the heading of its column in front of it.
    """
    head = [element("th", text, scope="col", class_=_cell(at, numbers)) for at, text in enumerate(heads)]
    lines = [
        _on_new_line(
            element(
                "tr",
                [
                    element("td", cell, class_=_cell(at, numbers), data_label=heads[at] or None)
                    if at
                    else element("th", cell, scope="row")
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
