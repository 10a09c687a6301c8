"""What a dump of ``mongodump --archive`` holds is read to the byte, and what is not one is refused where it is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from hypothesis import given, strategies as st

from kit.documents import Run
from kit.dump import BlockHeader, Part, Piece, Prelude, Sort, checksum, read_dump, write_dump
from kit.errors import ArchiveError, BsonError, KitError, LimitError
from kit.values import CollectionName, Limits
from tests.attacks.readers import compiled
from tests.dump.dumps import END, MAGIC, Dump, Name, block, closing, crc64, described, dumps, head, header

LIMITS = Limits()
A: Name = ("concelier", "advisories")
B: Name = ("concelier", "b/c")
ONE, TWO = bson.encode({"_id": 1}), bson.encode({"_id": 2, "text": "x" * 50})
SOUND = Dump((A, B), ((A, (ONE,)), (B, (TWO,)), (A, (TWO, ONE)))).to_bytes()


def read(data: bytes, step: int = 0, **options: Any) -> list[Piece]:
    chunks = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    return list(read_dump(chunks, options.pop("limits", LIMITS), **options))


def documents(pieces: list[Piece]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for piece in pieces:
        if isinstance(piece, Part):
            found[str(piece.name)] = found.get(str(piece.name), b"") + piece.run.data
    return found


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_the_checksum_is_that_of_xz_and_continues(first: bytes, second: bytes) -> None:
    assert checksum(b"123456789") == 0x995DC9BBDF1939FA
    assert checksum(second, checksum(first)) == crc64(first + second)


@given(dumps())
def test_a_dump_is_read_and_written_byte_for_byte(dump: Dump) -> None:
    data = dump.to_bytes()
    pieces = read(data)
    due = {f"{name[0]}.{name[1]}": b"".join(dump.documents(name)) for name in dump.names if dump.documents(name)}
    assert documents(pieces) == due
    assert b"".join(write_dump(pieces)) == data


@given(dumps(), st.integers(1, 200), st.sampled_from([1, 30, 4096]))
def test_how_a_dump_arrives_changes_nothing(dump: Dump, step: int, target: int) -> None:
    data = dump.to_bytes()
    pieces = read(data, step, target=target)
    assert pieces == read(data, target=target)
    assert b"".join(write_dump(pieces)) == data


@given(dumps(), st.randoms(use_true_random=False))
def test_any_order_of_the_blocks_gives_the_same_documents_of_each_collection(dump: Dump, chance: Any) -> None:
    queues = {name: [one for one in dump.blocks if one[0] == name] for name in dump.names}
    order = [name for name, _ in dump.blocks]
    chance.shuffle(order)
    other = Dump(dump.names, tuple(queues[name].pop(0) for name in order))
    assert documents(read(other.to_bytes())) == documents(read(dump.to_bytes()))


@given(dumps())
def test_runs_know_where_they_are(dump: Dump) -> None:
    data, counts = dump.to_bytes(), dict.fromkeys((f"{db}.{name}" for db, name in dump.names), 0)
    for piece in read(data, target=40):
        if isinstance(piece, Part):
            assert data[piece.run.offset : piece.run.offset + len(piece.run.data)] == piece.run.data
            assert piece.run.first == counts[str(piece.name)]
            counts[str(piece.name)] += len(piece.run)
            assert b"".join(piece.run) == piece.run.data


@given(dumps())
def test_changed_documents_are_written_with_a_checksum_that_fits(dump: Dump) -> None:
    def change(piece: Piece) -> Piece:
        return Part(name=piece.name, run=Run.of([TWO, ONE])) if isinstance(piece, Part) else piece

    before = read(dump.to_bytes())
    after = documents(read(b"".join(write_dump(map(change, before)))))
    assert after.keys() == documents(before).keys()
    assert all(data == (TWO + ONE) * (len(data) // len(TWO + ONE)) for data in after.values())


def test_a_dump_cut_anywhere_is_refused() -> None:
    for size in range(0, len(SOUND), 3):
        with pytest.raises(ArchiveError, match=r"cut|no dump|before") as caught:
            read(SOUND[:size])
        assert "byte " in str(caught.value)


def read_again(data: bytes) -> bytes | None:
    try:
        return b"".join(write_dump(read(data)))
    except (ArchiveError, BsonError):
        return None


def test_a_byte_that_is_another_is_refused_or_kept() -> None:
    for at in range(0, len(SOUND), 2):
        data = SOUND[:at] + bytes([SOUND[at] ^ 1 << at // 2 % 8]) + SOUND[at + 1 :]
        # Kept is a text that means nothing to the reader: the name of a version, metadata.
        assert read_again(data) == (data if at < len(SOUND) // 2 else None) or read_again(data) is None


def of(*parts: bytes) -> bytes:
    return MAGIC + b"".join(parts)


PRELUDE = head() + described(A) + END
_FIELD = b"\2version\0\4\0\0\x000.1\0"
TWICE = (2 * len(_FIELD) + 5).to_bytes(4, "little") + _FIELD * 2 + b"\0"
HOSTILE: dict[str, tuple[bytes, type[KitError], str]] = {
    "nothing": (b"", ArchiveError, "no dump"),
    "a collection": (ONE, ArchiveError, "no dump"),
    "no header": (of(END), ArchiveError, "no header"),
    "a header cut": (of(head()[:9]), ArchiveError, "byte 4: the dump is cut inside the prelude"),
    "another version": (of(head(version="0.2"), END), ArchiveError, "version '0.2'"),
    "a field of the header unknown": (of(head(flags="x"), END), ArchiveError, "not known: 'flags'"),
    "a field of the header missing": (of(head(tool_version=None), END), ArchiveError, "no text tool_version"),
    "a field of the header of another type": (of(head(version=1.5), END), ArchiveError, "type 0x01"),
    "a number for a text": (of(head(version=1), END), ArchiveError, "no text version"),
    "negative concurrency": (of(head(concurrent_collections=-1), END), ArchiveError, "-1 concurrent"),
    "a field twice": (of(TWICE, END), ArchiveError, "has the field version twice"),
    "a collection twice": (of(head(), described(A), described(A), END), ArchiveError, "described twice"),
    "a series and its buckets": (
        of(head(), described(A, "timeseries"), described((A[0], "system.buckets." + A[1])), END),
        ArchiveError,
        "described twice",
    ),
    "a type unknown": (of(head(), described(A, "index"), END), ArchiveError, "not known: 'index'"),
    "a negative size": (of(head(), described(A, size=-1), END), ArchiveError, "size of -1"),
    "no name": (of(head(), described(("db", "")), END), ArchiveError, "names no collection"),
    "a NUL in a name": (of(head(), described(("db", "a\0b")), END), ArchiveError, "NUL in collection"),
    "a description with more": (of(head(), described(A, uuid="x"), END), ArchiveError, "not known: 'uuid'"),
    "a prelude without end": (of(head(), described(A)), ArchiveError, "cut inside the prelude"),
    "nothing but a prelude": (of(PRELUDE), ArchiveError, "before a block of concelier.advisories"),
    "a collection never closed": (of(PRELUDE, block(A, [ONE])), ArchiveError, "before concelier.advisories is closed"),
    "a checksum of others": (
        of(PRELUDE, block(A, [ONE]), closing(A, [TWO])),
        ArchiveError,
        f"CRC {crc64(ONE):016x}, and {crc64(TWO):016x} is due",
    ),
    "a checksum before the end": (of(PRELUDE, header(A, CRC=Int64(1)), END), ArchiveError, "has a CRC"),
    "a checksum of 32 bits": (of(PRELUDE, header(A, EOF=True, CRC=0.5), END), ArchiveError, "type 0x01"),
    "a block's field unknown": (of(PRELUDE, header(A, crc=1), END), ArchiveError, "not known: 'crc'"),
    "a block without end mark": (of(PRELUDE, header(A, EOF=None), END), ArchiveError, "no boolean EOF"),
    "a block of another": (of(PRELUDE, block(B, [ONE])), ArchiveError, "b/c, which the prelude does not"),
    "a block after the end": (of(PRELUDE, closing(A, []), block(A, [])), ArchiveError, "closed already"),
    "closed twice": (of(PRELUDE, closing(A, []), closing(A, [])), ArchiveError, "closed already"),
    "documents in a closing block": (
        of(PRELUDE, closing(A, [])[:-4] + ONE + END),
        ArchiveError,
        "a document follows the end of",
    ),
    "a document outside": (of(PRELUDE, ONE, END), ArchiveError, "not known: '_id'"),
    "two terminators": (of(PRELUDE, END), ArchiveError, "ends where none has begun"),
    "bytes after it": (of(PRELUDE, closing(A, []), b"\0"), ArchiveError, "cut inside the header of a block"),
    "zeros after it": (of(PRELUDE, closing(A, []), bytes(512)), ArchiveError, "0 is no length"),
    "a document of no length": (of(PRELUDE, header(A), bytes(4), END), BsonError, "document 0: byte"),
    "a negative length": (of(PRELUDE, header(A), b"\xfe\xff\xff\xff", END), BsonError, "-2 is neither"),
    "a document without NUL": (of(PRELUDE, block(A, [ONE, ONE[:-1] + b"x"])), BsonError, "document 1: byte"),
    "a document beyond the end": (of(PRELUDE, header(A), ONE[:-3]), ArchiveError, "cut inside a block"),
    "a length beyond the limit": (of(PRELUDE, header(A), b"\xff\xff\xff\x7f"), LimitError, "document_bytes"),
    "both forms of a series": (
        of(head(), described(A, "timeseries"), END, closing(A, []), closing((A[0], "system.buckets." + A[1]), [])),
        ArchiveError,
        "the same time series",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_dump_is_refused_where_it_is_not(name: str) -> None:
    data, error, words = HOSTILE[name]
    with pytest.raises(error) as caught:
        read(data)
    assert words in str(caught.value)
    assert "byte " in str(caught.value) or "prelude" in str(caught.value)
    with pytest.raises(error) as again:
        read(data, 1)
    assert str(again.value) == str(caught.value)


def test_a_wide_document_and_a_long_prelude_are_over_a_limit() -> None:
    wide = bson.encode({str(number): None for number in range(300)})
    data = of(PRELUDE, block(A, [ONE, wide]), closing(A, [ONE, wide]))
    assert len(read(data)) == 4
    with pytest.raises(LimitError, match="document_elements"):
        read(data, limits=Limits(document_elements=299))
    with pytest.raises(LimitError, match=r"json_bytes|no length") as caught:
        read(of(head(), described(A, metadata="x" * 5000), described(B), END), limits=Limits(json_bytes=5200))
    assert "json_bytes" in str(caught.value)


def test_what_is_special_is_read_like_anything_else() -> None:
    oplog, users, view, series = ("", "oplog"), ("admin", "system.users"), ("db", "v"), ("db", "t")
    buckets = ("db", "system.buckets.t")
    data = of(
        *(head(), described(oplog, "", metadata=""), described(users, metadata=""), described(view, "view")),
        *(described(series, "timeseries"), described(("db", "old"), type=None), END),
        *(block(buckets, [ONE]), block(oplog, [TWO]), closing(view, []), closing(buckets, [ONE])),
        *(closing(oplog, [TWO]), closing(users, []), closing(("db", "old"), [])),
    )
    pieces = read(data)
    assert documents(pieces) == {"db.system.buckets.t": ONE, ".oplog": TWO}
    prelude = pieces[0]
    assert isinstance(prelude, Prelude)
    assert [one.sort for one in prelude.described][:4] == [Sort.UNSTATED, Sort.COLLECTION, Sort.VIEW, Sort.TIME_SERIES]
    assert b"".join(write_dump(pieces)) == data
    assert prelude.to_bytes() == of(  # as mongodump writes it today
        *(head(), described(oplog, "", metadata=""), described(users, metadata=""), described(view, "view")),
        *(described(series, "timeseries"), described(("db", "old"), "", type=""), END),
    )


def test_a_header_is_written_as_mongodump_writes_it() -> None:
    name = CollectionName(database=A[0], collection=A[1])
    assert BlockHeader(name=name).to_bytes() == header(A)
    made = BlockHeader(name=name, closes=True, crc=crc64(ONE)).to_bytes()
    assert made + END == closing(A, [ONE])


@pytest.fixture(scope="module")
def go_reader() -> Callable[[bytes], list[str]]:
    program = compiled(Path(__file__).with_name("read_dump.go"))
    if program is None:
        pytest.skip("needs Go")

    def run(data: bytes) -> list[str]:
        return subprocess.run([program], input=data, capture_output=True, check=True).stdout.decode().splitlines()

    return run


def test_the_checksums_are_those_of_the_library_that_mongodump_uses(go_reader: Callable[[bytes], list[str]]) -> None:
    changed = b"".join(write_dump(read(SOUND)))
    size = len(ONE) * 2 + len(TWO)
    assert go_reader(changed) == [f"concelier.b/c {len(TWO)}", f"concelier.advisories {size}"]
