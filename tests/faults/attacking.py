"""Attacks on commands at their steps on the file system, carried out by fault_runner.py in one process for them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
_RUNNER = Path(__file__).with_name("fault_runner.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run of a command left."""

    place: Path
    killed: bool
    code: int | None
    struck: str
    stderr: str


class Attacker:
    """The process that attacks."""

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, _RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def attack(self, mode: str, folder: Path, stage: Path, *arguments: str, lacking: str = "") -> list[Outcome]:
        """Run ``kit`` with one step after the other struck, as fault_runner.py describes; ``stage`` is made."""
        stage.mkdir()
        order = {
            "mode": mode,
            "folder": str(folder),
            "stage": str(stage),
            "lacking": lacking.split(",") if lacking else [],
            "arguments": arguments,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        outcomes = []
        while line := self._process.stdout.readline().strip():
            found = json.loads(line)
            outcomes.append(Outcome(**(found | {"place": Path(found["place"])})))
        assert outcomes, "the process that attacks has ended"
        return outcomes
