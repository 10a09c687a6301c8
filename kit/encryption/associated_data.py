"""The place of a value as bytes, to which all keyed results are bound (schemas/envelope.md, "Encoding").

Places are made once for a collection and a field; the encoding for each document is joined from their parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kit.encryption.encoding import TYPE_PARTS, encode, key_part, part
from kit.encryption.field_map import FieldPath
from kit.values import CollectionName

_ENVELOPE = b"offline-kit/envelope"
_DOCUMENT_KEY = b"offline-kit/document-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlace:
    """One collection of one product, with the encodings that all its documents share."""

    product: str
    name: CollectionName
    version: int
    """The envelope's version, 1 or 2. Keys and initialisation vectors of the two always differ."""
    prefix: bytes = field(init=False, repr=False, compare=False)
    """The leading parts of associated data; followed by ``part(identity)``, all that the fields of one document share.
    The identity is the ``_id``'s type byte and value bytes, as in the document: the string ``"1"`` and the number 1
    are two documents."""
    key_prefix: bytes = field(init=False, repr=False, compare=False)
    """Followed by ``part(identity)``: the info from which a document's key is derived."""

    def __post_init__(self) -> None:
        parts = (
            bytes((self.version,)),
            self.product.encode(),
            self.name.database.encode(),
            self.name.collection.encode(),
        )
        object.__setattr__(self, "prefix", encode((_ENVELOPE, *parts)))
        object.__setattr__(self, "key_prefix", encode((_DOCUMENT_KEY, *parts)))

    def field(self, path: FieldPath, context: str) -> FieldPlace:
        """Return the place of a field."""
        steps = encode(step.encode() for step in path.steps)
        return FieldPlace(collection=self, path=path, context=context, infix=part(steps) + part(context.encode()))

    def document_key_info(self, identity: bytes) -> bytes:
        """Return the info from which a document's key is derived."""
        return self.key_prefix + part(identity)

    def located(self, identity: bytes) -> bytes:
        """Return the leading parts of associated data, the document included."""
        return self.prefix + part(identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """One field of a collection."""

    collection: CollectionPlace
    path: FieldPath
    context: str
    infix: bytes = field(repr=False)
    """The encoded path and context."""
    infix_part: bytes = field(init=False, repr=False, compare=False)
    """The infix, as a part."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "infix_part", part(self.infix))

    def associated_data(self, located: bytes, bson_type: int, dek_id: str, mek_version: int) -> bytes:
        """Return the encoded place of a value.

        Args:
            located: From :meth:`CollectionPlace.located`.
            bson_type: Type byte of the plaintext.
            dek_id: Name of the key; it implies the owner, to whom the keyring binds it.
            mek_version: As in the envelope.
        """
        return b"".join((located, self.infix, TYPE_PARTS[bson_type], key_part(dek_id, mek_version)))
