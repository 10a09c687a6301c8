"""The two projections of an observation: their names, and whether both are present.

A reader may rely on an observation exactly if it has both (schemas/raw-linkset.md, "Dual projections"): ``linkset``, a
document, and ``rawLinkset``, a document of shape v1. Laws: every observation is in exactly one state; :data:`BOTH` only
if every byte of ``rawLinkset`` was checked against the shape and its order; the result is a state for any bytes, never
an error. The names of the shape are defined here alone: ``raw_linkset.shape`` takes them from here, and writers from
there.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias, final

from kit.documents.elements import Element, elements, spell_path
from kit.documents.kinds import Kind
from kit.errors import BsonError

LINKSET: Final = "linkset"
RAW_LINKSET: Final = "rawLinkset"

ALIASES: Final = "aliases"
PURLS: Final = "purls"
CPES: Final = "cpes"
REFERENCES: Final = "references"
SCOPES: Final = "scopes"
RELATIONSHIPS: Final = "relationships"
RECONCILED_FROM: Final = "reconciled_from"
NOTES: Final = "notes"

ELEMENTS: Final = (ALIASES, PURLS, CPES, REFERENCES, SCOPES, RELATIONSHIPS, RECONCILED_FROM, NOTES)
"""The elements of ``rawLinkset`` in the order they are written; SCOPES and RELATIONSHIPS may be absent."""

TYPE: Final = "type"
URL: Final = "url"
SOURCE: Final = "source"
TARGET: Final = "target"

BOTH: Final = 0
MISSING: Final = 1
"""No ``rawLinkset``, with any ``linkset``: what a patch selects."""
NULL: Final = 2
OTHER_TYPE: Final = 3
"""``rawLinkset`` is neither null nor a document."""
OTHER_SHAPE: Final = 4
NO_LINKSET: Final = 5
"""``rawLinkset`` is of shape v1, but ``linkset`` is missing, no document, or an envelope."""

_DOCUMENT: Final = int(Kind.DOCUMENT)
_NULL: Final = int(Kind.NULL)
_STRING_BYTE: Final = b"\x02"
_DOCUMENT_BYTE: Final = b"\x03"
_ARRAY_BYTE: Final = b"\x04"
_FAULT: Final = -1
_KEPT: Final = 256
_STRING_HEADS: Final = [_STRING_BYTE + b"%d\0" % number for number in range(_KEPT)]
_DOCUMENT_HEADS: Final = [_DOCUMENT_BYTE + b"%d\0" % number for number in range(_KEPT)]
_MIN_DOCUMENT: Final = 5
"""Bytes of an empty document: its length and a NUL (bsonspec.org)."""

_READ_INT32: Final = struct.Struct("<i").unpack_from
_ENVELOPE: Final = b"\x08__encrypted\0\x01"
"""How an envelope begins (schemas/envelope.md): its first member is ``__encrypted: true``."""

_Row: TypeAlias = tuple[bytes, bool, int, list[tuple[bytes, bool]]]
"""Of an element: its first bytes, whether it is required, the kind of its value, the members of documents in it."""
_STRINGS: Final = 0
_DOCUMENTS: Final = 1
_NOTES: Final = 2
_OPTIONAL: Final = (SCOPES, RELATIONSHIPS)


@final
class Layout:
    """The names of both projections, and the shape of ``rawLinkset`` that follows from them."""

    def __init__(
        self,
        linkset: str,
        raw_linkset: str,
        elements: tuple[str, ...],
        members: tuple[str, str, str, str],
    ) -> None:
        """Set the names of ELEMENTS, and of TYPE, URL, SOURCE and TARGET, in this order."""
        kind, url, source, target = members
        reference = [(_STRING_BYTE + name.encode() + b"\0", name == url) for name in (kind, url, source)]
        relationship = [(_STRING_BYTE + name.encode() + b"\0", False) for name in (kind, source, target)]
        self.linkset = linkset
        self.raw_linkset = raw_linkset
        self.linkset_key = linkset.encode()
        self.raw_linkset_key = raw_linkset.encode()
        self.elements = elements
        self.optional: list[str] = []
        self.rows: list[_Row] = []
        for name, known in zip(elements, ELEMENTS, strict=True):
            is_optional = known in _OPTIONAL
            if is_optional:
                self.optional.append(name)
            begins = (_DOCUMENT_BYTE if known == NOTES else _ARRAY_BYTE) + name.encode() + b"\0"
            value = _NOTES if known == NOTES else _DOCUMENTS if known in (REFERENCES, RELATIONSHIPS) else _STRINGS
            self.rows.append((begins, not is_optional, value, reference if known == REFERENCES else relationship))


V1: Final = Layout(LINKSET, RAW_LINKSET, ELEMENTS, (TYPE, URL, SOURCE, TARGET))
"""The names of shape v1."""


def state_of(document: bytes, places: dict[bytes, tuple[int, int, int]], layout: Layout = V1) -> int:
    """Return which of the projections an observation has: one of the states above.

    Args:
        document: BSON.
        places: Its top level, as ``kit.documents.index`` finds it.
        layout: The names.
    """
    raw = places.get(layout.raw_linkset_key)
    if raw is None:
        return MISSING
    if raw[0] == _NULL:
        return NULL
    if raw[0] != _DOCUMENT:
        return OTHER_TYPE
    if not is_shape_v1(document, raw[1], raw[2], layout):
        return OTHER_SHAPE
    found = places.get(layout.linkset_key)
    return BOTH if found is not None and is_linkset(document, found[0], found[1]) else NO_LINKSET


def is_linkset(document: bytes, kind: int, start: int) -> bool:
    """Return whether a value of type ``kind`` at ``start`` can be a canonical ``linkset``: a document, no envelope."""
    return kind == _DOCUMENT and not document.startswith(_ENVELOPE, start + 4)


def is_shape_v1(document: bytes, start: int, end: int, layout: Layout = V1) -> bool:
    """Return whether the value in ``[start, end)`` is a document of shape v1, to its last byte."""
    try:
        return _is_shape(document, start, end, layout)
    except (struct.error, LookupError, ValueError):  # a UnicodeDecodeError is a ValueError
        return False


def reason_of(document: bytes, places: dict[bytes, tuple[int, int, int]], layout: Layout = V1) -> str:
    """Return why an observation with ``rawLinkset`` does not have both projections; "" if it has."""
    state = state_of(document, places, layout)
    if state == NULL:
        return f"{layout.raw_linkset} is null"
    if state == OTHER_TYPE:
        return f"{layout.raw_linkset} is {_article(places[layout.raw_linkset_key][0])}, no document"
    if state == OTHER_SHAPE:
        start, end = places[layout.raw_linkset_key][1:]
        return f"{layout.raw_linkset} is not of shape v1: {_difference(document, start, end, layout)}"
    return missing_linkset(document, places, layout) if state == NO_LINKSET else ""


def missing_linkset(document: bytes, places: dict[bytes, tuple[int, int, int]], layout: Layout = V1) -> str:
    """Return why there is no canonical ``linkset``; "" if there is."""
    found = places.get(layout.linkset_key)
    if found is None:
        return f"{layout.linkset} is missing"
    if found[0] != _DOCUMENT:
        return f"{layout.linkset} is {_article(found[0])}, no document"
    return "" if is_linkset(document, found[0], found[1]) else f"{layout.linkset} is an envelope"


def _is_shape(document: bytes, start: int, end: int, layout: Layout) -> bool:
    last = end - 1
    if document[last] or start + _READ_INT32(document, start)[0] != end:
        return False
    at = start + 4
    for row in layout.rows:
        if document.startswith(row[0], at):
            at = _row_end(document, at, last, row)
            if at < 0:
                return False
        elif row[1]:
            return False
    return at == last


def _row_end(document: bytes, at: int, last: int, row: _Row) -> int:
    """Return the offset after the element at ``at``, which begins like ``row``; -1 if its value does not match."""
    at += len(row[0])
    if row[2] == _STRINGS:
        return _strings_end(document, at, last)
    if row[2] == _DOCUMENTS:
        return _documents_end(document, at, last, row[3])
    return _notes_end(document, at, last)


def _value_end(document: bytes, at: int, last: int) -> int:
    """Return the offset after the document or array at ``at``, which ends at or before ``last``; -1 if it does not."""
    size: int = _READ_INT32(document, at)[0]
    end = at + size
    return _FAULT if size < _MIN_DOCUMENT or end > last or document[end - 1] else end


def _string_end(document: bytes, at: int, last: int) -> int:
    """Return the offset after the string at ``at``, UTF-8 that ends at or before ``last``; -1 if it does not."""
    size: int = _READ_INT32(document, at)[0]
    end = at + 4 + size
    if size < 1 or end > last or document[end - 1]:
        return _FAULT
    document[at + 4 : end].decode()
    return end


def _strings_end(document: bytes, at: int, last: int) -> int:
    """Return the offset after an array of strings at ``at``; -1 if it is none."""
    end = _value_end(document, at, last)
    stop = end - 1
    at += 4
    number = 0
    while at < stop:
        head = _STRING_HEADS[number] if number < _KEPT else _STRING_BYTE + b"%d\0" % number
        if not document.startswith(head, at):
            return _FAULT
        # Inlined _string_end: a call for each of twenty strings would double the cost.
        at += len(head)
        size: int = _READ_INT32(document, at)[0]
        text = at + 4
        at = text + size
        if size < 1 or at > stop or document[at - 1]:
            return _FAULT
        document[text:at].decode()
        number += 1
    return end if at == stop else _FAULT


def _documents_end(document: bytes, at: int, last: int, members: list[tuple[bytes, bool]]) -> int:
    """Return the offset after an array of documents of ``members``, at least one each; -1 if it is none."""
    end = _value_end(document, at, last)
    at += 4
    number = 0
    while at < end - 1:
        head = _DOCUMENT_HEADS[number] if number < _KEPT else _DOCUMENT_BYTE + b"%d\0" % number
        if not document.startswith(head, at):
            return _FAULT
        at += len(head)
        inner = _value_end(document, at, end - 1)
        at += 4
        first = at
        for name, required in members:
            if document.startswith(name, at):
                at = _string_end(document, at + len(name), inner - 1)
                if at < 0:
                    return _FAULT
            elif required:
                return _FAULT
        if at != inner - 1 or at == first:
            return _FAULT
        at = inner
        number += 1
    return end if at == end - 1 else _FAULT


def _notes_end(document: bytes, at: int, last: int) -> int:
    """Return the offset after a document of strings, no name twice; -1 if it is none."""
    end = _value_end(document, at, last)
    at += 4
    names: set[bytes] = set()
    while at < end - 1:
        nul = document.index(0, at, end - 1)
        name = document[at + 1 : nul]
        name.decode()
        if document[at] != int(Kind.STRING) or name in names:
            return _FAULT
        names.add(name)
        at = _string_end(document, nul + 1, end - 1)
        if at < 0:
            return _FAULT
    return end if at == end - 1 else _FAULT


def _difference(document: bytes, start: int, end: int, layout: Layout) -> str:
    """Return how a document differs from the shape; the text does not grow with it."""
    inner = document[start:end]
    try:
        found = list(elements(inner))
    except BsonError as error:
        return f"it is malformed ({error})"
    names = [element.name for element in found]
    return _difference_of_names(names, layout) or _difference_of_values(inner, found, layout)


def _difference_of_names(names: list[bytes], layout: Layout) -> str:
    known = [name.encode() for name in layout.elements]
    for name in names:
        if name not in known:
            return f"it has an element {spell_path([name])!r}"
    for text in layout.elements:
        if text.encode() not in names and text not in layout.optional:
            return f"it has no element {text!r}"
    if names != [name for name in known if name in names]:
        return "its elements are in another order, or one is there twice"
    return ""


def _difference_of_values(document: bytes, found: list[Element], layout: Layout) -> str:
    names = [element.name for element in found]
    rows = [row for row in layout.rows if row[0][1:-1] in names]
    for element, row in zip(found, rows, strict=True):
        if element.kind != row[0][0]:
            return f"{spell_path([element.name])!r} is {_article(element.kind)}"
        if not _is_row(document, element.start, row):
            return f"{spell_path([element.name])!r} holds what it may not"
    return "it does not end where its length says"


def _is_row(document: bytes, at: int, row: _Row) -> bool:
    try:
        return _row_end(document, at, len(document) - 1, row) > 0
    except (struct.error, LookupError, ValueError):
        return False


def _article(kind: int) -> str:
    """Return the name of a BSON type with its article."""
    try:
        name = Kind(kind).name.lower().replace("_", " ")
    except ValueError:
        return f"of the unknown type {kind}"
    return name if kind == _NULL else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
