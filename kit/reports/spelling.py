"""Spells what a reader would not see: names come from others, who made a kit, and may hide, reorder or steer text.

Law: two texts that differ are spelled in two ways, so that no two tenants become one series of metrics or one row.
"""

from __future__ import annotations

import unicodedata
from typing import Any

# Control, format (bidirectional overrides, zero width), surrogates, line and paragraph separators.
_NOT_SHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_shown(char: str) -> bool:
    """Whether a terminal or a browser shows this character, rather than obeys it."""
    return unicodedata.category(char) not in _NOT_SHOWN


def printable(text: str) -> str:
    r"""Return the text with each character that would be obeyed rather than shown as Python spells it: ``\x1b``.

    A backslash is doubled, or what spells a character would also be the spelling of that very text.
    """
    return "".join(char if char != "\\" and is_shown(char) else char.encode("unicode_escape").decode() for char in text)


def well_formed(value: Any) -> Any:
    r"""Return a JSON value in which each byte of a name that is not UTF-8 is spelled as text: ``\udce9``.

    Python reads such a byte as half a surrogate pair, which is no JSON (RFC 7493 2.1).
    """
    if isinstance(value, dict):
        return {well_formed(name): well_formed(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [well_formed(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
