"""Whether a document is nested too deeply for a decoder that recurses.

The depth at which such a decoder fails depends on the depth of its caller, and so on the number of workers. Laws: no
recursion; linear time; a document with too few bytes that could be the type of a nested one is not walked, so that
ordinary documents cost next to nothing.
"""

from __future__ import annotations

from kit.documents.kinds import FIXED, NESTING, first_nested, value_end
from kit.errors import BsonError

__all__ = ["is_deeper"]


def is_deeper(document: bytes, levels: int) -> bool:
    """Return whether a document has more than ``levels`` levels, its own included; ``levels`` is at least 1.

    A malformed document is judged up to its fault only: a decoder reaches that fault first.
    """
    if _is_plainly_not(document, levels):
        return False
    at, last = 4, len(document) - 1
    outer: list[int] = []  # the final NUL of each document around the current one
    while True:
        while at < last:
            nul = document.find(0, at + 1, last)
            if nul < 0:
                return False
            kind, value = document[at], nul + 1
            size = FIXED[kind]
            if size >= 0:
                at = value + size
                continue
            try:
                at = value_end(document, kind, value, last)
            except BsonError:
                return False
            if kind in NESTING:
                outer.append(last)
                if len(outer) >= levels:
                    return True
                at, last = first_nested(document, kind, value, at), at - 1
        if not outer:
            return False
        at, last = last + 1, outer.pop()


def _is_plainly_not(document: bytes, levels: int) -> bool:
    return sum(document.count(kind) for kind in NESTING) < levels
