"""Counts the elements of one document, so that one of nothing but elements is refused before anybody holds them.

A byte of a document costs a byte; an element that is looked up, or decoded, costs its reader a hundred and more, and
two bytes are enough to make one. So elements are bounded apart from bytes, where documents are cut out of their stream,
which all of them pass. Laws: the count is exact for a sound document, and of a malformed one it is what a walk meets
before it meets the fault; no recursion; a document that is too short to hold too many elements is not looked at, and
one that has fewer NULs than there may be elements is not walked, so that ordinary documents cost nothing.
"""

from __future__ import annotations

from kit.documents import core
from kit.documents.kinds import FIXED, NESTING, inside, value_end
from kit.errors import BsonError
from kit.values import Limits

__all__ = ["check_width", "count_elements", "elements_in", "narrow_bytes"]

_ZERO_OR_ONE = bytes((0,)) + bytes((1,)) * 255
_LEAST_ELEMENT = 2
"""Bytes of the least element: a type, and the NUL of an empty name."""


def narrow_bytes(limits: Limits) -> int:
    """Give the length up to which a document has no room for more elements than ``limits.document_elements``."""
    return _LEAST_ELEMENT * limits.document_elements + 5


def check_width(buffer: bytes, start: int, end: int, limits: Limits, *, where: str) -> None:
    """Refuse the document ``buffer[start:end]`` if it has too many elements, nested ones included.

    Raises:
        LimitError: It is over ``document_elements``.
    """
    # Each element has a NUL of its own, so this is never less; it takes a millisecond for 16 MiB, a walk seconds.
    if buffer.count(0, start, end) > limits.document_elements:
        limits.check("document_elements", count_elements(buffer, start, end, limits), where=where)


def elements_in(block: bytes, *, exactly: bool) -> int:
    """Give a number that the elements in a stretch of documents are not above.

    An element begins with a type that is no NUL and has a NUL behind it or its name. So there are no more than NULs, of
    which a sound kit of few zeros has some five for each; and no more than places where a NUL follows another byte.

    Args:
        block: The bytes, cut anywhere.
        exactly: Whether it is worth ten times as long (3 ms a MiB) not to count the zeros of numbers and binary values.
    """
    if core.max_elements is not None:
        return core.max_elements(block, exactly)
    return block.translate(_ZERO_OR_ONE).count(b"\1\0") if exactly else block.count(0)


def count_elements(buffer: bytes, start: int, end: int, limits: Limits) -> int:
    """Count the elements of ``buffer[start:end]``, which is a document as far as its length and its NUL go.

    What is nested over ``limits.document_depth`` counts as one element: nobody goes there. Behind a fault in a nested
    document the walk goes on behind that document, as a walk of one level does.
    """
    met, at, last = 0, start + 4, end - 1
    outer: list[int] = []  # the final NUL of each document around the current one
    while True:
        while at < last:
            nul = buffer.find(0, at + 1, last)
            if nul < 0:
                break
            met += 1
            kind, value = buffer[at], nul + 1
            size = FIXED[kind]
            if size >= 0:
                at = value + size
                continue
            try:
                at = value_end(buffer, kind, value, last)
            except BsonError:
                break
            if kind in NESTING and len(outer) + 2 <= limits.document_depth:
                outer.append(last)
                at, last = inside(buffer, kind, value, at), at - 1
        if not outer:
            return met
        at, last = last + 1, outer.pop()
