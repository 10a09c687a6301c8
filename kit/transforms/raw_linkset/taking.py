"""Taking strings out of decoded JSON together with the pointers to where they stood (RFC 6901).

The four formats are mostly lists of strings. Pointers are made once for each list and index and reused for every
document, so a list costs one comprehension and one slice, not a formatted string for each value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.transforms.raw_linkset.projection import Extraction, Projection, Reference

_EXTENSIONS: Final = ("x_", "$")
_KEPT: Final = 128
"""Pointers kept for one list; longer lists are rare, and their pointers are made anew."""


class Pointers:
    """The pointers ``<prefix>/0``, ``<prefix>/1`` … of one list's elements, each with ``suffix`` appended."""

    __slots__ = ("_known", "_prefix", "_suffix")

    def __init__(self, prefix: str, suffix: str = "", *, kept: int = _KEPT) -> None:
        """Make the first ``kept`` pointers; 0 for a list of a single document.

        ``prefix`` and ``suffix`` are literal pointers. Names in those of the built-ins are the formats' own, so that
        none needs the escapes of RFC 6901, section 3.
        """
        self._prefix = prefix
        self._suffix = suffix
        self._known = tuple(f"{prefix}/{index}{suffix}" for index in range(kept))

    def first(self, count: int) -> tuple[str, ...]:
        """Return the pointers of the first ``count`` elements."""
        if count <= len(self._known):
            return self._known[:count]
        return tuple(f"{self._prefix}/{index}{self._suffix}" for index in range(count))

    def without(self, lost: list[int], count: int) -> tuple[str, ...]:
        """Return the pointers of the first ``count`` elements but for those at the places ``lost``."""
        if not lost:
            return self.first(count)
        gaps = frozenset(lost)
        return tuple(self[index] for index in range(count) if index not in gaps)

    def __getitem__(self, index: int) -> str:
        return self._known[index] if index < len(self._known) else f"{self._prefix}/{index}{self._suffix}"


def take_strings(values: object, where: Pointers, taken: list[str], pointers: list[str]) -> int:
    """Append the strings of the list ``values`` to ``taken`` and their pointers to ``pointers``.

    Returns:
        How many values were skipped: elements that are not strings, or 1 for something that is not a list (None is
        an absent list).
    """
    if not isinstance(values, list):
        return values is not None
    # The exact type: bson.Code is a subclass of str and would be written back as JavaScript.
    strings = [value for value in values if type(value) is str]
    taken += strings
    skipped = len(values) - len(strings)
    lost = [index for index, value in enumerate(values) if type(value) is not str] if skipped else []
    pointers += where.without(lost, len(values))
    return skipped


def elements(values: object) -> tuple[list[Any], int]:
    """Return ``values`` if it is a list, else an empty list and how many values that skips (None is an absent list)."""
    if isinstance(values, list):
        return values, 0
    return [], values is not None


@dataclass(slots=True)
class Gathered:
    """A projection in the making, for formats whose values of one list lie scattered; each list has its pointers."""

    aliases: list[str] = field(default_factory=list)
    purls: list[str] = field(default_factory=list)
    cpes: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    alias_pointers: list[str] = field(default_factory=list)
    purl_pointers: list[str] = field(default_factory=list)
    cpe_pointers: list[str] = field(default_factory=list)
    reference_pointers: list[str] = field(default_factory=list)
    skipped: int = 0

    def listed(self, values: object) -> list[Any]:
        """Give the list, or an empty one; anything else but None counts one skipped."""
        found, lost = elements(values)
        self.skipped += lost
        return found

    def objects(self, values: object) -> list[tuple[int, dict[str, Any]]]:
        """Give the objects of a list with their places; everything else in it counts one skipped."""
        listed = self.listed(values)
        found = [(index, value) for index, value in enumerate(listed) if isinstance(value, dict)]
        self.skipped += len(listed) - len(found)
        return found

    def member(self, owner: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Give the object called ``name``, or an empty one; anything else but None counts one skipped."""
        value = owner.get(name)
        if isinstance(value, dict):
            return value
        self.skipped += value is not None
        return {}

    def text(self, owner: Mapping[str, Any], name: str) -> str | None:
        """Give the string called ``name``; anything else that is there counts one skipped."""
        value = owner.get(name)
        if type(value) is str:
            return value
        self.skipped += name in owner
        return None

    def unknown(self, owner: Mapping[str, Any], known: frozenset[str]) -> None:
        """Count one skipped for each member of ``owner`` that its schema does not have.

        Names that open with ``x_`` or ``$`` are those of private extensions and of JSON Schema itself.
        """
        if not known.issuperset(owner):
            self.skipped += sum(name not in known and not name.startswith(_EXTENSIONS) for name in owner)

    def take(self, owner: Mapping[str, Any], name: str, where: str, taken: list[str], pointers: list[str]) -> None:
        """Take the string called ``name`` of the object whose pointer is ``where``."""
        value = owner.get(name)
        if type(value) is str:
            taken.append(value)
            pointers.append(f"{where}/{name}")
        else:
            self.skipped += name in owner

    def strings(self, values: object, where: str, taken: list[str], pointers: list[str]) -> None:
        """Take the strings of a list whose pointer is ``where``."""
        for index, value in enumerate(self.listed(values)):
            if type(value) is str:
                taken.append(value)
                pointers.append(f"{where}/{index}")
            else:
                self.skipped += 1

    def extraction(self, missing: str) -> Extraction:
        """Finish; a document without any alias is refused because of what is ``missing``."""
        pointers = (*self.alias_pointers, *self.purl_pointers, *self.cpe_pointers, *self.reference_pointers)
        projection = Projection(
            tuple(self.aliases), tuple(self.purls), tuple(self.cpes), tuple(self.references), None, None, pointers, {}
        )
        return Extraction(projection, self.skipped, None if self.aliases else missing)
