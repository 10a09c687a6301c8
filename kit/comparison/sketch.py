"""What is kept of a document while two kits are compared: who it is, a digest, and what the observation is about.

An advisory is (tenant, vendor, upstream id); each of its revisions is an observation of its own, since observations are
append-only. Law: a sketch is bounded, whatever the document holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from kit.comparison.values import bounded
from kit.documents import Kind, Place, Run, core, document_name, elements, find, index, remove, string_at
from kit.errors import BsonError, KitError
from kit.transforms.coverage import NO_TENANT, is_observations
from kit.transforms.projections import is_shape_v1
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.shape import NAMES, OBSERVATION, RAW_LINKSET, Place as FieldPlace
from kit.values import CollectionName

_RAW_LINKSET = RAW_LINKSET.encode()
_MOMENTS = FieldPlace.parse("upstream.receivedAt", "upstream.received_at", "upstream.fetchedAt", "createdAt")
_LEAST = -(2**63)
_LONGEST_REASON = 200
# Where each format says that its publisher took an advisory back, and the values that say so; None for any value.
_WITHDRAWN: tuple[tuple[FieldPlace, frozenset[str] | None], ...] = (
    (FieldPlace.parse("content.raw.withdrawn", "content.raw.withdrawn_at"), None),  # OSV, GHSA: a time
    (FieldPlace.parse("content.raw.cveMetadata.state"), frozenset({"rejected"})),  # CVE JSON 5
    (FieldPlace.parse("content.raw.document.category"), frozenset({"csaf_withdrawn"})),  # CSAF 2.1, 4.6
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Where observations keep what they are about, as the core is handed it."""

    tenant: FieldPlace
    vendor: FieldPlace
    upstream_id: FieldPlace
    moments: FieldPlace
    withdrawn: Sequence[tuple[Sequence[Sequence[str]], AbstractSet[str] | None]]
    """The paths of a place, and the values in lower case that say so; None for any."""


OBSERVED: Final = Observed(
    tenant=OBSERVATION.tenant,
    vendor=OBSERVATION.vendor,
    upstream_id=OBSERVATION.upstream_id,
    moments=_MOMENTS,
    withdrawn=tuple((place.paths, values) for place, values in _WITHDRAWN),
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


class Appended(NamedTuple):
    """A document that ends in a ``rawLinkset``."""

    without: bytes
    """SHA-256 of the document without it."""
    elements: int
    """How many elements that has."""


class Sketch(NamedTuple):
    """One document. A plain tuple for the process border, at a third of a dataclass's price."""

    identity: bytes
    """Digest of the ``_id``, type included; of the whole document where it has none."""
    digest: bytes
    """SHA-256 of the document."""
    name: str
    """The ``_id`` as a person would write it."""
    advisory: Advisory | None
    unread: str = ""
    """Why a part of it could not be read; "" where all that was asked for could."""
    appended: Appended | None = None
    """Where its last element is a ``rawLinkset`` of shape v1, which comes last where it was appended."""


@dataclass(frozen=True, slots=True)
class Sketches:
    """Of the documents of a run, in order."""

    each: Sequence[Sketch]

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return len(self.each)


def sketch_run(name: CollectionName, run: Run) -> Sketches:
    """Sketch the documents of a run; what cannot be read in one is part of its sketch."""
    if core.sketch is None:
        return Sketches(sketches(name, run))
    observed = OBSERVED if is_observations(name) else None
    found = core.sketch(run.data, run.ends, NAMES, observed)
    if found is None:
        return Sketches(sketches(name, run))
    return Sketches(
        [
            _of_core(*one) if one is not None else _sketch(document, observed=observed is not None)
            for one, document in zip(found, run, strict=True)
        ]
    )


def _of_core(
    identity: bytes,
    digest: bytes,
    name: str,
    about: tuple[str, str, str, int, bool, bool] | None,
    appended: tuple[bytes, int] | None,
) -> Sketch:
    advisory = Advisory(*about) if about is not None else None
    return Sketch(identity, digest, name, advisory, "", Appended(*appended) if appended is not None else None)


def sketches(name: CollectionName, documents: Iterable[bytes]) -> list[Sketch]:
    """As :func:`sketch_run`, without its box."""
    observed = is_observations(name)
    return [_sketch(document, observed=observed) for document in documents]


def _sketch(document: bytes, *, observed: bool) -> Sketch:
    digest = hashlib.sha256(document).digest()
    places, unread = {}, ""
    try:
        places = index(document)
        place = places.get(b"_id")
    except BsonError as error:
        place, unread = _first_id(document), reason(error)
    name = document_name(document)
    if place is None:
        # Without an identity it can only be the same document or another one.
        return Sketch(hashlib.sha256(b"\0" + digest).digest(), digest, name, None, unread)
    kind, start, end = place
    identity = hashlib.sha256(b"%c%b" % (kind, document[start:end])).digest()
    advisory = None
    if observed and not unread:
        try:
            fields = Fields(document)
            advisory = _advisory(fields, places)
            if advisory is not None:
                advisory = advisory._replace(withdrawn=_is_withdrawn(fields))
        except BsonError as error:
            unread = reason(error)
    return Sketch(identity, digest, name, advisory, unread, _appended(document, places))


def _appended(document: bytes, places: dict[bytes, Place]) -> Appended | None:
    kind, start, end = places.get(_RAW_LINKSET, (Kind.NULL, 0, 0))
    if kind != Kind.DOCUMENT or end != len(document) - 1 or not is_shape_v1(document, start, end, NAMES.layout):
        return None
    before = remove(document, [RAW_LINKSET])
    return Appended(hashlib.sha256(before).digest(), sum(1 for _ in elements(document, start)))


def reason(error: KitError) -> str:
    """Return why a document cannot be read, in a bounded text."""
    return str(error)[:_LONGEST_REASON]


def _first_id(document: bytes) -> Place | None:
    """Return where the ``_id`` is in a document whose top level is malformed behind it, or has a name twice."""
    try:
        return next((element[2:] for element in elements(document) if element.name == b"_id"), None)
    except BsonError:
        return None


def _advisory(fields: Fields, places: dict[bytes, Place]) -> Advisory | None:
    """Return what an observation is about, withdrawn or not; None where it does not say.

    Raises:
        BsonError: That cannot be read.
    """
    document = fields.document
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
        withdrawn=False,
        raw_linkset=_RAW_LINKSET in places,
    )


def _is_withdrawn(fields: Fields) -> bool:
    """Whether an observation says that its publisher withdrew the advisory.

    Raises:
        BsonError: That cannot be read.
    """
    for place, values in _WITHDRAWN:
        found = _found(fields, place)
        if found is None or found[0] != Kind.STRING:
            # A GHSA time may have become a date on its way into the database.
            if found is not None and values is None and found[0] == Kind.DATETIME:
                return True
            continue
        text = string_at(fields.document, found)
        if (text.lower() in values) if values is not None else text:
            return True
    return False


def _found(fields: Fields, place: FieldPlace) -> Place | None:
    """Return what ``place`` names; where a level has a name twice, that matters only if it is one on the way.

    Raises:
        BsonError: It is on the way, or a level is malformed.
    """
    try:
        return fields.find(place)
    except BsonError:
        each = (find(fields.document, path) for path in place.paths)
        return next((one[2:] for one in each if one is not None and one.kind != Kind.NULL), None)
