"""The mapped values of one document: their places, and what each of them is.

Of a document that is kept as text, the view is read, and what is sealed is the exact text of a value.

Transform, preparation and proof all read documents through this module, so that they agree on what is plaintext. Each
mapped value is exactly one of plaintext, envelope-like, null, missing. A path that cannot be followed (through an
array, or into an envelope) is a fault and never "missing", since a missing value stays unchanged.

:class:`MappedCollection` is the map of a collection, prepared for reading its documents. It is made once per run and
sent to the workers. Every document of a kit is read here twice, so documents and values are plain objects: a frozen
dataclass of seven members costs as much as AES-GCM of 4 kB.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from kit.documents import Kind, Place, Replacement, index, replace_at, replace_value, string_at
from kit.documents.json_text import replace_values, spell_value
from kit.documents.json_view import value_places
from kit.encryption.aead import CollectionPlace, FieldPlace
from kit.encryption.envelope import JSON_TAG, JSON_TEXT, Envelope, Profile, check_kept, is_csfle, looks_like
from kit.encryption.field_map import IDENTITY, PRODUCT_ID, CollectionMap, FieldPath
from kit.encryption.keys import Scope
from kit.errors import BsonError, ContentError, EnvelopeError
from kit.values import CollectionName


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedField:
    """One field of a map, with its place in one collection; made once per run."""

    place: FieldPlace
    steps: tuple[bytes, ...]

    @property
    def path(self) -> FieldPath:
        """The path in the map."""
        return self.place.path

    def __str__(self) -> str:
        return str(self.place.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedCollection:
    """The map of a collection, prepared for reading its documents."""

    map: CollectionMap
    place: CollectionPlace
    fields: tuple[MappedField, ...]
    partitions: frozenset[str] | None
    """Select documents of these partitions (``--tenant``); None for all."""
    partition_steps: tuple[bytes, ...]
    owner_steps: tuple[bytes, ...]

    @classmethod
    def of(
        cls,
        entry: CollectionMap,
        name: CollectionName,
        *,
        product: str,
        profile: Profile,
        partitions: frozenset[str] | None = None,
    ) -> MappedCollection:
        """Return a map prepared for the collection ``name``, which it matches."""
        place = CollectionPlace(product=product, name=name, version=profile.value)
        fields = tuple(
            MappedField(place=place.field(path, entry.context), steps=_encode(path)) for path in entry.fields
        )
        return cls(
            map=entry,
            place=place,
            fields=fields,
            partitions=partitions,
            partition_steps=_encode(entry.partition_key),
            owner_steps=_encode(entry.owner),
        )

    @property
    def sealed_kind(self) -> int:
        """The type byte of what a sealed value becomes."""
        return _BINARY if self.place.version == _CSFLE else _DOCUMENT

    def scope(self, owner: str) -> Scope:
        """Return the purpose of the key that seals ``owner``'s values here."""
        return Scope(product=self.place.product, context=self.map.context, owner=owner)


def _encode(path: FieldPath) -> tuple[bytes, ...]:
    return tuple(step.encode() for step in path.steps)


_ID: Final = IDENTITY.encode()
_OTHER_ID: Final = b"id"
_COMPAT: Final = Profile.COMPAT.value
_SPELLING: Final = "use the profile 'bound', which keeps every spelling, or write the file anew: jq -c ."
_PRODUCT_ID: Final = PRODUCT_ID.encode()
_STRING: Final = int(Kind.STRING)
_DOCUMENT: Final = int(Kind.DOCUMENT)
_ARRAY: Final = int(Kind.ARRAY)
_BINARY: Final = int(Kind.BINARY)
_CSFLE: Final = Profile.CSFLE.value
_UNDEFINED: Final = int(Kind.UNDEFINED)
_NULL: Final = int(Kind.NULL)
NO_PARTITION: Final = ""


class DocumentStatus(enum.Enum):
    """How a document as a whole is treated."""

    SELECTED = "selected"
    NOT_SELECTED = "not-selected"
    """Of another product, or of a partition that is not selected."""
    SKIPPED_OWNER = "skipped-owner"
    """Its owner's documents stay plaintext."""
    NO_PARTITION_KEY = "no-partition-key"


