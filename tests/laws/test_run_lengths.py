from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kit.values import RunLengths, RunLengthsReader

flags = st.lists(st.booleans(), max_size=40)


@given(flags)
def test_flags_come_back_and_have_one_spelling(given_flags: list[bool]) -> None:
    runs = RunLengths.of(given_flags)
    assert runs.flags() == given_flags
    assert runs.is_canonical
    assert (runs.total, runs.chosen) == (len(given_flags), sum(given_flags))


@given(flags, st.lists(st.integers(0, 9), max_size=20))
def test_pieces_joined_are_the_whole_wherever_it_is_cut(given_flags: list[bool], cuts: list[int]) -> None:
    whole = RunLengths.of(given_flags)
    reader = RunLengthsReader(whole)
    pieces = [reader.take(count) for count in (*cuts, len(given_flags))]
    assert [flag for piece in pieces for flag in piece.flags()] == given_flags
    assert RunLengths.join(run for piece in pieces for run in piece.runs()) == whole
    assert reader.take(1).total == 0


@pytest.mark.parametrize("lengths", [(0,), (1, 0), (1, 0, 2), (-1, 1)])
def test_a_second_spelling_is_told(lengths: tuple[int, ...]) -> None:
    assert not RunLengths(lengths).is_canonical


@given(st.lists(flags, max_size=4))
def test_the_union_is_what_any_of_them_has(sequences: list[list[bool]]) -> None:
    longest = max(map(len, sequences), default=0)
    padded = [[*one, *[False] * (longest - len(one))] for one in sequences]
    whole = RunLengths.union(*map(RunLengths.of, sequences))
    assert whole.flags() == [any(column) for column in zip(*padded, strict=True)]
    assert whole.is_canonical
