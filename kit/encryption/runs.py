"""Whole runs of a mapped collection through the core, and its documents of doubt left to the reference.

The core is handed the map, all names, and the keys of just the owners and envelopes that a run has; it keeps none of
them. Law: what is returned is what the reference gives one document after the other, for the documents that are not in
``alone``; None where the reference must do all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from kit.documents import Run, core
from kit.encryption.data_keys import DataKey
from kit.encryption.envelope import ALGORITHM, NAMES, Names, Profile
from kit.encryption.field_map import IDENTITY, PRODUCT_ID
from kit.encryption.key_set import KeySet
from kit.encryption.mapping import MappedCollection, MappedField

if TYPE_CHECKING:
    from kit_core import Key, Mapped, Partition

_NO_LIMIT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMap:
    """A mapped collection as the core is told it (``core/kit-core/src/seal/names.rs``)."""

    names: Names = NAMES
    algorithm: str = ALGORITHM
    bound: int = Profile.BOUND.value
    version: int
    identity: str = IDENTITY
    product: tuple[str, str] | None
    partition: tuple[str, ...]
    partitions: frozenset[str] | None
    owner: tuple[str, ...]
    skipped: frozenset[str]
    context: str
    fields: tuple[tuple[str, ...], ...]
    infixes: tuple[bytes, ...]
    prefix: bytes
    key_prefix: bytes
    mek_versions: int

    @classmethod
    def of(cls, collection: MappedCollection, fields: Sequence[MappedField], keys: KeySet | None) -> CoreMap:
        """Describe ``fields`` of a collection."""
        place, entry = collection.place, collection.map
        return cls(
            version=place.version,
            product=(PRODUCT_ID, entry.product_id) if entry.product_id is not None else None,
            partition=entry.partition_key.steps,
            partitions=collection.partitions,
            owner=entry.owner.steps,
            skipped=entry.skip_owners,
            context=entry.context,
            fields=tuple(one.path.steps for one in fields),
            infixes=tuple(one.place.infix for one in fields),
            prefix=place.prefix,
            key_prefix=place.key_prefix,
            mek_versions=keys.mek_versions if keys is not None else _NO_LIMIT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionTally:
    """Documents of one partition that the core looked into."""

    partition: str
    """Empty where a document has none."""
    changed: int
    """Selected, and a value was sealed or opened."""
    unchanged: int
    """Selected, and none was."""
    skipped_owner: int
    not_selected: int
    values: tuple[tuple[MappedField, ValueTally], ...]
    """Of the selected documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTally:
    """What the values of one field were; plaintext that stays is not counted."""

    changed: int
    """Sealed or opened."""
    envelopes: int
    """Envelopes that stay."""
    null: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreRun:
    """What became of a run."""

    body: bytes = field(repr=False)
    """The documents as they are now; those of ``alone``, as they were."""
    touched: bytes
    """A byte for each document: 1 if it changed, else 0; where two runs are compared, if the two differ."""
    tallies: tuple[PartitionTally, ...]
    digests: tuple[tuple[MappedField, int, int], ...]
    """Of each field how many plaintexts were digested, and the sum of the digests without its modulus."""
    alone: Sequence[tuple[int, int]]
    """The documents that are the reference's: the number of each, and its offset in ``body``."""

    def joined(self, given: Run, documents: Sequence[bytes | None]) -> bytes:
        """Return the body with ``documents`` in the places of those of ``alone``; None for one that stays."""
        parts: list[bytes] = []
        kept = 0
        for (number, at), document in zip(self.alone, documents, strict=True):
            if document is not None:
                parts += self.body[kept:at], document
                kept = at + len(given.document(number))
        return b"".join([*parts, self.body[kept:]]) if parts else self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSurvey:
    """What a run needs of keys."""

    owners: Sequence[tuple[str, int]]
    """Those with plaintext values, and how many each has."""
    dek_ids: Sequence[str]
    """The data keys that envelopes name."""
    alone: Sequence[int]
    """The numbers of the documents that are the reference's; they are in none of the others."""


def survey(collection: MappedCollection, given: Run) -> CoreSurvey | None:
    """Find the keys that a run needs; None where each document must be asked for."""
    return _survey(CoreMap.of(collection, collection.fields, None), given, is_checked=True)


