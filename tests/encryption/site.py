"""A site in memory: a small field map, a keyring with a passphrase, and a source of bytes that repeats itself."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace as with_changes
from typing import Any

import bson

from kit.encryption import (
    Credentials,
    FieldMap,
    Keyring,
    KeySet,
    MappedCollection,
    Needs,
    PassphraseRecord,
    Profile,
    Scope,
    UnlockedKeyring,
    new_keyring,
    unlock,
)
from kit.errors import KitError
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Change, ChangeTotals, RewrittenRun
from kit.values import CollectionName, Timestamp

NOW = Timestamp.parse("2026-01-02T03:04:05Z")
COST = 2**10
PASSPHRASE = b"TEST-ONLY passphrase"
CREDENTIALS = Credentials(passphrase=lambda _version: PASSPHRASE)
NOTES = CollectionName(database="app", collection="notes")
PRODUCT = "notelett"
CONTEXT = "notes"

ENTRY: dict[str, Any] = {
    "collection": "notes",
    "partitionKey": "workspaceId",
    "fields": ["body", "meta.title"],
    "context": CONTEXT,
    "userIdField": "userId",
    "skipOwners": ["__builtin__"],
}


def map_of(*entries: dict[str, Any], product: str = PRODUCT) -> FieldMap:
    return FieldMap.parse(json.dumps({"schemaVersion": "1", "product": product, "collections": entries}).encode())


MAP = map_of(ENTRY)


class Stream:
    """Bytes that look random and are the same in each test: TEST-ONLY."""

    def __init__(self, seed: str = "TEST-ONLY") -> None:
        self._seed, self._drawn = seed, 0

    def __call__(self, size: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(f"{self._seed}/{self._drawn}".encode()).digest(size)


class NoLookup:
    def find(self, keys: Sequence[bytes]) -> dict[bytes, Sequence[bytes]]:
        raise AssertionError(keys)

    def has_prefix(self, prefix: bytes) -> bool:
        raise AssertionError(prefix)


def passphrase_record(passphrase: bytes = PASSPHRASE, seed: str = "mek") -> PassphraseRecord:
    return PassphraseRecord.make(passphrase, random=Stream(seed), cost=COST)


def empty_keyring() -> Keyring:
    return new_keyring(passphrase_record(), now=NOW)


def scope(owner: str = "ada") -> Scope:
    return Scope(product=PRODUCT, context=CONTEXT, owner=owner)


def note(identity: object = 1, owner: object = "ada", **more: object) -> bytes:
    document = {"_id": identity, "workspaceId": "w1", "userId": owner, "body": "hello", "meta": {"title": "t", "n": 1}}
    return bson.encode({**document, **more})


class Site:
    """A transform with keys for whoever needs them."""

    def __init__(
        self, profile: Profile = Profile.BOUND, *, field_map: FieldMap = MAP, name: CollectionName = NOTES
    ) -> None:
        self.unlocked: UnlockedKeyring = unlock(empty_keyring(), CREDENTIALS)
        self.random = Stream("keys")
        self.name = name
        self.transform = EncryptFields(field_map=field_map, profile=profile, keys=self.unlocked.key_set())

    @property
    def collection(self) -> MappedCollection:
        return self.transform.mapped(self.name)

    @property
    def keys(self) -> KeySet:
        return self.transform.keys.key_set()

    def prepare(self, *documents: bytes) -> Needs:
        needs = self.transform.needs(self.name, documents, 0)
        self.provide(dict(needs.values))
        return needs

    def provide(self, uses: dict[Scope, int]) -> None:
        self.unlocked = self.unlocked.provide(uses, profile=self.transform.profile, random=self.random, now=NOW)
        self.transform = with_changes(self.transform, keys=self.unlocked.key_set())

    def apply(self, *documents: bytes) -> Sequence[Change]:
        """Apply, and see that the whole run gives the same, or none where each document must be asked for."""
        whole, refused = self._rewritten(documents)
        try:
            changes = self.transform.apply(self.name, documents, NoLookup(), 0)
        except KitError as error:
            is_same = refused is None or (type(refused), str(refused)) == (type(error), str(error))
            if whole is not None or not is_same:
                raise AssertionError(whole, refused) from error
            raise
        assert refused is None
        if whole is not None:
            assert whole.body == b"".join(
                [change.document or old for change, old in zip(changes, documents, strict=True)]
            )
            assert whole.touched == [change.document is not None for change in changes]
            one, other = whole.totals, ChangeTotals(changes)
            assert (one.outcomes, one.counts, one.sums) == (other.outcomes, other.counts, other.sums)
            assert (one.findings, list(map(str, one.failures))) == (other.findings, list(map(str, other.failures)))
        return changes

    def _rewritten(self, documents: Sequence[bytes]) -> tuple[RewrittenRun | None, KitError | None]:
        ends = list(itertools.accumulate(map(len, documents)))
        try:
            return self.transform.rewrite(self.name, b"".join(documents), ends, NoLookup(), 0), None
        except KitError as error:
            return None, error

    def encrypt(self, *documents: bytes) -> list[bytes]:
        """Prepare and apply; unchanged documents as they are."""
        self.prepare(*documents)
        return [change.document or old for change, old in zip(self.apply(*documents), documents, strict=True)]
