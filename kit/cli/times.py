"""Times of the command line, and the only place of the commands that reads the clock."""

from __future__ import annotations

import re
import time as clock

import click
from click.core import ParameterSource

from kit.errors import ContentError, UsageError
from kit.values import Timestamp

_EXAMPLE = "a time is 2026-01-02T03:04:05Z, or seconds since 1970"


def read_clock() -> Timestamp:
    """Return the time of the clock."""
    return Timestamp(int(clock.time()))


def parse_time(text: str, option: str) -> Timestamp:
    """Return the time that ``option`` has.

    Raises:
        UsageError: The text is not a time.
    """
    try:
        return Timestamp.parse(text)
    except ContentError as error:
        raise UsageError(f"{_source(option)}: {error.what}{_fault(text)}", hint=_EXAMPLE) from error


def _source(option: str) -> str:
    """Return the source of the text: the option, or the environment variable that replaces it."""
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context is not None else ():
        if context is not None and option in parameter.opts and isinstance(parameter.envvar, str):
            source = context.get_parameter_source(parameter.name or "")
            return parameter.envvar if source is ParameterSource.ENVIRONMENT else option
    return option


def _fault(text: str) -> str:
    """Return why a text is not a time, if that is known."""
    if text.isascii() and text.isdigit():
        return ": it is after the year 9999"
    if re.fullmatch(r"-[0-9]+", text):
        return ": it is before 1970"
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return ": the time of the day is missing"
    if re.fullmatch(r".+[+-][0-9]{2}:?[0-9]{2}", text):
        return ": it is in another zone than UTC"
    return ": the zone is missing" if re.fullmatch(r"[0-9-]+[T ][0-9:.]+", text) else ""


def time_or_now(text: str | None, option: str = "--at") -> Timestamp:
    """Return the time that ``option`` has, else that of the clock.

    Raises:
        UsageError: The text is not a time.
    """
    return parse_time(text, option) if text is not None else read_clock()
