"""``--max-memory`` and ``--nice``: the share of the machine for a long run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.ops.kits import Environment

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MAX_DIGITS = 12
MAX_NICE = 19


def machine_options(command: Command) -> Command:
    """Add ``--max-memory`` and ``--nice``."""
    for option in reversed(
        (
            click.option(
                "--max-memory",
                metavar="SIZE",
                help="Limit the memory of all processes together: 512M, 2G. Fewer workers run, with less in flight.",
            ),
            click.option(
                "--nice",
                type=click.IntRange(0, MAX_NICE),
                metavar="N",
                help="Add N to the niceness of this process and its workers.",
            ),
        )
    ):
        command = option(command)
    return command


def limit_environment(environment: Environment, max_memory: str | None, nice: int | None) -> Environment:
    """Return the environment within ``--max-memory``, and apply ``--nice`` to this process.

    Raises:
        UsageError: The size is malformed, or too small for one worker.
    """
    from kit.engine.memory import allotment

    if nice:
        os.nice(nice)
    if max_memory is None:
        return environment
    found = allotment(environment.workers, _size(max_memory))
    return replace(environment, workers=found.workers, budget_per_worker=found.budget)


def _size(text: str) -> int:
    digits, unit = text.upper().removesuffix("IB").removesuffix("B"), 1
    if digits[-1:] in _UNITS:
        digits, unit = digits[:-1], _UNITS[digits[-1]]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise UsageError(f"--max-memory {text[:40]}: expected a size such as 512M or 2G")
    return int(digits) * unit
