"""The identity of a document: its ``_id`` as text for messages and reports, and as a short digest for lookups.

A document's leaf in the Merkle tree of its collection, which binds its ``_id`` (schemas/merkle.md).

A leaf commits to the typed ``_id`` and the digest of the document. So neighbours can be shown, and absence proven,
without showing their content. Leaves are passed on as sorted lines of text, ``<key> <leaf hash>`` in hex: their order
as bytes is the order of the leaves. Law: equal documents give equal lines, whatever run they are in.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise

from kit.documents import core
from kit.documents.elements import Element, elements
from kit.documents.kinds import INT32, Kind
from kit.errors import BsonError

KEY_BYTES = 8
_MAX_LENGTH = 200
_TEXT_ID = b"\x02_id\0"


def document_id(document: bytes) -> str:
    """Return the ``_id`` as a person would write it: printable text as it is, an ObjectId in hex, numbers in decimal.

    Any other type is shown as its type and bytes in hex, a missing ``_id`` as ``(none)``. The result has at most 200
    characters, since an ``_id`` may be a whole document.

    Raises:
        BsonError: The document is malformed before its ``_id``.
    """
    for element in elements(document):
        if element.name == b"_id":
            return _spell(document, element)[:_MAX_LENGTH]
    return "(none)"


def document_name(document: bytes) -> str:
    """Return the name of a document that may be malformed: :func:`document_id`, or ``(unreadable)``."""
    try:
        return document_id(document)
    except BsonError:
        return "(unreadable)"


def _spell(document: bytes, element: Element) -> str:
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
            return f"type {element.kind}: {value[: _MAX_LENGTH // 2].hex()}"


def keys_of(data: bytes, ends: Sequence[int]) -> bytes:
    """Return a key of :data:`KEY_BYTES` for each of the documents in ``data``, back to back.

    It is a digest of the typed ``_id``, or of the document if that has none or cannot be walked up to it. A collision
    matches unrelated documents, which makes a delta larger and is no error.

    Args:
        data: Whole documents, back to back.
        ends: The offset after each.
    """
    if core.identity_keys is not None and (found := core.identity_keys(data, ends)) is not None:
        return found
    return keys_by_reference(data, ends)


def keys_by_reference(data: bytes, ends: Sequence[int]) -> bytes:
    """Return the result of :func:`keys_of`, by the reference."""
    keys: list[bytes] = []
    start = 0
    for end in ends:
        after = 0
        if data[start + 4 : start + 9] == _TEXT_ID:
            # Nearly every _id is a text and the first element.
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


_TEXT = frozenset({Kind.STRING, Kind.CODE, Kind.SYMBOL})
_HASH_DIGITS = 64


def identity_key(document: bytes) -> bytes:
    """Return the typed ``_id``: its type byte and its value, or only the text of a string.

    Empty where there is no ``_id``, or the document is malformed before it. A text without its length sorts as MongoDB
    sorts it, so that dumps in order of ``_id`` are sorted.
    """
    # Nearly every _id is a string and the first element: 0.3 µs here, 1.5 µs below.
    if document[4:9] == b"\x02_id\0" and len(document) >= 19:
        end = 13 + int(INT32.unpack_from(document, 9)[0])
        if 14 <= end < len(document):
            return b"\x02" + document[13 : end - 1]
    try:
        for element in elements(document):
            if element.name == b"_id":
                value = document[element.value : element.end]
                return bytes([element.kind]) + (value[4:-1] if element.kind in _TEXT else value)
    except BsonError:
        pass
    return b""


def leaf_data(key: bytes, digest: bytes) -> bytes:
    """Return the data that a leaf commits to: the typed ``_id`` and the 32 bytes of the document's SHA-256."""
    return key + digest


def leaf_lines(documents: Iterable[bytes], originals: Iterable[bytes] | None = None) -> bytes:
    """Return the leaves of documents as sorted lines.

    Args:
        documents: The documents, of which the ``_id`` is taken.
        originals: As they are kept, where that is not as BSON; the digests are of these.
    """
    sha256, lines = hashlib.sha256, []
    pairs = (
        ((document, document) for document in documents)
        if originals is None
        else zip(documents, originals, strict=True)
    )
    for document, original in pairs:
        key = identity_key(document)
        # leaf_hash(leaf_data(key, digest)), inlined because of its cost.
        leaf = sha256(b"\0" + key + sha256(original).digest())
        lines.append(f"{key.hex()} {leaf.hexdigest()}\n")
    lines.sort()
    return "".join(lines).encode("ascii")


def run_leaf_lines(data: bytes, ends: Sequence[int]) -> bytes:
    """Return the leaves of the documents of a run as sorted lines; ``ends`` are the offsets after each."""
    if core.leaves is not None and (found := core.leaves(data, ends)) is not None:
        return found
    return leaf_lines(data[start:end] for start, end in pairwise((0, *ends)))


def key_of(line: bytes) -> bytes:
    """Return the typed ``_id`` of a line."""
    return bytes.fromhex(line[: -_HASH_DIGITS - 2].decode("ascii"))


def hash_digits(line: bytes) -> bytes:
    """Return the leaf hash of a line, in hex digits."""
    return line[-_HASH_DIGITS - 1 : -1]
