"""Runs the commands of the program, in this process or in one of their own, and checks the manners of each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kit.cli import kit as group, run
from kit.cli.output import unknown_options

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def refused(self, code: int, *words: str) -> None:
        """Check the manners of a refusal: its code, one line, at most one hint, nothing on standard output."""
        lines = self.err.splitlines()
        assert (self.code, self.out) == (code, ""), self
        assert lines, self
        assert lines[0].startswith("kit: error: "), self
        assert len(lines) <= 2, self
        assert all(line.startswith("kit: hint: ") for line in lines[1:]), self
        for word in words:
            assert word in self.err, self


def kit(*arguments: object) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    require_fitting_hints([str(argument) for argument in arguments], err.getvalue())
    return Outcome(code, out.getvalue(), err.getvalue())


def require_fitting_hints(arguments: list[str], printed: str) -> None:
    """Check that hints name no option that the command, or the one that they name, does not have."""
    command: click.Command = group
    context = click.Context(group, info_name="kit")
    for word in arguments:
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        command, context = inner, click.Context(inner, parent=context)
    for line in printed.splitlines():
        if line.startswith("kit: hint: ") and " --help" not in line:
            assert list(unknown_options(line.removeprefix("kit: hint: "), context)) == [], (arguments, line)


COMMAND = [sys.executable, "-c", "from kit.cli import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": "/nonexistent"}


def subprocess_kit(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with standard output and error apart."""
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, check=False)
