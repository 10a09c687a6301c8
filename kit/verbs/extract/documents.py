"""Which documents are taken out of a kit, and in which form: what a worker does with one run.

Laws: a document that is taken is a slice of the member, never encoded again; with :attr:`Projection.CANONICAL` it lacks
the element ``rawLinkset`` and nothing else (the inverse of what the transform ``raw-linkset`` appends); the order is
that of the kit. Pure, and a function of its arguments, so that workers can do it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from kit.archive import encode
from kit.documents import Place, Run, document_name, elements, index, remove
from kit.documents.extended_json import extended_json
from kit.encryption.approval import DocumentName
from kit.errors import BsonError
from kit.transforms.coverage import is_observations, tenant_of
from kit.values import Codec, CollectionName

MAX_UNRESOLVABLE = 1_000
"""Documents left out that are named, so that a report is bounded; all are counted."""
_RAW_LINKSET = "rawLinkset"
_LONGEST_REASON = 200


class Form(enum.StrEnum):
    """How documents are written."""

    BSON = "bson"
    """As ``mongodump`` writes them, back to back."""
    JSON = "json"
    """Canonical Extended JSON v2, one a line."""


class Projection(enum.StrEnum):
    """Which of the projections of an observation are kept."""

    ALL = "all"
    CANONICAL = "canonical"
    """Without ``rawLinkset``: the shape that observations had before there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to take, and how to write it. A document must meet every list that is given."""

    collections: frozenset[CollectionName] | None = None
    """None takes all."""
    tenants: frozenset[str] | None = None
    documents: frozenset[DocumentName] | None = None
    form: Form = Form.BSON
    codec: Codec = Codec.NONE
    """Of what is written; each run is a frame or member of its own."""
    projection: Projection = Projection.ALL

    @property
    def scoped(self) -> bool:
        """Whether documents of a collection may be left out."""
        return self.tenants is not None or self.documents is not None

    def has_collection(self, name: CollectionName) -> bool:
        """Whether documents of this collection may be taken."""
        return self.collections is None or name in self.collections


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolvable:
    """A document that cannot be read as far as it must be, or not be said in the form that was asked for."""

    ordinal: int
    document: str
    """Its ``_id`` as text."""
    reason: str


@dataclass(slots=True, kw_only=True)
class Extracted:
    """What was taken of a run, ready to be written."""

    stored: bytes = field(repr=False)
    documents: int
    """Documents read."""
    taken: int
    stripped: int
    """Of those taken, how many lost their ``rawLinkset``."""
    tenants: frozenset[str]
    """Met in the documents read, of those that were asked for."""
    met: frozenset[DocumentName]
    """Of the documents asked for by name, those taken."""
    unresolvable: list[Unresolvable] = field(default_factory=list)
    """Documents that were left out, the first :data:`MAX_UNRESOLVABLE`."""
    left_out: int = 0
    """How many they are."""


def extract_run(selection: Selection, name: CollectionName, run: Run) -> Extracted:
    """Take from a run what is selected; a document that cannot be told from others, or not be written, is left out.

    Raises:
        BsonError: A document that is asked for by its ``_id`` cannot be written; names it.
    """
    strip = selection.projection is Projection.CANONICAL and is_observations(name)
    found = Extracted(stored=b"", documents=len(run), taken=0, stripped=0, tenants=frozenset(), met=frozenset())
    parts: list[bytes] = []
    for ordinal, document in enumerate(run, run.first):
        looked = _Looked.at(document) if selection.scoped or strip else _NOWHERE
        wanted = _wanted(selection, document, looked)
        found.tenants |= wanted.tenants
        if not wanted.is_taken:
            continue
        try:
            if wanted.doubt is not None:
                raise wanted.doubt
            written, is_stripped = _written(selection, document, looked, strip=strip)
        except BsonError as error:
            named = document_name(document)
            if wanted.name is not None:
                error.hint = error.hint or "--format bson takes any document, byte for byte"
                raise error.inside(f'document {ordinal:,} (_id "{named}")') from error.__cause__
            found.left_out += 1
            if len(found.unresolvable) < MAX_UNRESOLVABLE:
                reason = str(error)[:_LONGEST_REASON]
                found.unresolvable.append(Unresolvable(ordinal=ordinal, document=named, reason=reason))
            continue
        parts.append(written)
        found.taken += 1
        found.stripped += is_stripped
        found.met |= {wanted.name} if wanted.name is not None else set()
    body = b"".join(parts)
    found.stored = encode(selection.codec, body) if body else b""
    return found


@dataclass(frozen=True, slots=True)
class _Looked:
    """The top level of a document, as far as it is certain."""

    places: Mapping[bytes, Place]
    error: BsonError | None = None
    """Why that is not all of it: it is malformed, or has a name twice."""

    @classmethod
    def at(cls, document: bytes) -> _Looked:
        try:
            return cls(index(document))
        except BsonError as error:
            places: dict[bytes, Place] = {}
            again: set[bytes] = set()
            with suppress(BsonError):
                for element in elements(document):
                    if element.name in places:
                        again.add(element.name)
                    places[element.name] = element[2:]
            return cls({name: place for name, place in places.items() if name not in again}, error)


_NOWHERE = _Looked({})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Whether a document is taken, and why."""

    is_taken: bool
    tenants: frozenset[str] = frozenset()
    """Of those that were asked for, the one it is of."""
    name: DocumentName | None = None
    """Where it was asked for by that."""
    doubt: BsonError | None = None
    """Why it cannot be told whether it was asked for."""


def _wanted(selection: Selection, document: bytes, looked: _Looked) -> _Wanted:
    """Return whether a document is selected, or may be."""
    tenants, name, doubt = frozenset[str](), None, None
    if selection.tenants is not None:
        tenant = tenant_of(document, looked.places)
        if tenant in selection.tenants:
            tenants = frozenset({tenant})
        elif tenant or looked.error is None:
            return _Wanted(is_taken=False)
        else:
            doubt = looked.error
    if selection.documents is not None:
        place = looked.places.get(b"_id")
        if place is not None:
            name = DocumentName(identity=bytes((place[0],)) + document[place[1] : place[2]])
            if name not in selection.documents:
                return _Wanted(is_taken=False, tenants=tenants)
        elif looked.error is None:
            return _Wanted(is_taken=False, tenants=tenants)
        else:
            doubt = looked.error
    return _Wanted(is_taken=True, tenants=tenants, name=name, doubt=doubt)


def _written(selection: Selection, document: bytes, looked: _Looked, *, strip: bool) -> tuple[bytes, bool]:
    """Return a document as it is written, and whether ``rawLinkset`` was taken off it.

    Raises:
        BsonError: It cannot be said in the form, or it is not certain what to take off.
    """
    if strip and looked.error is not None:
        raise looked.error
    is_stripped = strip and _RAW_LINKSET.encode() in looked.places
    if is_stripped:
        document = remove(document, [_RAW_LINKSET])  # the shape the user asked for
    return extended_json(document) + b"\n" if selection.form is Form.JSON else document, is_stripped
