"""Selects documents of one run and writes them in the requested form: the work of ``kit extract`` in a worker.

Pure: a function of its arguments, so that workers can run it. Laws: as BSON, a document is a slice of the member and is
never encoded again; with :attr:`KeptProjections.CANONICAL` it lacks the element ``rawLinkset`` and nothing else, the
inverse of what the transform ``raw-linkset`` appends; the order is that of the kit.

As JSON, a document is one line of canonical Extended JSON v2, for people and for tools that read no BSON. Source: the
MongoDB Extended JSON v2 specification, canonical mode; pymongo's ``bson.json_util`` writes it. Law: a line parsed and
encoded gives the exact bytes of the document. A document for which that fails is refused: it has a name twice, a name
that is read as a type, or a NaN with a payload.

pymongo reads the deprecated types Symbol, Undefined and DBPointer as their successors. Extended JSON has them as
objects of one member. So they are replaced by such documents before pymongo writes the line, and kept as such documents
when the line is read back. Their numbers must be equal, so that a document that only looks like a deprecated value is
refused.
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
from kit.engine.texts import without_appended_text
from kit.errors import BsonError
from kit.transforms.coverage import is_observations, tenant_of
from kit.values import Codec, CollectionName
from kit.verbs.find import advisories_of

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
        BsonError: This line does not give the same bytes, either.
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
    """Return the document at ``start`` with deprecated values as in Extended JSON, and their number.

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
"""The most omitted documents that a report names; all are counted."""
_RAW_LINKSET = "rawLinkset"
_MAX_REASON_LENGTH = 200


class Form(enum.StrEnum):
    """How documents are written."""

    BSON = "bson"
    """As ``mongodump`` writes them, back to back."""
    JSON = "json"
    """Canonical Extended JSON v2, one a line."""


class KeptProjections(enum.StrEnum):
    """Which of the projections of an observation are kept."""

    ALL = "all"
    CANONICAL = "canonical"
    """Without ``rawLinkset``, as observations were before it was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to extract, and how to write it.

    A document must be in every list that is given; ``documents`` and ``advisories`` count as one list.
    """

    collections: frozenset[CollectionName] | None = None
    """None for all."""
    tenants: frozenset[str] | None = None
    documents: frozenset[DocumentName] | None = None
    advisories: frozenset[str] | None = None
    """By upstream id or alias (:data:`kit.verbs.find.ADVISORY`)."""
    form: Form = Form.BSON
    codec: Codec = Codec.NONE
    """The codec of the output; each run is a frame or gzip member of its own."""
    projection: KeptProjections = KeptProjections.ALL

    @property
    def scoped(self) -> bool:
        """Whether documents of a selected collection may be omitted."""
        return self.tenants is not None or self.is_named

    @property
    def is_named(self) -> bool:
        """Whether documents are requested by name: by ``_id`` or by advisory."""
        return self.documents is not None or self.advisories is not None

    def has_collection(self, name: CollectionName) -> bool:
        """Return whether documents of this collection may be extracted."""
        return self.collections is None or name in self.collections


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolvable:
    """A document that cannot be read as far as needed, or that the requested form cannot represent."""

    ordinal: int
    document: str
    """Its ``_id`` as text."""
    reason: str


@dataclass(slots=True, kw_only=True)
class Extracted:
    """The selected documents of a run, encoded for the output."""

    stored: bytes = field(repr=False)
    documents: int
    """The number of documents read."""
    taken: int
    stripped: int
    """The number of taken documents that lost their ``rawLinkset``."""
    tenants: frozenset[str]
    """The requested tenants that the documents have."""
    found: frozenset[DocumentName]
    """The requested documents that were taken."""
    advisories: frozenset[str]
    """The requested advisories that documents were taken for."""
    unresolvable: list[Unresolvable] = field(default_factory=list)
    """The first :data:`MAX_UNRESOLVABLE` documents that were omitted."""
    left_out: int = 0
    """The number of omitted documents."""


