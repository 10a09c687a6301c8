"""Takes documents apart into a script (what stands where) and columns (the values), and puts them together again.

The script of a document has its types and names in order, none of its lengths: those follow from what is put together.
Laws: :func:`restored` undoes :func:`shred`, byte for byte, for whatever can be walked; what cannot (a malformed
inside, a depth beyond any database's) raises, and the caller keeps such a document whole.

Script of a level: for each element its type byte, its name and NUL; 0x00 ends the level. An array whose names are 0, 1,
2 … has no names in its script, and says so by a byte 0 after its type, any other by 1. A string that is odd (NUL
inside) has type 0x20 in the script.
"""

from __future__ import annotations

from kit.delta.columns import ODD_STRING, STRING, Node, TakingNode
from kit.delta.varint import Reader, unsigned
from kit.documents.kinds import FIXED, INT32, Kind, value_end
from kit.errors import ArchiveError, BsonError

DEPTH = 200
"""Levels that are walked; mongodump writes no more."""
CANONICAL, NAMED = 0, 1
MEMBER = b"#"
_DOCUMENT, _ARRAY = int(Kind.DOCUMENT), int(Kind.ARRAY)
INDEXES = tuple(str(number).encode() for number in range(1000))


def index_name(number: int) -> bytes:
    """Give the name of the member ``number`` of an array."""
    return INDEXES[number] if number < 1000 else str(number).encode()


def shred(document: bytes, script: bytearray, node: Node) -> None:
    """Append a whole document to ``script`` and to the columns below ``node``.

    Raises:
        BsonError: It cannot be walked; script and columns may have grown and are void.
    """
    if len(document) < 5 or INT32.unpack_from(document)[0] != len(document) or document[-1]:
        raise BsonError("not one document")
    _level(document, 0, len(document), script, node, DEPTH)


def shred_value(  # noqa: PLR0917  once an element: what would gather them costs more than the work
    buffer: bytes, kind: int, value: int, end: int, script: bytearray, node: Node, depth: int, name: bytes = b""
) -> None:
    """Append one value: its type byte, ``name`` (with its NUL, where it has one), then what the type has to say.

    Raises:
        BsonError: As :func:`shred`.
    """
    if kind == STRING:
        if buffer.find(0, value + 4, end) == end - 1:
            script.append(STRING)
            script += name
            node.column(STRING).extend(buffer[value + 4 : end])
        else:
            script.append(ODD_STRING)
            script += name
            _behind_length(node.column(ODD_STRING), buffer[value:end])
    elif kind == _DOCUMENT:
        script.append(kind)
        script += name
        _level(buffer, value, end, script, node, depth - 1)
    elif kind == _ARRAY:
        script.append(kind)
        script += name
        _array(buffer, value, end, script, node, depth - 1)
    else:
        script.append(kind)
        script += name
        size = FIXED[kind]
        if size > 0:
            node.column(kind).extend(buffer[value:end])
        elif size < 0:
            _behind_length(node.column(kind), buffer[value:end])


def _behind_length(column: bytearray, value: bytes) -> None:
    column += unsigned(len(value))
    column += value


def _level(  # noqa: PLR0917  as above
    buffer: bytes, start: int, end: int, script: bytearray, node: Node, depth: int
) -> None:
    last = _checked(buffer, start, end, depth)
    children, find = node.children, buffer.find
    at = start + 4
    while at < last:
        kind = buffer[at]
        name_start = at + 1
        nul = find(0, name_start, last)
        if nul < 0:
            raise BsonError("element name without terminating NUL", where=f"byte {name_start}")
        name = buffer[name_start:nul]
        value = nul + 1
        at = value_end(buffer, kind, value, last)
        below = children.get(name) or node.child(name)
        shred_value(buffer, kind, value, at, script, below, depth, buffer[name_start:value])
    script.append(0)


def _array(  # noqa: PLR0917  as above
    buffer: bytes, start: int, end: int, script: bytearray, node: Node, depth: int
) -> None:
    if not is_canonical(buffer, start, end):
        script.append(NAMED)
        _level(buffer, start, end, script, node, depth)
        return
    last = _checked(buffer, start, end, depth)
    script.append(CANONICAL)
    member = node.children.get(MEMBER) or node.child(MEMBER)
    find = buffer.find
    at = start + 4
    while at < last:
        value = find(0, at + 1, last) + 1
        kind = buffer[at]
        at = value_end(buffer, kind, value, last)
        shred_value(buffer, kind, value, at, script, member, depth)
    script.append(0)