class State(enum.IntEnum):
    """What a mapped value is."""

    PLAIN = enum.auto()
    ENVELOPE = enum.auto()
    """Has the form of an envelope; it may not open."""
    NULL = enum.auto()
    MISSING = enum.auto()


_SELECTED: Final = DocumentStatus.SELECTED
_PLAIN: Final = State.PLAIN


@final
class MappedValue:
    """One mapped value of a document.

    Attributes:
        field: Its field.
        state: What it is.
        kind: Type byte; 0 if it is missing.
        start: The value is ``document[start:end]``.
        end: See ``start``.
        enclosing: Offsets of the subdocuments around it.
        envelope: The envelope, if it has the form of one.
    """

    __slots__ = ("enclosing", "end", "envelope", "field", "kind", "start", "state")

    def __init__(  # noqa: PLR0917  made for every value of a kit
        self,
        field: MappedField,
        state: State,
        kind: int,
        start: int,
        end: int,
        enclosing: tuple[int, ...] = (),
        envelope: Envelope | None = None,
    ) -> None:
        self.field = field
        self.state = state
        self.kind = kind
        self.start = start
        self.end = end
        self.enclosing = enclosing
        self.envelope = envelope


@final
class MappedDocument:
    """One document, judged without its mapped values.

    Attributes:
        document: Its bytes.
        places: Its top level.
        status: How it is treated as a whole.
        partition: The partition key as text, by which documents are counted; empty if there is none.
        owner: Empty unless the document is selected or skipped.
        identity: Type byte and value bytes of ``_id``, or a tag and its text; empty unless it is selected.
        text: How the document is kept, of which ``document`` is the view; None where it is kept as BSON.
    """

    __slots__ = ("document", "identity", "owner", "partition", "places", "status", "text")

    def __init__(  # noqa: PLR0917  made for every document of a kit
        self,
        document: bytes,
        places: dict[bytes, Place],
        status: DocumentStatus,
        partition: str,
        owner: str,
        identity: bytes,
        text: bytes | None = None,
    ) -> None:
        self.document = document
        self.places = places
        self.status = status
        self.partition = partition
        self.owner = owner
        self.identity = identity
        self.text = text

    @property
    def name(self) -> bytes:
        """Type byte and value bytes of the ``_id``, in the view where it is kept as text; empty if there is none."""
        place = self.places.get(_ID)
        return _typed(self.document, place) if place is not None else b""

    def plaintext(self, value: MappedValue) -> tuple[int, bytes]:
        """Return the type and the bytes of a value that are sealed (schemas/envelope.md, "Sealing").

        Raises:
            ContentError: It is a string whose spelling a ``compat`` envelope would lose.
        """
        kind, data = value.kind, self.document[value.start : value.end]
        if self.text is None:
            return kind, data
        text = self.text_of(value)
        if value.field.place.collection.version != _COMPAT:
            return JSON_TEXT, text
        if kind == _STRING and text != spell_value(data, kind, 0, len(data)):
            raise ContentError("a string with other escapes than it needs, which compat does not keep", hint=_SPELLING)
        return kind, data

    def text_of(self, value: MappedValue) -> bytes:
        """Return the exact text of a value that is there, of a document that is kept as text."""
        start, end = self._place_in_text(value)
        return (self.text or b"")[start:end]

    def with_texts(self, changes: Sequence[tuple[MappedValue, bytes]]) -> bytes:
        """Return the text of the document with the texts of these values replaced; all else stays."""
        return replace_values(self.text or b"", [(self._place_in_text(value), new) for value, new in changes])

    def _place_in_text(self, value: MappedValue) -> tuple[int, int]:
        place = 0, 0
        for step in value.field.steps:
            place = value_places(self.text or b"", place[0])[step]
        return place

    def with_envelopes(self, sealed: Sequence[tuple[MappedValue, bytes]], kind: int = _DOCUMENT) -> bytes:
        """Return the document with these values replaced by envelopes of the type given; names and all else stay."""
        if len(sealed) == 1:
            value, subdocument = sealed[0]
            if not value.enclosing:
                return replace_value(self.document, _type_byte(value), value.start, value.end, kind, subdocument)
        return self.with_values([(value, kind, subdocument) for value, subdocument in sealed])

    def with_values(self, changes: Sequence[tuple[MappedValue, int, bytes]]) -> bytes:
        """Return the document with these values replaced by others, of the types given; names and all else stay."""
        if len(changes) > 1:
            changes = sorted(changes, key=lambda change: change[0].start)
        return replace_at(self.document, [_replacement(*change) for change in changes])

    def value(self, field: MappedField) -> MappedValue:
        """Return the value of one field.

        Raises:
            BsonError: A level on the path is malformed, or repeats the name.
            ContentError: The path leads through an array.
            EnvelopeError: It leads into an envelope, or to a value that looks like one and is not.
        """
        document, places, steps = self.document, self.places, field.steps
        last = len(steps) - 1
        enclosing: tuple[int, ...] = ()
        for depth, step in enumerate(steps):
            place = places.get(step)
            if place is None:
                return _absent(field)
            if depth == last:
                return _value(document, field, place, enclosing, as_text=self.text is not None)
            if place[0] == _ARRAY:
                # The map may mean the fields of its elements, which would stay plaintext unnoticed.
                raise ContentError(f"the path leads through the array {'.'.join(field.path.steps[: depth + 1])!r}")
            if place[0] != _DOCUMENT:
                return _absent(field)
            places = index(document, place[1])
            enclosing = (*enclosing, place[1])
            if looks_like(places):
                raise EnvelopeError("the path leads into an envelope: encrypted under another field map")
        raise AssertionError(steps)  # a path has at least one step


