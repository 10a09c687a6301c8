"""Times that the user gives, and the one place of the commands where the clock gives one instead."""

from __future__ import annotations

import time as clock

from kit.errors import ContentError, UsageError
from kit.values import Timestamp


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
        raise UsageError(f"{option}: {error.what}") from error


def moment(text: str | None, option: str = "--at") -> Timestamp:
    """Take the time as an input; only where none is given, read the clock, once.

    Raises:
        UsageError: It is no time.
    """
    return parsed(text, option) if text is not None else now()