def extract_run(selection: Selection, name: CollectionName, run: Run) -> Extracted:
    """Return the selected documents of a run; omit one that may be selected but cannot be read or written.

    Raises:
        BsonError: A document that is requested by name cannot be written; names it.
    """
    strip = selection.projection is KeptProjections.CANONICAL and is_observations(name)
    result = Extracted(
        stored=b"",
        documents=len(run),
        taken=0,
        stripped=0,
        tenants=frozenset(),
        found=frozenset(),
        advisories=frozenset(),
    )
    parts: list[bytes] = []
    texts = run.originals if run.texts is not None else itertools.repeat(None)
    for ordinal, (document, text) in enumerate(zip(run, texts, strict=False), run.first):
        top = _TopLevel.at(document) if selection.scoped or strip else _EMPTY
        match = _match(selection, document, top)
        result.tenants |= match.tenants
        if not match.is_taken:
            continue
        try:
            if match.doubt is not None:
                raise match.doubt
            written, is_stripped = _encode(selection, document, top, text, strip=strip)
        except BsonError as error:
            named = document_name(document)
            if match.name is not None or match.advisories:
                error.hint = error.hint or "--format bson takes any document, byte for byte"
                raise error.inside(f'document {ordinal:,} (_id "{named}")') from error.__cause__
            result.left_out += 1
            if len(result.unresolvable) < MAX_UNRESOLVABLE:
                reason = str(error)[:_MAX_REASON_LENGTH]
                result.unresolvable.append(Unresolvable(ordinal=ordinal, document=named, reason=reason))
            continue
        parts.append(written)
        result.taken += 1
        result.stripped += is_stripped
        result.found |= {match.name} if match.name is not None else set()
        result.advisories |= match.advisories
    body = b"".join(parts)
    result.stored = encode(selection.codec, body) if body else b""
    return result


@dataclass(frozen=True, slots=True)
class _TopLevel:
    """The top level of a document, as far as it can be read."""

    places: Mapping[bytes, Place]
    error: BsonError | None = None
    """Why it is incomplete: the document is malformed, or has a name twice."""

    @classmethod
    def at(cls, document: bytes) -> _TopLevel:
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


_EMPTY = _TopLevel({})


@dataclass(frozen=True, slots=True)
class _Match:
    """Whether a document is taken, and by which request."""

    is_taken: bool
    tenants: frozenset[str] = frozenset()
    """The requested tenant that it has, if any."""
    name: DocumentName | None = None
    """Its name, if it was requested by its ``_id``."""
    advisories: frozenset[str] = frozenset()
    """The requested advisories that it is about."""
    doubt: BsonError | None = None
    """Why it is unknown whether it was requested."""


def _match(selection: Selection, document: bytes, top: _TopLevel) -> _Match:
    """Return whether a document is selected, or may be."""
    tenants, doubt = frozenset[str](), None
    if selection.tenants is not None:
        tenant = tenant_of(document, top.places)
        if tenant in selection.tenants:
            tenants = frozenset({tenant})
        elif tenant or top.error is None:
            return _Match(is_taken=False)
        else:
            doubt = top.error
    if not selection.is_named:
        return _Match(is_taken=True, tenants=tenants, doubt=doubt)
    match = _match_name(selection, document, top)
    return replace(match, tenants=tenants, doubt=doubt or match.doubt)


def _match_name(selection: Selection, document: bytes, top: _TopLevel) -> _Match:
    """Return whether a document is requested by its ``_id`` or by its advisory, or may be."""
    place = top.places.get(b"_id")
    name = DocumentName(identity=bytes((place[0],)) + document[place[1] : place[2]]) if place is not None else None
    if name not in (selection.documents or ()):
        name = None
    doubt = top.error if place is None and selection.documents is not None else None
    advisories = frozenset[str]()
    try:
        advisories = advisories_of(document, selection.advisories or ())
    except BsonError as error:
        doubt = error if name is None else None
    is_requested = name is not None or bool(advisories)
    return _Match(
        is_taken=is_requested or doubt is not None,
        name=name,
        advisories=advisories,
        doubt=None if is_requested else doubt,
    )


def _encode(
    selection: Selection, document: bytes, top: _TopLevel, text: bytes | None, *, strip: bool
) -> tuple[bytes, bool]:
    """Return the bytes to write for a document, and whether ``rawLinkset`` was removed from it.

    Args:
        selection: In what form.
        document: The document.
        top: Its top level.
        text: The text that it is kept as; None for BSON.
        strip: Whether to remove it.

    Raises:
        BsonError: The form cannot represent it, or it is uncertain what to remove.
    """
    if strip and top.error is not None:
        raise top.error
    is_stripped = strip and _RAW_LINKSET.encode() in top.places
    if text is not None:
        return _encode_text(document, text, strip=is_stripped), is_stripped
    if is_stripped:
        document = remove(document, [_RAW_LINKSET])  # the shape the user asked for
    return extended_json(document) + b"\n" if selection.form is Form.JSON else document, is_stripped


_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def _encode_text(document: bytes, text: bytes, *, strip: bool) -> bytes:
    """Return the text of a document as one line: line ends, which are blanks between its tokens, are spaces.

    Raises:
        BsonError: What is to be removed is not as a patch writes it.
    """
    if strip:
        earlier = without_appended_text(text, document)
        if earlier is None or next(reversed(list(elements(document)))).name != _RAW_LINKSET.encode():
            raise BsonError("has a rawLinkset that no patch by this program added")
        text = earlier
    return text.translate(_LINE_ENDS) + b"\n"
