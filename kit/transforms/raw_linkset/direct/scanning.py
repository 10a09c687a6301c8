"""Reads elements of a document where they stand; every read is bounds-checked, and what is odd is a :class:`Doubt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import read_i64_le

from kit.documents.loops import end_of, is_number, last_of

if TYPE_CHECKING:
    from mypy_extensions import i64

STRING: Final = 2
DOCUMENT: Final = 3
ARRAY: Final = 4
NULL: Final = 10
_HIGH_BITS: Final = 0x80808080808080  # of seven bytes; that of the eighth is the sign
_DEPTH: Final = 48


class Doubt(Exception):  # noqa: N818  no error: the twin knows what to do
    """The document is not plainly what it should be."""


def value_of(buffer: bytes, at: i64) -> i64:
    """Give where the value of the element at ``at`` starts.

    Raises:
        IndexError: The name has no end.
    """
    value: i64 = at + 1
    while buffer[value]:
        value += 1
    return value + 1


def end_of_value(buffer: bytes, at: i64, value: i64, last: i64) -> i64:
    """Give where the value of the element at ``at`` ends, at or before ``last``.

    Raises:
        Doubt: It does not, or its type is not known.
    """
    end = end_of(buffer, buffer[at], value, last)
    if end < 0:
        raise Doubt
    return end


def opened(buffer: bytes, kind: i64, start: i64, end: i64, expected: i64) -> i64:
    """Give where the document or array that is the value ``[start, end)`` has its final NUL.

    Raises:
        Doubt: The value is of another kind than ``expected``, or does not end in NUL.
    """
    if kind != expected or last_of(buffer, start, end) != end - 1:
        raise Doubt
    return end - 1


def is_name(buffer: bytes, at: i64, name: bytes) -> bool:
    """Whether the element at ``at`` is called ``name``, which is given with its NUL."""
    size: i64 = len(name)
    place: i64 = 0
    while place < size:
        if buffer[at + 1 + place] != name[place]:
            return False
        place += 1
    return True


def item(buffer: bytes, at: i64, value: i64, number: i64) -> None:
    """Check that the element at ``at`` is item ``number`` of its array by name.

    Raises:
        Doubt: It has another name.
    """
    if not is_number(buffer, at + 1, value - 1, number):
        raise Doubt


def text(buffer: bytes, kind: i64, value: i64, end: i64) -> None:
    """Check that a value is a string of UTF-8.

    Raises:
        Doubt: It is no string, or has no final NUL.
        UnicodeDecodeError: It is not UTF-8.
    """
    if kind != STRING or buffer[end - 1]:
        raise Doubt
    at: i64 = value + 4
    stop: i64 = end - 1
    while at + 8 <= stop:
        eight: i64 = read_i64_le(buffer, at)
        if eight < 0 or eight & _HIGH_BITS:
            buffer[at:stop].decode()
            return
        at += 8
    while at < stop:
        if buffer[at] > 127:
            buffer[at:stop].decode()
            return
        at += 1


def sound(buffer: bytes, kind: i64, value: i64, end: i64, depth: i64) -> None:
    """Check a value that is decoded as a whole by the twin, though little of it is used.

    Raises:
        Doubt: A decoder could see more in it, or a fault.
        UnicodeDecodeError: A string in it is not UTF-8.
    """
    if kind == STRING:
        text(buffer, kind, value, end)
        return
    if kind != DOCUMENT and kind != ARRAY:  # noqa: PLR1714  one comparison each, compiled
        if kind == 8:
            if buffer[value] > 1:
                raise Doubt
        elif not (kind == 1 or kind == 7 or kind == 9 or kind == 10 or kind == 16 or kind == 18):  # noqa: PLR1714
            raise Doubt
        return
    if depth >= _DEPTH:
        raise Doubt
    last: i64 = opened(buffer, kind, value, end, kind)
    at: i64 = value + 4
    number: i64 = 0
    while at < last:
        inner = value_of(buffer, at)
        stop = end_of_value(buffer, at, inner, last)
        if kind == ARRAY:
            item(buffer, at, inner, number)
        else:
            plain_name(buffer, at, inner)
        sound(buffer, buffer[at], inner, stop, depth + 1)
        at = stop
        number += 1
    closed(at, last)


def plain_name(buffer: bytes, at: i64, value: i64) -> None:
    """Check the name of an element that is decoded but not used: a decoder may see a reference in it, or fail.

    Raises:
        Doubt: It begins with ``$``, or is not ASCII.
    """
    place: i64 = at + 1
    if buffer[place] == 36:
        raise Doubt
    while place < value - 1:
        if buffer[place] > 127:
            raise Doubt
        place += 1


def closed(at: i64, last: i64) -> None:
    """Check that the last element ended where its document does.

    Raises:
        Doubt: It did not.
    """
    if at != last:
        raise Doubt


def once(found: i64) -> None:
    """Check that a name was not met before: ``found`` is where it was, 0 for nowhere.

    Raises:
        Doubt: It is there twice, and which is meant is the twin's to say.
    """
    if found:
        raise Doubt


def string_called(buffer: bytes, start: i64, last: i64, name: bytes) -> tuple[i64, i64]:
    """Give start and end of the string called ``name`` in the document at ``start``; (0, 0) where it is absent.

    Raises:
        Doubt: It is there twice or no string, or the document is odd.
    """
    found: i64 = 0
    stop: i64 = 0
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        if is_name(buffer, at, name):
            once(found)
            text(buffer, buffer[at], value, end)
            found, stop = value, end
        at = end
    closed(at, last)
    return found, stop


def nested(buffer: bytes, start: i64, last: i64, name: bytes, kind: i64) -> tuple[i64, i64]:
    """Give start and final NUL of the document or array, as ``kind`` says, that is called ``name``; (0, 0) for none.

    Raises:
        Doubt: It is there twice or is something else, or the document it is sought in is odd.
    """
    found: i64 = 0
    stop: i64 = 0
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        if is_name(buffer, at, name):
            once(found)
            found, stop = value, opened(buffer, buffer[at], value, end, kind)
        at = end
    closed(at, last)
    return found, stop


def first_string(buffer: bytes, start: i64, last: i64) -> tuple[i64, i64]:
    """Check that an array is one of strings; give start and end of the first, (0, 0) where there is none.

    Raises:
        Doubt: It is not.
    """
    first: i64 = 0
    stop: i64 = 0
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        text(buffer, buffer[at], value, end)
        if number == 0:
            first, stop = value, end
        number += 1
        at = end
    closed(at, last)
    return first, stop
