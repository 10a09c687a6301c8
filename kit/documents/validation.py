"""Checks every structural rule of the format for one document, down to the last nested byte.

Covers what https://bsonspec.org/spec.html requires of bytes: lengths, NULs, UTF-8, booleans, the inner length of
binary subtype 2, the inner lengths of code with scope. Meaning is not checked: repeated names, array names that are no
indexes, unsorted regex options and non-canonical decimals are legal BSON.
Laws: no recursion, so that a document of nothing but openings costs no stack and linear time; whatever the bytes are,
the outcome is None, a ``BsonError`` or a ``LimitError``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kit.documents.elements import document_end, spell_path, utf8
from kit.documents.kinds import FIXED, INT32, Kind, value_end
from kit.errors import BsonError, KitError
from kit.values import Limits


def validate(document: bytes, *, limits: Limits) -> None:
    """Check that ``document`` is exactly one well-formed document.

    Raises:
        BsonError: It is not; names the dotted path of the element and the offset of the fault.
        LimitError: It is over ``document_bytes`` or nested over ``document_depth`` (the outermost level is 1).
    """
    limits.check("document_bytes", len(document))
    end = document_end(document)
    if end != len(document):
        raise BsonError(f"{len(document) - end:,} bytes after the end of the document", where=f"byte {end}")
    limits.check("document_depth", 1)
    trail: list[int] = []
    try:
        _walk(document, limits, trail)
    except KitError as error:
        raise (error.inside(f'element "{_path(document, trail)}"') if trail else error) from None


def _path(document: bytes, trail: list[int]) -> str:
    return spell_path([document[at + 1 : document.index(0, at + 1)] for at in trail])


def _walk(document: bytes, limits: Limits, trail: list[int]) -> None:  # noqa: C901, PLR0912 - one frame, see below
    """Check all levels depth first, without recursion; at a fault, ``trail`` has the offsets of the path's elements."""
    # Measured on a 2.7 kB observation with 46 elements in all, CPython 3.11: 23 µs. The common elements (of fixed size,
    # an ASCII string, a document) are checked right here, since a call costs more than the check. Each short cut
    # accepts only what is certainly sound and leaves the rest, faults included, to the general code.
    outer: list[int] = []  # the final NUL of each document around the current one; as many as trail has elements
    unpack, fixed, find_byte = INT32.unpack_from, _FIXED, document.find
    deepest = limits.document_depth
    last = len(document) - 1
    at, nul = 4, 0
    try:
        while True:
            while at == last:  # never beyond: that is the law of value_end
                if not outer:
                    return
                at = last + 1
                last = outer.pop()
                trail.pop()
            kind = document[at]
            nul = find_byte(0, at + 1, last)
            if nul < 0:
                raise BsonError("element name without terminating NUL", where=f"byte {at + 1}")
            if not document[at + 1 : nul].isascii():
                utf8(document, at + 1, nul)
            value = nul + 1
            size = fixed[kind]
            if 0 <= size <= last - value:
                at = value + size
                continue
            if kind == _STRING and value + 5 <= last:
                end = value + 4 + unpack(document, value)[0]
                if value + 4 < end <= last and not document[end - 1] and document[value + 4 : end].isascii():
                    at = end
                    continue
            end = value_end(document, kind, value, last)
            if kind in _NESTING:
                inside = _scope(document, value, end) if kind == _CODE_WITH_SCOPE else value
                if document[end - 1]:
                    raise BsonError("document without terminating NUL", where=f"byte {end - 1}")
                if len(outer) + 2 > deepest:
                    limits.check("document_depth", len(outer) + 2, where=f"byte {value}")
                outer.append(last)
                trail.append(at)
                at, last = inside + 4, end - 1
            else:
                _INSIDE[kind](document, value, end)
                at = end
    except KitError:
        if nul >= 0:
            trail.append(at)
        raise


def _text(document: bytes, value: int, end: int) -> None:
    utf8(document, value + 4, end - 1)


def _boolean(document: bytes, value: int, _end: int) -> None:
    if document[value] > 1:
        raise BsonError(f"boolean is {document[value]}, neither 0 nor 1", where=f"byte {value}")


def _binary(document: bytes, value: int, end: int) -> None:
    # Subtype 2, "binary (old)": the payload is again a length and that many bytes.
    if document[value + 4] == 2:
        payload = end - (value + 5)
        if payload < 4 or INT32.unpack_from(document, value + 5)[0] != payload - 4:
            raise BsonError("inner length of binary subtype 2 does not match the outer one", where=f"byte {value + 5}")


def _regex(document: bytes, value: int, end: int) -> None:
    options = document.index(0, value) + 1
    utf8(document, value, options - 1)
    utf8(document, options, end - 1)


def _db_pointer(document: bytes, value: int, end: int) -> None:
    utf8(document, value + 4, end - 13)


def _scope(document: bytes, value: int, end: int) -> int:
    """Return the offset of the scope, after checking the code and that code and scope fill the value."""
    count: int = INT32.unpack_from(document, value + 4)[0]
    scope = value + 8 + count
    if count < 1 or scope + 5 > end:
        raise BsonError(f"length {count} of the code does not leave room for its scope", where=f"byte {value + 4}")
    utf8(document, value + 8, scope - 1)
    (length,) = INT32.unpack_from(document, scope)
    if scope + length != end:
        raise BsonError(f"length {length} of the scope does not end it where its element ends", where=f"byte {scope}")
    return scope


_STRING = int(Kind.STRING)
_CODE_WITH_SCOPE = int(Kind.CODE_WITH_SCOPE)
_NESTING = frozenset({int(Kind.DOCUMENT), int(Kind.ARRAY), _CODE_WITH_SCOPE})

# FIXED without the one kind of fixed size whose bytes can be wrong.
_FIXED = tuple(-1 if kind == Kind.BOOLEAN else size for kind, size in enumerate(FIXED))

# Every kind that is neither of fixed size nor nesting.
_INSIDE: Mapping[int, Callable[[bytes, int, int], None]] = {
    Kind.STRING: _text,
    Kind.CODE: _text,
    Kind.SYMBOL: _text,
    Kind.BOOLEAN: _boolean,
    Kind.BINARY: _binary,
    Kind.REGEX: _regex,
    Kind.DB_POINTER: _db_pointer,
}
