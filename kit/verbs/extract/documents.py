"""Which documents are taken out of a kit, and in which form: what a worker does with one run.

Laws: a document that is taken is a slice of the member, never encoded again; with :attr:`Projection.CANONICAL` it lacks
the element ``rawLinkset`` and nothing else (the inverse of what the transform ``raw-linkset`` appends); the order is
that of the kit. Pure, and a function of its arguments, so that workers can do it.

Documents as canonical Extended JSON v2, one a line, for people and for tools that read no BSON.

Source: the MongoDB Extended JSON v2 specification, canonical mode; pymongo's ``bson.json_util`` writes it. Law: a line
parsed and encoded gives the exact bytes of the document. A document for which that fails (a name twice, a name that is
read as a type, a NaN with a payload) is refused.

pymongo reads the deprecated types Symbol, Undefined and DBPointer as their successors. Extended JSON has them as
objects of one member. So they are replaced by such documents before pymongo prints, and left as they are when the line
is read back. The numbers must agree, so that a document that only looks like a deprecated value is refused.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions, dumps, loads, object_pairs_hook

from kit.archive.frames import encode
from kit.documents import Place, Run, document_name, index, remove
from kit.documents.elements import elements
from kit.documents.kinds import INT32, Kind
from kit.encryption.approval import DocumentName
from kit.errors import BsonError
from kit.transforms.coverage import is_observations, tenant_of
from kit.values import Codec, CollectionName

# Dates stay numbers of milliseconds: a document may have years that Python's datetime cannot represent.
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
_CANONICAL = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)


_DEPRECATED = frozenset({"$symbol", "$undefined", "$dbPointer"})
_OBJECT_ID_BYTES = 12


def extended_json(document: bytes) -> bytes:
    """Return a document as one line of canonical Extended JSON, in ASCII, without the line feed.

    Raises:
        BsonError: It is malformed, or Extended JSON cannot hold it exactly.
    """
    try:
        line = _line(document)
        if bson.encode(loads(line, json_options=_CANONICAL), codec_options=_CODEC) != document:
            line = _line_of_deprecated(document)
    except (BSONError, ValueError, TypeError, OverflowError, RecursionError, KeyError) as error:
        raise BsonError(f"Extended JSON cannot hold this document: {error}", hint=_AS_BSON) from error
    return line.encode("ascii")


_AS_BSON = "extract it as it is: --format bson"


def _line(document: bytes) -> str:
    return dumps(bson.decode(document, _CODEC), json_options=_CANONICAL, separators=(",", ":"))


def _line_of_deprecated(document: bytes) -> str:
    """Return the line of a document that may contain deprecated types.

    Raises:
        BsonError: The line does not give the same bytes either.
    """
    shown, replaced = _replace_deprecated(document, 0)
    line, kept = _line(shown), 0

    def hook(pairs: list[tuple[str, Any]]) -> Any:
        nonlocal kept
        if len(pairs) == 1 and pairs[0][0] in _DEPRECATED:
            kept += 1
            return dict(pairs)
        return object_pairs_hook(pairs, _CANONICAL)

    same = bson.encode(json.loads(line, object_pairs_hook=hook), codec_options=_CODEC) == shown
    if not same or kept != replaced:
        raise BsonError(
            "Extended JSON cannot hold this document exactly (a name twice or read as a type, or a number's bits)",
            hint=_AS_BSON,
        )
    return line


def _replace_deprecated(document: bytes, start: int) -> tuple[bytes, int]:
    """Return the document at ``start`` with deprecated values as Extended JSON has them, and their number.

    Raises:
        BsonError: It is malformed.
    """
    parts: list[bytes] = []
    replaced = 0
    for element in elements(document, start):
        kind, value, inner = element.kind, document[element.value : element.end], 0
        match kind:
            case Kind.SYMBOL:
                kind, value, inner = Kind.DOCUMENT, _document(b"\x02$symbol\0", value), 1
            case Kind.UNDEFINED:
                kind, value, inner = Kind.DOCUMENT, _document(b"\x08$undefined\0\x01"), 1
            case Kind.DB_POINTER:
                name, pointer = value[:-_OBJECT_ID_BYTES], value[-_OBJECT_ID_BYTES:]
                value = _document(b"\x03$dbPointer\0", _document(b"\x02$ref\0", name, b"\x07$id\0", pointer))
                kind, inner = Kind.DOCUMENT, 1
            case Kind.DOCUMENT | Kind.ARRAY:
                value, inner = _replace_deprecated(document, element.value)
            case Kind.CODE_WITH_SCOPE:
                code = value[4 : 8 + INT32.unpack_from(value, 4)[0]]
                scope, inner = _replace_deprecated(document, element.value + 4 + len(code))
                value = INT32.pack(4 + len(code) + len(scope)) + code + scope
            case _:
                pass
        parts += (bytes((kind,)), element.name, b"\0", value)
        replaced += inner
    return _document(*parts), replaced


def _document(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return INT32.pack(len(body) + 5) + body + b"\0"


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
