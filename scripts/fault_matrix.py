#!/usr/bin/env python3
"""Kills and fails ``kit patch`` and ``kit delta apply`` at every step, resumes them, and counts what went wrong.

For every container and every way to patch: SIGKILL before each durable step, SIGKILL at random calls (of resumed runs
too), a power cut that loses what was not synced, and each class of fault at each of its steps. After each strike the
kit must be the old or the new one, whole, with nothing beside it that contradicts it; then the run is resumed where it
left a job, and begun again where it did not, and must give the bytes of a run that nobody disturbed. Prints a table;
exits 1 if anything in it is wrong. ``--quick`` takes a small share of it, for the test suite.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.ops.delta_build import DeltaBuildRequest, build_delta  # noqa: E402
from kit.ops.kits import Environment  # noqa: E402
from kit.ops.obligations import Expectation  # noqa: E402
from kit.signing import PrivateKey  # noqa: E402
from kit.values import Timestamp  # noqa: E402
from tests.kits import (  # noqa: E402
    OBSERVATIONS,
    collection,
    observation,
    signed,
    small_files,
    write_keys,
    write_kit,
)

RUNNER = ROOT / "tests" / "faults" / "strike_runner.py"
CONTAINERS = ("kit.tar.zst", "kit.tar.gz", "kit.tar", "kit")
WAYS = ("in place", "no backup", "output")
PATCH, DELTA = "patch", "delta"
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
_CHECKPOINT = 2000
_MEMBER_BYTES = 3000


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in a folder: content of every file and mode of everything, job folders left out."""

    names: dict[str, tuple[int, str]]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read a folder."""
        found = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if ".kit-job" not in name and ".kit-done" not in name:
                content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
                found[name] = (path.stat().st_mode, content)
        return cls(found)

    def kit(self, name: str) -> dict[str, tuple[int, str]]:
        """Give what belongs to one kit."""
        return {path: facts for path, facts in self.names.items() if path == name or path.startswith(f"{name}/")}


@dataclass(slots=True)
class Row:
    """What was done of one kind, and what came of it."""

    strikes: int = 0
    resumed: int = 0
    wrong: int = 0
    different: int = 0


@dataclass(slots=True)
class Matrix:
    """The table, and what was wrong in words."""

    rows: dict[str, Row] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)
    """Durable steps of an undisturbed run, by scenario."""

    def row(self, name: str) -> Row:
        """Give a row, new if need be."""
        return self.rows.setdefault(name, Row())

    def wrong(self, name: str, what: str) -> None:
        """Count a wrong outcome."""
        self.row(name).wrong += 1
        self.faults.append(f"{name}: {what}")

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults

    def lines(self) -> Iterator[str]:
        """Give the table."""
        yield f"{'strike':<28}{'strikes':>9}{'resumed':>9}{'wrong':>7}{'bytes differ':>14}"
        for name, row in self.rows.items():
            yield f"{name:<28}{row.strikes:>9,}{row.resumed:>9,}{row.wrong:>7,}{row.different:>14,}"
        total = [sum(getattr(row, name) for row in self.rows.values()) for name in Row.__slots__]
        yield f"{'all':<28}{total[0]:>9,}{total[1]:>9,}{total[2]:>7,}{total[3]:>14,}"
        steps = ", ".join(f"{name}: {count}" for name, count in sorted(self.points.items()))
        yield f"kill points (durable steps of one run): {sum(self.points.values()):,} ({steps})"
        yield from self.faults


class Bench:
    """One container patched in one way: the folder it starts from, the one it ends in, and a runner to strike."""

    def __init__(self, folder: Path, container: str, way: str, work: str = PATCH) -> None:
        self.name = f"{container} {way}" if work == PATCH else f"{work} {container} {way}"
        self.folder, self.container, self.way = folder, container, way
        self.start, self.place = folder / "start", folder / "place"
        self.target = "out" if way == "output" else container
        keys = folder / "keys"
        for path in (self.start, keys):
            path.mkdir(parents=True)
        key, private, public = write_keys(keys)
        files = small_files(4) | {"images/noise.bin": random.Random(7).randbytes(_MEMBER_BYTES)}  # noqa: S311
        kit = write_kit(self.start / container, signed(files, key))
        if kit.is_file():
            digest = hashlib.sha256(kit.read_bytes()).hexdigest()
            (self.start / f"{container}.sha256").write_text(f"{digest}  {container}\n")
        self.request = {
            "kit": container,
            "output": "out" if way == "output" else None,
            "backup": way != "no backup",
            "key": str(private),
            "trusted": [str(public)],
            "checkpoint": _CHECKPOINT,
        }
        if work == DELTA:
            self.request["delta"] = str(_delta(folder / "delta", kit, files, key))
        self.runner = subprocess.Popen(
            [sys.executable, str(RUNNER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        self.old = Facts.of(self.start)
        self.steps = {steps: self._count(steps) for steps in ("durable", "calls", *{kind for _, kind in FAULTS})}
        self.new = Facts.of(self.place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.communicate()
        shutil.rmtree(self.folder)

    def fresh(self) -> None:
        """Put the folder back as it was before everything."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.start, self.place, symlinks=True)

    def run(
        self, *, strike: str = "none", at: int = -1, steps: str = "durable", resume: bool = False
    ) -> dict[str, Any]:
        """Run patch once in the folder as it is."""
        order = {"place": str(self.place), "strike": strike, "at": at, "steps": steps, "resume": resume}
        if self.runner.stdin is None or self.runner.stdout is None:
            raise RuntimeError("the runner has no pipes")
        self.runner.stdin.write(json.dumps(order | {"request": self.request}) + "\n")
        self.runner.stdin.flush()
        answer: dict[str, Any] = json.loads(self.runner.stdout.readline())
        return answer

    def job(self) -> bool:
        """Whether a run left its job."""
        return (self.place / f"{self.target}.kit-job").exists()

    def fault(self) -> str:
        """Say what is wrong with the folder as a strike left it; empty if nothing."""
        found = Facts.of(self.place)
        allowed = [self.new.kit(self.target), self.old.kit(self.target)]
        if found.kit(self.target) not in allowed:
            return f"{self.target} is neither old nor new"
        if found.kit(self.container) not in (self.old.kit(self.container), self.new.kit(self.container)):
            return f"{self.container} is damaged"
        for name in (self.target, f"{self.target}.bak"):
            if pair := self._mismatch(found, name):
                return pair
        incomplete = found.kit(self.target) == self.new.kit(self.target) and found != self.new
        if incomplete and not self.job():
            return "the new kit is in place, something beside it is missing, and nothing says so"
        return ""

    def _mismatch(self, found: Facts, name: str) -> str:
        digest = found.names.get(name, (0, ""))[1]
        beside = self.place / f"{name}.sha256"
        if beside.exists() and (not digest or beside.read_text() != f"{digest}  {name}\n"):
            return f"{beside.name} contradicts {name}"
        signature = found.names.get(f"{name}.sig")
        # The kit it starts from has none, so a signature can only be that of the new kit.
        if signature and (signature != self.new.names.get(f"{name}.sig") or found.kit(name) != self.new.kit(name)):
            return f"{name}.sig contradicts {name}"
        return ""

    def recover(self) -> tuple[dict[str, Any], bool]:
        """Do what the message of the program says; gives the answer, and whether a job was resumed."""
        resumed = self.job()
        if not resumed and Facts.of(self.place) == self.new:
            return {"code": 0, "told": ""}, False
        return self.run(resume=resumed), resumed

    def _count(self, steps: str) -> int:
        self.fresh()
        answer = self.run(steps=steps)
        if answer["code"] != 0:
            raise RuntimeError(f"{self.name}: {answer}")
        return int(answer["met"])


