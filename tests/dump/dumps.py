"""Makes dumps as schemas/mongodump-archive.md describes them, by bytes of its own: ``bson`` encodes, a loop divides.

Independent of the package under test on purpose.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.int64 import Int64
from hypothesis import strategies as st

from tests.documents.strategies import DOCUMENTS

MAGIC = bytes.fromhex("6de29981")
END = b"\xff\xff\xff\xff"
Name = tuple[str, str]


def crc64(data: bytes) -> int:
    """CRC-64/XZ, a bit at a time: reflected ECMA-182, all ones before and after."""
    found = (1 << 64) - 1
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0xC96C5795D7870F42 if found & 1 else 0)
    return found ^ (1 << 64) - 1


def head(**changes: Any) -> bytes:
    facts = {"concurrent_collections": 4, "version": "0.1", "server_version": "7.0.14", "tool_version": "100.10.0"}
    return bson.encode({name: value for name, value in (facts | changes).items() if value is not None})


def described(name: Name, sort: str = "collection", **changes: Any) -> bytes:
    facts = {"db": name[0], "collection": name[1], "metadata": '{"indexes":[]}', "size": 0, "type": sort} | changes
    return bson.encode({name: value for name, value in facts.items() if value is not None})


def header(name: Name, **changes: Any) -> bytes:
    facts = {"db": name[0], "collection": name[1], "EOF": False, "CRC": Int64(0)} | changes
    return bson.encode({name: value for name, value in facts.items() if value is not None})


def closing(name: Name, documents: Iterable[bytes]) -> bytes:
    crc = crc64(b"".join(documents))
    return header(name, EOF=True, CRC=Int64(crc - (1 << 64) if crc >> 63 else crc)) + END


def block(name: Name, documents: Iterable[bytes]) -> bytes:
    return header(name) + b"".join(documents) + END


@dataclass(frozen=True, slots=True)
class Dump:
    """Collections, and how their documents are cut into blocks."""

    names: tuple[Name, ...]
    blocks: tuple[tuple[Name, tuple[bytes, ...]], ...]
    sorts: dict[Name, str] = field(default_factory=dict)

    def documents(self, name: Name) -> tuple[bytes, ...]:
        return tuple(itertools.chain.from_iterable(found for one, found in self.blocks if one == name))

    def to_bytes(self) -> bytes:
        parts = [MAGIC, head(), *(described(name, self.sorts.get(name, "collection")) for name in self.names), END]
        left = [name for name, _ in self.blocks]
        for name, documents in self.blocks:
            parts.append(block(name, documents))
            left.remove(name)
            if name not in left:
                parts.append(closing(name, self.documents(name)))
        closed = {name for name, _ in self.blocks}
        closed |= {(db, name.removeprefix("system.buckets.")) for db, name in closed}
        parts += [closing(name, ()) for name in self.names if name not in closed]
        return b"".join(parts)


@st.composite
def dumps(draw: st.DrawFn, documents: st.SearchStrategy[bytes] = DOCUMENTS) -> Dump:
    names: Sequence[Name] = draw(
        st.lists(
            st.tuples(st.sampled_from(["concelier", "other"]), st.sampled_from(["a", "b/c", "advisories"])),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    one_block = st.tuples(st.sampled_from(names), st.lists(documents, max_size=3).map(tuple))
    return Dump(names=tuple(names), blocks=tuple(draw(st.lists(one_block, max_size=6))))
