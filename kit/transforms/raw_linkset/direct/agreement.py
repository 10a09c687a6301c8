"""Whether a finished element and the observation's ``linkset`` hold the same values, as ``divergence.compare`` says.

Only plain agreement is seen: equal sets, list by list, aliases without regard to the case of ASCII letters. What needs
canonical forms, or is long, is the twin's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from librt.strings import read_i64_le

from kit.documents.loops import last_of
from kit.transforms.raw_linkset.direct.scanning import (
    ARRAY,
    DOCUMENT,
    STRING,
    Doubt,
    closed,
    end_of_value,
    is_name,
    item,
    once,
    opened,
    plain_name,
    sound,
    text,
    value_of,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

_MOST: Final = 64
"""Values of one list that are compared here, each with each at worst."""


@final
class _Texts:
    """Where the texts of one list stand in their buffer."""

    def __init__(self) -> None:
        self.count: i64 = 0
        self.starts = [_Mark() for _ in range(_MOST)]

    def add(self, start: i64, end: i64) -> None:
        if self.count >= _MOST:
            raise Doubt
        mark = self.starts[self.count]
        mark.start, mark.end = start, end
        self.count += 1


@final
class _Mark:
    def __init__(self) -> None:
        self.start: i64 = 0
        self.end: i64 = 0


@final
class _Lists:
    """The four lists that are compared."""

    def __init__(self) -> None:
        self.aliases = _Texts()
        self.purls = _Texts()
        self.cpes = _Texts()
        self.references = _Texts()

    def clear(self) -> None:
        self.aliases.count = self.purls.count = self.cpes.count = self.references.count = 0


_ours: Final = _Lists()
_theirs: Final = _Lists()


def agrees(element: bytes, document: bytes, linkset: int) -> bool:
    """Whether the values of a finished ``element`` are those of the linkset at ``linkset``; False in doubt."""
    try:
        _read_element(element)
        _read_linkset(document, linkset)
        return (
            _same_folded(element, _ours.aliases, document, _theirs.aliases)
            and _same(element, _ours.purls, document, _theirs.purls)
            and _same(element, _ours.cpes, document, _theirs.cpes)
            and _same(element, _ours.references, document, _theirs.references)
        )
    except (Doubt, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return False


def _read_element(element: bytes) -> None:
    _ours.clear()
    start = value_of(element, 0)
    last: i64 = len(element) - 1
    at: i64 = start + 4
    while at < last:
        value = value_of(element, at)
        end = end_of_value(element, at, value, last)
        if is_name(element, at, b"aliases\0"):
            _read_texts(element, value, end - 1, _ours.aliases)
        elif is_name(element, at, b"purls\0"):
            _read_texts(element, value, end - 1, _ours.purls)
        elif is_name(element, at, b"cpes\0"):
            _read_texts(element, value, end - 1, _ours.cpes)
        elif is_name(element, at, b"references\0"):
            _read_urls(element, value, end - 1, _ours.references)
        at = end
    closed(at, last)


def _read_linkset(buffer: bytes, start: i64) -> None:
    """All of it is checked, since the twin decodes all of it."""
    _theirs.clear()
    last = last_of(buffer, start, len(buffer))
    if last < 0:
        raise Doubt
    met: i64 = 0  # one bit a name
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        kind: i64 = buffer[at]
        bit: i64 = 0
        if is_name(buffer, at, b"aliases\0"):
            bit = 1
            _read_texts(buffer, value, opened(buffer, kind, value, end, ARRAY), _theirs.aliases)
        elif is_name(buffer, at, b"purls\0"):
            bit = 2
            _read_texts(buffer, value, opened(buffer, kind, value, end, ARRAY), _theirs.purls)
        elif is_name(buffer, at, b"cpes\0"):
            bit = 4
            _read_texts(buffer, value, opened(buffer, kind, value, end, ARRAY), _theirs.cpes)
        elif is_name(buffer, at, b"references\0"):
            bit = 8
            _read_urls(buffer, value, opened(buffer, kind, value, end, ARRAY), _theirs.references)
        else:
            plain_name(buffer, at, value)
            sound(buffer, kind, value, end, 0)
        once(met & bit)
        met |= bit
        at = end
    closed(at, last)
    if met != 15:
        raise Doubt


def _read_texts(buffer: bytes, start: i64, last: i64, texts: _Texts) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        text(buffer, buffer[at], value, end)
        texts.add(value + 4, end - 1)
        number += 1
        at = end
    closed(at, last)


def _read_urls(buffer: bytes, start: i64, last: i64, texts: _Texts) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        _read_url(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), texts)
        number += 1
        at = end
    closed(at, last)


def _read_url(buffer: bytes, start: i64, last: i64, texts: _Texts) -> None:
    found: i64 = 0
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        kind: i64 = buffer[at]
        if is_name(buffer, at, b"url\0"):
            once(found)
            text(buffer, kind, value, end)
            texts.add(value + 4, end - 1)
            found = value
        else:
            plain_name(buffer, at, value)
            if kind == STRING:
                text(buffer, kind, value, end)
            else:
                sound(buffer, kind, value, end, 0)
        at = end
    closed(at, last)
    if not found:
        raise Doubt


def _same(left: bytes, ours: _Texts, right: bytes, theirs: _Texts) -> bool:
    return _within(left, ours, right, theirs) and _within(right, theirs, left, ours)


def _within(left: bytes, ours: _Texts, right: bytes, theirs: _Texts) -> bool:
    """Whether each of ``ours`` is among ``theirs``."""
    place: i64 = 0
    while place < ours.count:
        mark = ours.starts[place]
        # Lists in the same order are the usual case, so the search begins where it will end there.
        other: i64 = 0
        if place < theirs.count:
            other = place
        tried: i64 = 0
        while tried < theirs.count:
            if _equal(left, mark, right, theirs.starts[other]):
                break
            other += 1
            if other == theirs.count:
                other = 0
            tried += 1
        if tried == theirs.count:
            return False
        place += 1
    return True


def _equal(left: bytes, one: _Mark, right: bytes, other: _Mark) -> bool:
    size: i64 = one.end - one.start
    if size != other.end - other.start:
        return False
    a: i64 = one.start
    b: i64 = other.start
    # From the end, where URLs differ; both texts have the 4 bytes of their length before them.
    while size >= 8:
        if read_i64_le(left, a + size - 8) != read_i64_le(right, b + size - 8):
            return False
        size -= 8
    while size > 0:
        size -= 1
        if left[a + size] != right[b + size]:
            return False
    return True


def _same_folded(left: bytes, ours: _Texts, right: bytes, theirs: _Texts) -> bool:
    return _within_folded(left, ours, right, theirs) and _within_folded(right, theirs, left, ours)


def _within_folded(left: bytes, ours: _Texts, right: bytes, theirs: _Texts) -> bool:
    place: i64 = 0
    while place < ours.count:
        mark = ours.starts[place]
        tried: i64 = 0
        while tried < theirs.count:
            if _equal_folded(left, mark, right, theirs.starts[tried]):
                break
            tried += 1
        if tried == theirs.count:
            return False
        place += 1
    return True


def _equal_folded(left: bytes, one: _Mark, right: bytes, other: _Mark) -> bool:
    size: i64 = one.end - one.start
    if size != other.end - other.start:
        return False
    place: i64 = 0
    while place < size:
        a: i64 = left[one.start + place]
        b: i64 = right[other.start + place]
        if a > 127 or b > 127:
            raise Doubt
        if _lower(a) != _lower(b):
            return False
        place += 1
    return True


def _lower(character: i64) -> i64:
    if 65 <= character <= 90:  # "A" to "Z"
        return character + 32
    return character
