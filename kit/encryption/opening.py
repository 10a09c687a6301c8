"""Checks, opens and seals a document's mapped values with the keys of a run; errors name the place.

Two trials come before the first document is written: every key seals and opens (:func:`check_canary`), and an envelope
of the live writer opens (:func:`check_reference`). So a wrong key, or a profile that is not the platform's, is found
before a million envelopes are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from kit.documents import Kind, document_name
from kit.documents.kinds import INT32
from kit.encryption.aead import (
    DocumentCipher,
    IvSource,
    KeyInPlace,
    OpenedValue,
    SyntheticIv,
    check_form,
    check_sealable,
)
from kit.encryption.envelope import PROFILES, Envelope, Profile
from kit.encryption.field_map import CollectionMap
from kit.encryption.keys import DataKey, KeySet, Scope
from kit.encryption.mapped import (
    DocumentStatus,
    MappedCollection,
    MappedDocument,
    MappedField,
    MappedValue,
    State,
    read,
)
from kit.errors import ContentError, EnvelopeError, KeyUnusableError, KitError
from kit.values import CollectionName


@final
class CollectionKeys:
    """The keys of a run in one collection; an owner's is looked up once."""

    __slots__ = ("_places", "_sealing", "collection", "keys")

    def __init__(self, collection: MappedCollection, keys: KeySet) -> None:
        self.collection = collection
        self.keys = keys
        self._sealing: dict[str, KeyInPlace | None] = {}
        self._places: dict[str, KeyInPlace] = {}

    def at_hand(self, owner: str) -> KeyInPlace | None:
        """Return the key that seals for ``owner``, or None if there is none or it is locked."""
        try:
            return self._sealing[owner]
        except KeyError:
            key: DataKey | None = self.keys.at_hand(self.collection.scope(owner))
            place = self._sealing[owner] = self.place(key) if key is not None else None
            return place

    def place(self, key: DataKey) -> KeyInPlace:
        """Return a key in this collection; a run has one key of each name."""
        name: str = key.dek_id
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = KeyInPlace(key, self.collection.place, self.keys.macs.of(key))
        return place


@final
class DocumentKeys:
    """A selected document and the keys; derives the document's key once for each data key."""

    __slots__ = ("_cipher", "_keys", "_mapped", "_under")

    def __init__(self, keys: CollectionKeys, mapped: MappedDocument) -> None:
        self._keys = keys
        self._mapped = mapped
        # All envelopes of a document are under one key, except if its key was replaced while it was encrypted.
        self._under: KeyInPlace | None = None
        self._cipher: DocumentCipher | None = None

    def open(self, field: MappedField, envelope: Envelope) -> OpenedValue | None:
        """Return the value of an envelope, checked in its place; None if its key is known but locked.

        Raises:
            EnvelopeError: It is of another profile or context, or does not open here.
            KeyUnusableError: Its data key is not in the keyring.
            StoppedError: Its data key is another owner's.
        """
        check_form(field.place, envelope)
        key = self._keys.keys.check(envelope, self._keys.collection.scope(self._mapped.owner))
        return self._under_key(self._keys.place(key)).open(field.place, envelope) if key is not None else None

    def digest(self, value: MappedValue) -> int | None:
        """Return the digest of a value's plaintext, which verification compares (schemas/envelope.md, "Value digest").

        None if its key is known but locked, and for a value without plaintext.

        Raises:
            KitError: It is an envelope, and :meth:`open` refuses it.
        """
        if value.envelope is not None:
            opened = self.open(value.field, value.envelope)
            if opened is None or self._cipher is None:
                return None
            return self._cipher.digest(value.field.place, opened.kind, opened.value)
        key = self._keys.at_hand(self._mapped.owner) if value.state is State.PLAIN else None
        if key is None:
            return None
        return self._under_key(key).digest(value.field.place, *self._mapped.plaintext(value))

    def digest_and_seal(self, value: MappedValue, iv: IvSource) -> tuple[int, bytes]:
        """Return digest and envelope of a plaintext value, sealed under the owner's active key.

        Returns:
            The digest, and the subdocument that replaces the value.

        Raises:
            KeyUnusableError: The owner has no usable key.
            ContentError: The profile cannot hold the value.
        """
        owner, place = self._mapped.owner, value.field.place
        kind, plaintext = self._mapped.plaintext(value)
        key = self._keys.at_hand(owner)
        if key is None:
            # An owner without sealable values has no key: report that cause first. Else sealing_key() raises why.
            check_sealable(PROFILES[self._keys.collection.place.version], kind, plaintext)
            key = self._keys.place(self._keys.keys.sealing_key(self._keys.collection.scope(owner)))
        cipher = self._under_key(key)
        return cipher.digest(place, kind, plaintext), cipher.seal_encoded(place, kind, plaintext, iv)

    def digest_and_reseal(self, value: MappedValue, envelope: Envelope, iv: IvSource) -> tuple[int, bytes]:
        """Return digest and envelope of a sealed value, opened and sealed again under the owner's active key.

        The digest is of the plaintext that was opened, under the new key: what the new envelope opens to must have it.

        Raises:
            KeyUnusableError: The old key or the owner's active one is locked or not there, or they are the same.
            EnvelopeError: The envelope does not open.
            StoppedError: Its data key is another owner's.
        """
        opened = self.open(value.field, envelope)
        if opened is None:
            self._keys.keys.opening_key(envelope.dek_id)  # raises that it is locked
            raise AssertionError(envelope.dek_id)
        key = self._keys.place(self._keys.keys.sealing_key(self._keys.collection.scope(self._mapped.owner)))
        if key.key.dek_id == envelope.dek_id:
            raise KeyUnusableError(f"data key {envelope.dek_id} is to be replaced, and is its owner's active one")
        cipher, place = self._under_key(key), value.field.place
        return (
            cipher.digest(place, opened.kind, opened.value),
            cipher.seal_encoded(place, opened.kind, opened.value, iv),
        )

    def _under_key(self, key: KeyInPlace) -> DocumentCipher:
        cipher = self._cipher
        if cipher is None or self._under is not key:
            cipher = self._cipher = DocumentCipher(key, self._mapped.identity)
            self._under = key
        return cipher


