"""Where a value belongs, as bytes: the encoding that everything keyed is bound to (schemas/envelope.md, "Encoding").

Each part is preceded by its length, so that no two sequences of parts have the same encoding; parts are never joined by
a separator, since a separator may stand in a name. Law: ``encode`` is injective.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from kit.encryption.field_map import FieldPath
from kit.values import CollectionName

_LENGTH = struct.Struct(">I")
_ENVELOPE = b"offline-kit/envelope"
_DOCUMENT_KEY = b"offline-kit/document-key"


def part(data: bytes) -> bytes:
    """One part: its length as four bytes, big-endian, then its bytes."""
    return _LENGTH.pack(len(data)) + data


def encode(parts: Iterable[bytes]) -> bytes:
    """All parts, each with its length in front."""
    return b"".join([part(data) for data in parts])


def number(value: int) -> bytes:
    """A number as a part's content: four bytes, big-endian, unsigned."""
    return _LENGTH.pack(value)


TYPE_PARTS = tuple(part(bytes((bson_type,))) for bson_type in range(256))
"""Every BSON type as a part."""


def key_part(dek_id: str, mek_version: int) -> bytes:
    """The last parts of associated data: whose key."""
    return encode((dek_id.encode(), number(mek_version)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlace:
    """One collection of one product, with what is encoded once for all its documents."""

    product: str
    name: CollectionName
    version: int
    """Of the envelope: 1 or 2. Keys and initialisation vectors of the two are never the same."""
    _prefix: bytes = field(init=False, repr=False, compare=False)
    _key_prefix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (
            bytes((self.version,)),
            self.product.encode(),
            self.name.database.encode(),
            self.name.collection.encode(),
        )
        object.__setattr__(self, "_prefix", encode((_ENVELOPE, *parts)))
        object.__setattr__(self, "_key_prefix", encode((_DOCUMENT_KEY, *parts)))

    def field(self, path: FieldPath, context: str) -> FieldPlace:
        """Give the place of a field."""
        steps = encode(step.encode() for step in path.steps)
        return FieldPlace(collection=self, path=path, context=context, infix=part(steps) + part(context.encode()))

    def document_key_info(self, identity: bytes) -> bytes:
        """What a document's key is derived for; ``identity`` as in :meth:`FieldPlace.associated_data`."""
        return self._key_prefix + part(identity)

    def located(self, identity: bytes) -> bytes:
        """The leading parts of associated data: all that the fields of one document have in common."""
        return self._prefix + part(identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """One field of a collection."""

    collection: CollectionPlace
    path: FieldPath
    context: str
    infix: bytes = field(repr=False)
    """The encoded path and context."""

    def associated_data(self, located: bytes, bson_type: int, dek_id: str, mek_version: int) -> bytes:
        """Encode where a value belongs.

        Args:
            located: From :meth:`CollectionPlace.located`. The identity in it is the ``_id``'s type byte and value
                bytes, as they stand in the document: the string ``"1"`` and the number 1 are two documents.
            bson_type: Type byte of the plaintext.
            dek_id: Whose key; it stands for the owner, to whom the keyring binds it.
            mek_version: As in the envelope.
        """
        return self.sealed_under(located, bson_type, key_part(dek_id, mek_version))

    def sealed_under(self, located: bytes, bson_type: int, key: bytes) -> bytes:
        """As :meth:`associated_data`, with the key's part made before (:func:`key_part`)."""
        return b"".join((located, self.infix, TYPE_PARTS[bson_type], key))
