"""Cuts a document down to the elements somebody wants, so that only those need decoding.

Law: decoding what ``prune`` gives equals decoding the whole and then dropping every name that is not wanted, but for
the nulls of :data:`OTHERS`; what is dropped is skipped over by its length and never looked into.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias

from kit.documents.elements import document_end, spelled
from kit.documents.kinds import COUNTED, FIXED, INT32, Kind, value_end
from kit.errors import BsonError, ContentError

Wanted: TypeAlias = "Mapping[bytes, Wanted | None]"
"""Names wanted of a document; None for all of a value, else what is wanted of it. Arrays are transparent: what is
wanted of an array is wanted of each of its items that is a document. Whatever is no document where one is expected,
arrays in arrays included, is kept whole; so recursion goes no deeper than what is wanted. :data:`OTHERS` stands for all
names that are not named: where it is wanted, each of them is kept with null as its value, once or more, unless it opens
with ``$``."""
OTHERS: Final = b""
"""In :data:`Wanted`: report that other names are there, whatever they hold; nothing of that is looked into."""

_DOCUMENT, _ARRAY = int(Kind.DOCUMENT), int(Kind.ARRAY)


def prune(buffer: bytes, start: int, wanted: Wanted) -> bytes:
    """Give the document at ``start`` with only what is ``wanted`` of it.

    Raises:
        BsonError: A level that is walked is malformed.
        ContentError: A wanted name is there twice, so that which of the two is meant would be the reader's choice.
    """
    try:
        return _pruned(buffer, start, document_end(buffer, start) - 1, wanted, is_array=False)
    except (ValueError, IndexError, struct.error) as error:
        raise BsonError("an element is cut short", where=f"document at byte {start}") from error


def _pruned(  # noqa: C901  a call for each element costs as much as the walk
    buffer: bytes, start: int, last: int, wanted: Wanted, *, is_array: bool
) -> bytes:
    # Costs about 0.35 µs for each element met, so a caller asks for no more detail than pays. `last` is this document's
    # final NUL; the end of every value is compared with it before the value is entered, copied or passed.
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
                raise ContentError("a name is there twice", where=f'element "{spelled([name])}"')
            seen.add(name)
            inner = wanted if is_array else wanted[name]
            if inner is None or (kind != _DOCUMENT and (kind != _ARRAY or is_array)):
                parts.append(buffer[at:end])
            else:
                if end - value < 5 or buffer[end - 1]:
                    raise BsonError("a nested document is malformed", where=f"byte {value}")
                parts.append(buffer[at:value])
                parts.append(_pruned(buffer, value, end - 1, inner, is_array=kind == _ARRAY))
        elif others and not name.startswith(b"$"):  # a decoder may see a reference in that
            parts.append(b"\x0a%b\0" % name.decode(errors="replace").encode())
        at = end
    if at != last:
        raise BsonError("the last element does not end where its document does", where=f"byte {at}")
    body = b"".join(parts)
    return b"%b%b\0" % ((len(body) + 5).to_bytes(4, "little"), body)
