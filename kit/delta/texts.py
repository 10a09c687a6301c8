"""Texts of JSON collections as BSON documents, so that a segment can encode them (schemas/kit-delta.md, "texts").

A collection in JSON is cut into pieces: each has the text of one document and what is around it. A *carrier* is the
BSON document that represents a piece, byte for byte: its members and values as they are spelled, the marks between
them once. So a document that changed in one place is an edit of one value.

Laws: ``restore_piece(make_carrier(p)) == p`` for all bytes without NUL; what is written in no regular way is carried
as it is; a carrier is at most :data:`FACTOR` times as long as its piece; whatever a carrier is, restoring ends in a
piece of bounded size or an ``ArchiveError``, in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kit.delta.shred import DEPTH, end_of_value, index_name
from kit.documents.framing import Run
from kit.documents.identity import KEY_BYTES, keys_of
from kit.documents.kinds import INT32, Kind
from kit.errors import ArchiveError, BsonError

FACTOR: Final = 20
"""Of a piece of one byte, which is the worst."""
_MAX_ADDED: Final = 2
_TAIL_KEY: Final = bytes(KEY_BYTES)
_LINE_FEED: Final = b"\n"
_BLANKS: Final = rb"[ \t\r\n]*+"
# Blanks, then a name with its colon, a string, a number, a word, or a mark. Only regular texts need to be recognised.
_TOKEN: Final = re.compile(
    _BLANKS + rb'(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"(' + _BLANKS + rb":)?|([-+.0-9eE]++)|(true|false|null)|([{}\[\],]))",
    re.DOTALL,
)
_STRING, _NAME, _NUMBER, _WORD, _MARK = 1, 2, 3, 4, 5
_COLON: Final = re.compile(rb'\{[ \t\r\n]*+"[^"\\]*+(?:\\.[^"\\]*+)*+"(' + _BLANKS + b":" + _BLANKS + b")", re.DOTALL)
_COMMA: Final = re.compile(_BLANKS + b"," + _BLANKS)
_AFTER_BRACE: Final = re.compile(rb"\{(" + _BLANKS + b")")
_WORDS: Final = {b"true": (Kind.BOOLEAN, b"\1"), b"false": (Kind.BOOLEAN, b"\0"), b"null": (Kind.NULL, b"")}
_WIDEST: Final = 20


def cut_pieces(run: Run, *, by_lines: bool) -> tuple[list[int], bytes]:
    """Return where each piece of a run ends, and its key for matching.

    Args:
        run: Documents with their texts.
        by_lines: Whether a piece ends with its line; else with its document, and what follows the last is a piece.
    """
    texts = run.texts
    if texts is None:
        raise BsonError("is no collection in JSON")
    data, ends, keys = texts.data, [end for _, end in texts.spans], keys_of(run.data, run.ends)
    if by_lines:
        return [data.find(_LINE_FEED, end) + 1 or len(data) for end in ends], keys
    if (ends[-1] if ends else 0) < len(data):
        return [*ends, len(data)], keys + _TAIL_KEY
    return ends, keys


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    """What is between the members of a text."""

    colon: bytes = b":"
    comma: bytes = b","
    inside: bytes = b""
    """Between a bracket and what is inside."""
    line: bytes = b""
    """Begins each member, where each has a line of its own: the line feed, and the blanks that all lines have."""
    step: bytes = b""
    """More blanks for each level."""


_COMPACT: Final = _Style()


def make_carrier(piece: bytes) -> bytes:
    """Return the carrier of a piece."""
    start, end = piece.find(b"{"), piece.rfind(b"}") + 1
    if start < 0 or end <= start:
        return _document([_string(b"before", piece)])
    text = piece[start:end]
    parts = [_string(b"before", piece[:start])] if start else []
    parts += [_string(b"after", piece[end:])] if end < len(piece) else []
    regular = _take_apart(text)
    made = _document([*parts, *regular]) if regular is not None else b""
    if regular is None or len(made) > _longest(piece):
        return _document([*parts, _string(b"text", text)])
    return made


def _longest(piece: bytes) -> int:
    return min(FACTOR * len(piece), 2 * len(piece) + 64)


def _take_apart(text: bytes) -> list[bytes] | None:
    """Return the elements that a carrier has for a regular text; None for any other."""
    found = _parse(text)
    if found is None:
        return None
    members, commas, comma = found
    # A transform adds members at the end in its own style, whatever that of the text is.
    for added in range(min(_MAX_ADDED, len(commas)) + 1):
        head = text if not added else text[: commas[-added]] + b"}"
        style = _guess_style(head, comma)
        own, later = (members, []) if not added else (members[:-added], members[-added:])
        elements = [*_style_elements(style), b"\x03members\0" + _document(own)]
        elements += [b"\x03added\0" + _document(later)] if later else []
        try:
            if _restore_text(_read_fields(_document(elements)), FACTOR * len(text)) == text:
                return elements
        except ArchiveError:
            continue
    return None


def _guess_style(text: bytes, comma: int) -> _Style:
    """Return the style of a text; ``comma`` is where its first comma is, with the blanks before it."""
    opened, colon = _AFTER_BRACE.match(text), _COLON.match(text)
    if opened is None or colon is None:
        return _COMPACT
    inside = opened[1]
    closing = text[len(text[:-1].rstrip(b" \t\r\n")) : -1]
    between = _COMMA.match(text, comma)
    mark = between[0] if between is not None else b","
    if _LINE_FEED in closing and inside.startswith(closing):
        return _Style(colon=colon[1], comma=mark.partition(_LINE_FEED)[0], line=closing, step=inside[len(closing) :])
    return _Style(colon=colon[1], comma=mark, inside=inside)


_STYLE: Final = tuple(_Style.__dataclass_fields__)


def _style_elements(style: _Style) -> list[bytes]:
    return [
        _string(name.encode(), value) for name in _STYLE if (value := getattr(style, name)) != getattr(_COMPACT, name)
    ]


class _Level(NamedTuple):
    """A level that is being read: its elements, and whether they have names."""

    parts: list[bytes]
    is_array: bool
    head: bytes
    """Type and name of it, as an element."""


class _Parsed(NamedTuple):
    """The members of an object."""

    elements: list[bytes]
    commas: list[int]
    """Where each of its commas is."""
    comma: int
    """Where the first comma at any level is, with the blanks before it; where the object ends if there is none."""


def _parse(text: bytes) -> _Parsed | None:  # noqa: C901  one state machine
    """Return the members of an object; None if they are nested too deep, or the brackets do not match.

    What is not JSON is passed over: who calls compares.
    """
    outer: list[_Level] = []
    level = _Level([], is_array=False, head=b"")
    commas: list[int] = []
    first = len(text)
    name = b""
    tokens = _TOKEN.finditer(text)
    next(tokens, None)
    for token in tokens:
        found = token.lastindex
        if found == _NAME:
            name = token[1]
            continue
        mark = token[_MARK]
        if mark == b",":
            first = min(first, token.start())
            if not outer:
                commas.append(token.start(_MARK))
            continue
        if level.is_array:
            name = index_name(len(level.parts))
        if found == _STRING:
            level.parts.append(_string(name, token[1]))
        elif found == _NUMBER:
            level.parts.append(_number(name, token[_NUMBER]))
        elif found == _WORD:
            kind, value = _WORDS[token[_WORD]]
            level.parts.append(b"%c%b\0%b" % (kind, name, value))
        elif mark in b"{[":
            if len(outer) >= DEPTH - 3:
                return None
            outer.append(level)
            is_array = mark == b"["
            level = _Level([], is_array, b"%c%b\0" % (Kind.ARRAY if is_array else Kind.DOCUMENT, name))
        elif outer:
            done, level = level, outer.pop()
            level.parts.append(done.head + _document(done.parts))
    return _Parsed(level.parts, commas, first) if not outer else None


def _number(name: bytes, digits: bytes) -> bytes:
    if len(digits) <= _WIDEST and digits.lstrip(b"-").isdigit():
        whole = int(digits)
        if b"%d" % whole == digits and -(2**63) <= whole < 2**63:
            is_short = -(2**31) <= whole < 2**31
            kind, size = (Kind.INT32, 4) if is_short else (Kind.INT64, 8)
            return b"%c%b\0%b" % (kind, name, whole.to_bytes(size, "little", signed=True))
    return _string(name, digits, Kind.SYMBOL)


def _string(name: bytes, text: bytes, kind: int = Kind.STRING) -> bytes:
    return b"%c%b\0%b%b\0" % (kind, name, INT32.pack(len(text) + 1), text)


def _document(parts: Sequence[bytes]) -> bytes:
    body = b"".join(parts)
    return b"%b%b\0" % (INT32.pack(len(body) + 5), body)


def restore_piece(carrier: bytes, *, most: int) -> bytes:
    """Return the piece that a carrier represents.

    Raises:
        ArchiveError: It is no carrier, or its piece has more than ``most`` bytes.
    """
    fields = _read_fields(carrier)
    piece = fields.get("before", b"") + _restore_text(fields, most) + fields.get("after", b"")
    if len(piece) > most:
        raise _is_too_long(most)
    return piece


def restore_pieces(carriers: Iterable[bytes], *, most: int) -> Iterator[bytes]:
    """Yield the pieces that carriers represent; all together have at most ``most`` bytes.

    Raises:
        ArchiveError: As :func:`restore_piece`.
    """
    left = most
    for carrier in carriers:
        piece = restore_piece(carrier, most=left)
        left -= len(piece)
        yield piece


_KINDS: Final = dict.fromkeys(("before", "after", "text", *_STYLE), Kind.STRING) | dict.fromkeys(
    ("members", "added"), Kind.DOCUMENT
)


def _read_fields(carrier: bytes) -> dict[str, bytes]:
    """Return the values of a carrier: of strings their text, of documents all bytes."""
    found: dict[str, bytes] = {}
    at, last = 4, len(carrier) - 1
    if last < at or INT32.unpack_from(carrier)[0] != len(carrier):
        raise _is_no_carrier()
    while at < last:
        kind, nul = carrier[at], carrier.find(0, at + 1, last)
        name = carrier[at + 1 : nul].decode("ascii", "replace") if nul > at else ""
        if _KINDS.get(name) != kind or name in found:
            raise _is_no_carrier()
        at = _find_end(carrier, kind, nul + 1, last)
        found[name] = carrier[nul + 5 : at - 1] if kind == Kind.STRING else carrier[nul + 1 : at]
    return found


def _restore_text(fields: Mapping[str, bytes], most: int) -> bytes:
    if "members" not in fields:
        return fields.get("text", b"")
    style = _Style(**{name: fields[name] for name in _STYLE if name in fields})
    text = _write(fields["members"], style, most)
    if "added" in fields:
        text = b"%b,%b" % (text[:-1], _write(fields["added"], _COMPACT, most)[1:])
    return text


def _write(document: bytes, style: _Style, most: int) -> bytes:
    """Return an object in a style."""
    parts = [b"{"]
    outer: list[tuple[int, int, bool]] = []
    left = most
    at, last, is_array, is_first = 4, len(document) - 1, False, True
    between = _Between(style)
    opening = comma = closing = b""
    while True:
        if at >= last:
            parts.append((b"" if is_first else closing) + (b"]" if is_array else b"}"))
            if not outer:
                return b"".join(parts)
            at, last, is_array = outer.pop()
            opening, comma, closing = between.of(len(outer), left)
            is_first = False
            continue
        kind, nul = document[at], document.find(0, at + 1, last)
        if nul < 0:
            raise _is_no_carrier()
        if is_first:
            opening, comma, closing = between.of(len(outer), left)
        mark = opening if is_first else comma
        left -= len(mark)
        if left < 0:
            raise _is_too_long(most)
        parts.append(mark)
        if not is_array:
            parts += b'"', document[at + 1 : nul], b'"', style.colon
            left -= len(style.colon)
        value, is_first = nul + 1, False
        at = _find_end(document, kind, value, last)
        if kind == Kind.STRING:
            parts += b'"', document[value + 4 : at - 1], b'"'
        elif kind == Kind.DOCUMENT or kind == Kind.ARRAY:  # noqa: PLR1714  half the cost
            outer.append((at, last, is_array))
            at, last, is_array, is_first = value + 4, at - 1, kind == Kind.ARRAY, True
            parts.append(b"[" if is_array else b"{")
        else:
            parts.append(_spell(kind, document[value:at]))


class _Between:
    """What is written around the members of a level, made once for each depth."""

    def __init__(self, style: _Style) -> None:
        self._style = style
        self._made: list[tuple[bytes, bytes, bytes]] = []  # a level is written after those around it

    def of(self, depth: int, left: int) -> tuple[bytes, bytes, bytes]:
        """Return what opens a level, separates its members and closes it; what opens it has at most ``left`` bytes."""
        if depth < len(self._made):
            return self._made[depth]
        style = self._style
        if depth >= DEPTH or (style.line and len(style.step) * (depth + 1) > left):
            raise ArchiveError("a text of a segment is nested too deep")
        opening = style.line + style.step * (depth + 1) if style.line else style.inside
        closing = style.line + style.step * depth if style.line else style.inside
        self._made.append((opening, style.comma + opening, closing))
        return self._made[depth]


def _spell(kind: int, value: bytes) -> bytes:
    if kind == Kind.INT32 or kind == Kind.INT64:  # noqa: PLR1714  as above
        return b"%d" % int.from_bytes(value, "little", signed=True)
    if kind == Kind.SYMBOL:
        return value[4:-1]
    word = _SPELLED.get((kind, value))
    if word is None:
        raise _is_no_carrier()
    return word


_SPELLED: Final = {(int(kind), value): word for word, (kind, value) in _WORDS.items()}


def _find_end(buffer: bytes, kind: int, value: int, last: int) -> int:
    try:
        return end_of_value(buffer, kind, value, last)
    except BsonError as error:
        raise _is_no_carrier() from error


def _is_no_carrier() -> ArchiveError:
    return ArchiveError("a document of a segment represents no text")


def _is_too_long(most: int) -> ArchiveError:
    return ArchiveError(f"a segment makes more than {most:,} bytes")
