"""The verb: a few scenarios, a number of random kills, one report."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kit.errors import OutputError, UsageError
from kit.ops.selftest.bench import Bench
from kit.ops.selftest.strikes import Matrix, Row, cut_power, kill_everywhere, kill_randomly

SCENARIOS = (("kit.tar.zst", "in place"), ("kit.tar.zst", "output"), ("kit", "in place"))
"""Containers and ways that together take every kind of step: link, exchange and rename of archives and folders."""
_POWER_CUTS_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestReport:
    """What came of it."""

    directory: Path
    kills: int
    """Random kills asked for."""
    rows: tuple[tuple[str, Row], ...]
    """Kind of strike and what came of it."""
    points: tuple[tuple[str, int], ...]
    """Scenario and its durable steps, each of which was a kill point."""
    faults: tuple[str, ...]
    """What was wrong, in words."""

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults


def selftest(
    directory: Path, kills: int, *, seed: int = 1, every: int = 1, told: Callable[[str], None] = lambda _: None
) -> SelftestReport:
    """Kill runs of patch in ``directory``: before every durable step, and ``kills`` times at any moment.

    Args:
        directory: Where the work is done, in a folder of its own that is removed afterwards: the disk to be tried.
        kills: Random kills, over all scenarios.
        seed: Which moments are tried.
        every: Only every N-th step.
        told: Is told when a scenario begins.

    Raises:
        UsageError: ``directory`` is no folder.
        OutputError: Nothing can be written there.
        StoppedError: A run that nobody disturbs fails.
    """
    if not directory.is_dir():
        raise UsageError("is no folder to work in", where=str(directory))
    matrix = Matrix()
    try:
        with tempfile.TemporaryDirectory(prefix="kit-selftest-", dir=directory.absolute()) as scratch:
            for number, (container, way) in enumerate(SCENARIOS):
                told(f"{container}, {way}")
                with Bench(Path(scratch) / str(number), container, way) as bench:
                    chance = random.Random(f"{seed} {bench.name}")  # noqa: S311  which moments are tried, no secret
                    share = kills // len(SCENARIOS) + (number < kills % len(SCENARIOS))
                    kill_everywhere(bench, matrix, every)
                    cut_power(bench, matrix, every * _POWER_CUTS_EVERY)
                    kill_randomly(bench, matrix, share, chance)
    except OSError as error:
        raise OutputError(f"the test cannot work here: {error.strerror or error}", where=str(directory)) from error
    return SelftestReport(
        directory=directory,
        kills=kills,
        rows=tuple(matrix.rows.items()),
        points=tuple(sorted(matrix.points.items())),
        faults=tuple(matrix.faults),
    )
