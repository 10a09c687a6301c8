"""The lists of a ``rawLinkset`` in the making, as the bytes they will be (schemas/raw-linkset.md, "Names")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from librt.strings import BytesWriter

from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.direct.scanning import Doubt, closed, end_of_value, item, text, value_of

if TYPE_CHECKING:
    from mypy_extensions import i64

_EMPTY_DOCUMENT: Final = b"\x05\0\0\0\0"
_RAW_LINKSET: Final = b"\x03" + shape.RAW_LINKSET.encode() + b"\0"
_ALIASES: Final = b"\x04" + shape.ALIASES.encode() + b"\0"
_PURLS: Final = b"\x04" + shape.PURLS.encode() + b"\0"
_CPES: Final = b"\x04" + shape.CPES.encode() + b"\0"
_REFERENCES: Final = b"\x04" + shape.REFERENCES.encode() + b"\0"
_SCOPES: Final = b"\x04" + shape.SCOPES.encode() + b"\0"
_RELATIONSHIPS: Final = b"\x04" + shape.RELATIONSHIPS.encode() + b"\0"
_RECONCILED_FROM: Final = b"\x04" + shape.RECONCILED_FROM.encode() + b"\0"
_NOTES: Final = b"\x03" + shape.NOTES.encode() + b"\0" + _EMPTY_DOCUMENT
_TYPE: Final = b"\x02" + shape.TYPE.encode() + b"\0"
_URL: Final = b"\x02" + shape.URL.encode() + b"\0"
_SOURCE: Final = b"\x02" + shape.SOURCE.encode() + b"\0"
_TARGET: Final = b"\x02" + shape.TARGET.encode() + b"\0"
_MOST: Final = 4096
"""Items of one list; a document with more is left to the twin."""
# Made once: the type and name of each item, each number, and the lengths that most things have.
_NUMBERS: Final = [b"%d" % number for number in range(_MOST)]
_STRINGS: Final = [b"\x02%d\0" % number for number in range(_MOST)]
_DOCUMENTS: Final = [b"\x03%d\0" % number for number in range(_MOST)]
_SHORT: Final = 4096
_LENGTHS: Final = [size.to_bytes(4, "little") for size in range(_SHORT)]


@final
class List:
    """One BSON array."""

    def __init__(self) -> None:
        """Start empty."""
        self.body = BytesWriter()
        self.count: i64 = 0

    def clear(self) -> None:
        """Start again."""
        self.body.truncate(0)
        self.count = 0

    def take(self, buffer: bytes, kind: i64, value: i64, end: i64) -> None:
        """Append a copy of the string that is the value ``[value, end)``.

        Raises:
            Doubt: It is no string.
            UnicodeDecodeError: It is not UTF-8.
        """
        text(buffer, kind, value, end)
        self.open(_STRINGS)
        self.body.write(buffer[value:end])

    def pointer(self, prefix: bytes, index: i64, suffix: bytes) -> None:
        """Append a string: ``prefix``, the decimal ``index``, ``suffix``."""
        self.open(_STRINGS)
        number = _NUMBERS[index]
        self.body.write(_length(len(prefix) + len(number) + len(suffix) + 1))
        self.body.write(prefix)
        self.body.write(number)
        if len(suffix):
            self.body.write(suffix)
        self.body.append(0)

    def constant(self, value: bytes) -> None:
        """Append a string."""
        self.open(_STRINGS)
        self.body.write(_length(len(value) + 1))
        self.body.write(value)
        self.body.append(0)

    def open(self, heads: list[bytes]) -> None:
        """Begin an item: its type and its name, which is its number."""
        if self.count >= _MOST:
            raise Doubt
        self.body.write(heads[self.count])
        self.count += 1

    def reference(self, kind: bytes, url: bytes, source: bytes) -> None:
        """Append {type, url, source}; each is a whole value (length, text, NUL), or empty where there is none."""
        self.open(_DOCUMENTS)
        size: i64 = 5 + len(_URL) + len(url)
        if len(kind):
            size += len(_TYPE) + len(kind)
        if len(source):
            size += len(_SOURCE) + len(source)
        self.body.write(_length(size))
        if len(kind):
            self.body.write(_TYPE)
            self.body.write(kind)
        self.body.write(_URL)
        self.body.write(url)
        if len(source):
            self.body.write(_SOURCE)
            self.body.write(source)
        self.body.append(0)

    def relationship(self, kind: bytes, source: bytes, target: bytes) -> None:
        """Append {type, source, target}; each is a whole value, or empty where there is none."""
        self.open(_DOCUMENTS)
        size: i64 = 5
        if len(kind):
            size += len(_TYPE) + len(kind)
        if len(source):
            size += len(_SOURCE) + len(source)
        if len(target):
            size += len(_TARGET) + len(target)
        self.body.write(_length(size))
        if len(kind):
            self.body.write(_TYPE)
            self.body.write(kind)
        if len(source):
            self.body.write(_SOURCE)
            self.body.write(source)
        if len(target):
            self.body.write(_TARGET)
            self.body.write(target)
        self.body.append(0)


@final
class Sheet:
    """A whole ``rawLinkset``; one is used again for every document."""

    def __init__(self) -> None:
        """Start empty."""
        self.aliases = List()
        self.purls = List()
        self.cpes = List()
        self.references = List()
        self.scopes = List()
        self.relationships = List()
        self.pointers = List()
        self.has_scopes = False
        self.has_relationships = False

    def clear(self) -> None:
        """Start again."""
        self.aliases.clear()
        self.purls.clear()
        self.cpes.clear()
        self.references.clear()
        self.scopes.clear()
        self.relationships.clear()
        self.pointers.clear()
        self.has_scopes = False
        self.has_relationships = False

    def element(self) -> bytes:
        """Give the whole element, to be appended to a document."""
        size: i64 = 4 + len(_NOTES) + 1
        size += _size(_ALIASES, self.aliases) + _size(_PURLS, self.purls) + _size(_CPES, self.cpes)
        size += _size(_REFERENCES, self.references) + _size(_RECONCILED_FROM, self.pointers)
        if self.has_scopes:
            size += _size(_SCOPES, self.scopes)
        if self.has_relationships:
            size += _size(_RELATIONSHIPS, self.relationships)
        out = BytesWriter()
        out.write(_RAW_LINKSET)
        out.write(_length(size))
        _put(out, _ALIASES, self.aliases)
        _put(out, _PURLS, self.purls)
        _put(out, _CPES, self.cpes)
        _put(out, _REFERENCES, self.references)
        if self.has_scopes:
            _put(out, _SCOPES, self.scopes)
        if self.has_relationships:
            _put(out, _RELATIONSHIPS, self.relationships)
        _put(out, _RECONCILED_FROM, self.pointers)
        out.write(_NOTES)
        out.append(0)
        return out.getvalue()


def take_all(  # noqa: PLR0917  places and lists in pairs
    buffer: bytes, start: i64, last: i64, taken: List, pointers: List, prefix: bytes
) -> None:
    """Take every string of the array at ``start``, with pointers ``prefix``, its place.

    Raises:
        Doubt: Something in it is no string.
        UnicodeDecodeError: One is not UTF-8.
    """
    at: i64 = start + 4
    number: i64 = 0
    while at < last:
        value = value_of(buffer, at)
        end = end_of_value(buffer, at, value, last)
        item(buffer, at, value, number)
        taken.take(buffer, buffer[at], value, end)
        pointers.pointer(prefix, number, b"")
        number += 1
        at = end
    closed(at, last)


def as_value(data: bytes) -> bytes:
    """Give a text as the value of a string element: length, text, NUL."""
    return (len(data) + 1).to_bytes(4, "little") + data + b"\0"


def _size(head: bytes, values: List) -> i64:
    return len(head) + 4 + len(values.body) + 1


def _put(out: BytesWriter, head: bytes, values: List) -> None:
    out.write(head)
    out.write(_length(len(values.body) + 5))
    if values.count:
        out.write(values.body.getvalue())
    out.append(0)


def _length(size: i64) -> bytes:
    if size < _SHORT:
        return _LENGTHS[size]
    whole: int = size
    return whole.to_bytes(4, "little")
