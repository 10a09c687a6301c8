"""What an extractor is: the knowledge of one upstream format, as a pure function from its document to a projection.

An extractor is found by the name of a format (``registry``), told the few top-level names it will be handed, and must
never raise: whatever stands in the document where its schema has something else is skipped and counted, because one odd
value of an upstream must not cost a tenant its migration. A document that is *not of the format at all* (another
version, no identifier) is refused instead, in :attr:`Extraction.refusal`.

What every built-in keeps to, and an added one should:

- Containers are ``dict`` and ``list``, strings are exactly ``str``, as ``bson.decode`` and ``json.loads`` give them.
- A value that is not a string where one is expected counts one skipped, null included unless the format's schema allows
  it there. A list or object of another type counts one skipped as a whole; null instead of it is an empty one, since
  Go and Java writers say "no elements" that way (the OSV schema spells ``["array", "null"]``).
- A container of a name that the format does not have, where the format's schema closes the list of names, counts one
  skipped: a later version may keep there what is taken elsewhere today.
- ``reconciled_from`` has one RFC 6901 pointer for each value taken: aliases, purls, cpes, references, in that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from kit.transforms.raw_linkset.projection import Extraction

__all__ = ["OTHERS", "Extraction", "Extractor", "Needs"]

Needs: TypeAlias = "Mapping[str, Needs | None]"
"""Names read of an object: None for all of a value, else what is read of it. Lists are transparent: what is read of a
list is read of each of its items. :data:`OTHERS` asks for the names of all other members, each with None as its value,
so that what an extractor does not know can be counted without being decoded."""
OTHERS: Final = ""


class Extractor(Protocol):
    """One upstream format; instances are stateless, picklable by reference to their module, and cheap to call."""

    @property
    def name(self) -> str:
        """The format's name in reports and messages."""
        ...

    @property
    def formats(self) -> frozenset[str]:
        """The names of ``content.format`` it answers to, in the form :func:`registry.format_name` gives them.

        ``csaf`` answers to a name without a version, ``csaf-2`` to every version 2 (``CSAF 2.0``, ``csaf-2.1``),
        ``csaf-2.0`` to that one.
        """
        ...

    @property
    def needs(self) -> Needs:
        """All that is read of the raw document, so that a caller may decode just that."""
        ...

    def recognises(self, raw: Mapping[str, Any]) -> bool:
        """Whether ``raw`` is certainly of this format; asked only where a document does not name its format."""
        ...

    def extract(self, raw: Mapping[str, Any]) -> Extraction:
        """Project ``raw``; never raises, never changes it."""
        ...
