"""The mapped values of one document: which there are, where they stand, and what each one is.

Everything that looks at documents (transform, preparation, proof) looks through this module, so that all agree on what
is plaintext. Each mapped value is exactly one of plaintext, envelope-like, null, missing; what a path cannot
answer (it leads through an array, or into an envelope) is a fault and never "missing", since missing is left as it is.

Documents and values are plain tuples, and texts that come again and again are decoded once: every document of a kit
passes here twice, and a frozen dataclass of seven members costs as much as AES-GCM of 4 kB.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kit.documents import Kind, Place, Replacement, index, replace_at, string_at
from kit.encryption.associated_data import CollectionPlace, FieldPlace
from kit.encryption.data_keys import Scope
from kit.encryption.envelope import Envelope, Profile, looks_like
from kit.encryption.field_map import PRODUCT_ID, CollectionMap, FieldPath
from kit.errors import BsonError, ContentError, EnvelopeError
from kit.values import CollectionName

_ID = b"_id"
_STRING, _DOCUMENT, _NULL = int(Kind.STRING), int(Kind.DOCUMENT), int(Kind.NULL)
_NOTHING = frozenset({_NULL, int(Kind.UNDEFINED)})
NO_PARTITION = ""


class Standing(enum.Enum):
    """What becomes of a document as a whole."""

    SELECTED = "selected"
    NOT_SELECTED = "not-selected"
    """Of another product, or of a partition that was not asked for."""
    SKIPPED_OWNER = "skipped-owner"
    """Its owner's documents stay plain."""
    NO_PARTITION_KEY = "no-partition-key"


