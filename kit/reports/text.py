"""Escapes characters that a reader would not see: names in a kit are untrusted, and may hide, reorder or steer text.

Law: different texts have different escaped texts, so that no two tenants share a row or a series of metrics.

Plain text tables: the first column to the left, the others to the right, without lines.

Errors as JSON, the same in every report.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from kit.errors import KitError

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


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, heads first."""
    everything = [heads, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(heads))]
    for row in everything:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  " + "  ".join(cells).rstrip()


SCHEMA_VERSION = "1"
"""The version of every report without one of its own."""


def error_json(error: KitError) -> dict[str, Any]:
    """Return an error as JSON."""
    return {"kind": type(error).__name__, "where": error.where, "what": error.what, "hint": error.hint}
