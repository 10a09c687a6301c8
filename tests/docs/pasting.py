"""Pastes examples into a shell, as a reader does, and gives the commands of kit that it starts."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from kit.cli import kit as group

_STUB = """#!/bin/sh
for word; do printf '%s\\n' "$word"; done >> "$LOG"
printf '\\0' >> "$LOG"
"""
_EXAMPLES = re.compile(r"\n +Examples?:\n(?P<text>(?: {4,}\S.*\n)+)")
_FENCED = re.compile(r"^```sh$.*?^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}(?![*-] ).*\n)+", re.MULTILINE)


def examples_of_help(text: str) -> str:
    """Give the examples of a help page."""
    found = _EXAMPLES.search(f"{text}\n")
    assert found is not None, text
    return textwrap.dedent(found["text"])


def examples_of_page(text: str) -> Iterator[str]:
    """Give the indented blocks of a page that begin with a command of kit; a body of a loop in a fence is none."""
    blocks = (textwrap.dedent(found[0]) for found in _INDENTED.finditer(_FENCED.sub("", text)))
    return (block for block in blocks if block.startswith("kit "))


def paste(text: str, folder: Path) -> list[list[str]]:
    """Run commands with a kit that only notes its arguments, which are returned; they stop at the first that fails.

    Raises:
        AssertionError: The shell finds a command that there is not, or kit is not started once for each example.
    """
    programs, log = folder / "programs", folder / "log"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "kit").write_text(_STUB)
    for other in ("jq", "bsondump", "mongorestore"):
        (programs / other).write_text("#!/bin/sh\ncat\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    log.write_text("")
    for word in re.findall(r"<\s*(\w+)", text):
        (folder / word).write_text("")
    for word in re.findall(r">\s*~/(\S+)/", text):
        (folder / word).mkdir(parents=True, exist_ok=True)
    around = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "LOG": str(log)}
    done = subprocess.run(["sh", "-euc", text], cwd=folder, env=around, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (text, done.stderr)
    started = [words.splitlines() for words in log.read_text().split("\0")[:-1]]
    assert len(started) == len(re.findall(r"^kit ", text, re.MULTILINE)), text
    return started


def parse(words: list[str]) -> None:
    """Have click take a command apart, without running it.

    Raises:
        click.ClickException: It does not understand it.
    """
    context, command = click.Context(group, info_name="kit"), _inner(group, words[0])
    while isinstance(command, click.Group):
        words = words[1:]
        context, command = click.Context(command, parent=context), _inner(command, words[0])
    command.make_context(words[0], list(words[1:]), context)


def _inner(command: click.Command, name: str) -> click.Command:
    assert isinstance(command, click.Group)
    found = command.get_command(click.Context(command), name)
    assert found is not None, name
    return found
