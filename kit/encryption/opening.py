"""One document's mapped values under the keys of a run: checks, opens and seals them, and says where an error arose."""

from __future__ import annotations

from kit.documents import document_id
from kit.encryption.aead import DocumentCipher, IvSource, Opened, check_form
from kit.encryption.data_keys import DataKey
from kit.encryption.envelope import Envelope
from kit.encryption.key_set import KeySet
from kit.encryption.mapped import MappedCollection, MappedDocument, MappedField, MappedValue
from kit.errors import KitError


class DocumentKeys:
    """A selected document and the keys; derives the document's key once for each data key met."""

    __slots__ = ("_ciphers", "_collection", "_keys", "_mapped", "scope")

    def __init__(self, collection: MappedCollection, mapped: MappedDocument, keys: KeySet) -> None:
        self._collection, self._mapped, self._keys = collection, mapped, keys
        self.scope = collection.scope(mapped.owner)
        self._ciphers: dict[str, DocumentCipher] = {}

    def open(self, field: MappedField, envelope: Envelope) -> tuple[DataKey, Opened] | None:
        """Check an envelope in its place and open it; None where its key is known and not at hand.

        Raises:
            EnvelopeError: It is of another profile or context, or does not open here.
            KeyUnusableError: Its data key is not in the keyring.
            StoppedError: Its data key is another owner's.
        """
        check_form(field.place, envelope)
        key = self._keys.check(envelope, self.scope)
        return (key, self._cipher(key).open(field.place, envelope)) if key is not None else None

    def seal(self, value: MappedValue, iv: IvSource) -> Envelope:
        """Seal a plaintext value under the owner's active key.

        Raises:
            KeyUnusableError: The owner has none at hand.
            ContentError: The profile cannot hold the value.
        """
        key = self._keys.sealing_key(self.scope)
        plaintext = self._mapped.document[value.start : value.end]
        return self._cipher(key).seal(value.field.place, value.kind, plaintext, iv)

    def _cipher(self, key: DataKey) -> DocumentCipher:
        cipher = self._ciphers.get(key.dek_id)
        if cipher is None:
            cipher = self._ciphers[key.dek_id] = DocumentCipher(key, self._collection.place, self._mapped.identity)
        return cipher


def document_name(document: bytes) -> str:
    """What to call a document that may be malformed."""
    try:
        return document_id(document)
    except KitError:
        return "(unreadable)"


def in_document(error: KitError, collection: MappedCollection, document: bytes, ordinal: int) -> KitError:
    """Say of an error in which container and document it arose."""
    return error.inside(f'{collection.place.name}: document {ordinal:,} (_id "{document_name(document)}")')


def in_field(error: KitError, field: MappedField) -> KitError:
    """Say of an error in which field it arose."""
    return error.inside(f'field "{field}"')
