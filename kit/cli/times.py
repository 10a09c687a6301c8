"""Times that the user gives, and the one place of these commands that reads the clock."""

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