def _replacement(value: MappedValue, kind: int, new: bytes) -> Replacement:
    return Replacement(value.enclosing, _type_byte(value), value.start, value.end, kind, new)


def _type_byte(value: MappedValue) -> int:
    """Return the offset of the value's element."""
    return value.start - len(value.field.steps[-1]) - 2  # NUL, name, type byte


@final
class DocumentReader:
    """Reads the documents of one collection, one by one."""

    __slots__ = (
        "_collection",
        "_id",
        "_owner_steps",
        "_owners",
        "_partition_steps",
        "_partitions",
        "_product_id",
        "_skipped",
        "_texts",
    )

    def __init__(self, collection: MappedCollection) -> None:
        self._collection = collection
        self._id = (collection.map.id_field or IDENTITY).encode()
        self._partition_steps = collection.partition_steps
        self._owner_steps = collection.owner_steps
        self._product_id = collection.map.product_id
        self._partitions = collection.partitions
        self._skipped = frozenset(collection.map.skip_owners)
        # By their value bytes: repeated texts are decoded, and owners checked, once.
        self._texts: dict[bytes, str] = {}
        self._owners: dict[bytes, str] = {}

    def read(self, document: bytes, text: bytes | None = None) -> MappedDocument:
        """Return a document, judged as a whole; with its text, where that is how it is kept.

        Raises:
            BsonError: It is malformed at a level that is read, or repeats a name there.
            ContentError: A selected document has no ``_id``, or no owner that is a non-empty string.
        """
        places = index(document)
        partition = self._partition(document, _find(document, places, self._partition_steps))
        status, owner, identity = _SELECTED, "", b""
        product_id = self._product_id
        if product_id is not None and _string(document, places.get(_PRODUCT_ID)) != product_id:
            status = DocumentStatus.NOT_SELECTED
        elif partition is None:
            status = DocumentStatus.NO_PARTITION_KEY
        elif self._partitions is not None and partition not in self._partitions:
            status = DocumentStatus.NOT_SELECTED
        else:
            owner = self._owner(document, _find(document, places, self._owner_steps))
            if owner in self._skipped:
                status = DocumentStatus.SKIPPED_OWNER
            else:
                identity = self._identity(document, places) if text is None else self._identity_in(text)
        return MappedDocument(document, places, status, partition or NO_PARTITION, owner, identity, text)

    def _identity(self, document: bytes, places: dict[bytes, Place]) -> bytes:
        place = places.get(self._id)
        if place is None:
            raise ContentError(f"no {self._id.decode()}, to which envelopes could be bound")
        return _typed(document, place)

    def _identity_in(self, text: bytes) -> bytes:
        """Return the tag and the exact text of an ``_id`` that is kept as text; of the ``id`` where there is none."""
        places = value_places(text)
        own = self._collection.map.id_field
        place = places.get(own.encode()) if own is not None else places.get(_ID) or places.get(_OTHER_ID)
        if place is None:
            raise ContentError(f"no {own or '_id and no id'}, to which envelopes could be bound")
        if any(field.steps[0] == _OTHER_ID for field in self._collection.fields):
            raise ContentError("the field 'id' identifies documents in JSON, and cannot be encrypted there")
        return JSON_TAG + text[slice(*place)]

    def _partition(self, document: bytes, place: Place | None) -> str | None:
        """Return a partition key as text; None if there is none, or it is null."""
        if place is None:
            return None
        kind, start, end = place
        if kind == _STRING:
            value = document[start:end]
            text = self._texts.get(value)
            if text is None:
                text = self._texts[value] = string_at(document, place)
            return text
        if kind in {_NULL, _UNDEFINED}:
            return None
        if kind == Kind.OBJECT_ID:
            return document[start:end].hex()
        if kind in {Kind.INT32, Kind.INT64}:
            return str(int.from_bytes(document[start:end], "little", signed=True))
        raise ContentError(f"the partition key is of BSON type {kind}, not a string, ObjectId or integer")

    def _owner(self, document: bytes, place: Place | None) -> str:
        if place is not None and place[0] == _STRING:
            value = document[place[1] : place[2]]
            known = self._owners.get(value)
            if known is not None:
                return known
            owner = string_at(document, place)
            if owner and "\0" not in owner:
                self._owners[value] = owner
                return owner
            if owner:
                raise ContentError(f"the owner {str(self._collection.map.owner)!r} contains NUL")
        raise ContentError(f"no owner: {str(self._collection.map.owner)!r} is missing, empty or not a string")