def _delta(folder: Path, base: Path, files: dict[str, bytes], key: PrivateKey) -> Path:
    """Build a delta to a kit that this program wrote, with members of every method."""
    folder.mkdir()
    later = {**files, OBSERVATIONS: collection(observation(n, tenant="beta") for n in (2, 0, 9))}
    later["images/noise.bin"] = files["images/noise.bin"][:1000] + b"changed" + files["images/noise.bin"][1000:]
    later["docs/new.txt"] = later.pop("docs/readme.txt") * 2
    target = write_kit(folder / f"target-{base.name}", signed(later, key, generation=1))
    build_delta(
        DeltaBuildRequest(
            base=base,
            target=target,
            output=folder / "next.delta",
            key=key,
            expectation=Expectation(trusted={key.public.key_id: key.public}),
            created_at=Timestamp(1_760_000_001),
            environment=Environment(workers=1),
        )
    )
    return folder / "next.delta"


def strike(bench: Bench, matrix: Matrix, name: str, orders: list[dict[str, Any]]) -> None:
    """Strike a fresh run, then each resumed one, once for each of ``orders``; recover, and compare."""
    bench.fresh()
    row = matrix.row(name)
    for number, order in enumerate(orders):
        answer = bench.run(resume=bool(number) and bench.job(), **order)
        row.strikes += 1
        where = f"{bench.name}: {order}: {answer['struck']} {answer['told']}"
        if fault := bench.fault():
            matrix.wrong(name, f"{where}: {fault}")
            return
        if not answer["killed"] and answer["code"] not in {0, 1, 64, 74, 130}:
            matrix.wrong(name, f"{where}: exit code {answer['code']}")
            return
    answer, resumed = bench.recover()
    row.resumed += resumed
    if answer["code"] != 0:
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


