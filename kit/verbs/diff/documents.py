"""Sketches documents of two kits, and compares pairs of them; workers do both.

A sketch is what is kept of a document during a comparison: its identity, a digest, and its advisory. An advisory is
(tenant, vendor, upstream id); each of its revisions is an observation of its own, since observations are append-only.
Pairs are compared in batches. Law: a sketch is bounded, whatever the document holds.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence, Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

import zstandard

from kit.documents import Kind, Place, Run, core, document_name, elements, find, index, remove, string_at, validate
from kit.errors import BsonError, KitError
from kit.transforms.coverage import NO_TENANT, is_observations
from kit.transforms.projections import is_shape_v1
from kit.transforms.raw_linkset.fields import Fields
from kit.transforms.raw_linkset.shape import NAMES, OBSERVATION, RAW_LINKSET, Place as FieldPlace
from kit.values import CollectionName, Limits
from kit.verbs.diff.fields import (
    RAW_LINKSET_FIELD,
    FieldChange,
    How,
    bound_name,
    compare,
    is_migration,
    render_document,
)

_RAW_LINKSET = RAW_LINKSET.encode()
_MOMENTS = FieldPlace.parse("upstream.receivedAt", "upstream.received_at", "upstream.fetchedAt", "createdAt")
_NO_MOMENT = -(2**63)
_MAX_REASON = 200
# Where each format marks an advisory as withdrawn by its publisher, and by which values; None for any value.
_WITHDRAWN: tuple[tuple[FieldPlace, frozenset[str] | None], ...] = (
    (FieldPlace.parse("content.raw.withdrawn", "content.raw.withdrawn_at"), None),  # OSV, GHSA: a time
    (FieldPlace.parse("content.raw.cveMetadata.state"), frozenset({"rejected"})),  # CVE JSON 5
    (FieldPlace.parse("content.raw.document.category"), frozenset({"csaf_withdrawn"})),  # CSAF 2.1, 4.6
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Where observations name their advisory, in the form that the core takes."""

    tenant: FieldPlace
    vendor: FieldPlace
    upstream_id: FieldPlace
    moments: FieldPlace
    withdrawn: Sequence[tuple[Sequence[Sequence[str]], AbstractSet[str] | None]]
    """The paths of a place, and the lower-case values that mark a withdrawal; None for any."""


OBSERVED: Final = Observed(
    tenant=OBSERVATION.tenant,
    vendor=OBSERVATION.vendor,
    upstream_id=OBSERVATION.upstream_id,
    moments=_MOMENTS,
    withdrawn=tuple((place.paths, values) for place, values in _WITHDRAWN),
)


class Advisory(NamedTuple):
    """The advisory of an observation, and which of its revisions this is."""

    tenant: str
    vendor: str
    upstream_id: str
    moment: int
    """When it was received, in milliseconds since 1970; the minimum if that is not stated."""
    withdrawn: bool
    raw_linkset: bool


class Appended(NamedTuple):
    """A document that ends in a ``rawLinkset``."""

    without: bytes
    """SHA-256 of the document without it."""
    elements: int
    """Number of elements of the ``rawLinkset``."""


class Sketch(NamedTuple):
    """One document. A plain tuple, since it crosses process borders at a third of a dataclass's cost."""

    identity: bytes
    """Digest of the ``_id``, type included; of the whole document if it has none."""
    digest: bytes
    """SHA-256 of the document."""
    name: str
    """The ``_id`` in readable form."""
    advisory: Advisory | None
    unread: str = ""
    """Why a part of it could not be read; "" if all that was needed could."""
    appended: Appended | None = None
    """Set if its last element is a ``rawLinkset`` of shape v1, as after a patch."""


@dataclass(frozen=True, slots=True)
class Sketches:
    """The sketches of a run, in the order of its documents."""

    each: Sequence[Sketch]

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.each)


def sketch_run(name: CollectionName, run: Run) -> Sketches:
    """Return the sketches of a run; what cannot be read in a document is part of its sketch."""
    if core.sketch is None:
        return Sketches(sketch_each(name, run))
    observed = OBSERVED if is_observations(name) else None
    found = core.sketch(run.data, run.ends, NAMES, observed)
    if found is None:
        return Sketches(sketch_each(name, run))
    return Sketches(
        [
            _from_core(*one) if one is not None else _sketch(document, observed=observed is not None)
            for one, document in zip(found, run, strict=True)
        ]
    )


def _from_core(
    identity: bytes,
    digest: bytes,
    name: str,
    about: tuple[str, str, str, int, bool, bool] | None,
    appended: tuple[bytes, int] | None,
) -> Sketch:
    advisory = Advisory(*about) if about is not None else None
    return Sketch(identity, digest, name, advisory, "", Appended(*appended) if appended is not None else None)


def sketch_each(name: CollectionName, documents: Iterable[bytes]) -> list[Sketch]:
    """Return the sketches of documents: the reference of :func:`sketch_run`."""
    observed = is_observations(name)
    return [_sketch(document, observed=observed) for document in documents]


def _sketch(document: bytes, *, observed: bool) -> Sketch:
    digest = hashlib.sha256(document).digest()
    places, unread = {}, ""
    try:
        places = index(document)
        place = places.get(b"_id")
    except BsonError as error:
        place, unread = _find_first_id(document), reason(error)
    name = document_name(document)
    if place is None:
        # Without an identity, a document can only be equal or different.
        return Sketch(hashlib.sha256(b"\0" + digest).digest(), digest, name, None, unread)
    kind, start, end = place
    identity = hashlib.sha256(b"%c%b" % (kind, document[start:end])).digest()
    advisory = None
    if observed and not unread:
        try:
            fields = Fields(document)
            advisory = _find_advisory(fields, places)
            if advisory is not None:
                advisory = advisory._replace(withdrawn=_is_withdrawn(fields))
        except BsonError as error:
            unread = reason(error)
    return Sketch(identity, digest, name, advisory, unread, _find_appended(document, places))


