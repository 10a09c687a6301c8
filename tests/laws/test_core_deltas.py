"""What the core makes of documents for a delta is what the reference makes of them, byte for byte, or nothing."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings, strategies as st

from kit.delta.columns import join_columns
from kit.delta.dictionary import MAX_PATH_BYTES, MAX_PLACES, Picker, choose_by_reference
from kit.delta.edits import StreamBuilder, Streams, prefix_with_length
from kit.delta.packing import Reader
from kit.delta.segment import (
    DecodedDocuments,
    SegmentInput,
    Source,
    Step,
    assemble_documents,
    decode,
    encode,
    parse_head,
)
from kit.documents import core
from kit.documents.identity import keys_by_reference, leaf_lines, run_leaf_lines
from kit.errors import BsonError, KitError
from kit.signing import write_private, write_public
from tests.delta.kits import KEY, Pair, pair as two_kits
from tests.documents.strategies import DOCUMENTS, array, document, int32, string

pytestmark = pytest.mark.skipif(core.delta_gather is None, reason=f"the core is {core.ABSENCE}")

T = TypeVar("T")
LAW = settings(deadline=None)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Return a document with other bytes in it; the framing has seen to its length and its final NUL."""
    whole = bytearray(draw(DOCUMENTS))
    for _ in range(draw(st.integers(0, 2))):
        if len(whole) > 5:
            whole[draw(st.integers(4, len(whole) - 2))] = draw(st.sampled_from([0, 1, 2, 3, 4, 48, 49, 255]))
    return bytes(whole)


ARRAYS = st.lists(
    st.sampled_from([(16, int32(n)) for n in range(3)] + [(2, string("a")), (3, document([]))]), max_size=13
)
WITH_ARRAYS = ARRAYS.map(lambda values: document([("a", (4, array(values))), ("b", (2, string("text")))]))
"""Of more than ten members, too."""
PAIRS = st.lists(st.tuples(DOCUMENTS | WITH_ARRAYS, st.none() | DOCUMENTS | WITH_ARRAYS), max_size=4)
ODD_PAIRS = st.lists(st.tuples(spoiled(), st.none() | spoiled()), max_size=3)


def or_none(make: Callable[[], T]) -> T | None:
    try:
        return make()
    except (KitError, BsonError):
        return None


def by_reference(pairs: Sequence[tuple[bytes, bytes | None]]) -> Streams:
    gathered = StreamBuilder()
    for one, old in pairs:
        gathered.add(one, old)
    return gathered.streams


def by_core(pairs: Sequence[tuple[bytes, bytes | None]]) -> Streams | None:
    assert core.delta_gather is not None
    found = core.delta_gather([one for one, _ in pairs], [old for _, old in pairs])
    if found is None:
        return None
    script, headers, columns = found
    return Streams(head=prefix_with_length(headers), script=script, columns=columns)


@LAW
@given(PAIRS)
def test_well_formed_documents_are_taken_apart_alike(pairs: list[tuple[bytes, bytes | None]]) -> None:
    assert by_core(pairs) == or_none(lambda: by_reference(pairs))


@LAW
@given(ODD_PAIRS)
def test_of_spoiled_documents_the_core_gives_the_same_or_nothing(pairs: list[tuple[bytes, bytes | None]]) -> None:
    found = by_core(pairs)
    assert found is None or found == by_reference(pairs)


@LAW
@given(PAIRS, st.data())
def test_documents_are_put_together_alike_and_from_altered_streams_alike_or_not_at_all(
    pairs: list[tuple[bytes, bytes | None]], data: st.DataObject
) -> None:
    assert core.delta_restore is not None
    streams = or_none(lambda: by_reference(pairs))
    if streams is None:
        return
    olds = [old for _, old in pairs]
    head = Reader(streams.head, "a test")
    parts = [streams.script, head.take(head.unsigned()), streams.columns]
    most = sum(len(one) for one, _ in pairs)
    data_ends = core.delta_restore(olds, parts[0], parts[1], parts[2], most)
    assert data_ends is not None
    assert list(DecodedDocuments(data=data_ends[0], ends=data_ends[1])) == [one for one, _ in pairs]
    if most:
        assert core.delta_restore(olds, parts[0], parts[1], parts[2], most - 1) is None
    which = data.draw(st.sampled_from([n for n, part in enumerate(parts) if part] or [-1]))
    if which >= 0:
        at = data.draw(st.integers(0, len(parts[which]) - 1))
        byte = data.draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 48, 128, 255]))
        parts[which] = parts[which][:at] + bytes((byte,)) + parts[which][at + 1 :]
        found = core.delta_restore(olds, parts[0], parts[1], parts[2], 10 * most)
        expected = or_none(lambda: list(assemble_documents(olds, parts[0], parts[1], parts[2], most=10 * most)))
        assert found is None or list(DecodedDocuments(data=found[0], ends=found[1])) == expected