def seal(collection: MappedCollection, given: Run, keys: KeySet) -> CoreRun | None:
    """Seal what is plaintext, with synthetic vectors; None where each document must be asked for."""
    return _run(collection, given, keys, task="seal")


def prove(collection: MappedCollection, given: Run, keys: KeySet | None) -> CoreRun | None:
    """Look at every value, and open it with ``keys``; None where each document must be asked for.

    A value that was opened counts as changed. A document that has plaintext is the reference's.
    """
    return _run(collection, given, keys, task="prove")


def reopen(collection: MappedCollection, given: Run, keys: KeySet, before: Run) -> CoreRun | None:
    """Open what is not sealed in the same documents as they were before; None where each must be asked for."""
    return _run(collection, given, keys, task="open", against=(before.data, before.ends))


def unseal(
    collection: MappedCollection,
    given: Run,
    keys: KeySet | None,
    changed: Sequence[bool],
    fields: Sequence[MappedField],
) -> CoreRun | None:
    """Open ``fields`` of the documents that ``changed``, or count them where there are no keys; None as before."""
    return _run(collection, given, keys, task="open", against=bytes(changed), fields=fields)


def _run(
    collection: MappedCollection,
    given: Run,
    keys: KeySet | None,
    *,
    task: Literal["seal", "open", "prove"],
    against: bytes | tuple[bytes, Sequence[int]] | None = None,
    fields: Sequence[MappedField] | None = None,
) -> CoreRun | None:
    if core.apply_map is None:
        return None
    chosen = collection.fields if fields is None else fields
    told = CoreMap.of(collection, chosen, keys)
    handed = None
    if keys is not None:
        needed = _survey(told, given, is_checked=False)
        if needed is None:
            return None
        handed = _handed(collection, keys, needed)
    done = core.apply_map(given.data, given.ends, mapped=told, keys=handed, task=task, against=against)
    return _of_core(done, given, chosen) if done is not None else None


def _survey(told: CoreMap, given: Run, *, is_checked: bool) -> CoreSurvey | None:
    found = None
    if core.survey_map is not None:
        found = core.survey_map(given.data, given.ends, mapped=told, is_checked=is_checked)
    if found is None:
        return None
    owners, dek_ids, alone = found
    return CoreSurvey(owners=owners, dek_ids=dek_ids, alone=alone)


def _handed(collection: MappedCollection, keys: KeySet, needed: CoreSurvey) -> list[Key]:
    """Return the keys that seal for these owners, and those of these names that are for this collection."""
    handed: dict[str, Key] = {}
    for dek_id in needed.dek_ids:
        scope, key = keys.scopes.get(dek_id), keys.opening.get(dek_id)
        if scope is not None and key is not None and scope == collection.scope(scope.owner):
            handed[dek_id] = _key(key, scope.owner, is_active=False)
    for owner, _ in needed.owners:
        key = keys.at_hand(collection.scope(owner))
        if key is not None:
            handed[key.dek_id] = _key(key, owner, is_active=True)
    return list(handed.values())


def _key(key: DataKey, owner: str, *, is_active: bool) -> Key:
    secrets = (key.secret, key.pseudorandom_key, key.iv_key, key.digest_key)
    return (key.dek_id, owner, is_active), (key.mek_version, key.part), secrets


def _of_core(done: Mapped, given: Run, fields: Sequence[MappedField]) -> CoreRun | None:
    body, touched, tallies, sums, alone = done
    if alone and len(alone) == len(given.ends):
        return None
    return CoreRun(
        body=given.data if body is None else body,
        touched=touched,
        tallies=tuple(_tally(counted, fields) for counted in tallies),
        digests=tuple(
            (one, values, int.from_bytes(total, "big")) for one, (values, total) in zip(fields, sums, strict=True)
        ),
        alone=alone,
    )


def _tally(counted: Partition, fields: Sequence[MappedField]) -> PartitionTally:
    partition, (changed, unchanged, skipped_owner, not_selected), values = counted
    return PartitionTally(
        partition=partition,
        changed=changed,
        unchanged=unchanged,
        skipped_owner=skipped_owner,
        not_selected=not_selected,
        values=tuple(
            (one, ValueTally(changed=changed, envelopes=envelopes, null=null, missing=missing))
            for one, (changed, envelopes, null, missing) in zip(fields, values, strict=True)
        ),
    )
