"""A share of scripts/fault_matrix: nothing lost, nothing half, and a resumed run gives the bytes of a quiet one."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.fault_matrix import FAULTS, Bench, Matrix, attack


@pytest.mark.parametrize(
    ("container", "way"),
    [("kit.tar.zst", "in place"), ("kit.tar", "output"), ("kit", "no backup"), ("kit", "output")],
)
def test_no_strike_does_harm_and_every_resumed_run_gives_the_same_bytes(
    tmp_path: Path, container: str, way: str
) -> None:
    matrix = Matrix()
    with Bench(tmp_path / "bench", container, way) as bench:
        attack(bench, matrix, random_kills=6, every=17, seed=1)
    assert matrix.sound, "\n".join(matrix.lines())
    kinds = {f"{fault} on {kind}" for fault, kind in FAULTS}
    assert matrix.rows.keys() <= kinds | {
        "kill before a durable step",
        "power cut before one",
        "kill at random calls",
        "SIGINT at random calls",
    }
    assert sum(row.strikes for row in matrix.rows.values()) > 20
    assert sum(row.resumed for row in matrix.rows.values()) > 10
