"""Escapes characters that a reader would not see: names in a kit are untrusted, and may hide, reorder or steer text.

Law: different texts have different escaped texts, so that no two tenants share a row or a series of metrics.

Clips names that are too long for a row.

Plain text tables: the first column to the left, the others to the right, without lines.

Errors as JSON, the same in every report.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from kit.errors import KitError

MAX_DOCUMENT = 80
"""Characters of a document's name in a list."""
MAX_REASON = 200
# Control, format (bidirectional overrides, zero width), surrogates, line and paragraph separators.
_NOT_SHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_shown(char: str) -> bool:
    """Return whether a terminal or browser shows this character instead of obeying it."""
    return unicodedata.category(char) not in _NOT_SHOWN


def printable(text: str) -> str:
    r"""Return the text with each character that would be obeyed instead of shown as a Python escape: ``\x1b``.

    A backslash is doubled: otherwise an escape could also be the text itself.
    """
    return "".join(char if char != "\\" and is_shown(char) else char.encode("unicode_escape").decode() for char in text)


def well_formed(value: Any) -> Any:
    r"""Return a JSON value in which each byte of a name that is not UTF-8 is an escape in the text: ``\udce9``.

    Python reads such a byte as half a surrogate pair, which is not JSON (RFC 7493 2.1).
    """
    if isinstance(value, dict):
        return {well_formed(name): well_formed(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [well_formed(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def clip(text: str, width: int) -> str:
    """Return the text with an ellipsis for its middle if it would be shown in more characters than ``width``.

    The end is kept too: names of one kind differ there as often as at their beginning.
    """
    if len(printable(text)) <= width:
        return text
    tail = _shown_part(text[::-1], width // 4)[::-1]
    return f"{_shown_part(text, width - 1 - len(printable(tail)))}…{tail}"


def _shown_part(text: str, width: int) -> str:
    kept = 0
    for number, char in enumerate(text):
        kept += len(printable(char))
        if kept > width:
            return text[:number]
    return text


def clip_names(names: Collection[str], width: int) -> dict[str, str]:
    """Return each name clipped. Those that would read the same are numbered, so that no two share a row."""
    clipped: dict[str, str] = {}
    taken: set[str] = {name for name in names if clip(name, width) == name}
    for name in names:
        short, number = clip(name, width), 1
        while short != name and short in taken:
            number += 1
            short = f"{clip(name, width - len(f' ({number})'))} ({number})"
        taken.add(short)
        clipped[name] = short
    return clipped


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, heads first; aligned as they are shown, that is escaped."""
    everything = [heads, *rows]
    widths = [max(len(printable(row[column])) for row in everything) for column in range(len(heads))]
    for row in everything:
        blanks = [" " * (width - len(printable(cell))) for cell, width in zip(row, widths, strict=True)]
        cells = [row[0] + blanks[0], *(blank + cell for blank, cell in zip(blanks[1:], row[1:], strict=True))]
        yield "  " + "  ".join(cells).rstrip()


SCHEMA_VERSION = "1"
"""The version of every report without one of its own."""


def error_json(error: KitError) -> dict[str, Any]:
    """Return an error as JSON."""
    return {"kind": type(error).__name__, "where": error.where, "what": error.what, "hint": error.hint}
