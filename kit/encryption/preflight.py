"""Trials before the first document is written: every key seals and opens, and the live writer's envelope opens.

A wrong key, or a profile that is not the platform's, is found here and not after a million envelopes.
"""

from __future__ import annotations

from collections.abc import Iterable

from kit.documents import Kind
from kit.documents.kinds import INT32
from kit.encryption.aead import DocumentCipher, KeyInPlace
from kit.encryption.data_keys import Scope
from kit.encryption.envelope import Envelope, Profile
from kit.encryption.field_map import CollectionMap
from kit.encryption.initialisation import SyntheticIv
from kit.encryption.key_set import KeySet
from kit.encryption.mapped import DocumentStatus, read
from kit.encryption.mapping import MappedCollection
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document
from kit.errors import ContentError, EnvelopeError, KeyUnusableError, KitError
from kit.values import CollectionName

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
            cipher.open(place, Envelope.parse(sealed.to_bson()))
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
