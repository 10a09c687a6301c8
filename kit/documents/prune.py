"""Reduces a document to the wanted elements, so that only those need decoding.

Law: decoding the result of ``prune`` equals decoding the document and dropping every name that is not wanted, except
for the nulls of :data:`OTHERS`. Dropped elements are skipped by their length and never read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias

from kit.documents.elements import document_end, spell_path
from kit.documents.kinds import COUNTED, FIXED, INT32, Kind, value_end
from kit.errors import BsonError, ContentError

Wanted: TypeAlias = "Mapping[bytes, Wanted | None]"
"""The wanted names of a document, each with None for its complete value, else with the names wanted in it. Arrays are
transparent: the names apply to each item that is a document. A value that is no document where one is expected, such as
an array in an array, is kept complete; so recursion is no deeper than this mapping. :data:`OTHERS` means all names that
are not listed: each of them is kept with null as its value, once or more, unless it begins with ``$``."""
OTHERS: Final = b""
"""In :data:`Wanted`: keep the other names, without their values."""

_DOCUMENT, _ARRAY = int(Kind.DOCUMENT), int(Kind.ARRAY)


def prune(buffer: bytes, start: int, wanted: Wanted) -> bytes:
    """Return the document at ``start`` with only the ``wanted`` elements.

    Raises:
        BsonError: A level that is walked is malformed.
        ContentError: A wanted name is there twice, so that readers may choose different ones.
    """
    try:
        return _prune(buffer, start, document_end(buffer, start) - 1, wanted, is_array=False)
    except (ValueError, IndexError, struct.error) as error:
        raise BsonError("an element is cut short", where=f"document at byte {start}") from error


def _prune(  # noqa: C901  a call for each element costs as much as the walk
    buffer: bytes, start: int, last: int, wanted: Wanted, *, is_array: bool
) -> bytes:
    # Costs about 0.35 µs for each element walked, so a caller asks for no more detail than pays. `last` is this
    # document's final NUL; the end of every value is compared with it before the value is entered, copied or skipped.
    unpack, fixed, counted, find_byte = INT32.unpack_from, FIXED, COUNTED, buffer.index
    parts = [b""]
    seen = set()
    others = OTHERS in wanted and not is_array
    at = start + 4
    while at < last:
        kind = buffer[at]
        value = find_byte(0, at + 1) + 1
        size = fixed[kind]
        if size >= 0:
            end = value + size
        elif counted[kind] >= 0:
            end = value + unpack(buffer, value)[0] + counted[kind]
        else:
            end = value_end(buffer, kind, value, last)
        if not value <= end <= last:
            raise BsonError("a value does not end within its document", where=f"byte {at}")
        name = buffer[at + 1 : value - 1]
        if is_array or (name in wanted and name != OTHERS):
            if name in seen:
                raise ContentError("a name is there twice", where=f'element "{spell_path([name])}"')
            seen.add(name)
            inner = wanted if is_array else wanted[name]
            if inner is None or (kind != _DOCUMENT and (kind != _ARRAY or is_array)):
                parts.append(buffer[at:end])
            else:
                if end - value < 5 or buffer[end - 1]:
                    raise BsonError("a nested document is malformed", where=f"byte {value}")
                parts.append(buffer[at:value])
                parts.append(_prune(buffer, value, end - 1, inner, is_array=kind == _ARRAY))
        elif others and not name.startswith(b"$"):  # a decoder may take that for a reference
            parts.append(b"\x0a%b\0" % name.decode(errors="replace").encode())
        at = end
    if at != last:
        raise BsonError("the last element does not end where its document does", where=f"byte {at}")
    body = b"".join(parts)
    return b"%b%b\0" % ((len(body) + 5).to_bytes(4, "little"), body)
