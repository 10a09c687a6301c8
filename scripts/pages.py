"""The pages that ship with the program: Markdown of this checkout as HTML and as man pages.

A site without a network has no repository to look things up in. So the wheel and the archive for such sites hold the
runbook, the page for auditors, the reference and the formats. HTML loads nothing and needs no script; man pages use the
macros of man(7) alone. Same sources, same bytes: nothing has a date.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
PAGES: Final = (
    "runbook",
    "auditor",
    "release-engineer",
    "online",
    "reference",
    "containers",
    "library",
    "extractors",
    "transforms",
    "threat-model",
    "glossary",
)
"""Of ``docs``; those that are not there are a defect, which a test finds."""
MANUAL: Final = {
    "reference": ("kit", 1, "patch, verify and inspect signed Offline Kits"),
    "runbook": ("kit-runbook", 7, "patch a kit on a site without a network"),
    "auditor": ("kit-auditor", 7, "judge a kit, and prove it to others"),
}
"""Pages that are man pages too: name, section and what ``apropos`` shows."""
COPIED: Final = ("conformance/check_proof.py",)
"""What a page has a reader run, as it is."""
_STYLE: Final = (
    ":root{color-scheme:light dark}body{max-width:54rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,"
    "sans-serif}pre,code{font:.875rem/1.4 ui-monospace,monospace}pre{overflow-x:auto;padding:.75rem;border:1px solid"
    " #8886}table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #8886;padding:.25rem"
    " .5rem;text-align:left;vertical-align:top}"
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def shipped() -> dict[str, bytes]:
    """Return every file that ships next to the code, by its path: ``docs``, ``schemas``, ``conformance``.

    Raises:
        OSError: A page is not there.
    """
    sources = [f"docs/{name}.md" for name in PAGES]
    sources += sorted(f"schemas/{path.name}" for path in (ROOT / "schemas").glob("*.md"))
    made = {name: f"{name.removesuffix('.md')}.html" for name in sources}
    files = {to: page(name, made).encode() for name, to in made.items()}
    for path in sorted((ROOT / "schemas").glob("*.schema.json")):
        files[f"schemas/{path.name}"] = path.read_bytes()
    return files | {name: (ROOT / name).read_bytes() for name in COPIED}


def manual() -> dict[str, bytes]:
    """Return every man page, by its path below ``man``: ``man1/kit.1``."""
    return {
        f"man{section}/{name}.{section}": man_page(f"docs/{source}.md", name, section, purpose).encode()
        for source, (name, section, purpose) in MANUAL.items()
    }


@cache
def _tokens(name: str) -> tuple[Token, ...]:
    from markdown_it import MarkdownIt  # noqa: PLC0415  needed to build, and not by what only imports this

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    return tuple(reader.parse((ROOT / name).read_text(encoding="utf-8")))


def _title(tokens: Sequence[Token]) -> str:
    at = next(number for number, token in enumerate(tokens) if token.type == "heading_open")
    return _plain(tokens[at + 1])


def _plain(inline: Token) -> str:
    return "".join(" " if one.type == "softbreak" else one.content for one in inline.children or ())


def anchor(heading: str) -> str:
    """Return the name by which pages link to a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(name: str, made: Mapping[str, str]) -> str:
    """Return a page as HTML.

    Args:
        name: Its path in the checkout.
        made: The paths of all pages, and what each is called once it is HTML; a link to anything else is plain text.
    """
    tokens = _tokens(name)
    body = "".join(_html(tokens, name, made))
    title = html.escape(_title(tokens))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n{body}</body>\n</html>\n"
    )


def _html(tokens: Sequence[Token], name: str, made: Mapping[str, str]) -> Iterator[str]:
    for number, token in enumerate(tokens):
        match token.type:
            case "inline":
                yield "".join(_inline_html(token.children or (), name, made))
            case "fence" | "code_block":
                yield f"<pre><code>{html.escape(token.content, quote=False)}</code></pre>\n"
            case "hr":
                yield "<hr>\n"
            case "heading_open":
                yield f'<{token.tag} id="{html.escape(anchor(_plain(tokens[number + 1])))}">'
            case _ if token.hidden:
                continue  # the paragraph of a tight list
            case _ if token.nesting == 1:
                yield f"<{token.tag}>"
            case _ if token.nesting == -1:
                yield f"</{token.tag}>\n"
            case _:
                raise ValueError(f"{name}: no way to show {token.type}")


_MARKS: Final = {
    "softbreak": "\n",
    "hardbreak": "<br>\n",
    "strong_open": "<strong>",
    "strong_close": "</strong>",
    "em_open": "<em>",
    "em_close": "</em>",
}


def _inline_html(tokens: Sequence[Token], name: str, made: Mapping[str, str]) -> Iterator[str]:
    is_open: list[bool] = []
    for token in tokens:
        match token.type:
            case "text" | "image":
                yield html.escape(token.content, quote=False)
            case "code_inline":
                yield f"<code>{html.escape(token.content, quote=False)}</code>"
            case "link_open":
                to = link(str(token.attrGet("href")), name, made)
                is_open.append(to is not None)
                yield f'<a href="{html.escape(to)}">' if to is not None else ""
            case "link_close":
                yield "</a>" if is_open.pop() else ""
            case kind:
                yield _MARKS[kind]


