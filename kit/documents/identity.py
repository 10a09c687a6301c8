"""How a document is called in messages and reports: its ``_id`` as text."""

from __future__ import annotations

import struct

from kit.documents.elements import Element, elements
from kit.documents.kinds import Kind

_LONGEST = 200


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
