"""One document's mapped values under the keys of a run: checks, opens and seals them, and says where an error arose."""

from __future__ import annotations

from typing import final

from kit.documents import document_id
from kit.encryption.aead import DocumentCipher, Opened, check_form
from kit.encryption.data_keys import DataKey
from kit.encryption.envelope import Envelope
from kit.encryption.initialisation import IvSource
from kit.encryption.key_set import KeySet
from kit.encryption.mapped import MappedDocument, MappedValue, State
from kit.encryption.mapping import MappedCollection, MappedField
from kit.errors import KitError


@final
class CollectionKeys:
    """The keys of a run in one collection; an owner's is looked up once."""

    __slots__ = ("_sealing", "collection", "keys")

    def __init__(self, collection: MappedCollection, keys: KeySet) -> None:
        self.collection = collection
        self.keys = keys
        self._sealing: dict[str, DataKey | None] = {}

    def at_hand(self, owner: str) -> DataKey | None:
        """Give the key that seals for ``owner``, or None where there is none or it is locked."""
        try:
            return self._sealing[owner]
        except KeyError:
            key = self._sealing[owner] = self.keys.at_hand(self.collection.scope(owner))
            return key


@final
class DocumentKeys:
    """A selected document and the keys; derives the document's key once for each data key met."""

    __slots__ = ("_ciphers", "_keys", "_mapped")

    def __init__(self, keys: CollectionKeys, mapped: MappedDocument) -> None:
        self._keys = keys
        self._mapped = mapped
        self._ciphers: dict[str, DocumentCipher] = {}

    def open(self, field: MappedField, envelope: Envelope) -> Opened | None:
        """Check an envelope in its place and open it; None where its key is known and not at hand.

        Raises:
            EnvelopeError: It is of another profile or context, or does not open here.
            KeyUnusableError: Its data key is not in the keyring.
            StoppedError: Its data key is another owner's.
        """
        check_form(field.place, envelope)
        key = self._keys.keys.check(envelope, self._keys.collection.scope(self._mapped.owner))
        return self._cipher(key).open(field.place, envelope) if key is not None else None

    def digest(self, value: MappedValue) -> int | None:
        """Check a value and digest its plaintext: what verification compares (schemas/envelope.md, "Value digest").

        None where its key is known and not at hand, and for what has no plaintext.

        Raises:
            KitError: It is an envelope, and :meth:`open` refuses it.
        """
        if value.envelope is not None:
            opened = self.open(value.field, value.envelope)
            if opened is None:
                return None
            return self._ciphers[value.envelope.dek_id].digest(value.field.place, opened.kind, opened.value)
        key = self._keys.at_hand(self._mapped.owner) if value.state is State.PLAIN else None
        if key is None:
            return None
        return self._cipher(key).digest(value.field.place, value.kind, self._mapped.document[value.start : value.end])

    def seal(self, value: MappedValue, iv: IvSource) -> bytes:
        """Seal a plaintext value under the owner's active key; gives the subdocument that takes its place.

        Raises:
            KeyUnusableError: The owner has none at hand.
            ContentError: The profile cannot hold the value.
        """
        key = self._keys.at_hand(self._mapped.owner)
        if key is None:
            # Says why.
            key = self._keys.keys.sealing_key(self._keys.collection.scope(self._mapped.owner))
        plaintext = self._mapped.document[value.start : value.end]
        return self._cipher(key).seal_printed(value.field.place, value.kind, plaintext, iv)

    def _cipher(self, key: DataKey) -> DocumentCipher:
        cipher = self._ciphers.get(key.dek_id)
        if cipher is None:
            macs = self._keys.keys.macs.of(key)
            cipher = DocumentCipher(key, self._keys.collection.place, self._mapped.identity, macs)
            self._ciphers[key.dek_id] = cipher
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
