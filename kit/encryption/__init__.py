"""Field encryption: the field map, the envelope, the keys, and the proof of a collection.

Steps of a run: the first pass over a kit finds which keys are needed (:func:`find_needs`);
:meth:`UnlockedKeyring.provide` makes missing ones and reserves uses; the keyring is written; ``check_canary`` tries
every key; ``kit.transforms.encrypt_fields`` seals the documents; :func:`prove` checks the result.

Laws: nothing is encrypted with a key that is not on disk, wrapped; a value is plaintext, envelope, null, missing, or an
error, and never guessed; no secret appears in ``repr``, errors or reports. Clock and randomness are arguments.
"""

from kit.encryption.aead import RandomIv, SyntheticIv
from kit.encryption.envelope import Envelope, Profile
from kit.encryption.field_map import SHIPPED, CollectionMap, FieldMap, shipped
from kit.encryption.keyring import Dek, Keyring, Mek, new_keyring
from kit.encryption.keys import NO_KEYS, KeySet, KeySource, Scope
from kit.encryption.mapped import MappedCollection
from kit.encryption.master_keys import Credentials, TokenRecord
from kit.encryption.needs import FieldCounts, Needs, check_partition_keys, field_counts, find_needs
from kit.encryption.opening import check_canary, check_reference
from kit.encryption.proof import FieldProof, Proof, ProofFinding, ValueDigest, prove
from kit.encryption.providers import AgeRecord, PassphraseRecord, RsaRecord
from kit.encryption.unlocking import KeyringFile, UnlockedKeyring, create, load, rewrap, unlock

__all__ = [
    "NO_KEYS",
    "SHIPPED",
    "AgeRecord",
    "CollectionMap",
    "Credentials",
    "Dek",
    "Envelope",
    "FieldCounts",
    "FieldMap",
    "FieldProof",
    "KeySet",
    "KeySource",
    "Keyring",
    "KeyringFile",
    "MappedCollection",
    "Mek",
    "Needs",
    "PassphraseRecord",
    "Profile",
    "Proof",
    "ProofFinding",
    "RandomIv",
    "RsaRecord",
    "Scope",
    "SyntheticIv",
    "TokenRecord",
    "UnlockedKeyring",
    "ValueDigest",
    "check_canary",
    "check_partition_keys",
    "check_reference",
    "create",
    "field_counts",
    "find_needs",
    "load",
    "new_keyring",
    "prove",
    "rewrap",
    "shipped",
    "unlock",
]
