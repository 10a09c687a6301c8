"""The element that is appended: a projection as BSON, by pymongo's encoder or, where that pays, without one.

Law: both ways give the same bytes (schemas/raw-linkset.md, "Names").
"""

from __future__ import annotations

from typing import Final

import bson
from bson.errors import BSONError

from kit.documents import COMPILED
from kit.errors import ContentError
from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.projection import Projection, Reference, Relationship

_LENGTH_BYTES = 4
"""A BSON document opens with its own length (bsonspec.org) ..."""
_END_BYTES = 1
"""... and ends in a NUL; what lies between are its elements."""

# What stands before values, made once: (type byte, name, NUL) of elements, the keys of items, and short lengths.
_ELEMENT_ALIASES: Final = b"\x04" + shape.ALIASES.encode() + b"\0"
_ELEMENT_PURLS: Final = b"\x04" + shape.PURLS.encode() + b"\0"
_ELEMENT_CPES: Final = b"\x04" + shape.CPES.encode() + b"\0"
_ELEMENT_REFERENCES: Final = b"\x04" + shape.REFERENCES.encode() + b"\0"
_ELEMENT_SCOPES: Final = b"\x04" + shape.SCOPES.encode() + b"\0"
_ELEMENT_RELATIONSHIPS: Final = b"\x04" + shape.RELATIONSHIPS.encode() + b"\0"
_ELEMENT_RECONCILED_FROM: Final = b"\x04" + shape.RECONCILED_FROM.encode() + b"\0"
_ELEMENT_NOTES: Final = b"\x03" + shape.NOTES.encode() + b"\0" + b"\x05\0\0\0\0"
_STRING_TYPE: Final = b"\x02" + shape.TYPE.encode() + b"\0"
_STRING_URL: Final = b"\x02" + shape.URL.encode() + b"\0"
_STRING_SOURCE: Final = b"\x02" + shape.SOURCE.encode() + b"\0"
_STRING_TARGET: Final = b"\x02" + shape.TARGET.encode() + b"\0"
_KEPT: Final = 256
_KEYS: Final = [b"%d\0" % number for number in range(_KEPT)]
_SHORT: Final = 4096
_LENGTHS: Final = [size.to_bytes(4, "little") for size in range(_SHORT)]


def encode_element(projection: Projection, names: shape.Names = shape.NAMES) -> bytes:
    """Return the BSON element to append to a document: type byte 3, its name, NUL, the subdocument.

    Raises:
        ContentError: A string cannot be BSON (a lone surrogate from JSON; a NUL in the name of a note).
    """
    name = names.raw_linkset
    if COMPILED and names is shape.NAMES and not projection.notes:
        return write(projection, name)
    try:
        document = bson.encode({name: projection.to_document(names)})
    except (BSONError, UnicodeEncodeError, OverflowError) as error:
        raise ContentError(f"{name} cannot be BSON: {error}", where=name) from error
    return document[_LENGTH_BYTES:-_END_BYTES]


def write(projection: Projection, name: str) -> bytes:
    """Write the element of a projection without notes; the same bytes as the encoder's, for a third when compiled.

    Raises:
        ContentError: As :func:`encode_element`.
    """
    parts = [b"", _ELEMENT_ALIASES]
    try:
        _write_strings(parts, projection.aliases)
        parts.append(_ELEMENT_PURLS)
        _write_strings(parts, projection.purls)
        parts.append(_ELEMENT_CPES)
        _write_strings(parts, projection.cpes)
        parts.append(_ELEMENT_REFERENCES)
        _write_references(parts, projection.references)
        if projection.scopes is not None:
            parts.append(_ELEMENT_SCOPES)
            _write_strings(parts, projection.scopes)
        if projection.relationships is not None:
            parts.append(_ELEMENT_RELATIONSHIPS)
            _write_relationships(parts, projection.relationships)
        parts.append(_ELEMENT_RECONCILED_FROM)
        _write_strings(parts, projection.reconciled_from)
    except UnicodeEncodeError as error:
        raise ContentError(f"{name} cannot be BSON: {error}", where=name) from error
    parts.append(_ELEMENT_NOTES)
    body = b"".join(parts)
    return b"".join((b"\x03", name.encode(), b"\0", _length(len(body) + 5), body, b"\0"))


def _write_strings(parts: list[bytes], values: tuple[str, ...]) -> None:
    """Append an array of strings."""
    place = len(parts)
    parts.append(b"")
    size = 5
    for number, value in enumerate(values):
        data = value.encode()
        key = _KEYS[number] if number < _KEPT else b"%d\0" % number
        parts.append(b"\x02")
        parts.append(key)
        parts.append(_length(len(data) + 1))
        parts.append(data)
        parts.append(b"\0")
        size += len(data) + len(key) + 6
    parts.append(b"\0")
    parts[place] = _length(size)


def _write_references(parts: list[bytes], values: tuple[Reference, ...]) -> None:
    """Append an array of documents {type?, url, source?}."""
    place = len(parts)
    parts.append(b"")
    size = 5
    for number, value in enumerate(values):
        key = _KEYS[number] if number < _KEPT else b"%d\0" % number
        kind, source = value.type, value.source
        items: list[bytes] = []
        if kind is not None:
            _write_string(items, _STRING_TYPE, kind)
        _write_string(items, _STRING_URL, value.url)
        if source is not None:
            _write_string(items, _STRING_SOURCE, source)
        size += _write_document(parts, key, b"".join(items))
    parts.append(b"\0")
    parts[place] = _length(size)


def _write_relationships(parts: list[bytes], values: tuple[Relationship, ...]) -> None:
    """Append an array of documents {type?, source?, target?}."""
    place = len(parts)
    parts.append(b"")
    size = 5
    for number, value in enumerate(values):
        items: list[bytes] = []
        for head, text in ((_STRING_TYPE, value.type), (_STRING_SOURCE, value.source), (_STRING_TARGET, value.target)):
            if text is not None:
                _write_string(items, head, text)
        size += _write_document(parts, b"%d\0" % number, b"".join(items))
    parts.append(b"\0")
    parts[place] = _length(size)


def _write_document(parts: list[bytes], key: bytes, body: bytes) -> int:
    parts.append(b"\x03")
    parts.append(key)
    parts.append(_length(len(body) + 5))
    parts.append(body)
    parts.append(b"\0")
    return len(key) + len(body) + 6


def _write_string(parts: list[bytes], head: bytes, text: str) -> None:
    data = text.encode()
    parts.append(head)
    parts.append(_length(len(data) + 1))
    parts.append(data)
    parts.append(b"\0")


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < _SHORT else size.to_bytes(4, "little")
