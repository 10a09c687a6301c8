"""The release of an extractor of another distribution, as the provenance and recipes of deltas name it.

The output of a document depends on the code that read it. For what comes with this program, the version of the
transform names that code; for an extractor of another distribution, name, distribution and version do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final, Self

from kit.values.fields import Fields

MEMBER: Final = "extractors"
"""The optional member that lists them."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class ExtractorRelease:
    """An extractor, and the distribution and version that it was loaded from."""

    name: str
    distribution: str
    version: str

    @classmethod
    def parse_all(cls, fields: Fields) -> tuple[Self, ...]:
        """Return those that an object lists as ``extractors``; none where it has no such member.

        Raises:
            KitError: Of the class of ``fields``: it is not a list of them, at least one, sorted by name, each once.
        """
        if MEMBER not in fields.members:
            return ()
        found = tuple(cls._parse(fields.of(one, f"{fields.place}.{MEMBER}")) for one in fields.items(MEMBER))
        if not found or any(later.name <= earlier.name for earlier, later in itertools.pairwise(found)):
            raise fields.refusal(f"{MEMBER} are expected sorted by name, each once, and at least one")
        return found

    @classmethod
    def _parse(cls, fields: Fields) -> Self:
        fields.exactly(("name", "distribution", "version"))
        return cls(name=fields.text("name"), distribution=fields.text("distribution"), version=fields.text("version"))

    def to_json(self) -> dict[str, str]:
        """Return the value for ``strict_json.canonical``."""
        return {"name": self.name, "distribution": self.distribution, "version": self.version}

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


def list_extractors(releases: tuple[ExtractorRelease, ...]) -> dict[str, list[dict[str, str]]]:
    """Return the member that lists ``releases``, in an object of its own; an empty object where there are none."""
    return {MEMBER: [one.to_json() for one in releases]} if releases else {}
