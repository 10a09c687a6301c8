"""One container patched in one way, again and again: where it starts, where it should end, and a child to strike.

What is in the folder is judged by names, modes and digests alone, with none of the code that wrote it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kit.errors import StoppedError
from kit.ops.selftest.sample import CLOCK, Keys, write_sample

__all__ = ["CONTAINERS", "WAYS", "Bench", "Facts"]

CONTAINERS = ("kit.tar.zst", "kit.tar.gz", "kit.tar", "kit")
WAYS = ("in place", "no backup", "output")
Delta = Callable[[Path, Path, Keys], Path]
"""Builds a delta in a folder, to the kit, signed by the keys; gives its file."""
_STRIKER = "kit.ops.selftest.striker"
_ROOT = Path(__file__).resolve().parents[3]
_CHECKPOINT = 2000
"""Bytes of finished work between two syncs: little, so that a small kit has many of them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in a folder: content of every file and mode of everything, job folders left out."""

    names: Mapping[str, tuple[int, str]]

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


class Bench:
    """One container patched in one way: the folder it starts from, the one it ends in, and a runner to strike."""

    def __init__(self, folder: Path, container: str, way: str, *, delta: Delta | None = None) -> None:
        """Make the kit, count the steps of a quiet run, and keep what it leaves.

        Raises:
            StoppedError: The child does not run, or a quiet run fails.
        """
        self.name = f"{container} {way}" if delta is None else f"delta {container} {way}"
        self.folder, self.container, self.way = folder, container, way
        self.start, self.place = folder / "start", folder / "place"
        self.target = "out" if way == "output" else container
        keys = write_sample(self.start / container, folder / "keys")
        self.request: dict[str, Any] = {
            "kit": container,
            "output": "out" if way == "output" else None,
            "backup": way != "no backup",
            "key": str(keys.private),
            "trusted": [str(keys.public)],
            "checkpoint": _CHECKPOINT,
        }
        if delta is not None:
            self.request["delta"] = str(delta(folder / "delta", self.start / container, keys))
        self.runner = _runner({})
        self.old = Facts.of(self.start)
        # The first run also tells what it imports late, which the calls of the second are not to hold.
        self.steps: dict[str, int] = self._quiet("kinds")["kinds"]
        self.steps["calls"] = self._quiet("calls")["met"]
        self.new = Facts.of(self.place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.communicate()
        shutil.rmtree(self.folder)

    def restart(self, environment: Mapping[str, str]) -> None:
        """Go on with another child, which has this in its environment too."""
        self.runner.communicate()
        self.runner = _runner(environment)

    def fresh(self) -> None:
        """Put the folder back as it was before everything."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.start, self.place, symlinks=True)

    def run(
        self, *, strike: str = "none", at: int = -1, steps: str = "durable", do: str = "patch", clock: int = CLOCK
    ) -> dict[str, Any]:
        """Run patch once in the folder as it is, or go on with it, or give it up."""
        order = {"place": str(self.place), "strike": strike, "at": at, "steps": steps, "do": do, "clock": clock}
        if self.runner.stdin is None or self.runner.stdout is None:
            raise StoppedError("the child to be struck has no pipes")
        self.runner.stdin.write(json.dumps(order | {"request": self.request}) + "\n")
        self.runner.stdin.flush()
        line = self.runner.stdout.readline()
        if not line:
            raise StoppedError("the child to be struck has ended", where=self.name)
        answer: dict[str, Any] = json.loads(line)
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
            return {"failure": "", "told": ""}, False
        return self.run(do="resume" if resumed else "patch", steps="none"), resumed

    def _quiet(self, steps: str) -> dict[str, Any]:
        self.fresh()
        answer = self.run(steps=steps)
        if answer["failure"] != "":
            raise StoppedError(f"a run that nobody disturbs fails: {answer['told']}", where=self.name)
        return answer


def _runner(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(  # noqa: S603  this interpreter, and a module of this package
        [sys.executable, "-m", _STRIKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, **environment},
        text=True,
    )
