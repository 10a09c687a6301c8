"""Byte by byte: what ``index`` and ``prune`` find, by loops that pay only when this module is compiled (mypyc).

Compiled, a byte costs a nanosecond or two and an element a tenth of what the interpreted walks cost; interpreted, these
loops would be slower than their twins, so callers ask :data:`COMPILED` first. One law: whatever is given is what the
twin gives (``elements.index``; ``prune``, decoded), and wherever that is in doubt, faults included, nothing is
given, and the twin is asked, which words the error. Every read is bounds-checked, also when compiled; recursion ends at
:data:`DEPTH`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # Machine integers when compiled, plain ones otherwise; never needed at run time.
    from mypy_extensions import i64

    from kit.documents.prune import Wanted

COMPILED: Final = not __file__.endswith(".py")
DEPTH: Final = 64
"""Documents nested deeper are left to the twin."""

_DOUBT: Final = -1
_UNSURE: Final = object()


def index(buffer: bytes, start: int) -> dict[bytes, tuple[int, int, int]] | None:
    """Give one level of the document at ``start`` as name → (kind, start of the value, its end); None in doubt."""
    try:
        return _index(buffer, start)
    except IndexError:
        return None


def select(buffer: bytes, start: int, wanted: Wanted | None) -> dict[str, Any] | None:
    """Decode what is ``wanted`` of the document at ``start``, None for all of it; None in doubt."""
    try:
        last = last_of(buffer, start, len(buffer))
        return _document(buffer, start, last, wanted, 0) if last >= 0 else None
    except (IndexError, UnicodeDecodeError):
        return None


def is_shallow(buffer: bytes) -> bool:
    """Whether a document has at most :data:`DEPTH` levels, its own included; False in doubt."""
    try:
        last = last_of(buffer, 0, len(buffer))
        return last >= 0 and _is_shallow(buffer, 0, last, 1)
    except IndexError:
        return False


def _is_shallow(buffer: bytes, start: i64, last: i64, depth: i64) -> bool:
    at: i64 = start + 4
    while at < last:
        kind: i64 = buffer[at]
        value: i64 = at + 1
        while buffer[value]:
            value += 1
        value += 1
        end = end_of(buffer, kind, value, last)
        if end < 0:
            return False
        is_nested = kind == 3 or kind == 4  # noqa: PLR1714
        if is_nested and (depth >= DEPTH or buffer[end - 1] or not _is_shallow(buffer, value, end - 1, depth + 1)):
            return False
        at = end
    return at == last


def after_nul(buffer: bytes, at: i64, last: i64) -> i64:
    """Give the offset after the first NUL from ``at`` on and before ``last``; 0 if there is none."""
    while at < last:
        if not buffer[at]:
            return at + 1
        at += 1
    return 0


def element_end(buffer: bytes, at: i64, last: i64) -> i64:
    """Give the offset after the element at ``at``, in a document whose final NUL is at ``last``; -1 in doubt."""
    value = after_nul(buffer, at + 1, last)
    return value_end(buffer, buffer[at], value, last) if value else _DOUBT


def value_end(buffer: bytes, kind: i64, value: i64, last: i64) -> i64:
    """Give the offset after a value of type ``kind``; -1 in doubt."""
    return end_of(buffer, kind, value, last) if value + 4 <= last or kind == 10 or kind == 8 else _DOUBT  # noqa: PLR1714


def text_end(buffer: bytes, value: i64, last: i64) -> i64:
    """Give the offset after the string at ``value`` that has its only NUL at its end; -1 in doubt."""
    if value + 5 > last:
        return _DOUBT
    end = value + 4 + int32_at(buffer, value)
    if end > last or end < value + 5:
        return _DOUBT
    # A long text is searched faster by the library; a call costs as much as sixty bytes.
    if end - value > 64:
        return end if buffer.find(0, value + 4, end) == end - 1 else _DOUBT
    return end if after_nul(buffer, value + 4, end) == end else _DOUBT


def int32_at(buffer: bytes, at: i64) -> i64:
    """Read four bytes, little-endian; what is negative is a large number here."""
    a: i64 = buffer[at]
    b: i64 = buffer[at + 1]
    c: i64 = buffer[at + 2]
    d: i64 = buffer[at + 3]
    return a | (b << 8) | (c << 16) | (d << 24)


def last_of(buffer: bytes, start: i64, limit: i64) -> i64:
    """Offset of the final NUL of the document at ``start``, which ends at or before ``limit``."""
    size = int32_at(buffer, start)
    if size < 5 or start + size > limit or buffer[start + size - 1]:
        return _DOUBT
    return start + size - 1


def end_of(buffer: bytes, kind: i64, value: i64, last: i64) -> i64:  # noqa: C901  a call more is a third more
    """Where a value ends, which is at or before ``last``."""
    end: i64 = _DOUBT
    if kind == 2 or kind == 13 or kind == 14:  # noqa: PLR1714  one comparison each, compiled
        count = int32_at(buffer, value)
        if count < 1:
            return _DOUBT
        end = value + 4 + count
    elif kind == 3 or kind == 4:  # noqa: PLR1714
        count = int32_at(buffer, value)
        if count < 5:
            return _DOUBT
        end = value + count
    elif kind == 16:
        end = value + 4
    elif kind == 8:
        end = value + 1
    elif kind == 10:
        end = value
    elif kind == 1 or kind == 9 or kind == 17 or kind == 18:  # noqa: PLR1714
        end = value + 8
    elif kind == 7:
        end = value + 12
    elif kind == 19:
        end = value + 16
    elif kind == 5:
        end = value + 5 + int32_at(buffer, value)
    if end > last:  # a conditional expression would make objects of both
        return _DOUBT
    return end


def _index(buffer: bytes, start: i64) -> dict[bytes, tuple[int, int, int]] | None:
    last = last_of(buffer, start, len(buffer))
    if last < 0:
        return None
    found: dict[bytes, tuple[int, int, int]] = {}
    met = 0
    at: i64 = start + 4
    while at < last:
        kind: i64 = buffer[at]
        value: i64 = at + 1
        while buffer[value]:
            value += 1
        value += 1
        end = end_of(buffer, kind, value, last)
        if end < 0:
            return None
        found[buffer[at + 1 : value - 1]] = (kind, value, end)
        met += 1
        at = end
    return found if at == last and len(found) == met else None


def _document(buffer: bytes, start: i64, last: i64, wanted: Wanted | None, depth: i64) -> dict[str, Any] | None:
    """Decode a document of which ``wanted`` is wanted; None for all of it."""
    found: dict[str, Any] = {}
    met = 0
    others = wanted is not None and b"" in wanted  # prune.OTHERS
    at: i64 = start + 4
    while at < last:
        kind: i64 = buffer[at]
        value: i64 = at + 1
        while buffer[value]:
            value += 1
        value += 1
        end = end_of(buffer, kind, value, last)
        if end < 0:
            return None
        name = buffer[at + 1 : value - 1]
        if wanted is None or (name in wanted and len(name)):
            if buffer[at + 1] == 36:  # "$": a decoder may see a reference in it
                return None
            decoded = _value(buffer, kind, value, end, wanted[name] if wanted is not None else None, depth)
            if decoded is _UNSURE:
                return None
            found[name.decode()] = decoded
            met += 1
        elif others and buffer[at + 1] != 36:
            found[name.decode(errors="replace")] = None
            met += 1
        at = end
    return found if at == last and len(found) == met else None


def _array(buffer: bytes, start: i64, last: i64, wanted: Wanted | None, depth: i64) -> list[Any] | None:
    found: list[Any] = []
    at: i64 = start + 4
    while at < last:
        kind: i64 = buffer[at]
        value: i64 = at + 1
        while buffer[value]:
            value += 1
        value += 1
        end = end_of(buffer, kind, value, last)
        # Items go by their place; a name that is not the expected index may be there twice, which is the twin's to see.
        if end < 0 or not is_number(buffer, at + 1, value - 1, len(found)):
            return None
        decoded = _value(buffer, kind, value, end, wanted if kind == 3 else None, depth)
        if decoded is _UNSURE:
            return None
        found.append(decoded)
        at = end
    return found if at == last else None


def _value(  # noqa: PLR0911, PLR0917
    buffer: bytes, kind: i64, value: i64, end: i64, wanted: Wanted | None, depth: i64
) -> Any:
    if kind == 2:
        return buffer[value + 4 : end - 1].decode() if not buffer[end - 1] else _UNSURE
    if kind == 3 or kind == 4:  # noqa: PLR1714
        if buffer[end - 1] or depth >= DEPTH:
            return _UNSURE
        if kind == 3:
            document = _document(buffer, value, end - 1, wanted, depth + 1)
            return document if document is not None else _UNSURE
        items = _array(buffer, value, end - 1, wanted, depth + 1)
        return items if items is not None else _UNSURE
    if kind == 10:
        return None
    if kind == 8 and buffer[value] < 2:
        return buffer[value] == 1
    return _UNSURE


def is_number(buffer: bytes, start: i64, nul: i64, number: i64) -> bool:
    """Whether the name at ``start`` is ``number``, written as BSON writes the index of an item."""
    at: i64 = nul - 1
    rest: i64 = number
    while at >= start:
        digit: i64 = buffer[at]
        if digit != 48 + rest % 10:
            return False
        rest //= 10
        at -= 1
    # All of it was met, and no zero stands before it but the one that is 0.
    return rest == 0 and start < nul and (nul - start == 1 or buffer[start] != 48)