def link(href: str, name: str, made: Mapping[str, str]) -> str | None:
    """Return where a link of the page ``name`` leads once it is HTML; None where what it leads to does not ship."""
    if "://" in href or href.startswith("#"):
        return href
    path, _, place = href.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if target not in made and target not in COPIED and not target.endswith(".schema.json"):
        return None
    there = posixpath.relpath(made.get(target, target), posixpath.dirname(name))
    return there + (f"#{place}" if place else "")


def man_page(name: str, title: str, section: int, purpose: str) -> str:
    """Return a page as roff, with the macros of man(7); ``purpose`` is what ``apropos`` shows."""
    tokens = _tokens(name)
    lines = [f'.TH {_roff(title.upper())} {section} "" "offline\\-kit"\n.SH NAME\n']
    lines.append(f"{_roff(title)} \\- {_roff(purpose)}\n.SH DESCRIPTION\n")
    start = next(number for number, token in enumerate(tokens) if token.type == "heading_close") + 1
    return "".join([*lines, *_Manual().set_out(tokens[start:])])


_SILENT: Final = frozenset(
    f"{name}_{side}"
    for name in ("table", "thead", "tbody", "tr", "th", "td", "blockquote")
    for side in ("open", "close")
) | {"paragraph_close", "list_item_close", "hr"}
_TYPED: Final = {
    "softbreak": "\n",
    "hardbreak": "\n.br\n",
    "strong_open": "\\fB",
    "strong_close": "\\fR",
    "em_open": "\\fI",
    "em_close": "\\fR",
    "link_open": "",
    "link_close": "",
}


class _Manual:
    """Sets blocks in roff, and knows which list and which table it is in."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []
        self._in_table = False
        self._counts: list[int | None] = []
        self._is_first = False

    def set_out(self, tokens: Iterable[Token]) -> Iterator[str]:
        """Yield the page, block by block."""
        for token in tokens:
            if token.type == "table_open":
                self._in_table = True
            elif token.type == "tr_open":
                self._rows.append([])
            elif token.type == "table_close":
                yield from _table(self._rows)
                self._rows, self._in_table = [], False
            elif token.type == "inline":
                text = _inline_man(token.children or ())
                if self._in_table:
                    self._rows[-1].append(text)
                else:
                    yield f"{text}\n"
            elif token.type not in _SILENT:
                yield self._block(token)

    def _block(self, token: Token) -> str:
        match token.type:
            case "heading_open":
                return ".SH " if token.tag == "h2" else ".SS "
            case "heading_close":
                return "\n"
            case "fence" | "code_block":
                text = "".join(f"{_roff(line)}\n" for line in token.content.splitlines())
                return f".PP\n.RS 4\n.nf\n{text}.fi\n.RE\n"
            case "paragraph_open":
                is_first, self._is_first = self._is_first, False
                return "" if is_first else ".PP\n"
            case _:
                return self._list(token)

    def _list(self, token: Token) -> str:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                self._counts.append(1 if token.type.startswith("ordered") else None)
                return ".RS 2\n" if len(self._counts) > 1 else ""
            case "bullet_list_close" | "ordered_list_close":
                self._counts.pop()
                return ".RE\n" if self._counts else ""
            case "list_item_open":
                count, self._is_first = self._counts[-1], True
                self._counts[-1] = None if count is None else count + 1
                return ".IP \\(bu 2\n" if count is None else f".IP {count}. 4\n"
            case kind:
                raise ValueError(f"no way to set {kind}")


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield each row as a paragraph under its first cell; more cells than two have the names of their columns."""
    heads, *others = rows
    for first, *cells in others:
        yield f".TP\n{first or '-'}\n"
        shown = [
            f"{head}: {cell}" if len(cells) > 1 and head else cell
            for head, cell in zip(heads[1:], cells, strict=True)
            if cell
        ]
        yield "\n.br\n".join(shown or ["-"]) + "\n"


def _inline_man(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    for token in tokens:
        if token.type == "text":
            parts.append(_roff(token.content, starts=not parts or parts[-1].endswith("\n")))
        elif token.type in {"code_inline", "image"}:
            parts.append(f"\\fB{_roff(token.content, starts=False)}\\fR")
        else:
            parts.append(_TYPED[token.type])
    return "".join(parts)


def _roff(text: str, *, starts: bool = True) -> str:
    """Return text as it is typed in roff: a control character at the start of a line is none."""
    typed = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    typed = typed.replace("^", "\\(ha").replace("~", "\\(ti")
    return f"\\&{typed}" if starts and typed.startswith(".") else typed


def write(files: Mapping[str, bytes], folder: Path) -> list[str]:
    """Write files below ``folder``, and return the paths."""
    written = []
    for name, data in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written.append(os.fspath(path))
    return written