def is_canonical(buffer: bytes, start: int, end: int) -> bool:
    """Whether the names of the level that begins at ``start`` are 0, 1, 2 …, each once, in order.

    Raises:
        BsonError: The level cannot be walked.
    """
    last = _checked(buffer, start, end, 1)
    number, at, find = 0, start + 4, buffer.find
    while at < last:
        nul = find(0, at + 1, last)
        if nul < 0 or buffer[at + 1 : nul] != index_name(number):
            return False
        at = value_end(buffer, buffer[at], nul + 1, last)
        number += 1
    return True


def _checked(buffer: bytes, start: int, end: int, depth: int) -> int:
    """See that a level is as long as it says and ends as it must; gives the place of its final NUL."""
    if depth <= 0:
        raise BsonError("nested too deep to be walked", where=f"byte {start}")
    if start + 5 > end or INT32.unpack_from(buffer, start)[0] != end - start or buffer[end - 1]:
        raise BsonError("a document within is not as long as it says", where=f"byte {start}")
    return end - 1


class Script:
    """A script being read."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        """Read ``data`` from its start."""
        self.data = data
        self.at = 0

    def byte(self) -> int:
        """Take one byte.

        Raises:
            ArchiveError: The script is at its end.
        """
        if self.at >= len(self.data):
            raise ArchiveError("a script of documents is cut")
        byte = self.data[self.at]
        self.at += 1
        return byte

    def name(self) -> bytes:
        """Take a name.

        Raises:
            ArchiveError: It does not end.
        """
        nul = self.data.find(0, self.at)
        if nul < 0:
            raise ArchiveError("a script of documents is cut")
        name = self.data[self.at : nul]
        self.at = nul + 1
        return name

    def count(self) -> int:
        """Take a number.

        Raises:
            ArchiveError: It is cut or too long.
        """
        reader = Reader(self.data[self.at : self.at + 9], "a script")
        value = reader.unsigned()
        self.at += len(unsigned(value))
        return value


def restored(script: Script, node: TakingNode) -> bytes:
    """Put the next document together.

    Raises:
        ArchiveError: Script and columns are not what :func:`shred` makes.
    """
    return restored_level(script, node, DEPTH)


def restored_value(script: Script, kind: int, node: TakingNode, depth: int) -> tuple[int, bytes]:
    """Put the value together whose type byte was just taken; gives its type in BSON, and its bytes.

    Raises:
        ArchiveError: As :func:`restored`.
    """
    if kind == _DOCUMENT:
        return kind, restored_level(script, node, depth - 1)
    if kind == _ARRAY:
        if script.byte() == CANONICAL:
            return kind, _restored_array(script, node, depth - 1)
        return kind, restored_level(script, node, depth - 1)
    if FIXED[kind] == 0:
        return kind, b""
    return STRING if kind == ODD_STRING else kind, node.take(kind)


def restored_level(script: Script, node: TakingNode, depth: int) -> bytes:
    """Put one level together, as a document.

    Raises:
        ArchiveError: As :func:`restored`.
    """
    if depth <= 0:
        raise ArchiveError("a script of documents is nested too deep")
    parts: list[bytes] = []
    while kind := script.byte():
        name = script.name()
        met, value = restored_value(script, kind, node.child(name), depth)
        parts += bytes((met,)), name, b"\0", value
    return framed(parts)


def _restored_array(script: Script, node: TakingNode, depth: int) -> bytes:
    if depth <= 0:
        raise ArchiveError("a script of documents is nested too deep")
    parts: list[bytes] = []
    member = node.child(MEMBER)
    number = 0
    while kind := script.byte():
        met, value = restored_value(script, kind, member, depth)
        parts += bytes((met,)), index_name(number), b"\0", value
        number += 1
    return framed(parts)


def framed(parts: list[bytes]) -> bytes:
    """Make a document of the bytes of its elements.

    Raises:
        ArchiveError: It would be longer than a length can say.
    """
    body = b"".join(parts)
    if len(body) > 2**31 - 6:
        raise ArchiveError("a script makes a document that is too long")
    return INT32.pack(len(body) + 5) + body + b"\0"
