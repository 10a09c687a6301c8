"""What hardening/fuzz attacks of deltas in the core: core and reference must agree about documents and about scripts.

An input is, behind a byte that says where it is cut, two documents, whose lengths are corrected, so that what is
mutated lies inside of them; and it is a script with sound columns and an older self. Laws: what the core makes of
either is what the reference makes; where the reference refuses, the core leaves it to the reference.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import bson

from kit.delta.columns import join_columns
from kit.delta.dictionary import Picker
from kit.delta.edits import StreamBuilder
from kit.delta.packing import Reader
from kit.delta.segment import DecodedDocuments, assemble_documents
from kit.documents import core
from kit.errors import KitError

_DOCUMENTS = [
    bson.encode({"_id": "a", "tags": ["x", "y", {"z": 1}], "in": {"n": None, "b": b"\1\2", "t": True}, "s": "text"}),
    bson.encode({"_id": "a", "tags": ["w", "x", {"z": 2}], "in": {"b": b"\1", "t": True, "f": 0.5}, "new": ["s"] * 12}),
]
_MOST = 1 << 20


def delta_core(data: bytes) -> None:
    """Law: see above."""
    if core.delta_gather is None or core.delta_dictionary is None or core.delta_restore is None:
        raise KitError(f"the core is {core.ABSENCE}")
    at = 1 + (data[0] * len(data) >> 8 if data else 0)
    old, new = (_framed(part) for part in (data[1:at], data[at:]))
    for one, before in ((new, None), (old, None), (new, old), (new, _DOCUMENTS[0]), (_DOCUMENTS[1], old)):
        found = core.delta_gather([one], [before])
        assert found is None or found == _streams_or_none(one, before)
    places = [(b".#", 3), (b".in.b", 5), (b".s", 2), (b".tags.#", 2)]
    picked = core.delta_dictionary([new], [old, _DOCUMENTS[0]], places)
    assert picked is None or picked == _picked(new, old, places)
    script, headers, columns = _streams(_DOCUMENTS[1], _DOCUMENTS[0])
    for streams in ((data, headers, columns), (script, data, columns), (script, headers, data)):
        for before in (_DOCUMENTS[0], old):
            made = core.delta_restore([before], *streams, _MOST)
            expected = _put_together([before], streams)
            assert made is None or list(DecodedDocuments(data=made[0], ends=made[1])) == expected


def _framed(elements: bytes) -> bytes:
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


def _streams(one: bytes, old: bytes | None) -> tuple[bytes, bytes, bytes]:
    gathered = StreamBuilder()
    gathered.add(one, old)
    streams = gathered.streams
    head = Reader(streams.head, "column headers")
    return streams.script, head.take(head.unsigned()), streams.columns


def _streams_or_none(one: bytes, old: bytes | None) -> tuple[bytes, bytes, bytes] | None:
    try:
        return _streams(one, old)
    except KitError:
        return None


def _picked(reference: bytes, old: bytes, places: list[tuple[bytes, int]]) -> tuple[bytes, bytes]:
    kept, picker = StreamBuilder.of([reference]), Picker(places)
    for document in (old, _DOCUMENTS[0]):
        picker.add(document)
    table = kept.node.table
    both = {place: table.get(place, bytearray()) + column for place, column in picker.table.items()}
    return bytes(kept.script), join_columns({**table, **both})


def _put_together(olds: list[bytes], streams: tuple[bytes, bytes, bytes]) -> list[bytes] | None:
    try:
        return list(assemble_documents(olds, *streams, most=_MOST))
    except KitError:
        return None


def seeds() -> list[bytes]:
    """Return pairs of documents, and scripts of them."""
    inside = [document[4:-1] for document in _DOCUMENTS]
    pairs = [bytes((128,)) + one + other for one in inside for other in inside]
    return [*pairs, *(_streams(one, before)[0] for one in _DOCUMENTS for before in (None, *_DOCUMENTS))]
