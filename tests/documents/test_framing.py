"""Runs: laws of cutting, and streams that lie about themselves."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from kit.documents import Run, framing, runs
from kit.errors import BsonError, KitError, LimitError
from kit.values import Limits
from tests.documents.strategies import DOCUMENTS, int32

LIMITS = Limits()
EMPTY = b"\5\0\0\0\0"


def plain(size: int) -> bytes:
    """A frame of that size; framing does not look inside."""
    return int32(size) + b"x" * (size - 5) + b"\0"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def outcome(chunks: list[bytes], target: int, limits: Limits = LIMITS) -> tuple[list[Run], str]:
    met = []
    try:
        for run in runs(chunks, limits=limits, target=target):
            met.append(run)  # noqa: PERF402 - what came before the error counts
    except KitError as error:
        return met, str(error)
    return met, ""


def outcome_of_blocks(blocks: list[bytes], target: int) -> tuple[list[Run], str]:
    # Small chunks are gathered before they are cut; this is what cuts, given blocks as small as can be.
    cutter = framing._Cutter(LIMITS, target)
    met = []
    try:
        for run in itertools.chain(*map(cutter.feed, blocks), cutter.finish()):
            met.append(run)  # noqa: PERF402 - what came before the error counts
    except KitError as error:
        return met, str(error)
    return met, ""


@given(st.lists(DOCUMENTS, max_size=8), st.lists(st.integers(0, 2000), max_size=8), st.integers(1, 300))
def test_runs_do_not_depend_on_the_chunks(documents: list[bytes], places: list[int], target: int) -> None:
    data = b"".join(documents)
    whole = outcome([data], target)
    assert outcome(cut(data, places), target) == whole
    single = [bytes([byte]) for byte in data]
    assert outcome(single, target) == whole
    assert outcome_of_blocks(single, target) == whole
    assert outcome_of_blocks(cut(data, places), target) == whole
    assert [document for run in whole[0] for document in run] == documents


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5), st.integers(1, 20))
def test_neither_do_faults(noise: bytes, places: list[int], target: int) -> None:
    data = EMPTY * 2 + plain(9) + noise
    assert outcome(cut(data, places), target) == outcome([data], target)
    assert outcome_of_blocks(cut(data, places), target) == outcome([data], target)
    assert outcome_of_blocks([bytes([byte]) for byte in data], target) == outcome([data], target)


@pytest.mark.parametrize("chunk", [100, 65_535, 65_536, 65_537, 200_000, 1_000_000])
def test_runs_do_not_depend_on_chunks_larger_than_what_is_gathered(chunk: int) -> None:
    data = b"".join(plain(size) for size in (5, 70_000, 6, 200_003, 65_536, 131_072, 7, 300_000, 5)) * 3
    chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    assert outcome(chunks, 150_000) == outcome([data], 150_000)
    assert b"".join(run.data for run in outcome(chunks, 150_000)[0]) == data


@given(st.lists(DOCUMENTS, max_size=8), st.integers(1, 300))
def test_a_run_is_closed_exactly_when_the_next_document_would_exceed_the_target(
    documents: list[bytes], target: int
) -> None:
    met = list(runs([b"".join(documents)], limits=LIMITS, target=target))
    assert all(len(run.data) <= target or len(run) == 1 for run in met)
    assert all(len(run.data) + following.ends[0] > target for run, following in itertools.pairwise(met))
    assert [run.first for run in met] == [sum(map(len, met[:number])) for number in range(len(met))]
    assert [run.offset for run in met] == [sum(len(run.data) for run in met[:number]) for number in range(len(met))]
    assert all(b"".join(run) == run.data and run.ends[-1] == len(run.data) for run in met)


def test_a_document_over_the_target_is_a_run_of_its_own() -> None:
    met = list(runs([plain(10) + plain(50) + plain(10)], limits=LIMITS, target=20))
    assert [len(run.data) for run in met] == [10, 50, 10]


def test_an_empty_stream_has_no_runs() -> None:
    assert list(runs([], limits=LIMITS)) == []
    assert list(runs([b"", b""], limits=LIMITS)) == []


def test_a_run_crosses_processes() -> None:
    (run,) = runs([EMPTY * 3], limits=LIMITS)
    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301 - made one expression ago


def test_a_stream_of_any_length_is_cut_without_being_held() -> None:
    taken = 0

    def stream() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield plain(100_000)

    cutter = runs(stream(), limits=LIMITS, target=300_000)
    assert [next(cutter).first for _ in range(100)] == [3 * number for number in range(100)]
    assert taken <= 302


ATTACKS = [
    pytest.param(b"\4\0\0\0", "document 2: byte 10: document length 4 is below 5", id="length below 5"),
    pytest.param(int32(0) * 2, "document 2: byte 10: document length 0 is below 5", id="length zero"),
    pytest.param(int32(-1) + b"\0", "document 2: byte 10: document length -1 is below 5", id="negative length"),
    pytest.param(int32(-(2**31)), "length -2147483648 is below 5", id="most negative length"),
    pytest.param(plain(20)[:-1], "document 2: byte 10: stream ends inside a document, 1 bytes", id="cut document"),
    pytest.param(plain(20)[:4], "document 2: byte 10: stream ends inside a document, 16 bytes", id="cut after length"),
    pytest.param(plain(20)[:3], "document 2: byte 10: stream ends inside a document's length", id="cut length"),
    pytest.param(plain(20)[:-1] + b"\1", "document 2: byte 10: document without terminating NUL", id="no final NUL"),
]


@pytest.mark.parametrize(("tail", "message"), ATTACKS)
@pytest.mark.parametrize("target", [1, 12, 4096])
def test_a_lying_frame_is_refused_by_ordinal_and_offset(tail: bytes, message: str, target: int) -> None:
    with pytest.raises(BsonError) as caught:
        list(runs([EMPTY * 2 + tail], limits=LIMITS, target=target))
    assert message in str(caught.value)


def test_a_length_of_2_gib_in_a_file_of_4_bytes_asks_for_nothing() -> None:
    with pytest.raises(LimitError, match="document_bytes") as caught:
        list(runs([int32(2**31 - 1)], limits=LIMITS))
    assert caught.value.where == "document 0: byte 0"
    assert "--max document_bytes=2147483647" in caught.value.hint


def test_the_limit_is_the_largest_length_allowed() -> None:
    limits = Limits(document_bytes=10)
    assert len(list(runs([plain(10)], limits=limits))) == 1
    assert "document_bytes" in outcome([plain(11)], 4096, limits)[1]
    assert "document_bytes" in outcome([plain(11)], 5, limits)[1]


def test_a_document_with_a_missing_nul_is_refused_across_blocks() -> None:
    broken = plain(200_000)[:-1] + b"\1"
    chunks = [broken[start : start + 70_000] for start in range(0, len(broken), 70_000)]
    with pytest.raises(BsonError, match="terminating NUL"):
        list(runs(chunks, limits=LIMITS))


def test_a_document_of_16_mib_arrives_whole() -> None:
    data = plain(16 * 1024 * 1024)
    chunks = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    (run,) = runs(chunks, limits=LIMITS)
    assert run.data == data