@LAW
@given(
    st.lists(DOCUMENTS | WITH_ARRAYS | spoiled(), max_size=3), st.lists(DOCUMENTS | spoiled(), max_size=3), st.data()
)
def test_what_may_be_repeated_is_the_same(references: list[bytes], olds: list[bytes], data: st.DataObject) -> None:
    assert core.delta_dictionary is not None
    found = core.delta_dictionary(references, olds, None)
    whole = StreamBuilder.of([*references, *olds])
    assert found is None or found == (bytes(whole.script), join_columns(whole.node.table))
    if all(StreamBuilder().try_add(one, None) for one in (*references, *olds)):
        assert found is not None
    offered = sorted({*whole.node.table, (b".a", 3), (b".", 2), (b".#.a", 16)})
    places = sorted(data.draw(st.lists(st.sampled_from(offered), unique=True)))
    found = core.delta_dictionary(references, olds, places)
    picker, kept = Picker(places), StreamBuilder.of(references)
    for old in olds:
        picker.add(old)
    places_of = {**kept.node.table}
    for place, column in picker.table.items():
        places_of[place] = kept.node.table.get(place, bytearray()) + column
    assert found is None or found == (bytes(kept.script), join_columns(places_of))


@LAW
@given(st.lists(st.tuples(DOCUMENTS | WITH_ARRAYS, DOCUMENTS | WITH_ARRAYS), max_size=4), st.integers(0, 3))
def test_the_same_columns_are_chosen(pairs: list[tuple[bytes, bytes]], most: int) -> None:
    assert core.delta_choose is not None
    olds, documents = [old for old, _ in pairs], [one for _, one in pairs]
    expected = choose_by_reference(olds, documents)
    found = core.delta_choose(olds, documents, MAX_PLACES, MAX_PATH_BYTES)
    assert found is None or tuple(found) == expected
    fewer = core.delta_choose(olds, documents, most, MAX_PATH_BYTES)
    assert fewer is None or tuple(fewer) == expected[:most]


def test_of_columns_that_are_alike_the_same_is_chosen() -> None:
    assert core.delta_choose is not None
    texts = [hashlib.sha256(bytes((n,))).hexdigest() for n in range(60)]
    olds = [
        document([(name, (2, string(texts[n]))) for name, n in zip("abc", trio, strict=True)]) for trio in trios(60)
    ]
    news = [one[:-1] + b"\x02links\0" + string(texts[n]) + b"\0" for n, one in enumerate(olds)]
    news = [int32(len(one)) + one[4:] for one in news]
    found = core.delta_choose(olds, news, MAX_PLACES, MAX_PATH_BYTES)
    assert found is not None
    assert tuple(found) == choose_by_reference(olds, news)
    assert found


def trios(count: int) -> list[tuple[int, int, int]]:
    return [(n, (n + 1) % count, n // 2) for n in range(count)]


@LAW
@given(st.lists(DOCUMENTS | spoiled(), max_size=4))
def test_keys_are_the_same(documents: list[bytes]) -> None:
    assert core.identity_keys is not None
    ends = list(itertools.accumulate(map(len, documents)))
    found = core.identity_keys(b"".join(documents), ends)
    assert found is None or found == keys_by_reference(b"".join(documents), ends)


@LAW
@given(st.lists(DOCUMENTS | spoiled(), max_size=4))
def test_leaves_are_the_same(documents: list[bytes]) -> None:
    assert core.leaves is not None
    ends = list(itertools.accumulate(map(len, documents)))
    found = core.leaves(b"".join(documents), ends)
    assert found is None or found == leaf_lines(documents)
    assert run_leaf_lines(b"".join(documents), ends) == leaf_lines(documents)


@LAW
@given(st.lists(spoiled(), min_size=1, max_size=3), st.lists(spoiled(), max_size=2), st.booleans())
def test_documents_of_any_insides_come_back_from_a_segment(
    news: list[bytes],
    references: list[bytes],
    picking: bool,  # noqa: FBT001
) -> None:
    olds = [*news[1:], news[0]]
    material = SegmentInput(
        steps=(Step(Source.CHANGE, 0, len(news)),),
        expected=0,
        documents=tuple(news),
        olds=tuple(olds),
        ranges=((len(news), len(references)),) if references else (),
        references=tuple(references),
        picking=picking,
    )
    head = parse_head(encode(material), 0)
    assert list(decode(head, olds, references, most=sum(map(len, news)))) == news


def test_a_whole_delta_has_the_same_bytes_without_the_core_and_is_applied_alike(tmp_path: Path) -> None:
    pair = two_kits(tmp_path)
    write_private(pair.folder / "test-TEST-ONLY.pem", KEY)
    write_public(pair.folder / "test-TEST-ONLY.pub.pem", KEY.public)
    made = {state: built(pair, state) for state in ("on", "off")}
    assert made["on"] == made["off"]


def built(pair: Pair, state: str) -> tuple[bytes, bytes]:
    delta, again = pair.folder / f"{state}.delta", pair.folder / f"{state}{''.join(pair.base.suffixes)}"
    trust = ("--trusted-key", str(pair.folder / "test-TEST-ONLY.pub.pem"))
    key = ("--signing-key", str(pair.folder / "test-TEST-ONLY.pem"), "--created-at", "1790000000")
    run(state, "build", str(pair.base), str(pair.target), "-o", str(delta), *key, *trust, "--workers", "2")
    run(state, "apply", str(pair.base), str(delta), "-o", str(again), *trust, "--workers", "2")
    return delta.read_bytes(), again.read_bytes()


def run(state: str, *words: str) -> None:
    command = [sys.executable, "-P", "-c", "from kit.cli import main; main()", "delta", *words]
    environment = {**os.environ, "KIT_CORE": state, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, capture_output=True, env=environment)
