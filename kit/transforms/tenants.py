"""Whose documents a run holds: one look at the top level of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from kit.documents.elements import elements, index, string_at
from kit.documents.kinds import Kind
from kit.errors import BsonError
from kit.transforms.projections import MISSING, state_of

_STRING: Final = int(Kind.STRING)
_TENANT: Final = b"\x02tenant\0"
"""How the element begins."""


def readable_tenant(document: bytes) -> bytes:
    """Return the value bytes of the tenant of a document whose top level is malformed, or repeats a name.

    Empty unless it is there exactly once, as far as the walk goes, and is a string of UTF-8: of an unreadable document
    as much is told as is certain, so that the coverage of its tenant is not taken for complete.
    """
    found = b""
    try:
        for element in elements(document):
            if element.name == b"tenant":
                if found or element.kind != _STRING:
                    return b""
                string_at(document, element)
                found = document[element.value : element.end]
    except BsonError:
        pass
    return found


@final
class Tenants:
    """The tenants met in a run of documents, and for observations which projections they have.

    Attributes:
        documents: How many there are.
        bytes: Of all of them.
        counts: (value bytes of the tenant, state of :mod:`kit.transforms.projections`) → documents; no bytes where
            there is no tenant that is a string of UTF-8, -1 where they are no observations;
            one whose top level cannot be read has no ``rawLinkset``.
    """

    __slots__ = ("bytes", "counts", "documents")

    def __init__(self, documents: Iterable[bytes], *, observed: bool, walked: bool) -> None:
        """Look at ``documents``.

        Args:
            documents: BSON.
            observed: Whether they are observations.
            walked: Whether their top level is known to be sound. One that has the bytes of no tenant anywhere is then
                not walked: to search costs less.
        """
        self.documents = 0
        self.bytes = 0
        self.counts: dict[tuple[bytes, int], int] = {}
        search = walked and not observed
        met = {b""}
        unread = MISSING if observed else -1
        for document in documents:
            text, state = b"", unread
            if not search or _TENANT in document:
                try:
                    places = index(document)
                    if observed:
                        state = state_of(document, places)
                    tenant = places.get(b"tenant")
                    if tenant is not None and tenant[0] == _STRING:
                        text = document[tenant[1] : tenant[2]]
                        if text not in met:
                            string_at(text, (_STRING, 0, len(text)))
                            met.add(text)
                except BsonError:
                    text = readable_tenant(document)
            self.documents += 1
            self.bytes += len(document)
            key = (text, state)
            self.counts[key] = self.counts.get(key, 0) + 1
