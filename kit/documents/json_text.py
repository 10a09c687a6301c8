"""Changes the text of a JSON document by splicing: all other bytes, blanks and spellings of numbers stay.

An element is added before the closing brace, and a value takes the place of another, in the one spelling that this
program has for it (schemas/json-collections.md, "Splicing"): so it is known again by its bytes, and can be cut out.
Laws: what :func:`without_last` makes of what :func:`append` makes of a text is the text; the view of the longer text is
the view of the text with the element appended; :func:`replace_values` with the former texts undoes itself.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Final

from kit.documents.elements import elements
from kit.documents.kinds import INT32, Kind
from kit.errors import BsonError

_BRACE: Final = b"}"
_EMPTY_BYTES: Final = 5


def spell_element(element: bytes) -> bytes:
    """Return a BSON element as a member of a JSON object, name and value.

    Raises:
        BsonError: It is malformed, or of a type that no text of this program has.
    """
    nul = element.index(0, 1)
    return b"%b:%b" % (_spell_text(element[1:nul]), spell_value(element, element[0], nul + 1, len(element)))


def spell_value(buffer: bytes, kind: int, start: int, end: int) -> bytes:  # noqa: PLR0911  one for each type
    """Return a BSON value as JSON; it is ``buffer[start:end]``.

    Raises:
        BsonError: It is malformed, or of a type that no text of this program has.
    """
    match kind:
        case Kind.STRING:
            return _spell_text(buffer[start + 4 : end - 1])
        case Kind.DOCUMENT:
            parts = (
                b"%b:%b" % (_spell_text(one.name), spell_value(buffer, one.kind, one.value, one.end))
                for one in elements(buffer, start)
            )
            return b"{%b}" % b",".join(parts)
        case Kind.ARRAY:
            items = (spell_value(buffer, one.kind, one.value, one.end) for one in elements(buffer, start))
            return b"[%b]" % b",".join(items)
        case Kind.NULL:
            return b"null"
        case Kind.BOOLEAN:
            return b"true" if buffer[start] else b"false"
        case Kind.INT32:
            return b"%d" % INT32.unpack_from(buffer, start)[0]
        case Kind.INT64:
            number: int = struct.unpack_from("<q", buffer, start)[0]
            return (b'{"$numberLong":"%d"}' if -(2**31) <= number < 2**31 else b"%d") % number
        case Kind.DOUBLE:
            return _spell_double(struct.unpack_from("<d", buffer, start)[0])
    raise BsonError(f"a value of type {kind} has no spelling in a JSON collection", where=f"byte {start}")


def _spell_double(value: float) -> bytes:
    text = repr(value)
    plain = math.isfinite(value) and not text.lstrip("-").isdigit()
    return text.encode() if plain else b'{"$numberDouble":"%b"}' % text.replace("inf", "Infinity").encode()


def _spell_text(text: bytes) -> bytes:
    try:
        return encode_basestring(text.decode()).encode()
    except UnicodeDecodeError as error:
        raise BsonError("a string is not UTF-8") from error


def replace_values(text: bytes, changes: Iterable[tuple[tuple[int, int], bytes]]) -> bytes:
    """Return a text with other values at these places; what is between them stays.

    Args:
        text: The text of an object.
        changes: Begin and end of a value (:func:`kit.documents.json_view.value_places`), and its new text; none of
            these places is in another.
    """
    parts: list[bytes] = []
    at = 0
    for (start, end), new in sorted(changes):
        parts += text[at:start], new
        at = end
    return b"".join((*parts, text[at:]))


def append(text: bytes, member: bytes, *, is_empty: bool) -> bytes:
    """Return the text of an object with one more member, which is the last.

    Args:
        text: The text of a strict JSON object without a member of this name.
        member: As :func:`spell_element` spells it.
        is_empty: Whether the object has no member.
    """
    return b"%b%b%b}" % (text[:-1], b"" if is_empty else b",", member)


def without_last(text: bytes, member: bytes, *, is_only: bool) -> bytes | None:
    """Return a text without its last member, as it was before :func:`append`; None where it ends in other bytes.

    Args:
        text: The text of an object.
        member: The last member, as :func:`spell_element` spells it.
        is_only: Whether it is the only one.
    """
    added = b"%b%b}" % (b"" if is_only else b",", member)
    return text[: -len(added)] + _BRACE if text.endswith(added) else None


def is_empty(document: bytes) -> bool:
    """Return whether a view has no element."""
    return len(document) == _EMPTY_BYTES
