"""What is kept of a document while two kits are compared: who it is, a digest, and what the observation is about.

An advisory is (tenant, vendor, upstream id); each of its revisions is an observation of its own, since observations are
append-only. Law: a sketch is bounded, whatever the document holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kit.comparison.values import bounded
from kit.documents import Kind, Place, Run, document_id, index, string_at
from kit.errors import BsonError
from kit.transforms.coverage import NO_TENANT, is_observations
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.shape import OBSERVATION, RAW_LINKSET, Place as FieldPlace
from kit.values import CollectionName

_RAW_LINKSET = RAW_LINKSET.encode()
_MOMENTS = FieldPlace.parse("upstream.receivedAt", "upstream.received_at", "upstream.fetchedAt", "createdAt")
_LEAST = -(2**63)
# Where each format says that its publisher took an advisory back, and the values that say so; None for any value.
_WITHDRAWN: tuple[tuple[FieldPlace, frozenset[str] | None], ...] = (
    (FieldPlace.parse("content.raw.withdrawn", "content.raw.withdrawn_at"), None),  # OSV, GHSA: a time
    (FieldPlace.parse("content.raw.cveMetadata.state"), frozenset({"rejected"})),  # CVE JSON 5
    (FieldPlace.parse("content.raw.document.category"), frozenset({"csaf_withdrawn"})),  # CSAF 2.1, 4.6
)


class Advisory(NamedTuple):
    """What an observation is about, and which of its advisory's observations it is."""

    tenant: str
    vendor: str
    upstream_id: str
    moment: int
    """When it was received, in milliseconds since 1970; the least number where it does not say."""
    withdrawn: bool
    raw_linkset: bool


class Sketch(NamedTuple):
    """One document. A plain tuple for the process border, at a third of a dataclass's price."""

    identity: bytes
    """Digest of the ``_id``, type included; of the whole document where it has none."""
    digest: bytes
    """SHA-256 of the document."""
    name: str
    """The ``_id`` as a person would write it."""
    advisory: Advisory | None


@dataclass(frozen=True, slots=True)
class Sketches:
    """Of the documents of a run, in order."""

    each: list[Sketch]

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return len(self.each)


def sketch_run(name: CollectionName, run: Run) -> Sketches:
    """Sketch the documents of a run.

    Raises:
        BsonError: One is malformed where it was looked at; names its ordinal.
    """
    return Sketches(sketches(name, run, run.first))


def sketches(name: CollectionName, documents: Iterable[bytes], first: int = 0) -> list[Sketch]:
    """As :func:`sketch_run`, without its box."""
    observed = is_observations(name)
    made: list[Sketch] = []
    for ordinal, document in enumerate(documents, first):
        try:
            made.append(_sketch(document, observed=observed))
        except BsonError as error:
            raise error.inside(f"document {ordinal:,}") from error.__cause__
    return made


def _sketch(document: bytes, *, observed: bool) -> Sketch:
    digest = hashlib.sha256(document).digest()
    places = index(document)
    place = places.get(b"_id")
    if place is None:
        # Without an identity it can only be the same document or another one.
        return Sketch(hashlib.sha256(b"\0" + digest).digest(), digest, "(none)", None)
    kind, start, end = place
    identity = hashlib.sha256(b"%c%b" % (kind, document[start:end])).digest()
    return Sketch(identity, digest, document_id(document), _advisory(document, places) if observed else None)


def _advisory(document: bytes, places: dict[bytes, Place]) -> Advisory | None:
    """Read what an observation is about; None where it does not say."""
    fields = Fields(document)
    vendor, upstream_id = fields.text(OBSERVATION.vendor), fields.text(OBSERVATION.upstream_id)
    if vendor is None or upstream_id is None:
        return None
    received = fields.find(_MOMENTS)
    is_dated = received is not None and received[0] == Kind.DATETIME
    return Advisory(
        tenant=bounded(fields.text(OBSERVATION.tenant) or NO_TENANT),
        vendor=bounded(vendor),
        upstream_id=bounded(upstream_id),
        moment=int.from_bytes(document[received[1] : received[2]], "little", signed=True)
        if is_dated and received is not None
        else _LEAST,
        withdrawn=_is_withdrawn(fields),
        raw_linkset=_RAW_LINKSET in places,
    )


def _is_withdrawn(fields: Fields) -> bool:
    for place, values in _WITHDRAWN:
        found = fields.find(place)
        if found is None or found[0] != Kind.STRING:
            # A GHSA time may have become a date on its way into the database.
            if found is not None and values is None and found[0] == Kind.DATETIME:
                return True
            continue
        text = string_at(fields.document, found)
        if (text.lower() in values) if values is not None else text:
            return True
    return False
