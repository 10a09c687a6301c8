#!/usr/bin/env python3
"""Writes into README.md what the program itself says: help of every command, and the exit codes.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end of generated -->``; NAME is a command or
``exit codes``. ``--check`` changes nothing and exits 1 if a part is not current, or a command has none.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.cli import kit  # noqa: E402
from kit.cli.exit_codes import TABLE  # noqa: E402

README = ROOT / "README.md"
_WIDTH = 100
_PART = re.compile(r"(?P<start><!-- generated: (?P<name>[^>]+) -->\n).*?(?P<end><!-- end of generated -->)", re.DOTALL)


def parts() -> dict[str, str]:
    """Give every generated part by name, as Markdown."""
    table = ["| exit code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in TABLE)]
    texts = {"exit codes": "\n".join(table) + "\n"}
    context = click.Context(kit, info_name="kit", **{**kit.context_settings, "terminal_width": _WIDTH})
    for name, text in _helps(kit, context):
        texts[name] = f"```text\n{text.rstrip()}\n```\n"
    return texts


def updated(page: str) -> str:
    """Put the current parts into a page.

    Raises:
        ValueError: The page has a part that nothing is known of, has it twice, or lacks one.
    """
    texts = parts()
    names = [match["name"] for match in _PART.finditer(page)]
    if sorted(names) != sorted(texts):
        raise ValueError(f"parts of the page: {sorted(names)}; parts there are: {sorted(texts)}")
    return _PART.sub(lambda match: match["start"] + texts[match["name"]] + match["end"], page)


def main(arguments: list[str]) -> int:
    """Update README.md, or with ``--check`` compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where something is not current")
    check = parser.parse_args(arguments).check
    page = README.read_text(encoding="utf-8")
    try:
        current = updated(page)
    except ValueError as error:
        print(f"README.md: {error}", file=sys.stderr)
        return 1
    if check and current != page:
        print("README.md is not what scripts/make_docs.py makes", file=sys.stderr)
        return 1
    if not check:
        README.write_text(current, encoding="utf-8")
    return 0


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Give the help of each command that does something; a group only leads to its commands."""
    if not isinstance(command, click.Group):
        yield context.command_path, command.get_help(context)
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None:
            yield from _helps(inner, click.Context(inner, info_name=name, parent=context))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
