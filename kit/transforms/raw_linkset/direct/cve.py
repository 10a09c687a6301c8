"""CVE JSON 5.x, as :mod:`kit.transforms.raw_linkset.cve` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from kit.documents import Place
from kit.transforms.raw_linkset import cve
from kit.transforms.raw_linkset.direct.scanning import (
    ARRAY,
    DOCUMENT,
    Doubt,
    closed,
    end_of_value,
    first_string,
    is_name,
    item,
    nested,
    once,
    opened,
    string_called,
    text,
    value_of,
)
from kit.transforms.raw_linkset.direct.sheet import List, Sheet, as_value, take_all

if TYPE_CHECKING:
    from mypy_extensions import i64

_UNTAGGED: Final = as_value(b"reference")
_MOST_CONTAINERS: Final = 16
_MEMBERS: Final = frozenset([name.encode() for name in cve.MEMBERS])
_FIVE, _DOT = 53, 46


@final
class _Container:
    """Where the parts of one container stand: where their value starts and where its final NUL is; 0 for absent."""

    def __init__(self) -> None:
        self.prefix = b""
        self.alternates: i64 = 0
        self.alternates_last: i64 = 0
        self.affected: i64 = 0
        self.affected_last: i64 = 0
        self.applicability: i64 = 0
        self.applicability_last: i64 = 0
        self.references: i64 = 0
        self.references_last: i64 = 0
        self.source = b""

    def read(self, buffer: bytes, start: i64, last: i64) -> None:
        """Walk the container."""
        self.alternates = self.affected = self.applicability = self.references = 0
        self.source = b""
        provider: i64 = 0
        at: i64 = start + 4
        while at < last:
            value = value_of(buffer, at)
            end = end_of_value(buffer, at, value, last)
            kind: i64 = buffer[at]
            initial: i64 = buffer[at + 1]
            if initial == 97:
                if is_name(buffer, at, b"affected\0"):
                    once(self.affected)
                    self.affected, self.affected_last = value, opened(buffer, kind, value, end, ARRAY)
                elif is_name(buffer, at, b"alternateIds\0"):
                    once(self.alternates)
                    self.alternates, self.alternates_last = value, opened(buffer, kind, value, end, ARRAY)
            elif initial == 99:
                if is_name(buffer, at, b"cpeApplicability\0"):
                    once(self.applicability)
                    self.applicability, self.applicability_last = value, opened(buffer, kind, value, end, ARRAY)
            elif initial == 114:
                if is_name(buffer, at, b"references\0"):
                    once(self.references)
                    self.references, self.references_last = value, opened(buffer, kind, value, end, ARRAY)
            elif initial == 112 and is_name(buffer, at, b"providerMetadata\0"):
                once(provider)
                provider = value
                name, stop = string_called(buffer, value, opened(buffer, kind, value, end, DOCUMENT), b"shortName\0")
                self.source = buffer[name:stop] if name else b""
            at = end
        closed(at, last)


_sheet: Final = Sheet()
_containers: Final = [_Container() for _ in range(_MOST_CONTAINERS)]
_PREFIXES: Final = [b"/containers/cna", *(b"/containers/adp/%d" % number for number in range(_MOST_CONTAINERS - 1))]


def cve_element(buffer: bytes, top: dict[bytes, Place]) -> bytes | None:
    """Project the CVE record whose top level is ``top``; None in doubt."""
    try:
        return _element(buffer, top)
    except (Doubt, LookupError, ValueError):  # of these, UnicodeDecodeError is one
        return None


def _element(buffer: bytes, top: dict[bytes, Place]) -> bytes:
    version, metadata, containers = top[b"dataVersion"], top[b"cveMetadata"], top[b"containers"]
    if len(top) > 3 and not _MEMBERS.issuperset(top):
        raise Doubt  # which includes an envelope
    start: i64 = version[1]
    text(buffer, version[0], start, version[2])
    if buffer[start + 4] != _FIVE or buffer[start + 5] != _DOT:
        raise Doubt
    sheet = _sheet
    sheet.clear()
    pointers = sheet.pointers
    start = metadata[1]
    last = opened(buffer, metadata[0], start, metadata[2], DOCUMENT)
    name, stop = string_called(buffer, start, last, b"cveId\0")
    if not name:
        raise Doubt
    sheet.aliases.take(buffer, 2, name, stop)
    pointers.constant(b"/cveMetadata/cveId")
    start = containers[1]
    found = _find_containers(buffer, start, opened(buffer, containers[0], start, containers[2], DOCUMENT))
    _take_lists(buffer, found, sheet)
    return sheet.element()


def _take_lists(buffer: bytes, found: i64, sheet: Sheet) -> None:
    """Take everything of the first ``found`` containers."""
    # Pointers follow one another list by list, so the containers are gone through once for each list.
    which: i64 = 0
    while which < found:
        container = _containers[which]
        if container.alternates:
            _take_alternates(buffer, container, sheet)
        which += 1
    which = 0
    while which < found:
        container = _containers[which]
        if container.affected:
            _take_purls(buffer, container, sheet)
        which += 1
    which = 0
    while which < found:
        container = _containers[which]
        if container.affected:
            _take_cpes(buffer, container, sheet)
        if container.applicability:
            _take_applicability(buffer, container, sheet)
        which += 1
    which = 0
    while which < found:
        container = _containers[which]
        if container.references:
            _take_references(buffer, container, sheet)
        which += 1


def _find_containers(buffer: bytes, start: i64, last: i64) -> i64:
    """Read ``cna`` and each of ``adp`` into ``_containers``; give how many there are."""
    cna: i64 = 0
    adp: i64 = 0
    adp_last: i64 = 0
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        if is_name(buffer, at, b"cna\0"):
            once(cna)
            cna = value
            container = _containers[0]
            container.prefix = _PREFIXES[0]
            container.read(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT))
        elif is_name(buffer, at, b"adp\0"):
            once(adp)
            adp, adp_last = value, opened(buffer, buffer[at], value, end, ARRAY)
        else:
            raise Doubt  # another container is counted
        at = end
    closed(at, last)
    if not cna:
        raise Doubt
    found: i64 = 1
    if adp:
        at = adp + 4
        while at < adp_last:
            value = value_of(buffer, at)
            end = end_of_value(buffer, at, value, adp_last)
            item(buffer, at, value, found - 1)
            if found >= _MOST_CONTAINERS:
                raise Doubt
            container = _containers[found]
            container.prefix = _PREFIXES[found]
            container.read(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT))
            found += 1
            at = end
        closed(at, adp_last)
    return found


def _take_alternates(buffer: bytes, container: _Container, sheet: Sheet) -> None:
    prefix = container.prefix + b"/alternateIds/"
    take_all(buffer, container.alternates, container.alternates_last, sheet.aliases, sheet.pointers, prefix)


def _take_purls(buffer: bytes, container: _Container, sheet: Sheet) -> None:
    last = container.affected_last
    at: i64 = container.affected + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        inner, stop = string_called(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), b"packageURL\0")
        if inner:
            sheet.purls.take(buffer, 2, inner, stop)
            sheet.pointers.pointer(container.prefix + b"/affected/", number, b"/packageURL")
        number += 1
        at = end
    closed(at, last)


def _take_cpes(buffer: bytes, container: _Container, sheet: Sheet) -> None:
    last = container.affected_last
    at: i64 = container.affected + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        inner, stop = nested(buffer, value, end - 1, b"cpes\0", ARRAY)
        if inner:
            prefix = b"%b/affected/%d/cpes/" % (container.prefix, number)
            take_all(buffer, inner, stop, sheet.cpes, sheet.pointers, prefix)
        number += 1
        at = end


def _take_applicability(buffer: bytes, container: _Container, sheet: Sheet) -> None:
    last = container.applicability_last
    at: i64 = container.applicability + 4
    outer: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, outer)
        nodes, stop = nested(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), b"nodes\0", ARRAY)
        if nodes:
            _take_nodes(buffer, nodes, stop, b"%b/cpeApplicability/%d/nodes/" % (container.prefix, outer), sheet)
        outer += 1
        at = end
    closed(at, last)


def _take_nodes(buffer: bytes, start: i64, last: i64, prefix: bytes, sheet: Sheet) -> None:
    at: i64 = start + 4
    middle: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, middle)
        matches, stop = nested(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), b"cpeMatch\0", ARRAY)
        if matches:
            _take_matches(buffer, matches, stop, b"%b%d/cpeMatch/" % (prefix, middle), sheet)
        middle += 1
        at = end
    closed(at, last)


def _take_matches(buffer: bytes, start: i64, last: i64, prefix: bytes, sheet: Sheet) -> None:
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        inner, stop = string_called(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), b"criteria\0")
        if inner:
            sheet.cpes.take(buffer, 2, inner, stop)
            sheet.pointers.pointer(prefix, number, b"/criteria")
        number += 1
        at = end
    closed(at, last)


def _take_references(buffer: bytes, container: _Container, sheet: Sheet) -> None:
    prefix, source, last = container.prefix + b"/references/", container.source, container.references_last
    at: i64 = container.references + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        _take_reference(buffer, value, opened(buffer, buffer[at], value, end, DOCUMENT), source, sheet.references)
        sheet.pointers.pointer(prefix, number, b"")
        number += 1
        at = end
    closed(at, last)


def _take_reference(buffer: bytes, start: i64, last: i64, source: bytes, references: List) -> None:
    url: i64 = 0
    url_end: i64 = 0
    tags: i64 = 0
    kind = _UNTAGGED
    at: i64 = start + 4
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        if is_name(buffer, at, b"url\0"):
            once(url)
            text(buffer, buffer[at], value, end)
            url, url_end = value, end
        elif is_name(buffer, at, b"tags\0"):
            once(tags)
            tags = value
            first, stop = first_string(buffer, value, opened(buffer, buffer[at], value, end, ARRAY))
            if first:
                kind = buffer[first:stop]
        at = end
    closed(at, last)
    if not url:
        raise Doubt
    references.reference(kind, buffer[url:url_end], source)
