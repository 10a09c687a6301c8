"""Runs the commands of a page in its order, in one folder, and holds the output it shows to what is printed.

A page's form, that of a reader who copies and pastes:

- every block fenced as ``sh`` is run; no other fence may hold shell commands, so that none is left out;
- a block fenced as ``text`` right after it shows its output (standard output and error, as a terminal has them): its
  lines must be printed in this order, others may be between them where it has a line ``…``, and ``…`` inside of a line
  stands for anything;
- ``(exit code N)`` as its last line says that the last command ends with N; without one it must be 0.

Several commands may be in one block; it stops at the first that fails. No variable survives a block, files do.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from kit.cli import run

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"\(exit code (\d+)\)")
TOOLS = ("openssl", "sha256sum", "tar", "zstd")
"""What the pages use beside this program."""
_OTHER_SHELLS = frozenset({"bash", "console", "shell", "shell-session", "zsh"})
_OMITTED = "…"
_PROGRAM = "from tests.docs import no_sockets; no_sockets.forbid(); from kit.cli import main; main()"
# What a shell would act on after a program's name; a command without any of it needs none.
_SHELL = re.compile(r"[|&;<>()$`*?\[\]#~{}\n!]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands, and what the page says of them."""

    line: int
    """Where it begins in the page, counted from 1."""
    commands: str
    shown: tuple[str, ...] | None
    """Lines of output; None where the page shows none."""
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a block gave."""

    code: int
    output: str


def blocks(page: str) -> Iterator[Block]:
    """Give the blocks of commands of a page, in its order.

    Raises:
        ValueError: Commands are in a block of another kind, which would not be run.
    """
    fences = list(_FENCE.finditer(page))
    for fence, after in zip_longest(fences, fences[1:]):
        kind, line = fence["kind"].strip(), page.count("\n", 0, fence.start()) + 1
        if kind in _OTHER_SHELLS:
            raise ValueError(f"line {line}: commands are in blocks of the kind sh")
        if kind != "sh":
            continue
        follows = after is not None and after["kind"] == "text" and not page[fence.end() : after.start()].strip()
        shown = tuple(after["text"].splitlines()) if after is not None and follows else None
        code = _CODE.fullmatch(shown[-1]) if shown else None
        if shown and code:
            shown = shown[:-1]
        yield Block(line=line, commands=fence["text"], shown=shown, code=int(code[1]) if code else 0)


def execute(block: Block, folder: Path) -> Printed:
    """Run a block in ``folder``, where ``bin/kit`` beside it is made to be the kit of this checkout.

    A command of kit that needs no shell runs in this process, which saves starting one.
    """
    words = _plain(block.commands)
    if words is not None:
        out = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = run(words)
        return Printed(code=code, output=out.getvalue())
    programs = folder.with_name(f"{folder.name}-bin")
    programs.mkdir(exist_ok=True)
    kit = programs / "kit"
    kit.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{_PROGRAM}" "$@"\n')
    kit.chmod(0o755)
    around = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    # An interpreter that may write no whole file would leave half of one in a cache, for the next.
    around |= {"PYTHONDONTWRITEBYTECODE": "1", "TERM": "dumb"}
    done = subprocess.run(
        ["sh", "-euc", block.commands],
        cwd=folder,
        env=around,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Printed(code=done.returncode, output=done.stdout)


def contradictions(block: Block, printed: Printed) -> list[str]:
    """Say in what the page and the program differ; nothing where they agree."""
    found = []
    if printed.code != block.code:
        found.append(f"line {block.line}: exit code {printed.code}, not {block.code}")
    lines = iter(printed.output.splitlines())
    gap = False
    for shown in block.shown or ():
        if shown == _OMITTED:
            gap = True
            continue
        met = next((line for line in lines if not gap or _matches(shown, line)), None)
        if met is None or not _matches(shown, met):
            found.append(f"line {block.line}: shows {shown!r}, met {met!r}")
            break
        gap = False
    else:
        rest = next(lines, None)
        if block.shown is not None and rest is not None and not gap:
            found.append(f"line {block.line}: does not show {rest!r}")
    return [*found, printed.output] if found else []


def follow(page: Path, folder: Path) -> int:
    """Follow a page from its first command to its last, and give how many blocks there were.

    Raises:
        AssertionError: The page says something else than what happens.
    """
    count = 0
    for block in blocks(page.read_text(encoding="utf-8")):
        found = contradictions(block, execute(block, folder))
        assert not found, "\n".join([f"{page.name}, {block.commands}", *found])
        count += 1
    return count


def offline() -> list[str]:
    """Give what runs a command in a network namespace without any interface; nothing where that is not allowed."""
    words = ["unshare", "--map-root-user", "--net"]
    found = shutil.which("unshare") is not None
    return words if found and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 else []


def _plain(commands: str) -> list[str] | None:
    """Give the arguments of a single command of kit that no shell has anything to do with, else None."""
    joined = commands.replace("\\\n", " ").strip()
    if not joined.startswith("kit ") or _SHELL.search(joined):
        return None
    return shlex.split(joined)[1:]


def _matches(shown: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split(_OMITTED))), line) is not None
