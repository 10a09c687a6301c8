"""Generates BSON bytes of every type, deprecated ones and repeated names included, and spellings of JSON.

Written from the grammar at bsonspec.org and independent of the package under test on purpose.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
Typed = tuple[int, bytes]


def int32(number: int) -> bytes:
    return struct.pack("<i", number)


def string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return int32(len(data)) + data


def cstring(text: str) -> bytes:
    return text.replace("\0", "").encode() + b"\0"


def document(elements: list[tuple[str, Typed]]) -> bytes:
    body = b"".join(bytes([kind]) + cstring(name) + value for name, (kind, value) in elements)
    return int32(len(body) + 5) + body + b"\0"


def array(values: list[Typed]) -> bytes:
    return document([(str(position), value) for position, value in enumerate(values)])


def binary(subtype: int, payload: bytes) -> bytes:
    payload = int32(len(payload)) + payload if subtype == 2 else payload
    return int32(len(payload)) + bytes([subtype]) + payload


def code_with_scope(code: str, scope: bytes) -> bytes:
    data = string(code) + scope
    return int32(len(data) + 4) + data


def _sized(kind: int, size: int) -> st.SearchStrategy[Typed]:
    return st.tuples(st.just(kind), st.binary(min_size=size, max_size=size))


def _typed(kind: int, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[Typed]:
    return st.tuples(st.just(kind), values)


SCALARS: st.SearchStrategy[Typed] = st.one_of(
    *(_sized(kind, size) for kind, size in ((1, 8), (6, 0), (7, 12), (9, 8), (10, 0), (16, 4), (17, 8), (18, 8))),
    *(_sized(kind, size) for kind, size in ((19, 16), (127, 0), (255, 0))),
    *(_typed(kind, TEXTS.map(string)) for kind in (2, 13, 14)),
    _typed(5, st.builds(binary, st.sampled_from([0, 1, 2, 5, 9, 128]), st.binary(max_size=9))),
    _typed(8, st.sampled_from([b"\0", b"\1"])),
    _typed(11, st.tuples(TEXTS, st.sampled_from(["", "im", "ü"])).map(lambda two: cstring(two[0]) + cstring(two[1]))),
    _typed(12, st.tuples(TEXTS.map(string), st.binary(min_size=12, max_size=12)).map(b"".join)),
)


def _nested(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    documents = st.lists(st.tuples(NAMES, inner), max_size=4).map(document)
    return st.one_of(
        _typed(3, documents),
        _typed(4, st.lists(inner, max_size=4).map(array)),
        _typed(15, st.builds(code_with_scope, TEXTS, documents)),
    )


VALUES: st.SearchStrategy[Typed] = st.recursive(SCALARS, _nested, max_leaves=8)

DOCUMENTS = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(document)
"""Well-formed documents; names may repeat."""

DISTINCT = st.lists(st.tuples(NAMES, VALUES), max_size=6, unique_by=lambda element: element[0])
"""The elements of a level whose names do not repeat; see :func:`document`."""


BLANKS = st.text(" \t\r", max_size=2)


def spell(value: Any, data: Any) -> str:
    """Return a JSON value in any of its spellings, on one line."""
    before, behind = data.draw(BLANKS), data.draw(BLANKS)
    match value:
        case dict():
            inner = ",".join(f"{spell(name, data)}:{spell(one, data)}" for name, one in value.items())
            text = f"{{{inner or data.draw(BLANKS)}}}"
        case list():
            inner = ",".join(spell(one, data) for one in value)
            text = f"[{inner or data.draw(BLANKS)}]"
        case str():
            text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
            text = text.replace("/", data.draw(st.sampled_from(["/", "\\/", "\\u002F"])))
        case _:
            text = json.dumps(value)
    return f"{before}{text}{behind}"
