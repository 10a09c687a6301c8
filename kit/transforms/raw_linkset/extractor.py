"""The protocol of extractors: one upstream format, as a pure function from its document to a projection.

An extractor is found by the name of a format (``registry``), declares the names it reads, and must never raise. A value
that does not match the schema is skipped and counted, because one odd value of an upstream must not cost a tenant its
migration. A document that is *not of the format at all* (another version, no identifier) is refused instead, in
:attr:`Extraction.refusal`.

Rules for built-in extractors, and for added ones:

- Containers are ``dict`` and ``list``, strings are exactly ``str``, as from ``bson.decode`` and ``json.loads``.
- A value that is not a string where one is expected counts one skipped, null included unless the format's schema allows
  it there. A value of another type instead of a list or object counts one skipped as a whole; null counts as an empty
  one, since Go and Java writers encode "no elements" that way (the OSV schema has ``["array", "null"]``).
- An unknown container, where the format's schema closes the list of names, counts one skipped: a later version may keep
  there what is taken elsewhere today.
- ``reconciled_from`` has one RFC 6901 pointer for each value taken: aliases, purls, cpes, references, in that order.

The four built-in formats are mostly lists of strings. :class:`Pointers` makes the pointers once for each list and index
and reuses them for every document, so a list costs one comprehension and one slice, not a formatted string for each
value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from kit.transforms.raw_linkset.projection import Extraction, Projection, Reference

__all__ = ["OTHERS", "Extraction", "Extractor", "Needs", "Pointers", "ProjectionBuilder", "elements", "take_strings"]

Needs: TypeAlias = "Mapping[str, Needs | None]"
"""The names read of an object: None for a whole value, else what is read of it. Lists are transparent: what is read of
a list is read of each of its items. :data:`OTHERS` requests the names of all other members, each with None as its
value, so that unknown members can be counted without being decoded."""
OTHERS: Final = ""


class Extractor(Protocol):
    """One upstream format; instances are stateless, picklable by reference to their module, and cheap to call."""

    @property
    def name(self) -> str:
        """The format's name in reports and messages."""
        ...

    @property
    def formats(self) -> frozenset[str]:
        """The names of ``content.format`` it answers to, each as it is looked up: lower case, words joined by hyphens.

        ``csaf`` answers to a name without a version, ``csaf-2`` to every version 2 (``CSAF 2.0``, ``csaf-2.1``),
        ``csaf-2.0`` to that one.
        """
        ...

    @property
    def needs(self) -> Needs:
        """All that is read of the raw document, so that callers can decode only that."""
        ...

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Return whether ``raw`` is certainly of this format; called only if a document does not name its format."""
        ...

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        """Return the projection of ``raw``; never raise, never change it."""
        ...


_EXTENSIONS: Final = ("x_", "$")
_KEPT: Final = 128
"""Pointers cached for one list; longer lists are rare, and their pointers are made anew."""


class Pointers:
    """The pointers ``<prefix>/0``, ``<prefix>/1`` … of one list's elements, each with ``suffix`` appended."""

    __slots__ = ("_known", "_prefix", "_suffix")

    def __init__(self, prefix: str, suffix: str = "", *, kept: int = _KEPT) -> None:
        """Cache the first ``kept`` pointers; 0 for a list of a single document.

        ``prefix`` and ``suffix`` are literal pointers. The built-ins use the formats' own names in them, none of which
        needs the escapes of RFC 6901, section 3.
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
        """Return the pointers of the first ``count`` elements, except those at the places ``lost``."""
        if not lost:
            return self.first(count)
        skipped = frozenset(lost)
        return tuple(self[index] for index in range(count) if index not in skipped)

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
    """Return ``values`` if it is a list, else an empty list; and the number skipped (None is an absent list)."""
    if isinstance(values, list):
        return values, 0
    return [], values is not None


@dataclass(slots=True)
class ProjectionBuilder:
    """Builds a projection, for formats that scatter the values of one list; each list has its pointers."""

    aliases: list[str] = field(default_factory=list)
    purls: list[str] = field(default_factory=list)
    cpes: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    alias_pointers: list[str] = field(default_factory=list)
    purl_pointers: list[str] = field(default_factory=list)
    cpe_pointers: list[str] = field(default_factory=list)
    reference_pointers: list[str] = field(default_factory=list)
    skipped: int = 0

    def take_list(self, values: object) -> list[Any]:
        """Return the list, or an empty one; anything else but None counts one skipped."""
        found, lost = elements(values)
        self.skipped += lost
        return found

    def take_objects(self, values: object) -> list[tuple[int, dict[str, Any]]]:
        """Return the objects of a list with their places; everything else in it counts one skipped."""
        listed = self.take_list(values)
        found = [(index, value) for index, value in enumerate(listed) if isinstance(value, dict)]
        self.skipped += len(listed) - len(found)
        return found

    def take_member(self, owner: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return the object called ``name``, or an empty one; anything else but None counts one skipped."""
        value = owner.get(name)
        if isinstance(value, dict):
            return value
        self.skipped += value is not None
        return {}

    def take_text(self, owner: Mapping[str, Any], name: str) -> str | None:
        """Return the string called ``name``; any other value counts one skipped."""
        value = owner.get(name)
        if type(value) is str:
            return value
        self.skipped += name in owner
        return None

    def count_unknown(self, owner: Mapping[str, Any], known: frozenset[str]) -> None:
        """Count one skipped for each member of ``owner`` that its schema does not have.

        Names that begin with ``x_`` or ``$`` belong to private extensions and to JSON Schema itself.
        """
        if not known.issuperset(owner):
            self.skipped += sum(name not in known and not name.startswith(_EXTENSIONS) for name in owner)

    def add_string(
        self, owner: Mapping[str, Any], name: str, where: str, taken: list[str], pointers: list[str]
    ) -> None:
        """Add the string called ``name`` of the object whose pointer is ``where``."""
        value = owner.get(name)
        if type(value) is str:
            taken.append(value)
            pointers.append(f"{where}/{name}")
        else:
            self.skipped += name in owner

    def add_strings(self, values: object, where: str, taken: list[str], pointers: list[str]) -> None:
        """Add the strings of a list whose pointer is ``where``."""
        for index, value in enumerate(self.take_list(values)):
            if type(value) is str:
                taken.append(value)
                pointers.append(f"{where}/{index}")
            else:
                self.skipped += 1

    def finish(self, missing: str) -> Extraction:
        """Return the extraction; without any alias it is refused with ``missing`` as the reason."""
        pointers = (*self.alias_pointers, *self.purl_pointers, *self.cpe_pointers, *self.reference_pointers)
        projection = Projection(
            tuple(self.aliases), tuple(self.purls), tuple(self.cpes), tuple(self.references), None, None, pointers, {}
        )
        return Extraction(projection, self.skipped, None if self.aliases else missing)
