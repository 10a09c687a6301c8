"""Counts what a collection holds: documents per tenant and, for observations, which projections they have.

One tally serves three uses: what a kit holds (inspect, verify), what it will hold (plan), and what was written
(the manifest's ``collections``). The tenants of a run are counted with one look at the top level of each document.
Laws, for every tenant of a collection of observations: ``documents == present + missing``, ``present == both + null +
other_type + other_shape + no_linkset``, ``unresolvable <= missing``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from kit.documents.elements import elements, index, string_at
from kit.documents.kinds import Kind
from kit.errors import BsonError
from kit.transforms import projections
from kit.transforms.projections import MISSING, state_of
from kit.values import CollectionName, Limits, MemoryPrice

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


OBSERVATIONS = "advisory_observations"
_DECIDING = frozenset({b"_id", b"tenant", b"rawLinkset"})
NO_TENANT = ""
"""The tenant of documents without a string ``tenant``."""


@dataclass(slots=True)
class TenantCoverage:
    """Counts of one tenant's documents."""

    documents: int = 0
    present: int = 0
    """Has a ``rawLinkset`` element of any kind. Those that are no projection are also counted by reason:"""
    null: int = 0
    """it is null,"""
    other_type: int = 0
    """it is neither null nor a document,"""
    other_shape: int = 0
    """it is a document, and not of shape v1,"""
    no_linkset: int = 0
    """it is of shape v1, and the canonical ``linkset`` is missing or no document."""
    missing: int = 0
    unresolvable: int = 0
    """Lacks it, and has no source for it; counted in ``missing`` too."""

    @property
    def both(self) -> int:
        """Documents with both projections: only these count as coverage."""
        return self.present - self.unsound

    @property
    def unsound(self) -> int:
        """Documents with a ``rawLinkset`` but not both projections."""
        return self.null + self.other_type + self.other_shape + self.no_linkset

    @property
    def lacking(self) -> int:
        """Documents without both projections."""
        return self.missing + self.unsound

    def lacks(self) -> dict[str, int]:
        """Return the counts of documents without both projections, by the reason's name in metrics; no zeros."""
        counts = {
            "missing": self.missing,
            "null": self.null,
            "other-type": self.other_type,
            "other-shape": self.other_shape,
            "no-linkset": self.no_linkset,
        }
        return {what: count for what, count in counts.items() if count}

    def add(self, other: TenantCoverage) -> None:
        """Add the counts of ``other``."""
        self.documents += other.documents
        self.present += other.present
        self.null += other.null
        self.other_type += other.other_type
        self.other_shape += other.other_shape
        self.no_linkset += other.no_linkset
        self.missing += other.missing
        self.unresolvable += other.unresolvable


@dataclass(slots=True)
class Tally:
    """Counts of one collection member, or of several added up."""

    documents: int = 0
    bytes: int = 0
    """Decoded bytes of all documents."""
    tenants: dict[str, TenantCoverage] = field(default_factory=dict)

    def tenant(self, name: str) -> TenantCoverage:
        """Return the coverage of a tenant, created if needed."""
        coverage = self.tenants.get(name)
        if coverage is None:
            coverage = self.tenants[name] = TenantCoverage()
        return coverage

    def add(self, other: Tally) -> None:
        """Add the counts of ``other``."""
        self.documents += other.documents
        self.bytes += other.bytes
        for name, coverage in other.tenants.items():
            self.tenant(name).add(coverage)

    def add_within(self, other: Tally, limits: Limits) -> None:
        """Add the counts of ``other`` within the limits.

        Raises:
            LimitError: There would be more than ``tenants``, or more kept in memory than allowed.
        """
        new = other.tenants.keys() - self.tenants.keys()
        limits.check("tenants", len(self.tenants) + len(new))
        limits.hold(sum(MemoryPrice.TENANT + sys.getsizeof(name) for name in new))
        self.add(other)


def is_observations(name: CollectionName) -> bool:
    """Return whether a collection holds advisory observations, in any database."""
    return name.collection == OBSERVATIONS


def tenant_of(document: bytes, places: Mapping[bytes, tuple[int, int, int]]) -> str:
    """Return the document's ``tenant``; :data:`NO_TENANT` unless it is a string of valid UTF-8."""
    place = places.get(b"tenant")
    try:
        return string_at(document, place) if place is not None and place[0] == Kind.STRING else NO_TENANT
    except BsonError:
        return NO_TENANT


def tenant_named(document: bytes) -> str:
    """Return the tenant that a document is counted for, whatever its bytes are."""
    ((value, _),) = Tenants([document], observed=False, walked=False).counts
    return _text(value)


def check_certain(name: CollectionName, document: bytes) -> None:
    """Check that a well-formed document repeats no element that decides how it is counted.

    A repeated name is legal in BSON, and which of the two counts depends on the reader.

    Raises:
        BsonError: It has ``_id``, ``tenant`` or, as an observation, ``rawLinkset`` twice.
    """
    try:
        index(document)
    except BsonError:
        deciding = _DECIDING if is_observations(name) else _DECIDING - {b"rawLinkset"}
        found: set[bytes] = set()
        for element in elements(document):
            if element.name in found:
                where = f'element "{element.name.decode()}": byte {element.start}'
                raise BsonError("repeated element name", where=where) from None
            found.update(deciding & {element.name})


def tally(name: CollectionName, documents: Iterable[bytes], *, walked: bool = False) -> Tally:
    """Return the tally of documents.

    A document whose top level is malformed, or repeats a name, counts as without ``rawLinkset``, for its tenant if that
    can be read: coverage never exceeds what can be read.

    With ``walked``, their top levels are known to be sound: a document without the bytes of a tenant is not walked.
    """
    total = Tally()
    observed = is_observations(name)
    counted = Tenants(documents, observed=observed, walked=walked)
    total.documents, total.bytes = counted.documents, counted.bytes
    tenants: dict[bytes, str] = {}
    for (value, state), count in counted.counts.items():
        if value not in tenants:
            tenants[value] = _text(value)
        coverage = total.tenant(tenants[value])
        coverage.documents += count
        if observed:
            coverage.present += count if state != projections.MISSING else 0
            coverage.missing += count if state == projections.MISSING else 0
            coverage.null += count if state == projections.NULL else 0
            coverage.other_type += count if state == projections.OTHER_TYPE else 0
            coverage.other_shape += count if state == projections.OTHER_SHAPE else 0
            coverage.no_linkset += count if state == projections.NO_LINKSET else 0
    return total


def _text(value: bytes) -> str:
    """Return the tenant of these value bytes, known to be a string."""
    return string_at(value, (Kind.STRING, 0, len(value))) if value else NO_TENANT
