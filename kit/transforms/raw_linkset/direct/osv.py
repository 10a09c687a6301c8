"""OSV 1.x, as :mod:`kit.transforms.raw_linkset.osv` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kit.documents import Place
from kit.transforms.raw_linkset.direct.scanning import (
    ARRAY,
    DOCUMENT,
    STRING,
    Doubt,
    closed,
    end_of_value,
    is_name,
    item,
    nested,
    once,
    opened,
    sound,
    string_called,
    text,
    value_of,
)
from kit.transforms.raw_linkset.direct.sheet import List, Sheet, as_value, take_all

if TYPE_CHECKING:
    from mypy_extensions import i64

_UPSTREAM: Final = as_value(b"upstream")
_RELATED: Final = as_value(b"related")
_ONE, _DOT = 49, 46
_sheet: Final = Sheet()


def osv_element(buffer: bytes, top: dict[bytes, Place]) -> bytes | None:
    """Project the OSV document whose top level is ``top``; None in doubt."""
    try:
        return _element(buffer, top)
    except (Doubt, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def _element(buffer: bytes, top: dict[bytes, Place]) -> bytes:
    if b"__encrypted" in top:
        raise Doubt
    _check_version(buffer, top)
    sheet = _sheet
    sheet.clear()
    identifier = top[b"id"]
    start: i64 = identifier[1]
    sheet.aliases.take(buffer, identifier[0], start, identifier[2])
    sheet.pointers.constant(b"/id")
    _take_list(buffer, top, b"aliases", sheet.aliases, sheet.pointers, b"/aliases/")
    affected = top.get(b"affected")
    if affected is not None:
        start = affected[1]
        last = opened(buffer, affected[0], start, affected[2], ARRAY)
        _take_purls(buffer, start, last, sheet)
        _take_cpes(buffer, start, last, sheet)
    specific = top.get(b"database_specific")
    if specific is not None:
        start = specific[1]
        last = opened(buffer, specific[0], start, specific[2], DOCUMENT)
        sound(buffer, DOCUMENT, start, specific[2], 0)
        cpes, stop = nested(buffer, start, last, b"cpes\0", ARRAY)
        if cpes:
            take_all(buffer, cpes, stop, sheet.cpes, sheet.pointers, b"/database_specific/cpes/")
    references = top.get(b"references")
    if references is not None:
        start = references[1]
        last = opened(buffer, references[0], start, references[2], ARRAY)
        sound(buffer, ARRAY, start, references[2], 0)
        _take_references(buffer, start, last, sheet)
    source = buffer[identifier[1] : identifier[2]]
    _take_others(buffer, top.get(b"upstream"), _UPSTREAM, source, sheet)
    _take_others(buffer, top.get(b"related"), _RELATED, source, sheet)
    return sheet.element()


def _check_version(buffer: bytes, top: dict[bytes, Place]) -> None:
    """Check that a stated version is 1.x, and what the twin decodes besides."""
    version = top.get(b"schema_version")
    start: i64 = 0
    if version is not None:
        start = version[1]
        text(buffer, version[0], start, version[2])
        if buffer[start + 4] != _ONE or buffer[start + 5] != _DOT:
            raise Doubt
    modified = top.get(b"modified")
    if modified is not None:
        start = modified[1]
        text(buffer, modified[0], start, modified[2])


def _take_list(  # noqa: PLR0917  as take_all
    buffer: bytes, top: dict[bytes, Place], name: bytes, taken: List, pointers: List, prefix: bytes
) -> None:
    found = top.get(name)
    if found is not None:
        start: i64 = found[1]
        take_all(buffer, start, opened(buffer, found[0], start, found[2], ARRAY), taken, pointers, prefix)


def _take_purls(buffer: bytes, start: i64, last: i64, sheet: Sheet) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        inner_last = opened(buffer, buffer[at], value, end, DOCUMENT)
        package, package_last = nested(buffer, value, inner_last, b"package\0", DOCUMENT)
        if package:
            sound(buffer, DOCUMENT, package, package_last + 1, 0)
            purl, stop = string_called(buffer, package, package_last, b"purl\0")
            if purl:
                sheet.purls.take(buffer, STRING, purl, stop)
                sheet.pointers.pointer(b"/affected/", number, b"/package/purl")
        number += 1
        at = end
    closed(at, last)


def _take_cpes(buffer: bytes, start: i64, last: i64, sheet: Sheet) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        specific, stop = nested(buffer, value, end - 1, b"database_specific\0", DOCUMENT)
        if specific:
            sound(buffer, DOCUMENT, specific, stop + 1, 0)
            cpes, cpes_last = nested(buffer, specific, stop, b"cpes\0", ARRAY)
            if cpes:
                prefix = b"/affected/%d/database_specific/cpes/" % number
                take_all(buffer, cpes, cpes_last, sheet.cpes, sheet.pointers, prefix)
        number += 1
        at = end


def _take_references(buffer: bytes, start: i64, last: i64, sheet: Sheet) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        _take_reference(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), sheet.references)
        sheet.pointers.pointer(b"/references/", number, b"")
        number += 1
        at = end


def _take_reference(buffer: bytes, start: i64, last: i64, references: List) -> None:
    url: i64 = 0
    url_end: i64 = 0
    kind: i64 = 0
    kind_end: i64 = 0
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        if is_name(buffer, at, b"url\0"):
            once(url)
            text(buffer, buffer[at], value, end)
            url, url_end = value, end
        elif is_name(buffer, at, b"type\0"):
            once(kind)
            text(buffer, buffer[at], value, end)
            kind, kind_end = value, end
        at = end
    if not url:
        raise Doubt
    references.reference(buffer[kind:kind_end] if kind else b"", buffer[url:url_end], b"")


def _take_others(buffer: bytes, found: Place | None, kind: bytes, source: bytes, sheet: Sheet) -> None:
    if found is None:
        return
    start: i64 = found[1]
    last = opened(buffer, found[0], start, found[2], ARRAY)
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        text(buffer, buffer[at], value, end)
        sheet.relationships.relationship(kind, source, buffer[value:end])
        sheet.has_relationships = True
        number += 1
        at = end
    closed(at, last)