def _find_appended(document: bytes, places: dict[bytes, Place]) -> Appended | None:
    kind, start, end = places.get(_RAW_LINKSET, (Kind.NULL, 0, 0))
    if kind != Kind.DOCUMENT or end != len(document) - 1 or not is_shape_v1(document, start, end, NAMES.layout):
        return None
    before = remove(document, [RAW_LINKSET])
    return Appended(hashlib.sha256(before).digest(), sum(1 for _ in elements(document, start)))


def reason(error: KitError) -> str:
    """Return why a document cannot be read, in a bounded text."""
    return str(error)[:_MAX_REASON]


def _find_first_id(document: bytes) -> Place | None:
    """Return the ``_id`` of a document whose top level is malformed after it, or has a name twice."""
    try:
        return next((element[2:] for element in elements(document) if element.name == b"_id"), None)
    except BsonError:
        return None


def _find_advisory(fields: Fields, places: dict[bytes, Place]) -> Advisory | None:
    """Return the advisory of an observation, withdrawn or not; None if it names none.

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
        tenant=bound_name(fields.text(OBSERVATION.tenant) or NO_TENANT),
        vendor=bound_name(vendor),
        upstream_id=bound_name(upstream_id),
        moment=int.from_bytes(document[received[1] : received[2]], "little", signed=True)
        if is_dated and received is not None
        else _NO_MOMENT,
        withdrawn=False,
        raw_linkset=_RAW_LINKSET in places,
    )


def _is_withdrawn(fields: Fields) -> bool:
    """Return whether an observation marks its advisory as withdrawn by the publisher.

    Raises:
        BsonError: That cannot be read.
    """
    for place, values in _WITHDRAWN:
        found = _find(fields, place)
        if found is None or found[0] != Kind.STRING:
            # The database may hold a GHSA time as a date.
            if found is not None and values is None and found[0] == Kind.DATETIME:
                return True
            continue
        text = string_at(fields.document, found)
        if (text.lower() in values) if values is not None else text:
            return True
    return False


def _find(fields: Fields, place: FieldPlace) -> Place | None:
    """Return the value at ``place``; a repeated name matters only if it is on the path.

    Raises:
        BsonError: A repeated name is on the path, or a level is malformed.
    """
    try:
        return fields.find(place)
    except BsonError:
        each = (find(fields.document, path) for path in place.paths)
        return next((one[2:] for one in each if one is not None and one.kind != Kind.NULL), None)


MAX_SHOWN_FIELDS = 1_000
"""Maximum fields listed for one document; the others are counted."""


class _Codecs(threading.local):
    """A compressor and a decompressor for each thread: they must not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


class Pair(NamedTuple):
    """Two versions of a document, and the number of the pair."""

    number: int
    name: str
    """The ``_id``."""
    before: bytes
    """Compressed by :func:`compress`."""
    after: bytes


class Compared(NamedTuple):
    """The result for one pair."""

    number: int
    shown: tuple[FieldChange, ...]
    """The first :data:`MAX_SHOWN_FIELDS`."""
    total: int
    """Number of all changes."""
    is_migration: bool
    """Nothing but rawLinkset or encryption differs."""
    all: tuple[tuple[str, str], ...]
    """(path, how) of every change, for the counts."""
    unread: tuple[str, str] = ("", "")
    """Why the first and the second document cannot be compared; empty if they can."""


def compress(document: bytes) -> bytes:
    """Return a document compressed for spooling, at little cost."""
    return _codecs.compressor.compress(document)


def decompress(data: bytes) -> bytes:
    """Return the document that :func:`compress` compressed."""
    return _codecs.decompressor.decompress(data)


def compare_pairs(pairs: Sequence[Pair]) -> list[Compared]:
    """Return the result of each pair; a document that cannot be read where the two differ is part of its result."""
    return [_compare(pair) for pair in pairs]


def compare_appended(number: int, *, gained: bool, elements: int) -> Compared:
    """Return the result for a document and the same document with a ``rawLinkset`` appended.

    Args:
        number: Of the pair.
        gained: Whether the second document has it; otherwise the first has.
        elements: Number of its elements.
    """
    change = FieldChange(path=RAW_LINKSET_FIELD, how=How.ADDED, after=render_document(elements))
    change = change if gained else change.mirrored()
    return Compared(number, (change,), 1, is_migration=True, all=((change.path, change.how.value),))


def _compare(pair: Pair) -> Compared:
    before = decompress(pair.before)
    try:
        changes = compare(before, pair.after)
    except BsonError as error:
        unread = _find_fault(before), _find_fault(pair.after)
        if not any(unread):
            unread = reason(error), reason(error)
        return Compared(pair.number, (), 0, is_migration=False, all=(), unread=unread)
    return Compared(
        number=pair.number,
        shown=tuple(changes[:MAX_SHOWN_FIELDS]),
        total=len(changes),
        is_migration=is_migration(changes),
        all=tuple((change.path, change.how.value) for change in changes),
    )


def _find_fault(document: bytes) -> str:
    """Return what is wrong with a document; "" if nothing is."""
    try:
        validate(document, limits=Limits(document_bytes=len(document)))
    except KitError as error:
        return reason(error)
    return ""
