"""Strikes on a run, how it is recovered, and the table of outcomes; ``kit selftest`` is a few scenarios of them.

Law: after every strike the kit must be the old or the new one, whole, with nothing next to it that contradicts it. Then
the run is resumed where it left a job and started again where it did not, and must give the bytes of a quiet run. A job
that was damaged meanwhile may also be refused, as long as the kit is whole.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import OutputError, UsageError
from kit.verbs.selftest.bench import CLOCK, Bench, Facts

FAULTS = (
    ("ENOSPC", "write"),
    ("EIO", "write"),
    ("EIO", "sync"),
    ("EIO", "name"),
    ("EACCES", "name"),
    ("ENOSPC", "make"),
    ("EROFS", "make"),
    ("EIO", "remove"),
    ("EIO", "read"),
)
DAMAGES = ("a bit flipped in the job", "a file of the job cut", "the clock gone back")
_SOUND_FAILURES = frozenset({"", "UnreadableError", "UsageError", "OutputError", "InterruptedRunError"})
_SOUND_REFUSALS = frozenset({"UnreadableError", "DigestError", "ArchiveError", "UsageError", "OutputError"})


@dataclass(slots=True)
class Row:
    """The strikes of one kind, and their outcomes."""

    strikes: int = 0
    resumed: int = 0
    refused: int = 0
    wrong: int = 0
    different: int = 0

    def add(self, other: Row) -> None:
        """Add the counts of another."""
        self.strikes += other.strikes
        self.resumed += other.resumed
        self.refused += other.refused
        self.wrong += other.wrong
        self.different += other.different


@dataclass(slots=True)
class Matrix:
    """The table of outcomes, and what was wrong, in words."""

    rows: dict[str, Row] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)
    """Durable steps of an undisturbed run, by scenario."""

    def row(self, name: str) -> Row:
        """Return a row, which is made if it is new."""
        return self.rows.setdefault(name, Row())

    def add(self, other: Matrix) -> None:
        """Add the counts of another table."""
        for name, row in other.rows.items():
            self.row(name).add(row)
        self.faults += other.faults
        self.points.update(other.points)

    def wrong(self, name: str, what: str) -> None:
        """Count a wrong outcome."""
        self.row(name).wrong += 1
        self.faults.append(f"{name}: {what}")

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults


def strike(bench: Bench, matrix: Matrix, name: str, orders: list[dict[str, Any]]) -> None:
    """Strike a fresh run, then each resumed one, once for each of ``orders``; recover, and compare."""
    bench.reset()
    row = matrix.row(name)
    for number, order in enumerate(orders):
        answer = bench.run(do="resume" if number and bench.has_job() else "patch", **order)
        row.strikes += 1
        where = f"{bench.name}: {order}: {answer['struck']} {answer['told']}"
        if fault := bench.fault():
            matrix.wrong(name, f"{where}: {fault}")
            return
        if not answer["killed"] and answer["failure"] not in _SOUND_FAILURES:
            matrix.wrong(name, f"{where}: {answer['failure']}")
            return
    answer, resumed = bench.recover()
    row.resumed += resumed
    compare(bench, matrix, name, f"{orders}", answer)


def compare(bench: Bench, matrix: Matrix, name: str, orders: str, answer: dict[str, Any]) -> None:
    """Compare what a recovery left with what a quiet run leaves."""
    row = matrix.row(name)
    if answer["failure"] != "":
        matrix.wrong(name, f"{bench.name}: {orders}: not recovered: {answer}")
    elif (found := Facts.of(bench.place)) != bench.new:
        row.different += 1
        odd = {
            path
            for path in found.names.keys() | bench.new.names.keys()
            if found.names.get(path) != bench.new.names.get(path)
        }
        matrix.faults.append(f"{bench.name}: {orders}: differ: {sorted(odd)}")
    elif left := [path.name for path in bench.place.glob("*.kit-job")]:
        matrix.wrong(name, f"{bench.name}: {orders}: left {left}")


def harm(bench: Bench, matrix: Matrix, name: str, at: int, chance: random.Random) -> None:
    """Kill a run before a durable step, harm its job, and resume: to the same bytes, or a harmless refusal."""
    bench.reset()
    row = matrix.row(name)
    bench.run(strike="kill", at=at)
    row.strikes += 1
    if not any(journal.stat().st_size for journal in bench.place.glob("*.kit-job/journal")):
        return  # nothing is recorded yet, so there is nothing to resume
    clock, victim_name = CLOCK - 3600, ""
    where = f"{bench.name}: killed at {at}"
    if name != DAMAGES[2]:
        job = next(bench.place.glob("*.kit-job"))
        files = sorted(path for path in job.rglob("*") if path.is_file() and path.stat().st_size)
        if Facts.of(bench.place).kit(bench.target) == bench.new.kit(bench.target):
            # The names were exchanged: a folder in the job is the old kit now, on its way to be the backup.
            files = [path for path in files if path.parent == job]
        if not files:
            return
        victim = chance.choice(files)
        data = bytearray(victim.read_bytes())
        place = chance.randrange(len(data))
        if name == DAMAGES[0]:
            data[place] ^= 1 << chance.randrange(8)
        victim.write_bytes(data if name == DAMAGES[0] else data[:place])
        victim_name = victim.name
        clock, where = CLOCK, f"{where}, {victim.name} at byte {place}"
    answer = bench.run(do="resume", clock=clock)
    row.resumed += 1
    if answer["failure"] in _SOUND_REFUSALS and name != DAMAGES[2]:
        row.refused += 1
        if fault := bench.fault():
            matrix.wrong(name, f"{where}: {answer}: {fault}")
            return
        # A harmed job cannot be resumed: it is abandoned, or finished without it.
        given_up = bench.run(do="abandon")
        answer = bench.run(do="resume") if given_up["failure"] else bench.recover()[0]
        if given_up["failure"] and victim_name == "beside.sig":
            return
    compare(bench, matrix, name, where, answer)


def kill_everywhere(bench: Bench, matrix: Matrix, every: int = 1) -> None:
    """Kill a run before each durable step, or every N-th."""
    matrix.points[bench.name] = bench.steps["durable"]
    for at in range(0, bench.steps["durable"], every):
        strike(bench, matrix, "kill before a durable step", [{"strike": "kill", "at": at}])


def cut_power(bench: Bench, matrix: Matrix, every: int) -> None:
    """Kill a run before every N-th durable step, and drop what was not synced."""
    for at in range(every // 2, bench.steps["durable"], every):
        strike(bench, matrix, "power cut before one", [{"strike": "power", "at": at}])


def kill_randomly(bench: Bench, matrix: Matrix, kills: int, chance: random.Random) -> None:
    """Kill that many runs at any call, and one in two of the resumed ones too."""
    for _ in range(kills):
        moments = [chance.randrange(bench.steps["calls"]) for _ in range(chance.choice((1, 1, 2, 3)))]
        orders = [{"strike": "kill", "at": at, "steps": "calls"} for at in moments]
        strike(bench, matrix, "kill at random calls", orders)


def interrupt(bench: Bench, matrix: Matrix, times: int, chance: random.Random) -> None:
    """Press Ctrl-C at that many random calls."""
    for _ in range(times):
        orders = [{"strike": "SIGINT", "at": chance.randrange(bench.steps["calls"]), "steps": "calls"}]
        strike(bench, matrix, "SIGINT at random calls", orders)


def harm_jobs(bench: Bench, matrix: Matrix, every: int, chance: random.Random) -> None:
    """Kill a run before every N-th durable step, and harm its job."""
    for name in DAMAGES:
        for at in range(every // 3, bench.steps["durable"], every):
            harm(bench, matrix, name, at, chance)


def fail_steps(bench: Bench, matrix: Matrix, every: int, chance: random.Random) -> None:
    """Make every N-th step of each kind fail in each way that it can."""
    for fault, kind in FAULTS:
        for at in range(chance.randrange(every), bench.steps[kind], every):
            strike(bench, matrix, f"{fault} on {kind}", [{"strike": fault, "at": at, "steps": kind}])


def phases(*, random_kills: int, every: int, seed: int) -> dict[str, Callable[[Bench, Matrix], None]]:
    """Return all strikes on a bench, in parts, for ``every`` N-th step of each kind and a number of random kills."""

    def chance(bench: Bench) -> random.Random:
        return random.Random(f"{seed} {bench.name}")  # noqa: S311  which moments are tried, no secret

    return {
        "random kills": lambda bench, matrix: kill_randomly(bench, matrix, random_kills, chance(bench)),
        "interrupts": lambda bench, matrix: interrupt(bench, matrix, -(-random_kills // 4), chance(bench)),
        "faults": lambda bench, matrix: fail_steps(bench, matrix, every, chance(bench)),
        "harm": lambda bench, matrix: harm_jobs(bench, matrix, 3 * every, chance(bench)),
        "power cuts": lambda bench, matrix: cut_power(bench, matrix, every),
    }


SCENARIOS = (("kit.tar.zst", "in place"), ("kit.tar.zst", "output"), ("kit", "in place"))
"""Containers and ways that together take every kind of step: link, exchange and rename of archives and folders."""
_POWER_CUTS_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestReport:
    """The outcome of a selftest."""

    directory: Path
    kills: int
    """Random kills asked for."""
    rows: tuple[tuple[str, Row], ...]
    """Kind of strike, and its outcomes."""
    points: tuple[tuple[str, int], ...]
    """Scenario and its durable steps, each of which was a kill point."""
    faults: tuple[str, ...]
    """What was wrong, in words."""

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults


def selftest(  # noqa: D417  ``told``, a public name that the glossary avoids, is described above, in quotes
    directory: Path, kills: int, *, seed: int = 1, every: int = 1, told: Callable[[str], None] = lambda _: None
) -> SelftestReport:
    """Kill runs of patch in ``directory``: before every durable step, and ``kills`` times at any moment.

    When a scenario begins, ``told`` is called with its name.

    Args:
        directory: Where the work is done, in a folder of its own that is removed afterwards: the disk to be tried.
        kills: Random kills, over all scenarios.
        seed: Which moments are tried.
        every: Only every N-th step.

    Raises:
        UsageError: ``directory`` is no folder.
        OutputError: Nothing can be written there.
        StoppedError: An undisturbed run fails.
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
