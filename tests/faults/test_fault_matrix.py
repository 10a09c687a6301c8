"""A share of hardening/fault_matrix: nothing lost, nothing half, and a resumed run gives the bytes of a quiet one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hardening.fault_matrix import DELTA, ONCE, PATCH, RESHAPE, bench_of
from kit.reports.site import strike_table
from kit.verbs.selftest import DAMAGES, FAULTS, Matrix, kill_everywhere, phases
from kit.verbs.selftest.strikes import harm


@pytest.mark.slow
@pytest.mark.parametrize(
    ("container", "way", "work", "every"),
    [
        ("kit.tar.zst", "in place", PATCH, 29),
        ("kit.tar", "output", PATCH, 31),
        ("kit", "no backup", PATCH, 37),
        ("kit", "output", PATCH, 41),
        ("kit.tar.zst", "in place", DELTA, 19),
        ("kit.tar.zst", "in place", RESHAPE, 23),
        ("kit", "output", RESHAPE, 43),
        ("kit.tar.zst", "in place", ONCE, 31),
    ],
)
def test_no_strike_does_harm_and_every_resumed_run_gives_the_same_bytes(
    tmp_path: Path, container: str, way: str, work: str, every: int
) -> None:
    matrix = Matrix()
    with bench_of(tmp_path / "bench", container, way, work) as bench:
        kill_everywhere(bench, matrix, every)
        for phase in phases(random_kills=4, every=every, seed=1).values():
            phase(bench, matrix)
    assert matrix.sound, "\n".join([*strike_table(matrix.rows, matrix.points), *matrix.faults])
    kinds = {f"{fault} on {kind}" for fault, kind in FAULTS}
    assert matrix.rows.keys() <= kinds | {
        "kill before a durable step",
        "power cut before one",
        "kill at random calls",
        "SIGINT at random calls",
        *DAMAGES,
    }
    assert sum(row.strikes for row in matrix.rows.values()) > 20
    assert sum(row.resumed for row in matrix.rows.values()) > 10


@pytest.mark.slow
def test_a_finished_folder_that_is_harmed_before_it_has_its_name_is_refused_and_can_be_given_up(tmp_path: Path) -> None:
    matrix, chance = Matrix(), random.Random(1)  # noqa: S311  which bytes are harmed, no secret
    with bench_of(tmp_path / "bench", "kit", "output", PATCH) as bench:
        for at in range(bench.steps["durable"] - 10, bench.steps["durable"] - 5):
            harm(bench, matrix, DAMAGES[1], at, chance)
    assert matrix.sound, "\n".join(matrix.faults)
    assert matrix.rows[DAMAGES[1]].refused > 0
