"""The mapped values of one document: which there are, where they stand, and what each one is.

Everything that looks at documents (transform, preparation, proof) looks through this module, so that all agree on what
is plaintext. Each mapped value is exactly one of plaintext, envelope-like, null, missing; what a path cannot
answer (it leads through an array, or into an envelope) is a fault and never "missing", since missing is left as it is.

Every document of a kit passes here twice, so documents and values are plain objects: a frozen dataclass of seven
members costs as much as AES-GCM of 4 kB. What they are read by is :mod:`kit.encryption.mapping`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, final

from kit.documents import Kind, Place, Replacement, index, replace_at, replace_value, string_at
from kit.encryption.envelope import Envelope, looks_like
from kit.encryption.field_map import IDENTITY, PRODUCT_ID
from kit.encryption.mapping import MappedCollection, MappedField
from kit.errors import BsonError, ContentError, EnvelopeError

_ID: Final = IDENTITY.encode()
_PRODUCT_ID: Final = PRODUCT_ID.encode()
_STRING: Final = int(Kind.STRING)
_DOCUMENT: Final = int(Kind.DOCUMENT)
_ARRAY: Final = int(Kind.ARRAY)
_UNDEFINED: Final = int(Kind.UNDEFINED)
_NULL: Final = int(Kind.NULL)
NO_PARTITION: Final = ""


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


_SELECTED: Final = Standing.SELECTED
_PLAIN: Final = State.PLAIN


@final
class MappedValue:
    """One mapped value of a document.

    Attributes:
        field: Which one.
        state: What it is.
        kind: Type byte; 0 where it is missing.
        start: The value is ``document[start:end]``.
        end: See there.
        enclosing: Where each subdocument around it starts.
        envelope: If it has the form of one.
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
    """One document, as far as it can be judged without its mapped values.

    Attributes:
        document: Its bytes.
        places: Its top level.
        standing: What becomes of it as a whole.
        partition: The partition key as text, under which documents are counted; empty where there is none.
        owner: Empty unless the document is selected or skipped.
        identity: Type byte and value bytes of ``_id``; empty unless it is selected.
    """

    __slots__ = ("document", "identity", "owner", "partition", "places", "standing")

    def __init__(  # noqa: PLR0917  made for every document of a kit
        self,
        document: bytes,
        places: dict[bytes, Place],
        standing: Standing,
        partition: str,
        owner: str,
        identity: bytes,
    ) -> None:
        self.document = document
        self.places = places
        self.standing = standing
        self.partition = partition
        self.owner = owner
        self.identity = identity

    def replaced(self, sealed: Sequence[tuple[MappedValue, bytes]]) -> bytes:
        """Put subdocuments in the places of values of this document; the names and everything else stay."""
        if len(sealed) == 1:
            value, subdocument = sealed[0]
            if not value.enclosing:
                return replace_value(self.document, _type_byte(value), value.start, value.end, _DOCUMENT, subdocument)
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
        document, places, steps = self.document, self.places, field.steps
        last = len(steps) - 1
        enclosing: tuple[int, ...] = ()
        for depth, step in enumerate(steps):
            place = places.get(step)
            if place is None:
                return _absent(field)
            if depth == last:
                return _value(document, field, place, enclosing)
            if place[0] == _ARRAY:
                # The fields of its elements may well be what the map means, and would stay plaintext unseen.
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
    """Where the element begins whose value it is."""
    return value.start - len(value.field.steps[-1]) - 2  # NUL, name, type byte


def _start(change: tuple[MappedValue, int, bytes]) -> int:
    return change[0].start


@final
class Reading:
    """Reads the documents of one collection, one after the other."""

    __slots__ = (
        "_collection",
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
        self._partition_steps = collection.partition_steps
        self._owner_steps = collection.owner_steps
        self._product_id = collection.map.product_id
        self._partitions = collection.partitions
        self._skipped = frozenset(collection.map.skip_owners)
        # By their value bytes: texts that come again and again are decoded, and owners checked, once.
        self._texts: dict[bytes, str] = {}
        self._owners: dict[bytes, str] = {}

    def read(self, document: bytes) -> MappedDocument:
        """Judge a document as a whole.

        Raises:
            BsonError: It is malformed at a level that had to be looked at, or has a name twice there.
            ContentError: A selected document has no ``_id``, or no owner that is a non-empty string.
        """
        places = index(document)
        partition = self._partition(document, _find(document, places, self._partition_steps))
        standing, owner, identity = _SELECTED, "", b""
        product_id = self._product_id
        if product_id is not None and _string(document, places.get(_PRODUCT_ID)) != product_id:
            standing = Standing.NOT_SELECTED
        elif partition is None:
            standing = Standing.NO_PARTITION_KEY
        elif self._partitions is not None and partition not in self._partitions:
            standing = Standing.NOT_SELECTED
        else:
            owner = self._owner(document, _find(document, places, self._owner_steps))
            if owner in self._skipped:
                standing = Standing.SKIPPED_OWNER
            else:
                identity = _identity(document, places)
        return MappedDocument(document, places, standing, partition or NO_PARTITION, owner, identity)

    def _partition(self, document: bytes, place: Place | None) -> str | None:
        """A partition key as text; None where there is none, or null."""
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
        raise ContentError(f"the partition key is of BSON type {kind}; text, ObjectId and integers are known")

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
                raise ContentError(f"the owner {str(self._collection.map.owner)!r} holds NUL")
        raise ContentError(f"no owner: {str(self._collection.map.owner)!r} is missing, empty or not a string")


def read(document: bytes, collection: MappedCollection) -> MappedDocument:
    """As :meth:`Reading.read`, of a document by itself."""
    return Reading(collection).read(document)


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


def _identity(document: bytes, places: dict[bytes, Place]) -> bytes:
    place = places.get(_ID)
    if place is None:
        raise ContentError("no _id, so that nothing could be bound to this document")
    kind, start, end = place
    return bytes((kind,)) + document[start:end]
