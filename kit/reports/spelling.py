"""Spells what a reader would not see: names come from whoever made a kit, and may hide, reorder or steer text."""

from __future__ import annotations

import unicodedata

# Control, format (bidirectional overrides, zero width), surrogates, line and paragraph separators.
_NOT_SHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_shown(char: str) -> bool:
    """Whether a terminal or a browser shows this character, rather than obeys it."""
    return unicodedata.category(char) not in _NOT_SHOWN


def printable(text: str) -> str:
    """Spell every character that would be obeyed rather than shown, as Python spells it: ``x1b`` behind a backslash."""
    return "".join(char if is_shown(char) else char.encode("unicode_escape").decode() for char in text)