class State(enum.IntEnum):
    """What a mapped value is."""

    PLAIN = enum.auto()
    ENVELOPE = enum.auto()
    """Has the form of one; whether it opens is not said."""
    NULL = enum.auto()
    MISSING = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedField:
    """One field of a map at its place in one collection, made once per run."""

    place: FieldPlace
    steps: tuple[bytes, ...]

    @property
    def path(self) -> FieldPath:
        """As in the map."""
        return self.place.path

    def __str__(self) -> str:
        return str(self.place.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedCollection:
    """A collection's map, made ready for reading documents of it."""

    map: CollectionMap
    place: CollectionPlace
    fields: tuple[MappedField, ...]
    partitions: frozenset[str] | None
    """Only documents of these partitions (``--tenant``); None for all."""
    partition_steps: tuple[bytes, ...]
    owner_steps: tuple[bytes, ...]
    _texts: dict[bytes, str] = field(default_factory=dict, repr=False, compare=False)
    """Partition keys and owners met, by their value bytes."""
    _scopes: dict[str, Scope] = field(default_factory=dict, repr=False, compare=False)

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
        """Make a map ready for the collection ``name``, which it matches."""
        place = CollectionPlace(product=product, name=name, version=profile.value)
        fields = tuple(
            MappedField(place=place.field(path, entry.context), steps=_encoded(path)) for path in entry.fields
        )
        return cls(
            map=entry,
            place=place,
            fields=fields,
            partitions=partitions,
            partition_steps=_encoded(entry.partition_key),
            owner_steps=_encoded(entry.owner),
        )

    def scope(self, owner: str) -> Scope:
        """Give the purpose of the key that seals ``owner``'s values here."""
        found = self._scopes.get(owner)
        if found is None:
            found = self._scopes[owner] = Scope(product=self.place.product, context=self.map.context, owner=owner)
        return found

    def text(self, document: bytes, place: Place) -> str:
        """Give the text of a string; the same one for the same bytes."""
        value = document[place[1] : place[2]]
        found = self._texts.get(value)
        if found is None:
            found = self._texts[value] = string_at(document, place)
        return found


def _encoded(path: FieldPath) -> tuple[bytes, ...]:
    return tuple(step.encode() for step in path.steps)


class MappedValue(NamedTuple):
    """One mapped value of a document."""

    field: MappedField
    state: State
    kind: int
    """Type byte; 0 where it is missing."""
    start: int
    end: int
    """The value is ``document[start:end]``."""
    enclosing: tuple[int, ...] = ()
    """Where each subdocument around it starts."""
    envelope: Envelope | None = None


class MappedDocument(NamedTuple):
    """One document, as far as it can be judged without its mapped values."""

    document: bytes
    places: dict[bytes, Place]
    standing: Standing
    partition: str
    """The partition key as text, under which documents are counted; empty where there is none."""
    owner: str
    """Empty unless the document is selected or skipped."""
    identity: bytes
    """Type byte and value bytes of ``_id``; empty unless it is selected."""

    def replaced(self, sealed: Sequence[tuple[MappedValue, bytes]]) -> bytes:
        """Put subdocuments in the places of values of this document; the names and everything else stay."""
        return self.with_values([(value, int(Kind.DOCUMENT), subdocument) for value, subdocument in sealed])

    def with_values(self, changes: Sequence[tuple[MappedValue, int, bytes]]) -> bytes:
        """Put values of the type bytes given in the places of values; the names and everything else stay."""
        if len(changes) > 1:
            changes = sorted(changes, key=_start)
        return replace_at(self.document, [_replacement(*change) for change in changes])

    def value(self, field: MappedField) -> MappedValue:
        """Look one field up.

        Raises:
            BsonError: A level on the way is malformed, or has the name twice.
            ContentError: The path leads through an array.
            EnvelopeError: It leads into an envelope, or ends at what looks like one and is not.
        """
        document, places = self.document, self.places
        last = len(field.steps) - 1
        enclosing: tuple[int, ...] = ()
        for depth, step in enumerate(field.steps):
            place = places.get(step)
            if place is None:
                return _absent(field)
            if depth == last:
                return _value(document, field, place, enclosing)
            if place[0] == Kind.ARRAY:
                # The fields of its elements may well be what the map means, and would stay plaintext unseen.
                raise ContentError(f"the path leads through the array {'.'.join(field.path.steps[: depth + 1])!r}")
            if place[0] != Kind.DOCUMENT:
                return _absent(field)
            places = index(document, place[1])
            enclosing = (*enclosing, place[1])
            if looks_like(places):
                raise EnvelopeError("the path leads into an envelope: encrypted under another field map")
        raise AssertionError(field.steps)  # a path has at least one step


def _replacement(value: MappedValue, kind: int, new: bytes) -> Replacement:
    start = value.start - len(value.field.steps[-1]) - 2  # NUL, name, type byte
    return Replacement(value.enclosing, start, value.start, value.end, kind, new)


def _start(change: tuple[MappedValue, int, bytes]) -> int:
    return change[0].start


def read(document: bytes, collection: MappedCollection) -> MappedDocument:
    """Judge a document as a whole.

    Raises:
        BsonError: It is malformed at a level that had to be looked at, or has a name twice there.
        ContentError: A selected document has no ``_id``, or no owner that is a non-empty string.
    """
    entry, places = collection.map, index(document)
    partition = _text(document, _find(document, places, collection.partition_steps), collection)
    standing, owner, identity = Standing.SELECTED, "", b""
    if entry.product_id is not None and _string(document, places.get(PRODUCT_ID.encode())) != entry.product_id:
        standing = Standing.NOT_SELECTED
    elif partition is None:
        standing = Standing.NO_PARTITION_KEY
    elif collection.partitions is not None and partition not in collection.partitions:
        standing = Standing.NOT_SELECTED
    else:
        owner = _owner(document, places, collection)
        if owner in entry.skip_owners:
            standing = Standing.SKIPPED_OWNER
        else:
            identity = _identity(document, places)
    return MappedDocument(document, places, standing, partition or NO_PARTITION, owner, identity)


def _value(document: bytes, field: MappedField, place: Place, enclosing: tuple[int, ...]) -> MappedValue:
    kind, start, end = place
    if kind == _NULL:
        return MappedValue(field, State.NULL, kind, start, end, enclosing)
    if kind == _DOCUMENT:
        # Repeated names are legal in plaintext; in an envelope they would be an ambiguity.
        try:
            members = index(document, start)
        except BsonError as error:
            if b"__encrypted\0" in document[start:end]:
                raise EnvelopeError(f"looks like an envelope and is malformed: {error}") from error
            members = {}
        if looks_like(members):
            envelope = Envelope.read(document, members)
            return MappedValue(field, State.ENVELOPE, kind, start, end, enclosing, envelope)
    return MappedValue(field, State.PLAIN, kind, start, end, enclosing)


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
    return string_at(document, place) if place is not None and place[0] == Kind.STRING else None


def _text(document: bytes, place: Place | None, collection: MappedCollection) -> str | None:
    """A partition key as text; None where there is none, or null."""
    if place is None or place[0] in _NOTHING:
        return None
    kind, start, end = place
    if kind == _STRING:
        return collection.text(document, place)
    if kind == Kind.OBJECT_ID:
        return document[start:end].hex()
    if kind in {Kind.INT32, Kind.INT64}:
        return str(int.from_bytes(document[start:end], "little", signed=True))
    raise ContentError(f"the partition key is of BSON type {kind}; text, ObjectId and integers are known")


def _owner(document: bytes, places: dict[bytes, Place], collection: MappedCollection) -> str:
    place = _find(document, places, collection.owner_steps)
    owner = collection.text(document, place) if place is not None and place[0] == _STRING else ""
    if not owner:
        raise ContentError(f"no owner: {str(collection.map.owner)!r} is missing, empty or not a string")
    if "\0" in owner:
        raise ContentError(f"the owner {str(collection.map.owner)!r} holds NUL")
    return owner


def _identity(document: bytes, places: dict[bytes, Place]) -> bytes:
    place = places.get(_ID)
    if place is None:
        raise ContentError("no _id, so that nothing could be bound to this document")
    kind, start, end = place
    return bytes((kind,)) + document[start:end]
