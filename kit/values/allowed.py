"""What a user permits in a container that is refused otherwise; verdicts and records list what was permitted."""

from __future__ import annotations

from dataclasses import dataclass

from kit.values.member_path import NameClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Exceptions from the rules of schemas/archive.md; none by default."""

    links: bool = False
    """Links that stay inside the kit (``--allow-links``)."""
    names: frozenset[NameClass] = frozenset()
    """Classes of names that Windows reads differently (``--allow-names CLASS``)."""
    records: frozenset[str] = frozenset()
    """Keys of PAX records that are not known to be harmless (``--allow-records KEY``); some are never accepted."""


STRICT = Allowed()
