"""Changes a document by cutting and joining its bytes; nothing is ever decoded and encoded again.

A decoder that re-encodes changes what it does not know (repeated names, deprecated types, odd array names: pymongo
12 of 728 documents of MongoDB's corpus). Laws: outside the element named, only the lengths of the documents around it
change; ``remove`` undoes ``append``; replacing a value by itself is the identity.

A value that is spliced in must be complete by its own lengths; the caller is responsible for its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from kit.documents.elements import Element, elements, encode_name, trace
from kit.documents.kinds import INT32, KINDS, value_end
from kit.errors import BsonError

_INT32_MAX: Final = 2**31 - 1
_KIND_BYTES: Final = [bytes((kind,)) for kind in range(256)]
"""Every type byte as bytes."""


@final
class Replacement:
    """A new type and value for an element whose place is known from a walk.

    Attributes:
        enclosing: Offset of each document around it, below the outermost.
        start: Offset of the type byte.
        value: Offset of the value's first byte.
        end: Offset after the value.
        kind: The new type.
        new: One whole value of that type.
    """

    __slots__ = ("enclosing", "end", "kind", "new", "start", "value")

    def __init__(  # noqa: PLR0917  made for every document of a kit
        self, enclosing: tuple[int, ...], start: int, value: int, end: int, kind: int, new: bytes
    ) -> None:
        self.enclosing = enclosing
        self.start = start
        self.value = value
        self.end = end
        self.kind = kind
        self.new = new


def element(name: str, kind: int, value: bytes) -> bytes:
    """Return an element: type byte, name, NUL, value.

    Raises:
        BsonError: The name contains NUL or a lone surrogate, or ``value`` is not one whole value of type ``kind``.
    """
    _check_value(kind, value, 0)
    return b"".join((bytes((kind,)), encode_name(name), b"\0", value))


def append(document: bytes, element: bytes) -> bytes:
    """Return a document with an element after its last; the caller has checked that no element has this name.

    Raises:
        BsonError: ``document`` is not one document by its length and final NUL, ``element`` is not one whole element,
            or the result would be longer than a length can state.
    """
    _check_frame(document)
    size = _check_size(len(document) + len(element))
    nul = element.find(0, 1)
    if nul < 0:
        raise BsonError("an element to append needs a type and a name that ends in NUL")
    _check_value(element[0], element, nul + 1)
    return b"".join((INT32.pack(size), document[4:-1], element, b"\0"))


def replace(document: bytes, path: Sequence[str], kind: int, value: bytes) -> bytes:
    """Return a document with another type and value for the element at ``path``; its name and place stay.

    Raises:
        BsonError: There is no such element or more than one, a level on the way is malformed, ``value`` is not one
            whole value of type ``kind``, or the result would be longer than a length can state.
    """
    route = _route(document, path)
    target = route[-1]
    _check_size(len(document) - (target.end - target.value) + len(value))
    _check_value(kind, value, 0)
    head = document[target.start + 1 : target.value]
    return _splice(document, route, b"".join((_KIND_BYTES[kind], head, value)))


def replace_at(document: bytes, replacements: Sequence[Replacement]) -> bytes:
    """Return a document with several replacements, in one pass and without searching for the elements again.

    For many documents with few changes each: no level is walked, so it costs a third of :func:`replace`.

    Args:
        document: One document.
        replacements: By rising offset, none inside another, of places found in these very bytes.

    Raises:
        BsonError: The result would be longer than a length can state.
    """
    if len(replacements) == 1 and not replacements[0].enclosing:
        one = replacements[0]
        return replace_value(document, one.start, one.value, one.end, one.kind, one.new)
    parts: list[bytes] = []
    grown = {0: 0}  # start of a document, as it was → by how much it grows
    at = 0
    for one in replacements:
        parts += document[at : one.start], _KIND_BYTES[one.kind], document[one.start + 1 : one.value], one.new
        at = one.end
        for outer in (0, *one.enclosing):
            grown[outer] = grown.get(outer, 0) + len(one.new) - (one.end - one.value)
    parts.append(document[at:])
    _check_size(len(document) + grown[0])
    result = bytearray().join(parts)
    for outer, delta in grown.items():
        # Cuts before this document have moved it; cuts inside it, which start after it does, have not.
        moved = sum(len(item.new) - (item.end - item.value) for item in replacements if item.start < outer)
        INT32.pack_into(result, outer + moved, INT32.unpack_from(document, outer)[0] + delta)
    return bytes(result)


def replace_value(document: bytes, start: int, value: int, end: int, kind: int, new: bytes) -> bytes:  # noqa: PLR0917  as a Replacement
    """Return a document with one element of the top level replaced: the common case, in which only the end moves.

    Raises:
        BsonError: The result would be longer than a length can state.
    """
    size = _check_size(len(document) - (end - value) + len(new))
    head, name = document[4:start], document[start + 1 : value]
    return b"".join((INT32.pack(size), head, _KIND_BYTES[kind], name, new, document[end:]))


def remove(document: bytes, path: Sequence[str]) -> bytes:
    """Return a document without the element at ``path``. Later items of an array keep their names.

    Raises:
        BsonError: There is no such element or more than one, or a level on the way is malformed.
    """
    return _splice(document, _route(document, path), b"")


def without_last(document: bytes, name: str, kind: int | None = None) -> bytes | None:
    """Return ``document`` without its last top-level element; None where that is not the only one called ``name``.

    Args:
        document: A document whose top level is sound.
        name: What the element must be called.
        kind: Its type, where it must be of that one.

    Raises:
        BsonError: The top level is malformed.
    """
    found = list(elements(document))
    if [at for at, one in enumerate(found) if one.name == name.encode()] != [len(found) - 1] or not found:
        return None
    return None if kind is not None and found[-1].kind != kind else remove(document, [name])


def first_other(before: bytes, ends: Sequence[int], after: bytes, changed: Sequence[bool], name: str) -> int:
    """Return the first document that differs from its former self by more than an appended document called ``name``.

    The change of :func:`append` is undone without a search, since the former end of each document is known.

    Args:
        before: The former documents, back to back.
        ends: Offset after each of them.
        after: The present documents, back to back.
        changed: Whether an element was appended to each.
        name: The name of that element.

    Returns:
        The number of the first document that differs otherwise; the number of documents if ``after`` has bytes after
        the last of them; -1 if nothing else differs.
    """
    head = b"\3" + encode_name(name) + b"\0"
    start, at, size = 0, 0, len(after)
    for number, end in enumerate(ends):
        if not changed[number]:
            stop = at + end - start
            if after[at:stop] != before[start:end]:
                return number
        else:
            # The element is inserted before the final NUL; the length grows by that of the element.
            value = at + end - start - 1 + len(head)
            if value + 5 >= size or after[at + 4 : value] != before[start + 4 : end - 1] + head:
                return number
            stop = value + INT32.unpack_from(after, value)[0] + 1
            if stop < value + 6 or stop > size or after[stop - 2 : stop] != b"\0\0":
                return number
            if INT32.unpack_from(after, at)[0] != stop - at:
                return number
        start, at = end, stop
    return -1 if at == size else len(ends)


def _route(document: bytes, path: Sequence[str]) -> list[Element]:
    _check_frame(document)
    route = trace(document, path)
    if not route:
        raise BsonError("there is no element " + repr(".".join(path)))
    return route


def _splice(document: bytes, route: Sequence[Element], instead: bytes) -> bytes:
    target = route[-1]
    result = bytearray().join((document[: target.start], instead, document[target.end :]))
    delta = len(result) - len(document)
    # Every enclosing document starts before the cut, so its length field has not moved.
    for at in (0, *(enclosing.value for enclosing in route[:-1])):
        INT32.pack_into(result, at, INT32.unpack_from(document, at)[0] + delta)
    return bytes(result)


def _check_frame(document: bytes) -> None:
    if len(document) < 5 or INT32.unpack_from(document)[0] != len(document):
        raise BsonError(f"these {len(document):,} bytes are not one document of the length it states", where="byte 0")
    if document[-1]:
        raise BsonError("document without terminating NUL", where=f"byte {len(document) - 1}")


def _check_size(size: int) -> int:
    if size > _INT32_MAX:
        raise BsonError(f"the document would have {size:,} bytes; the format allows at most {_INT32_MAX:,}")
    return size


def _check_value(kind: int, buffer: bytes, value: int) -> None:
    if kind not in KINDS:
        raise BsonError(f"unknown element type {kind}")
    # The value may reach to the end of the buffer, which is where an enclosing document's NUL would be.
    end = value_end(buffer, kind, value, len(buffer))
    if end != len(buffer):
        raise BsonError(f"{len(buffer) - end:,} bytes after the end of the value", where=f"byte {end}")
