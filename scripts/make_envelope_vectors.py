"""Makes fixtures/envelope-vectors.json, the vectors of schemas/envelope.md; ``scripts/make_fixtures.py`` writes it.

Every key in it is made from the text TEST-ONLY and must never be used for anything else.
"""

from __future__ import annotations

import hashlib
from typing import Any

import bson

from kit.encryption import Profile, Scope, SyntheticIv
from kit.encryption.aead import DocumentCipher, KeyInPlace
from kit.encryption.associated_data import CollectionPlace
from kit.encryption.data_keys import DataKey, expand
from kit.encryption.field_map import FieldPath
from kit.values import CollectionName, strict_json

NAME = "envelope-vectors.json"


def _value(value: Any) -> tuple[int, bytes]:
    """Type byte and value bytes, by way of a document that pymongo encodes."""
    data = bson.encode({"": value})
    return data[4], data[6:-1]


_VALUES: list[tuple[str, Any]] = [
    ("a string", "hello"),
    ("an empty string", ""),
    ("a string of several scripts", "naïve, 北京 \N{PILE OF POO}"),
    ("a double", 1.5),
    ("a subdocument", {"a": [1, {"b": "c"}], "d": None}),
    ("an array", ["x", 2]),
    ("binary", b"\x00\xff"),
    ("an ObjectId", bson.ObjectId("0123456789abcdef01234567")),
    ("a boolean", True),
    ("an int64", bson.Int64(2**40)),
    ("a minimum key, which has no bytes", bson.MinKey()),
]

_PLACES: list[tuple[str, Any, tuple[str, ...]]] = [
    ("by text", "n1", ("body",)),
    ("by a number, which is not the text of it", 1, ("body",)),
    ("in a nested field", bson.ObjectId("0123456789abcdef01234567"), ("content", "raw")),
    ("in a field with a dot in its name", "n1", ("content.raw",)),
]


def vectors() -> list[dict[str, Any]]:
    """Make all vectors."""
    made = []
    for profile in Profile:
        for name, value in _VALUES:
            if profile is Profile.BOUND or isinstance(value, str):
                made.append(_vector(f"{profile}: {name}", profile, "n1", ("body",), value))
        for name, identity, path in _PLACES:
            made.append(_vector(f"{profile}: {name}", profile, identity, path, "hello"))
    return made


def _vector(name: str, profile: Profile, identity: Any, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    scope = Scope(product="notelett", context="notes", owner="ada")
    secret = hashlib.sha256(f"TEST-ONLY {profile}".encode()).digest()
    key = DataKey(dek_id=f"TEST-ONLY-{profile}", scope=scope, mek_version=1, secret=secret)
    database, collection = "app", "notes"
    place = CollectionPlace(
        product=scope.product, name=CollectionName(database=database, collection=collection), version=profile.value
    )
    field = place.field(FieldPath(path), scope.context)
    kind, data = _value(value)
    id_kind, id_value = _value(identity)
    typed_id = bytes((id_kind,)) + id_value
    cipher = DocumentCipher(KeyInPlace(key, place), typed_id)
    envelope = cipher.seal(field, kind, data, SyntheticIv())
    located = place.located(typed_id)
    return {
        "name": name,
        "profile": str(profile),
        "dek": secret.hex(),
        "dekId": key.dek_id,
        "mekVersion": key.mek_version,
        "product": scope.product,
        "context": scope.context,
        "owner": scope.owner,
        "database": database,
        "collection": collection,
        "id": {"type": id_kind, "value": id_value.hex()},
        "path": list(path),
        "bsonType": kind,
        "value": data.hex(),
        "associatedData": field.associated_data(located, kind, key.dek_id, key.mek_version).hex(),
        "documentKey": expand(key.pseudorandom_key, place.document_key_info(typed_id)).hex(),
        "ivKey": key.iv_key.hex(),
        "commitment": key.commitment,
        "valueDigest": f"{cipher.digest(field, kind, data):064x}",
        "envelope": bson.decode(envelope.to_bson()),
        "bson": envelope.to_bson().hex(),
    }


def text() -> bytes:
    """Give the file's content."""
    return strict_json.canonical({"warning": "TEST-ONLY keys", "vectors": vectors()})
