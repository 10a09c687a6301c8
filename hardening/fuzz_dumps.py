"""What hardening/fuzz attacks of dumps of ``mongodump --archive``: framing, fields, and the order of blocks."""

# ruff: noqa: S101  the laws

from __future__ import annotations

import bson

from kit.dump import Described, DumpWriter, Origin, Prelude, Sort, checksum, read_dump, write_dump
from kit.errors import KitError
from kit.values import CollectionName, Limits

LIMITS = Limits(json_bytes=1 << 20)
_END = -1


def dump(data: bytes) -> None:
    """Laws: what is accepted is written again byte for byte, however it arrives; checksums are made to fit for half.

    An input that begins with ``!`` is taken as it is. In every other one each closing block gets the checksum of the
    documents before it, so that what is behind a changed document is read, too.
    """
    stored = data[1:] if data[:1] == b"!" else _with_checksums(data[1:])
    pieces = list(read_dump([stored], LIMITS, target=64))
    assert b"".join(write_dump(pieces)) == stored
    assert list(read_dump([stored[at : at + 13] for at in range(0, len(stored), 13)], LIMITS, target=64)) == pieces


def _with_checksums(data: bytes) -> bytes:
    found, crcs = bytearray(data), dict[bytes, int]()
    at, name, blocks = 4, b"", 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little", signed=True)
        if size == _END:
            at, name, blocks = at + 4, b"", blocks + 1
            continue
        one = data[at : at + size] if size > 4 else b""
        if len(one) != size or not one:
            break
        if blocks and not name:  # the header of a block: its names are in front of the field EOF
            name, mark = b"." + one[4:].partition(b"\x08EOF\0")[0], one.find(b"\x12CRC\0")
            if b"\x08EOF\0\1" in one and 0 <= mark <= size - 13:
                found[at + mark + 5 : at + mark + 13] = crcs.get(name, 0).to_bytes(8, "little")
        elif blocks:
            crcs[name] = checksum(one, crcs.get(name, 0))
        at += size
    return bytes(found)


def seeds() -> list[bytes]:
    """Return dumps of one collection and of several, interleaved; with checksums as they are, and to be made."""
    name, other = (CollectionName(database="db", collection=one) for one in ("advisories", "b/c"))
    documents = [bson.encode(one) for one in ({}, {"_id": 1, "a": {"b": [1, "x", None]}}, {"_id": 2})]
    found = []
    for sorts in ((Sort.COLLECTION,), (Sort.VIEW, Sort.TIME_SERIES), (Sort.UNSTATED,)):
        described = tuple(Described(name=one, sort=sort) for one, sort in zip((name, other), sorts, strict=False))
        origin = Origin(server_version="7.0.14", tool_version="100.10.0")
        writer = DumpWriter(Prelude(origin=origin, described=described))
        parts = [writer.begin(), writer.add(name, documents[0] + documents[1])]
        for one in described[1:]:
            parts += writer.add(one.data_names[0], documents[2]), writer.add(name, documents[2])
            parts += (writer.close(one.data_names[0]),)
        parts.append(writer.close(name))
        found += [mark + b"".join(parts) for mark in (b"!", b".")]
    return found


__all__ = ["KitError", "dump", "seeds"]
