"""A share of hardening/sweep_container: whatever is cut off or changed, the kit is refused, or is the same kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardening.sweep_container import CONTAINERS, cuts, flips, small_kit, sweep


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("damage", [cuts, flips], ids=["cut", "flipped"])
def test_a_damaged_kit_is_refused(
    container: str, damage: Callable[[bytes, int], Iterator[tuple[str, bytes]]], tmp_path: Path
) -> None:
    path = tmp_path / container
    trusted = small_kit(path)
    data = path.read_bytes()
    every = len(data) // (40 if damage is cuts else 8)
    found = sweep(path, damage(data, every), trusted)
    assert found.wrong == []
    assert found.tried == found.refused + found.same > 35
    assert found.beside == found.same
    assert set(found.codes) <= {2, 3, 4, 5, 9, 11}
