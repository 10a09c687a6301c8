#!/usr/bin/env python3
"""Writes into the documentation what the program itself says, so that the two cannot differ.

``docs/reference.md`` is made whole: the help of every command, and the exit codes. In ``README.md`` a generated part
stands between ``<!-- generated: NAME -->`` and ``<!-- end of generated -->``: commands, exit codes, the rooms of the
package in the order of its import contract, and figures that benchmarks/run left under ``docs/bench``. A new command
needs nothing here and nothing in these pages but a run of this script. ``--check`` changes nothing and exits 1 if a
page is not current.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402
from kit.cli import kit  # noqa: E402
from kit.cli.commands import TABLE, Commands  # noqa: E402
from kit.cli.manual import show_everything  # noqa: E402

README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference.md"
MEASURED = {"speed": ROOT / "docs/bench/quick.json", "scaling": ROOT / "docs/bench/scaling.json"}
"""What benchmarks/run wrote, by the part of the README that shows it."""
_WIDTH = 100
_ROLE = re.compile(r":\w+:(?=`)")
_PART = re.compile(r"(?P<start><!-- generated: (?P<name>[^>]+) -->\n).*?(?P<end><!-- end of generated -->)", re.DOTALL)
_HEAD = """\
# Reference

The `--help-all` of every command of `kit`. A script makes this page, and a test proves it current. The
[README](../README.md) explains what the commands are for.

## Manners

Data go to standard output, messages to standard error. A failure is `kit: error: <where>: <what>`, and `kit: hint: …`
if you can do something about it. With `--json`, standard output is one JSON object ([schemas](../schemas/README.md)),
also for a failure. Nothing is asked without a terminal.

`kit completion bash|zsh|fish` prints the completion script for a shell. `kit --version` shows the version of every
part.

## Exit codes

"""


def commands() -> Iterator[tuple[click.Command, click.Context]]:
    """Give each command that does something, in the order of the program; a group only leads to its commands."""
    yield from _leaves(kit, click.Context(kit, info_name="kit", **{**kit.context_settings, "terminal_width": _WIDTH}))


def parts() -> dict[str, str]:
    """Give every generated part of the README by name, as Markdown."""
    rows = [_row(command, context.command_path) for command, context in commands()]
    return {
        "commands": "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n",
        "exit codes": _codes(),
        "rooms": _rooms(),
        **{name: table.markdown(_measured(name)) for name in MEASURED},
    }


def _measured(name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(MEASURED[name].read_text(encoding="utf-8"))
    return facts


def reference() -> str:
    """Give the page of all commands."""
    helps = (
        f"## {context.command_path}\n\n```text\n{_help(command, context)}\n```\n" for command, context in commands()
    )
    return "\n".join([_HEAD + _codes(), *helps])


def updated(page: str) -> str:
    """Put the current parts into the README.

    Raises:
        ValueError: The page has a part that nothing is known of, has it twice, or lacks one.
    """
    texts = parts()
    names = [match["name"] for match in _PART.finditer(page)]
    if sorted(names) != sorted(texts):
        raise ValueError(f"parts of the page: {sorted(names)}; parts there are: {sorted(texts)}")
    return _PART.sub(lambda match: match["start"] + texts[match["name"]] + match["end"], page)


def pages() -> dict[Path, str]:
    """Give every page this script writes, as it should be.

    Raises:
        ValueError: As of :func:`updated`.
    """
    return {README: updated(README.read_text(encoding="utf-8")), REFERENCE: reference()}


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where something is not current")
    check = parser.parse_args(arguments).check
    try:
        wanted = pages()
    except ValueError as error:
        print(f"README.md: {error}", file=sys.stderr)
        return 1
    stale = [page for page, text in wanted.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    for page in stale:
        if check:
            print(f"{page.relative_to(ROOT)} is not what docs/build/make_docs.py makes", file=sys.stderr)
        else:
            page.write_text(wanted[page], encoding="utf-8")
    return 1 if check and stale else 0


def _codes() -> str:
    rows = (f"| {code} | {meaning} |" for code, meaning in TABLE)
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows]) + "\n"


def _rooms() -> str:
    """Give the layers of the import contract from the top, and what each room in them says that it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = (
        f"| {len(layers) - number} | `{name.replace('.', '/')}` | {_first_paragraph(name)} |"
        for number, layer in enumerate(layers)
        for name in layer.split(" | ")
    )
    return "\n".join(["| layer | room | what |", "|---|---|---|", *rows]) + "\n"


def _first_paragraph(name: str) -> str:
    text = (import_module(name).__doc__ or "").strip().partition("\n\n")[0]
    return _ROLE.sub("", " ".join(text.split())).replace("``", "`").rstrip(".")


def _row(command: click.Command, name: str) -> str:
    what = command.get_short_help_str(limit=200).rstrip(".")
    return f"| [`{name}`](docs/reference.md#{name.replace(' ', '-')}) | {what} |"


def _help(command: click.Command, context: click.Context) -> str:
    """Give the help without the exit codes, which stand at the head of the page."""
    alone = copy.copy(command)
    alone.epilog = None
    show_everything(context)
    return alone.get_help(context).rstrip()


def _leaves(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    if not isinstance(command, click.Group):
        yield command, context
        return
    for name in command.homes if isinstance(command, Commands) else command.commands:
        inner = command.get_command(context, name)
        assert inner is not None, name  # noqa: S101  for the type checker
        yield from _leaves(inner, click.Context(inner, info_name=name, parent=context))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