def in_document(error: KitError, collection: MappedCollection, document: bytes, ordinal: int) -> KitError:
    """Return the error with its container and document."""
    return error.inside(f'{collection.place.name}: document {ordinal:,} (_id "{document_name(document)}")')


def in_field(error: KitError, field: MappedField) -> KitError:
    """Return the error with its field."""
    return error.inside(f'field "{field}"')


_TEXT = b"offline-kit canary"
_CANARY = INT32.pack(len(_TEXT) + 1) + _TEXT + b"\0"
_IDENTITY = bytes((Kind.STRING,)) + _CANARY
_NOWHERE = CollectionName(database="", collection="")  # no document is here, so no envelope can repeat


def check_canary(
    entry: CollectionMap,
    *,
    product: str,
    profile: Profile,
    keys: KeySet,
    scopes: Iterable[Scope],
    stored: KeySet | None = None,
) -> int:
    """Seal a value under the key of every scope and open it; return the number of keys tried.

    The value and its place are always the same, so it counts as one value more under each key, however often tried.

    Args:
        entry: Any collection of the map.
        product: The map's product.
        profile: The run's profile.
        keys: The keys of the run.
        scopes: The purposes of the keys that will be needed.
        stored: The keys of the keyring as read back from disk; each one that is not locked must open its canary. With
            a public key alone all are locked, and the keys of the run open their own.

    Raises:
        KeyUnusableError: A scope has no usable key, or what its key sealed does not open.
    """
    collection = MappedCollection.of(entry, _NOWHERE, product=product, profile=profile)
    place = collection.fields[0].place
    tried = 0
    for scope in scopes:
        key = keys.sealing_key(scope)
        cipher = DocumentCipher(KeyInPlace(key, collection.place), _IDENTITY)
        sealed = cipher.seal(place, Kind.STRING, _CANARY, SyntheticIv())
        opening = stored.opening.get(key.dek_id, key) if stored is not None else key
        try:
            cipher = DocumentCipher(KeyInPlace(opening, collection.place), _IDENTITY)
            stored_value = sealed.to_bson()
            is_binary = profile is Profile.CSFLE
            cipher.open(place, Envelope.read_binary(stored_value) if is_binary else Envelope.parse(stored_value))
        except EnvelopeError as error:
            raise KeyUnusableError(f"the stored data key {key.dek_id} does not open what it sealed here") from error
        tried += 1
    return tried


def check_reference(collection: MappedCollection, document: bytes, keys: KeySet) -> int:
    """Open every envelope of a document that the live writer made, and return their number.

    Raises:
        ContentError: It is not selected by the map, or holds no envelope.
        EnvelopeError: An envelope is of another profile, or does not open.
        KeyUnusableError: Its data key is not in the keyring, or locked.
        StoppedError: Its data key is another owner's.
    """
    try:
        mapped = read(document, collection)
        if mapped.status is not DocumentStatus.SELECTED:
            raise ContentError(f"the reference document is {mapped.status.value}")
        document_keys = DocumentKeys(CollectionKeys(collection, keys), mapped)
        found = 0
        for field in collection.fields:
            envelope = mapped.value(field).envelope
            if envelope is not None:
                found += 1
                if document_keys.open(field, envelope) is None:
                    keys.opening_key(envelope.dek_id)  # raises why it is locked
        if not found:
            raise ContentError("the reference document holds no envelope")
    except KitError as error:
        raise in_document(error, collection, document, 0) from error
    return found
