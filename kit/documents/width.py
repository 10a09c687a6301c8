"""Counts the elements of one document, so that one of nothing but elements is refused before it is indexed.

An element takes two bytes in a document, and a hundred or more in memory once it is indexed or decoded. So elements
have a bound of their own, which is checked where documents are split from their stream. Laws: the count is exact for a
sound document, and that of a malformed one includes the elements before the fault; no recursion; a document too short
for too many elements is not read, and one with fewer NULs than allowed elements is not walked, so that ordinary
documents cost nothing.
"""

from __future__ import annotations

from kit.documents import core
from kit.documents.kinds import FIXED, NESTING, first_nested, value_end
from kit.errors import BsonError
from kit.values import Limits

__all__ = ["check_width", "count_elements", "elements_in", "narrow_bytes"]

_ZERO_OR_ONE = bytes((0,)) + bytes((1,)) * 255
_LEAST_ELEMENT = 2
"""The size of the smallest element: a type, and the NUL of an empty name."""


def narrow_bytes(limits: Limits) -> int:
    """Return the length up to which a document has no room for more elements than ``limits.document_elements``."""
    return _LEAST_ELEMENT * limits.document_elements + 5


def check_width(buffer: bytes, start: int, end: int, limits: Limits, *, where: str) -> None:
    """Check the number of elements of the document ``buffer[start:end]``, nested ones included.

    Raises:
        LimitError: It is over ``document_elements``.
    """
    # Each element has its own NUL, so NULs are an upper bound; counting takes a millisecond for 16 MiB, a walk seconds.
    if buffer.count(0, start, end) > limits.document_elements:
        limits.check("document_elements", count_elements(buffer, start, end, limits), where=where)


def elements_in(block: bytes, *, exactly: bool) -> int:
    """Return an upper bound of the number of elements in a stretch of documents.

    An element begins with a type, which is no NUL, and has a NUL after its name. So NULs are an upper bound, in a sound
    kit about five for each element; and so are the places where a NUL follows another byte.

    Args:
        block: The bytes, cut anywhere.
        exactly: Leave out the zeros of numbers and binary values, which takes ten times as long (3 ms a MiB).
    """
    if core.max_elements is not None:
        return core.max_elements(block, exactly)
    return block.translate(_ZERO_OR_ONE).count(b"\1\0") if exactly else block.count(0)


def count_elements(buffer: bytes, start: int, end: int, limits: Limits) -> int:
    """Return the number of elements of ``buffer[start:end]``, which is a document by its length and its NUL.

    A value nested over ``limits.document_depth`` counts as one element, since no reader enters it. At a fault in a
    nested document the walk continues after that document, as a walk of one level does.
    """
    count, at, last = 0, start + 4, end - 1
    outer: list[int] = []  # the final NUL of each document around the current one
    while True:
        while at < last:
            nul = buffer.find(0, at + 1, last)
            if nul < 0:
                break
            count += 1
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
                at, last = first_nested(buffer, kind, value, at), at - 1
        if not outer:
            return count
        at, last = last + 1, outer.pop()
