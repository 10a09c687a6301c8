"""Time stamps of manifests and archives: RFC 3339, UTC, whole seconds."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Self

from kit.errors import ContentError

_RFC3339_UTC = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Seconds since 1970-01-01T00:00:00Z, to year 9999 (files: before, too). Law: ``Timestamp.parse(str(t)) == t``."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the time of an RFC 3339 UTC time stamp or of a count of seconds (``SOURCE_DATE_EPOCH``).

        Fractions of a second are dropped.

        Raises:
            ContentError: ``text`` is neither, has another zone, or is no date of the calendar from 1970 on.
        """
        if text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= 253402300799:
            return cls(int(text))
        match = _RFC3339_UTC.fullmatch(text)
        try:
            # A tenth of the time of strptime, which a keyring of a million keys would spend a million times.
            moment = dt.datetime.fromisoformat(f"{match[1]}+00:00") if match else _NEVER
        except ValueError:
            moment = _NEVER
        if moment.year < 1970:
            raise ContentError(f"{text!r} is not an RFC 3339 UTC time stamp from 1970 on")
        return cls(int(moment.timestamp()))

    def __str__(self) -> str:
        moment = dt.datetime.fromtimestamp(self.seconds, tz=dt.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
