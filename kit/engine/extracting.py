"""Which documents are taken out of a kit, and in which form: what a worker does with one run.

Laws: a document that is taken is a slice of the member, never encoded again; with :attr:`Projection.CANONICAL` it lacks
the element ``rawLinkset`` and nothing else (the inverse of what the transform ``raw-linkset`` appends); the order is
that of the kit. Pure, and a function of its arguments, so that workers can do it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from kit.archive import encode
from kit.documents import Run, index, remove
from kit.documents.extended_json import extended_json
from kit.encryption.approval import DocumentName
from kit.errors import KitError
from kit.transforms.coverage import is_observations, tenant_of
from kit.values import Codec, CollectionName

_RAW_LINKSET = "rawLinkset"


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


def extract_run(selection: Selection, name: CollectionName, run: Run) -> Extracted:
    """Take from a run what is selected.

    Raises:
        KitError: A document is malformed, or cannot be said in the form; names its ordinal within the member.
    """
    strip = selection.projection is Projection.CANONICAL and is_observations(name)
    parts: list[bytes] = []
    tenants: set[str] = set()
    met: set[DocumentName] = set()
    taken = stripped = 0
    for ordinal, document in enumerate(run, run.first):
        try:
            places = index(document) if selection.scoped or strip else {}
            if selection.tenants is not None:
                tenant = tenant_of(document, places)
                if tenant not in selection.tenants:
                    continue
                tenants.add(tenant)
            if selection.documents is not None:
                place = places.get(b"_id")
                if place is None:
                    continue
                wanted = DocumentName(identity=bytes((place[0],)) + document[place[1] : place[2]])
                if wanted not in selection.documents:
                    continue
                met.add(wanted)
            if strip and _RAW_LINKSET.encode() in places:
                document = remove(document, [_RAW_LINKSET])  # noqa: PLW2901  the shape the user asked for
                stripped += 1
            parts.append(extended_json(document) + b"\n" if selection.form is Form.JSON else document)
        except KitError as error:
            raise error.inside(f"document {ordinal}") from error.__cause__
        taken += 1
    body = b"".join(parts)
    return Extracted(
        stored=encode(selection.codec, body) if body else b"",
        documents=len(run),
        taken=taken,
        stripped=stripped,
        tenants=frozenset(tenants),
        met=frozenset(met),
    )
