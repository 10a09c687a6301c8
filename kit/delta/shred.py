"""Shreds documents into a script (their structure) and columns (their values), and restores them.

The script of a document has its types and names in order, but no lengths: those follow when it is restored. Laws:
:func:`restore` undoes :func:`shred`, byte for byte, for every document that can be walked; any other (a malformed inner
document, a depth beyond any database's) raises, and the caller stores it whole.

Script of a level: for each element its type byte, its name and NUL; 0x00 ends the level. A byte follows the type of an
array: 0 if its names are 0, 1, 2 …, which the script then omits; 1 if its first name is not 0, and the script has all
names. A document with an array that begins with 0 and continues otherwise, or with a NUL inside a string, is not
shredded.
"""

from __future__ import annotations

import struct
from typing import Final

from kit.delta.columns import STRING, Node, NodeReader
from kit.delta.packing import Reader, unsigned
from kit.documents.kinds import FIXED, INT32, value_end
from kit.errors import ArchiveError, BsonError

DEPTH = 200
"""Maximum levels that are walked; mongodump writes no more."""
CANONICAL: Final = 0
NAMED: Final = 1
MEMBER: Final = b"#"
_DOCUMENT: Final = 3
_ARRAY: Final = 4
_INDEXES = tuple(str(number).encode() for number in range(1000))


def index_name(number: int) -> bytes:
    """Return the name of the member ``number`` of an array."""
    return _INDEXES[number] if number < 1000 else str(number).encode()


def shred(document: bytes, script: bytearray, node: Node) -> None:
    """Append a whole document to ``script`` and to the columns below ``node``.

    Raises:
        BsonError: It cannot be walked; script and columns may have grown and are void.
    """
    if len(document) < 5 or INT32.unpack_from(document)[0] != len(document) or document[-1]:
        raise BsonError("not one document")
    try:
        _level(document, 0, len(document), script, node, DEPTH)
    except (struct.error, RecursionError) as error:
        raise BsonError("not one document") from error


def shred_value(buffer: bytes, kind: int, value: int, script: bytearray, node: Node, *, end: int, depth: int) -> None:
    """Append one value, whose type byte and name are at the end of ``script``; ``end`` is where it must end.

    Raises:
        BsonError: As :func:`shred`.
    """
    if kind == STRING:
        if buffer.find(0, value + 4, end) != end - 1:
            raise BsonError("a string with a NUL inside", where=f"byte {value}")
        column = node.column(STRING)
        column += buffer[value + 4 : end]
    elif kind == _DOCUMENT:
        _level(buffer, value, end, script, node, depth - 1)
    elif kind == _ARRAY:
        _array(buffer, value, end, script, node, depth - 1)
    else:
        size = FIXED[kind]
        if size > 0:
            node.column(kind).extend(buffer[value:end])
        elif size < 0:
            column = node.column(kind)
            column += unsigned(end - value)
            column += buffer[value:end]


def _level(  # noqa: PLR0917  once a level: an object for them costs more than the work
    buffer: bytes, start: int, end: int, script: bytearray, node: Node, depth: int
) -> None:
    last = level_last(buffer, start, end, depth)
    texts, find = node.texts, buffer.find
    at = start + 4
    # Measured on CVE records, CPython 3.11: 0.45 µs an element, where a call per value costs 1.4.
    while at < last:
        value = find(0, at + 1, last) + 1
        if not value:
            raise BsonError("element name without terminating NUL", where=f"byte {at + 1}")
        head = buffer[at:value]
        script += head
        column = texts.get(head)
        if column is not None:
            at = end_of_text(buffer, value, last)
            column += buffer[value + 4 : at]
            continue
        kind = buffer[at]
        below = node.heads.get(head)
        if below is None:
            below = node.heads[head] = node.child(head[1:-1])
        if kind == STRING:
            texts[head] = below.column(STRING)
        at = end_of_value(buffer, kind, value, last)
        shred_value(buffer, kind, value, script, below, end=at, depth=depth)
    script.append(0)


def _array(  # noqa: PLR0917  as above
    buffer: bytes, start: int, end: int, script: bytearray, node: Node, depth: int
) -> None:
    last = level_last(buffer, start, end, depth)
    if end - start > 5 and buffer[start + 5 : start + 7] != b"0\0":
        script.append(NAMED)
        _level(buffer, start, end, script, node, depth)
        return
    script.append(CANONICAL)
    member = node.children.get(MEMBER) or node.child(MEMBER)
    column = member.columns.get(STRING)
    at = start + 4
    number = 0
    while at < last:
        name = index_name(number)
        value = at + 2 + len(name)
        if buffer[at + 1 : value] != name + b"\0":
            raise BsonError("an array whose names are not 0, 1, 2 …", where=f"byte {at + 1}")
        kind = buffer[at]
        script.append(kind)
        if kind == STRING:
            at = end_of_text(buffer, value, last)
            if column is None:
                column = member.column(STRING)
            column += buffer[value + 4 : at]
        else:
            at = end_of_value(buffer, kind, value, last)
            shred_value(buffer, kind, value, script, member, end=at, depth=depth)
        number += 1
    script.append(0)


