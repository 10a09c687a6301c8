"""Hints name what the user can do with the command that failed: options that it does not have are left out.

An error is raised far below the commands, and several can reach it: a kit that is stale is a kit to insist on with
``--force`` for ``kit verify``, and for ``kit diff`` it is not. So a hint is made of parts, and each part that names an
option which its command does not have is dropped: the command that the part names (``kit verify --trust``), else the
one that failed.
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
"""Programs of others, whose options are theirs."""


def fit(error: KitError, context: click.Context) -> None:
    """Leave in the hints of an error what holds for the command of ``context``."""
    for one in (error, *error.also):
        if one.hint:
            one.hint = fitting(one.hint, context)


def fitting(hint: str, context: click.Context) -> str:
    """Return the parts of a hint that name nothing which its command does not have."""
    parts = _PARTS.split(hint)
    kept = ""
    for number in range(0, len(parts), 2):
        if not any(True for _ in unknown(parts[number], context)):
            kept += (parts[number - 1] if kept and number else "") + parts[number]
    return kept


def unknown(part: str, context: click.Context) -> Iterator[str]:
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
            named, length = _named(words[position:], context)
            scope, position = named or scope, position + length
        elif scope is not None and _OPTION.fullmatch(word) and word not in _options(scope, context):
            yield word


def _named(words: list[str], context: click.Context) -> tuple[click.Command | None, int]:
    """Return the command that words begin with, and how many words its name has; None where "kit" is the noun."""
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
