"""Reads and writes that do less than was asked: each container is patched to the same bytes, resumed ones too.

The calls of the C library are wrapped, in a whole process and all it starts, so that no reader or writer is forgotten.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hardening.fault_matrix import DELTA, PATCH, bench_of
from kit.verbs.selftest import CONTAINERS, Facts

SOURCE = Path(__file__).with_name("short_io.c")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the library that shortens, and make sure that it does."""
    library = tmp_path_factory.mktemp("short") / "short_io.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    probe = "import os, sys; f = os.open(sys.argv[1], 0); print(len({len(os.pread(f, 999, 0)) for _ in range(20)}))"
    told = subprocess.run(
        [sys.executable, "-c", probe, SOURCE],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout) > 10
    return library


@pytest.mark.slow
@pytest.mark.parametrize(
    ("container", "way", "work"),
    [(container, "output" if number % 2 else "in place", PATCH) for number, container in enumerate(CONTAINERS)]
    + [("kit.tar.zst", "in place", DELTA), ("kit", "output", DELTA)],
)
def test_what_reads_and_writes_less_than_asked_gives_the_same_bytes(
    container: str, way: str, work: str, tmp_path: Path, wrapper: Path
) -> None:
    with bench_of(tmp_path / "bench", container, way, work) as bench:
        bench.restart({"LD_PRELOAD": str(wrapper)})
        bench.reset()
        assert bench.run()["failure"] == ""
        assert Facts.of(bench.place) == bench.new
        for at in (bench.steps["durable"] // 3, bench.steps["durable"] * 2 // 3):
            bench.reset()
            assert bench.run(strike="kill", at=at)["killed"]
            assert bench.fault() == ""
            answer, _ = bench.recover()
            assert answer["failure"] == "", answer
            assert Facts.of(bench.place) == bench.new