def read(document: bytes, collection: MappedCollection) -> MappedDocument:
    """Return a single document, as :meth:`DocumentReader.read`."""
    return DocumentReader(collection).read(document)


def _value(
    document: bytes, field: MappedField, place: Place, enclosing: tuple[int, ...], *, as_text: bool
) -> MappedValue:
    kind, start, end = place
    if kind == _NULL:
        return MappedValue(field, State.NULL, kind, start, end, enclosing)
    if kind == _DOCUMENT:
        # Repeated names are legal in plaintext, but ambiguous in an envelope.
        try:
            members = index(document, start)
        except BsonError as error:
            if b"__encrypted\0" in document[start:end]:
                raise EnvelopeError(f"looks like an envelope and is malformed: {error}") from error
            members = {}
        if looks_like(members):
            envelope = Envelope.read(document, members)
            check_kept(envelope, as_text=as_text)
            return MappedValue(field, State.ENVELOPE, kind, start, end, enclosing, envelope)
    if kind == _BINARY and field.place.collection.version == _CSFLE and is_csfle(document[start:end]):
        envelope = Envelope.read_binary(document[start:end])
        return MappedValue(field, State.ENVELOPE, kind, start, end, enclosing, envelope)
    return MappedValue(field, _PLAIN, kind, start, end, enclosing)


def _absent(field: MappedField) -> MappedValue:
    return MappedValue(field, State.MISSING, 0, 0, 0)


def _find(document: bytes, places: dict[bytes, Place], steps: tuple[bytes, ...]) -> Place | None:
    place = places.get(steps[0])
    for step in steps[1:]:
        if place is None or place[0] != _DOCUMENT:
            return None
        place = index(document, place[1]).get(step)
    return place


def _string(document: bytes, place: Place | None) -> str | None:
    return string_at(document, place) if place is not None and place[0] == _STRING else None


def _typed(document: bytes, place: Place) -> bytes:
    kind, start, end = place
    return bytes((kind,)) + document[start:end]
