"""What a run takes of the machine: no more than it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.process_tree import tree_bytes
from kit.cli.run_options import limit_environment
from kit.errors import UsageError
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.commands import COMMAND, ENVIRONMENT
from tests.end_to_end.desk import Desk
from tests.kits import AT, observation

_NICENESS = (
    "import os, sys\n"
    "from kit.engine import executors\n"
    "from kit.cli import kit\n"
    "from kit.verbs.patch import patch\n"
    "before = os.nice(0)\n"
    "from kit.cli.run_options import limit_environment\n"
    "from kit.verbs.verify.kits import Environment\n"
    "limit_environment(Environment(), None, 5)\n"
    "with executors.local_executor(2) as pool:\n"
    "    print(os.nice(0) - before, pool.submit(os.nice, 0).result() - before)\n"
)


@pytest.mark.slow
def test_workers_are_as_nice_as_their_process() -> None:
    words = [sys.executable, "-c", _NICENESS]
    run = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert run.stdout == "5 5\n"


@pytest.mark.parametrize(
    ("text", "workers"), [("144M", 1), ("1G", 8), ("1GiB", 8), ("2000000K", 8), ("2147483648", 8), ("400m", 3)]
)
def test_a_size_is_read_as_people_write_it(text: str, workers: int) -> None:
    assert limit_environment(Environment(workers=8), text, None).workers == workers


@pytest.mark.parametrize("text", ["", "much", "1T", "-1G", "1.5G", "²G", "1" * 13])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a size such as"):
        limit_environment(Environment(), text, None)


def test_too_little_for_one_worker_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 144M are needed"):
        limit_environment(Environment(), "143M", None)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no proportional set sizes here")
@pytest.mark.parametrize("most", [144, 290], ids=["one worker", "two workers"])
def test_a_run_keeps_to_what_it_was_given(most: int, desk: Desk) -> None:
    # Enough that an unbounded queue would hold more than the bound: documents of 40 kB, 64 MB of them.
    filler = os.urandom(16_000).hex()
    documents = (observation(number, filler=filler) for number in range(1_600))
    path = desk.kit({kits.OBSERVATIONS: kits.collection(documents)}, name="kit.tar")
    words = ["patch", path, "--output", desk.kits / "out.tar", *desk.trust("vendor"), "--created-at", AT]
    words += ["--signing-key", desk.keys / "site", "--workers", 2, "--max-memory", f"{most}M"]
    with subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, env=ENVIRONMENT) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
    assert process.returncode == 0
    assert 0 < peak <= most << 20
