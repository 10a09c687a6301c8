"""Times that the user gives, and the one place of the commands where the clock gives one instead."""

from __future__ import annotations

import re
import time as clock

import click
from click.core import ParameterSource

from kit.errors import ContentError, UsageError
from kit.values import Timestamp

_EXAMPLE = "a time is 2026-01-02T03:04:05Z, or a count of seconds since 1970"


def now() -> Timestamp:
    """Read the clock."""
    return Timestamp(int(clock.time()))


def parsed(text: str, option: str) -> Timestamp:
    """Read a time given with ``option``.

    Raises:
        UsageError: It is none.
    """
    try:
        return Timestamp.parse(text)
    except ContentError as error:
        raise UsageError(f"{_source(option)}: {error.what}{_fault(text)}", hint=_EXAMPLE) from error


def _source(option: str) -> str:
    """Name what the user gave: the variable of the environment where that stands in for the option."""
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context is not None else ():
        if context is not None and option in parameter.opts and isinstance(parameter.envvar, str):
            source = context.get_parameter_source(parameter.name or "")
            return parameter.envvar if source is ParameterSource.ENVIRONMENT else option
    return option


def _fault(text: str) -> str:
    """Return what keeps a text from being a time, where that can be told."""
    if text.isascii() and text.isdigit():
        return ": so many seconds are after the year 9999"
    if re.fullmatch(r"-[0-9]+", text):
        return ": it is before 1970"
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return ": the time of the day is missing"
    if re.fullmatch(r".+[+-][0-9]{2}:?[0-9]{2}", text):
        return ": it is in another zone than UTC"
    return ": the zone is missing" if re.fullmatch(r"[0-9-]+[T ][0-9:.]+", text) else ""


def moment(text: str | None, option: str = "--at") -> Timestamp:
    """Take the time as an input; only where none is given, read the clock, once.

    Raises:
        UsageError: It is no time.
    """
    return parsed(text, option) if text is not None else now()
