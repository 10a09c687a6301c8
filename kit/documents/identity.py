"""How a document is called: its ``_id`` as text in messages and reports, as a short digest where it is looked up."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b

from kit.documents import core
from kit.documents.elements import Element, elements
from kit.documents.kinds import Kind
from kit.errors import BsonError

KEY_BYTES = 8
_LONGEST = 200
_TEXT_ID = b"\x02_id\0"


def document_id(document: bytes) -> str:
    """Give the ``_id`` as a person would write it: printable text as it is, an ObjectId in hex, numbers in decimal.

    Any other type is shown as its type and bytes in hex; a document without ``_id`` as ``(none)``. Never longer than
    200 characters, since an ``_id`` may be a whole document.

    Raises:
        BsonError: The document is malformed before its ``_id``.
    """
    for element in elements(document):
        if element.name == b"_id":
            return _shown(document, element)[:_LONGEST]
    return "(none)"


def document_name(document: bytes) -> str:
    """Return what to call a document that may be malformed: as :func:`document_id`, or that it cannot be read."""
    try:
        return document_id(document)
    except BsonError:
        return "(unreadable)"


def _shown(document: bytes, element: Element) -> str:
    value = document[element.value : element.end]
    match element.kind:
        case Kind.STRING:
            text = value[4:-1].decode("utf-8", "backslashreplace")
            # It goes to terminals and into messages of one line.
            return text if text.isprintable() else repr(text)[1:-1]
        case Kind.OBJECT_ID:
            return value.hex()
        case Kind.INT32 | Kind.INT64:
            return str(int.from_bytes(value, "little", signed=True))
        case Kind.DOUBLE:
            return repr(struct.unpack("<d", value)[0])
        case _:
            return f"type {element.kind}: {value[: _LONGEST // 2].hex()}"


def keys_of(data: bytes, ends: Sequence[int]) -> bytes:
    """Return a key of :data:`KEY_BYTES` for each of the documents in ``data``, one after the other.

    It is a digest of the typed ``_id``, or of the whole of a document that has none or cannot be walked up to it. Two
    that collide match documents that have nothing in common, which costs a delta bytes, and is no error.

    Args:
        data: Whole documents, back to back.
        ends: The offset after each.
    """
    if core.identity_keys is not None and (found := core.identity_keys(data, ends)) is not None:
        return found
    return keys_by_reference(data, ends)


def keys_by_reference(data: bytes, ends: Sequence[int]) -> bytes:
    """Return what :func:`keys_of` does."""
    keys: list[bytes] = []
    start = 0
    for end in ends:
        after = 0
        if data[start + 4 : start + 9] == _TEXT_ID:
            # Nearly every _id: a text, and the first element.
            after = start + 13 + int.from_bytes(data[start + 9 : start + 13], "little", signed=True)
        key = data[start + 4 : after] if start + 13 < after < end else _identity(data[start:end])
        keys.append(blake2b(key, digest_size=KEY_BYTES).digest())
        start = end
    return b"".join(keys)


def _identity(document: bytes) -> bytes:
    try:
        for element in elements(document):
            if element.name == b"_id":
                return document[element.start : element.end]
    except BsonError:
        pass
    return document
