"""Reads HTML pages with Python's own parser: what they say, whether they are well-formed, what they would fetch."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"br", "col", "meta", "wbr"}
FETCHING = {
    "a",
    "audio",
    "base",
    "embed",
    "form",
    "iframe",
    "img",
    "link",
    "object",
    "script",
    "source",
    "use",
    "video",
}
POINTING = {
    "action",
    "background",
    "data",
    "formaction",
    "href",
    "ping",
    "poster",
    "src",
    "srcset",
    "style",
    "xlink:href",
}


class Page(HTMLParser):
    """A page, parsed; ``faults`` is empty for one that is well-formed and asks for nothing."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self._words: list[str] = []
        text = data.decode("utf-8")
        if not text.startswith("<!DOCTYPE html>\n<html lang="):
            self.faults.append("no document type")
        self.feed(text)
        self.close()
        if self._open:
            self.faults.append(f"never closed: {self._open}")

    @property
    def text(self) -> str:
        """Everything it says, blanks folded."""
        return _folded(self._words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if len(attributes) != len(attrs):
            self.faults.append(f"an attribute twice: {attrs}")
        if tag in FETCHING:
            self.faults.append(f"an element that fetches or runs: {tag}")
        self.faults += [f"{tag} {name}={value}" for name, value in attrs if name in POINTING or name.startswith("on")]
        if tag not in VOID:
            self._open.append((tag, attributes.get("id")))
            if attributes.get("id"):
                self.sections[str(attributes["id"])] = ""
        self._words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:]}")
            return
        self._open.pop()
        self._words.append(" ")

    def handle_data(self, data: str) -> None:
        if any(tag == "style" for tag, _ in self._open):
            if re.search(r"url\(|@import|https?:|//", data):
                self.faults.append("the style names another document")
            return
        if any(tag == "title" for tag, _ in self._open):
            return
        self._words.append(data)
        for _, identifier in self._open:
            if identifier is not None:
                self.sections[identifier] = _folded([self.sections[identifier], " ", data])

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment: {data}")

    def handle_pi(self, data: str) -> None:
        self.faults.append(f"a processing instruction: {data}")

    def unknown_decl(self, data: str) -> None:
        self.faults.append(f"a declaration: {data}")


def _folded(words: list[str]) -> str:
    return " ".join("".join(words).split())
