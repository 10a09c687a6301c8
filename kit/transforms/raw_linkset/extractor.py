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
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from kit.transforms.raw_linkset.projection import Extraction

__all__ = ["OTHERS", "Extraction", "Extractor", "Needs"]

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
        """The names of ``content.format`` it answers to, in the form of :func:`registry.format_names`.

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
