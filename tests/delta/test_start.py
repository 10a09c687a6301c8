"""What a command does not need it does not load: half of a small delta's time was that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.delta.kits import pair, patched
from tests.delta.test_killed import signing
from tests.tiers import slow

BUILD = """
import sys
before = set(sys.modules)  # what measures coverage is there first, and loads some of it itself
from kit.cli import run
code = run(sys.argv[1:])
heavy = ("kit.encryption", "kit.transforms.raw_linkset", "bson", "multiprocessing", "importlib.metadata")
print(*(name for name in heavy if name in sys.modules.keys() - before), file=sys.stderr)
sys.exit(code)
"""


def loaded(*words: object) -> set[str]:
    """Run ``kit``, and name what was loaded of what is heavy."""
    done = subprocess.run([sys.executable, "-c", BUILD, *map(str, words)], capture_output=True, text=True, check=True)
    return set(done.stderr.split("\n")[-2].split())


@pytest.mark.parametrize("workers", [2, *slow(1)])
def test_a_small_delta_loads_neither_transforms_nor_encryption_nor_workers(workers: int, tmp_path: Path) -> None:
    two = pair(tmp_path)
    words = ["delta", "build", two.base, two.target, "-o", two.delta, "--progress", "none"]
    assert not loaded(*words, *signing(tmp_path)[:-1], workers)


@pytest.mark.slow
def test_a_recipe_is_found_all_the_same(tmp_path: Path) -> None:
    two = patched(tmp_path)
    words = ["delta", "build", two.base, two.target, "-o", two.delta, "--progress", "none"]
    assert loaded(*words, *signing(tmp_path)) >= {"kit.transforms.raw_linkset"}
