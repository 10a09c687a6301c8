from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import kit

ROOT = Path(kit.__file__).parent


@pytest.mark.parametrize(
    "room", ["archive.read", "cli", "engine", "output", "verbs.delta", "verbs.patch", "verbs.verify"]
)
def test_the_map_of_a_room_names_what_is_there(room: str) -> None:
    there = {path.stem for path in ROOT.joinpath(*room.split(".")).iterdir()}
    items = (importlib.import_module(f"kit.{room}").__doc__ or "").partition("\n- ")[2]
    named = set(re.findall(r"``(\w+)``", items))
    assert len(named) > 5
    assert named - there == set()
