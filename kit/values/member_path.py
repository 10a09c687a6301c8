"""Member paths: the one place that decides which names may exist in a kit.

Every rule here stands for an attack or for a disagreement between tools that would extract the same archive:
the name is what a signature covers, so it must mean one file on every system that unpacks it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from kit.errors import ArchiveError


@dataclass(frozen=True, slots=True, order=True)
class MemberPath:
    """A relative path with ``/`` between non-empty segments, NFC, printable. Law: ``parse(str(p)) == p``."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check a name as an archive or a manifest spells it; a directory's trailing slash must be cut before.

        Raises:
            ArchiveError: The name is empty, absolute, has ``.``, ``..`` or empty segments, a backslash, a control
                character, a lone surrogate (the mark of undecodable bytes), is not NFC, or looks like a drive (``C:``).
        """
        fault = _fault(text)
        if fault:
            raise ArchiveError(f"member name {text!r} {fault}")
        return cls(text)

    @property
    def collision_key(self) -> str:
        """What a case-insensitive or normalising file system would file this path under (APFS, NTFS)."""
        return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", self.text).casefold())

    def __str__(self) -> str:
        return self.text


def _is_drive(text: str) -> bool:
    return len(text) >= 2 and text[1] == ":" and text[0].isalpha() and text[2:3] in {"", "/"}


def _has_invisible(text: str) -> bool:
    return any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in text)


# First rule that holds names the fault; the order only decides which fault is named.
_RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda text: not text, "is empty"),
    (lambda text: any("\ud800" <= c <= "\udfff" for c in text), "is not valid UTF-8"),
    (_has_invisible, "contains control or formatting characters"),
    (lambda text: "\\" in text, "contains a backslash"),
    (lambda text: not unicodedata.is_normalized("NFC", text), "is not in Unicode normal form C"),
    (lambda text: text.startswith("/"), "is absolute"),
    (lambda text: ".." in text.split("/"), "has a '..' segment"),
    (lambda text: not {"", "."}.isdisjoint(text.split("/")), "has an empty or '.' segment"),
    (_is_drive, "starts with a drive letter"),
)


def _fault(text: str) -> str:
    return next((fault for holds, fault in _RULES if holds(text)), "")
