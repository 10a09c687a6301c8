"""The ``linkset`` of a snapshot, as :func:`kit.transforms.raw_linkset.projection.from_linkset` copies it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kit.documents import Place
from kit.documents.loops import last_of
from kit.transforms.raw_linkset.direct.scanning import (
    ARRAY,
    DOCUMENT,
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
from kit.transforms.raw_linkset.direct.sheet import List, Sheet

if TYPE_CHECKING:
    from mypy_extensions import i64

_sheet: Final = Sheet()


def linkset_element(buffer: bytes, start: int, identifiers: Place | None) -> bytes | None:
    """Copy the linkset that is the document at ``start``; None in doubt, which includes one without aliases.

    ``identifiers`` is where the document has what the twin would take aliases from; it must be sound, since the twin
    decodes it.
    """
    try:
        if identifiers is not None:
            sound(buffer, identifiers[0], identifiers[1], identifiers[2], 0)
        return _element(buffer, start)
    except (Doubt, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def _element(buffer: bytes, start: i64) -> bytes:  # noqa: C901, PLR0912  one branch a name
    last = last_of(buffer, start, len(buffer))
    if last < 0:
        raise Doubt
    sheet = _sheet
    sheet.clear()
    met: i64 = 0  # one bit a name
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        kind: i64 = buffer[at]
        bit: i64 = 0
        if is_name(buffer, at, b"aliases\0"):
            bit = 1
            _strings(buffer, kind, value, end, sheet.aliases)
        elif is_name(buffer, at, b"purls\0"):
            bit = 2
            _strings(buffer, kind, value, end, sheet.purls)
        elif is_name(buffer, at, b"cpes\0"):
            bit = 4
            _strings(buffer, kind, value, end, sheet.cpes)
        elif is_name(buffer, at, b"references\0"):
            bit = 8
            _references(buffer, value, opened(buffer, kind, value, end, ARRAY), sheet.references)
        elif is_name(buffer, at, b"scopes\0"):
            bit = 16
            _strings(buffer, kind, value, end, sheet.scopes)
            sheet.has_scopes = True
        elif is_name(buffer, at, b"relationships\0"):
            bit = 32
            _relationships(buffer, value, opened(buffer, kind, value, end, ARRAY), sheet.relationships)
            sheet.has_relationships = True
        elif is_name(buffer, at, b"reconciled_from\0") or is_name(buffer, at, b"reconciledFrom\0"):
            bit = 64  # both spellings at once are the twin's
            _strings(buffer, kind, value, end, sheet.pointers)
        elif is_name(buffer, at, b"notes\0"):
            bit = 128
            if opened(buffer, kind, value, end, DOCUMENT) != value + 4:
                raise Doubt
        else:
            plain_name(buffer, at, value)
            sound(buffer, kind, value, end, 0)
        once(met & bit)
        met |= bit
        at = end
    closed(at, last)
    if not sheet.aliases.count:
        raise Doubt  # the document's identifiers may have some
    return sheet.element()


def _strings(buffer: bytes, kind: i64, start: i64, end: i64, taken: List) -> None:
    last = opened(buffer, kind, start, end, ARRAY)
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        stop = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        taken.take(buffer, buffer[at], value, stop)
        number += 1
        at = stop
    closed(at, last)


def _references(buffer: bytes, start: i64, last: i64, taken: List) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        kind, url, source = _three(
            buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), b"type\0", b"url\0", b"source\0"
        )
        if not url:
            raise Doubt
        taken.reference(kind, url, source)
        number += 1
        at = end
    closed(at, last)


def _relationships(buffer: bytes, start: i64, last: i64, taken: List) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        kind, source, target = _three(
            buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), b"type\0", b"source\0", b"target\0"
        )
        if not kind and not source and not target:
            raise Doubt
        taken.relationship(kind, source, target)
        number += 1
        at = end
    closed(at, last)


def _three(  # noqa: PLR0917  names beside what they are names of
    buffer: bytes, start: i64, last: i64, first: bytes, second: bytes, third: bytes
) -> tuple[bytes, bytes, bytes]:
    """Give the values of three strings of a document, each empty where it is absent."""
    one = two = three = b""
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        kind: i64 = buffer[at]
        if is_name(buffer, at, first):
            once(len(one))
            text(buffer, kind, value, end)
            one = buffer[value:end]
        elif is_name(buffer, at, second):
            once(len(two))
            text(buffer, kind, value, end)
            two = buffer[value:end]
        elif is_name(buffer, at, third):
            once(len(three))
            text(buffer, kind, value, end)
            three = buffer[value:end]
        else:
            plain_name(buffer, at, value)
            sound(buffer, kind, value, end, 0)
        at = end
    closed(at, last)
    return one, two, three
