"""What is tried before the first document is written: every key seals and opens, and the live writer's envelope opens.

A key that is there and wrong, or a profile that is not the platform's, is found here and not after a million envelopes.
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
from kit.encryption.mapped import Standing, read
from kit.encryption.mapping import MappedCollection
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document
from kit.errors import ContentError, EnvelopeError, KeyUnusableError, KitError
from kit.values import CollectionName

_TEXT = b"offline-kit canary"
_CANARY = INT32.pack(len(_TEXT) + 1) + _TEXT + b"\0"
_IDENTITY = bytes((Kind.STRING,)) + _CANARY
_NOWHERE = CollectionName(database="", collection="")  # no document has this place, so no envelope can repeat there


def check_canary(
    entry: CollectionMap,
    *,
    product: str,
    profile: Profile,
    keys: KeySet,
    scopes: Iterable[Scope],
    stored: KeySet | None = None,
) -> int:
    """Seal a value under the key of every scope and open it; give how many were tried.

    It is always the same value in the same place, so it is one value more under each key, however often it is tried.

    Args:
        entry: Any collection of the map.
        product: The map's.
        profile: That of the run.
        keys: The keys of the run.
        scopes: For whom keys will be needed.
        stored: The keys of the keyring as read back from disk; what they can open, they must. With a public key alone
            they open nothing, and the keys of the run are tried on themselves.

    Raises:
        KeyUnusableError: A scope has no key at hand, or what its key sealed does not open.
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
            raise KeyUnusableError(f"data key {key.dek_id} as stored does not open what it sealed here") from error
        tried += 1
    return tried


def check_reference(collection: MappedCollection, document: bytes, keys: KeySet) -> int:
    """Open every envelope of a document that the live writer made; give how many there were.

    Raises:
        ContentError: It is not selected by the map, or holds no envelope.
        EnvelopeError: An envelope is of another profile, or does not open.
        KeyUnusableError: Its data key is not in the keyring, or locked.
        StoppedError: Its data key is another owner's.
    """
    try:
        mapped = read(document, collection)
        if mapped.standing is not Standing.SELECTED:
            raise ContentError(f"the reference document is {mapped.standing.value}")
        document_keys = DocumentKeys(CollectionKeys(collection, keys), mapped)
        found = 0
        for field in collection.fields:
            envelope = mapped.value(field).envelope
            if envelope is not None:
                found += 1
                if document_keys.open(field, envelope) is None:
                    keys.opening_key(envelope.dek_id)  # says why it is locked
        if not found:
            raise ContentError("the reference document holds no envelope")
    except KitError as error:
        raise in_document(error, collection, document, 0) from error
    return found
