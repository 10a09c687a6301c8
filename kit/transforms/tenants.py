"""Counts the tenants of a run, with one look at the top level of each document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from kit.documents.elements import elements, index, string_at
from kit.documents.kinds import Kind
from kit.errors import BsonError
from kit.transforms.projections import MISSING, state_of

_STRING: Final = int(Kind.STRING)
_TENANT: Final = b"\x02tenant\0"
"""The first bytes of the element."""


def readable_tenant(document: bytes) -> bytes:
    """Return the value bytes of the tenant of a document whose top level is malformed, or repeats a name.

    Empty unless it occurs exactly once, as far as the walk goes, and is a string of valid UTF-8: a certain tenant is
    reported also for an unreadable document, so that the tenant's coverage does not look complete.
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
    """The tenants of a run of documents, and for observations the state of their projections.

    Attributes:
        documents: Number of documents.
        bytes: Bytes of all documents.
        counts: (value bytes of the tenant, state of :mod:`kit.transforms.projections`) → documents. The bytes are empty
            unless the tenant is a string of valid UTF-8; the state is -1 unless they are observations. A document whose
            top level cannot be read counts as without ``rawLinkset``.
    """

    __slots__ = ("bytes", "counts", "documents")

    def __init__(self, documents: Iterable[bytes], *, observed: bool, walked: bool) -> None:
        """Count ``documents``.

        Args:
            documents: BSON.
            observed: Whether they are observations.
            walked: Whether their top levels are known to be sound. A document without the bytes of a tenant is then not
                walked: a search costs less.
        """
        self.documents = 0
        self.bytes = 0
        self.counts: dict[tuple[bytes, int], int] = {}
        search = walked and not observed
        valid = {b""}
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
                        if text not in valid:
                            string_at(text, (_STRING, 0, len(text)))
                            valid.add(text)
                except BsonError:
                    text = readable_tenant(document)
            self.documents += 1
            self.bytes += len(document)
            key = (text, state)
            self.counts[key] = self.counts.get(key, 0) + 1
