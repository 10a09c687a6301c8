"""The pairs that deltas are measured on: what their names say, and the same at every run."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.pairs import PairMaker, makers
from kit.documents import validate
from kit.values import Limits
from tests.tiers import slow

COUNT = 400
COSTLY = {"backfill", "encrypted", "reordered"}
"""Made by transforms of the program itself, or of twice as much."""
MADE = {maker.name: maker for maker in makers() if maker.observations is not None}


def sides(maker: PairMaker) -> tuple[list[bytes], list[bytes]]:
    before, after = maker.make(COUNT)
    return list(before), list(after)


@pytest.mark.parametrize("name", [*sorted(MADE.keys() - COSTLY), *slow(*sorted(COSTLY))])
def test_a_pair_is_what_its_name_says_and_the_same_at_every_run(name: str) -> None:
    before, after = sides(MADE[name])
    assert (before, after) == sides(MADE[name])
    assert len(before) == COUNT
    for document in (*before, *after):
        validate(document, limits=Limits())
    common = (Counter(before) & Counter(after)).total()
    match name:
        case "sparse" | "encrypted":
            assert COUNT * 0.9 < common < COUNT
        case "backfill":
            # An observation for which nothing was found stays as it is.
            assert common < COUNT / 10
            assert len(after) == COUNT
        case _:
            assert (common, before == after) == (COUNT, False)