def end_of_value(buffer: bytes, kind: int, value: int, last: int) -> int:
    """Return the offset after a value, which is at or before ``last``.

    Raises:
        BsonError: It is not.
    """
    return value_end(buffer, kind, value, last)


def end_of_text(buffer: bytes, value: int, last: int) -> int:
    """Return the offset after a string whose first NUL is at its end.

    Raises:
        BsonError: It ends elsewhere, or has an earlier NUL.
    """
    if value + 5 <= last:
        end: int = value + 4 + INT32.unpack_from(buffer, value)[0]
        if end <= last and buffer.find(0, value + 4, end) == end - 1:
            return end
    raise BsonError("a malformed string", where=f"byte {value}")


def is_canonical(buffer: bytes, start: int, end: int) -> bool:
    """Return whether the names of the level that begins at ``start`` are 0, 1, 2 …, each once, in order.

    Raises:
        BsonError: The level cannot be walked.
    """
    last = level_last(buffer, start, end, 1)
    number, at, find = 0, start + 4, buffer.find
    while at < last:
        nul = find(0, at + 1, last)
        if nul < 0 or buffer[at + 1 : nul] != index_name(number):
            return False
        at = value_end(buffer, buffer[at], nul + 1, last)
        number += 1
    return True


def level_last(buffer: bytes, start: int, end: int, depth: int) -> int:
    """Return the offset of a level's final NUL; check its length and that NUL."""
    if depth <= 0:
        raise BsonError("nested too deep to be walked", where=f"byte {start}")
    if start + 5 > end or INT32.unpack_from(buffer, start)[0] != end - start or buffer[end - 1]:
        raise BsonError("an inner document is not as long as it states", where=f"byte {start}")
    return end - 1


class Script:
    """Reads a script."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        """Read ``data`` from its start."""
        self.data = data
        self.at = 0

    def byte(self) -> int:
        """Return the next byte.

        Raises:
            ArchiveError: The script is at its end.
        """
        if self.at >= len(self.data):
            raise ArchiveError("a script of documents is truncated")
        byte = self.data[self.at]
        self.at += 1
        return byte

    def name(self) -> bytes:
        """Return the next name.

        Raises:
            ArchiveError: It does not end.
        """
        nul = self.data.find(0, self.at)
        if nul < 0:
            raise ArchiveError("a script of documents is truncated")
        name = self.data[self.at : nul]
        self.at = nul + 1
        return name

    def count(self) -> int:
        """Return the next number.

        Raises:
            ArchiveError: It is truncated or too long.
        """
        reader = Reader(self.data[self.at : self.at + 9], "a script")
        value = reader.unsigned()
        self.at += len(unsigned(value))
        return value


def restore(script: Script, node: NodeReader) -> bytes:
    """Return the next document.

    Raises:
        ArchiveError: Script and columns are not what :func:`shred` makes.
    """
    return restore_level(script, node, DEPTH)


def restore_value(script: Script, kind: int, node: NodeReader, depth: int) -> tuple[int, bytes]:
    """Return type and bytes of the value whose type byte was just read.

    Raises:
        ArchiveError: As :func:`restore`.
    """
    if kind == _DOCUMENT:
        return kind, restore_level(script, node, depth - 1)
    if kind == _ARRAY:
        if script.byte() == CANONICAL:
            return kind, _restore_array(script, node, depth - 1)
        return kind, restore_level(script, node, depth - 1)
    if FIXED[kind] == 0:
        return kind, b""
    return kind, node.take(kind)


def restore_level(script: Script, node: NodeReader, depth: int) -> bytes:
    """Return the next level, as a document.

    Raises:
        ArchiveError: As :func:`restore`.
    """
    if depth <= 0:
        raise ArchiveError("a script of documents is nested too deep")
    parts: list[bytes] = []
    while kind := script.byte():
        name = script.name()
        restored, value = restore_value(script, kind, node.child(name), depth)
        parts += bytes((restored,)), name, b"\0", value
    return frame_document(parts)


def _restore_array(script: Script, node: NodeReader, depth: int) -> bytes:
    if depth <= 0:
        raise ArchiveError("a script of documents is nested too deep")
    parts: list[bytes] = []
    member = node.child(MEMBER)
    number = 0
    while kind := script.byte():
        restored, value = restore_value(script, kind, member, depth)
        parts += bytes((restored,)), index_name(number), b"\0", value
        number += 1
    return frame_document(parts)


def frame_document(parts: list[bytes]) -> bytes:
    """Return the document of these elements.

    Raises:
        ArchiveError: It would be longer than BSON allows.
    """
    body = b"".join(parts)
    if len(body) > 2**31 - 6:
        raise ArchiveError("a script makes a document that is too long")
    return INT32.pack(len(body) + 5) + body + b"\0"
