#!/usr/bin/env python3
"""Counts the documents of a dump that the database of scripts/database does not store, and names why.

    scripts/storable.py DUMP …                  a folder with *.bson in it, or such a file

FerretDB stores less than BSON can hold. tests/database/test_storable.py shows that what is listed here is what it does.
"""

from __future__ import annotations

import math
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.documents import Kind, elements  # noqa: E402
from kit.errors import BsonError  # noqa: E402

_UNKNOWN = {
    Kind.UNDEFINED: "undefined",
    Kind.DB_POINTER: "dbPointer",
    Kind.CODE: "javascript",
    Kind.SYMBOL: "symbol",
    Kind.CODE_WITH_SCOPE: "javascriptWithScope",
    Kind.DECIMAL128: "decimal",
    Kind.MIN_KEY: "minKey",
    Kind.MAX_KEY: "maxKey",
}


def obstacles(document: bytes) -> frozenset[str]:
    """Return why a document is not stored as it is; empty if it is stored."""
    try:
        found = set(_obstacles(document, 0, is_array=False))
        if not any(element.name == b"_id" for element in elements(document)):
            found.add("no _id")
    except BsonError:
        found = {"malformed"}
    return frozenset(found)


def _obstacles(buffer: bytes, start: int, *, is_array: bool) -> Iterator[str]:
    seen: set[bytes] = set()
    for kind, name, value, end in ((one.kind, one.name, one.value, one.end) for one in elements(buffer, start)):
        if not is_array:
            yield from _of_name(name, seen)
        if kind in _UNKNOWN:
            yield f"type {_UNKNOWN[Kind(kind)]}"
        elif kind == Kind.ARRAY and is_array:
            yield "an array in an array"
        elif kind in {Kind.DOCUMENT, Kind.ARRAY}:
            yield from _obstacles(buffer, value, is_array=kind == Kind.ARRAY)
        elif kind == Kind.DOUBLE:
            (number,) = struct.unpack("<d", buffer[value:end])
            if math.isnan(number) or math.isinf(number) or (not number and math.copysign(1, number) < 0):
                yield "NaN, infinity or -0"


def _of_name(name: bytes, seen: set[bytes]) -> Iterator[str]:
    if name in seen:
        yield "a name twice"
    seen.add(name)
    if b"." in name:
        yield "a name with a dot"
    if name.startswith(b"$"):
        yield "a name that begins with $"


def documents_in(path: Path) -> Iterator[bytes]:
    """Yield the documents of a file, which must be whole."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield data[at : at + size]
        at += max(size, 5)


def main(arguments: list[str]) -> int:
    """Print the counts of every file; exit with 1 if a document would not be stored."""
    is_whole = True
    for place in map(Path, arguments):
        for path in sorted(place.rglob("*.bson")) if place.is_dir() else [place]:
            counts: Counter[str] = Counter()
            total = unstored = 0
            for document in documents_in(path):
                why = obstacles(document)
                total, unstored = total + 1, unstored + bool(why)
                counts.update(why)
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
            print(f"{path}: {total:,} documents, {unstored:,} not stored{': ' if reasons else ''}{reasons}")
            is_whole &= not unstored
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
