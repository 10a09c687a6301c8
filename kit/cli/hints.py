"""Hints that fit the command that failed: parts that name options it does not have are dropped.

An error is raised far below the commands, and several commands can reach it. A stale kit can be forced with ``--force``
in ``kit verify``, but not in ``kit diff``. A hint therefore has parts. A part is dropped if it names an option that its
command does not have. Its command is the one that the part names (``kit verify --trust``), else the one that failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from kit.errors import KitError

_PARTS = re.compile(r"(; |, or )")
_WORDS = re.compile(r"[^\s,:;()]+")
_OPTION = re.compile(r"--[a-z][a-z0-9-]*")
_OTHERS = frozenset({"dask"})
"""Other programs, whose options are not checked."""


def filter_hints(error: KitError, context: click.Context) -> None:
    """Drop the parts of an error's hints that do not fit the command of ``context``."""
    for one in (error, *error.also):
        if one.hint:
            one.hint = filter_hint(one.hint, context)


def filter_hint(hint: str, context: click.Context) -> str:
    """Return a hint without the parts that name options its command does not have."""
    parts = _PARTS.split(hint)
    kept = ""
    for number in range(0, len(parts), 2):
        if not any(True for _ in unknown_options(parts[number], context)):
            kept += (parts[number - 1] if kept and number else "") + parts[number]
    return kept


def unknown_options(part: str, context: click.Context) -> Iterator[str]:
    """Yield each option in a part of a hint that its command does not have."""
    words = [word.rstrip(".") for word in _WORDS.findall(part)]
    scope: click.Command | None = context.command
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word in _OTHERS:
            scope = None
        elif word == "kit":
            named, length = _named_command(words[position:], context)
            scope, position = named or scope, position + length
        elif scope is not None and _OPTION.fullmatch(word) and word not in _options(scope, context):
            yield word


def _named_command(words: list[str], context: click.Context) -> tuple[click.Command | None, int]:
    """Return the command that the words begin with and the length of its name; None if "kit" is a noun."""
    command: click.Command = context.find_root().command
    length = 0
    for word in words:
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        command, length = inner, length + 1
    return (command, length) if length else (None, 0)


def _options(command: click.Command, context: click.Context) -> set[str]:
    found = {"--help", "--version"} if command is context.find_root().command else {"--help"}
    for parameter in command.params:
        found.update(parameter.opts, parameter.secondary_opts)
    return found