def attack(bench: Bench, matrix: Matrix, *, random_kills: int, every: int, seed: int) -> None:
    """Do all strikes on one bench; ``every`` N-th step of each kind, and so many random kills."""
    chance = random.Random(f"{seed} {bench.name}")  # noqa: S311  which moments are tried, no secret
    durable = bench.steps["durable"]
    matrix.points[bench.name] = durable
    for at in range(0, durable, every):
        strike(bench, matrix, "kill before a durable step", [{"strike": "kill", "at": at}])
    for at in range(every // 2, durable, every):
        strike(bench, matrix, "power cut before one", [{"strike": "power", "at": at}])
    for _ in range(random_kills):
        moments = [chance.randrange(bench.steps["calls"]) for _ in range(chance.choice((1, 1, 2, 3)))]
        strike(
            bench, matrix, "kill at random calls", [{"strike": "kill", "at": at, "steps": "calls"} for at in moments]
        )
    for _ in range(-(-random_kills // 4)):
        orders = [{"strike": "SIGINT", "at": chance.randrange(bench.steps["calls"]), "steps": "calls"}]
        strike(bench, matrix, "SIGINT at random calls", orders)
    for fault, kind in FAULTS:
        for at in range(chance.randrange(every), bench.steps[kind], every):
            strike(bench, matrix, f"{fault} on {kind}", [{"strike": fault, "at": at, "steps": kind}])


def main(arguments: list[str]) -> int:
    """Run the matrix and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every 9th step and few random kills")
    parser.add_argument("--kills", type=int, default=1000, help="random kills, over all (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only scenarios whose name holds this, as in 'kit.tar.zst in place'")
    options = parser.parse_args(arguments)
    names = [
        (container, way, work)
        for work in (PATCH, DELTA)
        for container in CONTAINERS
        for way in WAYS
        if options.only in f"{work} {container} {way}"
    ]
    matrix = Matrix()
    every, kills = (9, 24) if options.quick else (1, options.kills)
    with tempfile.TemporaryDirectory(prefix="kit-faults-") as scratch:
        for number, (container, way, work) in enumerate(names):
            with Bench(Path(scratch) / str(number), container, way, work) as bench:
                attack(bench, matrix, random_kills=-(-kills // len(names)), every=every, seed=options.seed)
            print(f"{work} {container}, {way}: done", file=sys.stderr)
    print("\n".join(matrix.lines()))
    return 0 if matrix.sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
