from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from itertools import repeat

import pytest
from hypothesis import given, strategies as st

from kit.archive import Frame
from kit.documents import Run
from kit.engine.executors import local_executor
from kit.engine.shared_memory import SharedMemoryExecutor, Slots
from kit.engine.work import RunResult
from kit.transforms.coverage import Tally

SIZES = st.lists(st.binary(max_size=40), max_size=5)


@given(SIZES, SIZES)
def test_what_is_read_is_what_was_written_whatever_lies_beside_it(first: list[bytes], second: list[bytes]) -> None:
    slots = Slots(2, size=256)
    one, two = slots.take(), slots.take()
    assert one is not None
    assert two is not None
    sizes = [slots.write(slot, [*map(pickle.PickleBuffer, parts)]) for slot, parts in ((one, first), (two, second))]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert (slots.read(one, sizes[0]), slots.read(two, sizes[1])) == (first, second)


def test_what_does_not_fit_is_not_written() -> None:
    slots = Slots(2, size=8)
    assert slots.write(0, [pickle.PickleBuffer(bytes(9))]) is None
    assert slots.write(0, [pickle.PickleBuffer(bytes(8))]) == (8,)


def test_a_slot_is_given_to_one_at_a_time() -> None:
    slots = Slots(2, size=8)
    assert {slots.take(), slots.take()} == {0, 1}
    assert slots.take() is None
    slots.give_back(1)
    assert slots.take() == 1


RUN = Run(first=7, offset=9, data=b"12345678", ends=(3, 8))
RESULT = RunResult(stored=b"stored", frame=b"frame", tally=Tally(), changed=3, leaves=b"leaves")


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("value", [RUN, RESULT, Frame(encoded=b"x", length=5)], ids=["a run", "a result", "a frame"])
def test_what_travels_arrives_in_or_out_of_band(value: object, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(value, protocol=protocol)) == value  # noqa: S301
    if protocol == 5:
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        assert buffers
        assert pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers]) == value  # noqa: S301


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with local_executor(2) as made:
        assert isinstance(made, SharedMemoryExecutor)
        yield made


def same(data: bytes, run: Run) -> tuple[bytes, Run]:
    return data, run


def grown(data: bytes, times: int) -> Frame:
    return Frame(encoded=data * times, length=times)


def failing(words: str) -> None:
    raise KeyError(words)


def test_arguments_and_results_are_those_of_a_call_here(executor: Executor) -> None:
    # More at once than there are slots: the rest goes through the pipes.
    futures = [executor.submit(same, bytes([number % 256]) * 5000, RUN) for number in range(100)]
    assert [future.result() for future in futures] == [(bytes([number % 256]) * 5000, RUN) for number in range(100)]


@pytest.mark.parametrize("size", [0, 1, 3 << 20, 13 << 20], ids=["nothing", "a byte", "a run", "more than a slot"])
def test_sizes_of_all_kinds_arrive(executor: Executor, size: int) -> None:
    assert executor.submit(grown, b"x" * size, 1).result() == Frame(encoded=b"x" * size, length=1)


def test_a_result_larger_than_a_slot_arrives(executor: Executor) -> None:
    assert executor.submit(grown, bytes(1 << 20), 20).result().encoded == bytes(20 << 20)


def test_an_error_arrives_and_frees_its_slot(executor: Executor) -> None:
    for _ in repeat(None, 100):
        with pytest.raises(KeyError, match="words"):
            executor.submit(failing, "words").result()
    assert executor.submit(same, b"after", RUN).result() == (b"after", RUN)


def test_work_that_was_cancelled_frees_its_slot(executor: Executor) -> None:
    futures: list[Future[Frame]] = [executor.submit(grown, bytes(1 << 16), 4) for _ in range(60)]
    cancelled = [future.cancel() for future in futures]
    results = [future.result() for future, gone in zip(futures, cancelled, strict=True) if not gone]
    assert all(result.length == 4 for result in results)
    assert executor.submit(same, b"after", RUN).result() == (b"after", RUN)
