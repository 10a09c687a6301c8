"""Whole runs of a mapped collection by the core; documents that it leaves open are for the reference.

The core is passed the map, all names, and only the keys of the owners and envelopes in a run; it keeps none of them.
Law: the result equals that of the reference, document by document, for the documents that are not in ``alone``; None if
the reference must process all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from kit.documents import Run, core
from kit.encryption.envelope import ALGORITHM, NAMES, Names, Profile
from kit.encryption.field_map import IDENTITY, PRODUCT_ID
from kit.encryption.keys import KEY_BYTES, DataKey, KeySet
from kit.encryption.mapped import MappedCollection, MappedField

if TYPE_CHECKING:
    from kit_core import Key, Mapped, Partition

_NO_LIMIT: Final = 2**31 - 1
_CSFLE: Final = Profile.CSFLE.value
"""Which the core does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMap:
    """A mapped collection in the form that the core takes (``core/kit-core/src/seal/names.rs``)."""

    names: Names = NAMES
    algorithm: str = ALGORITHM
    bound: int = Profile.BOUND.value
    version: int
    identity: str
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
        """Return the description of ``fields`` of a collection."""
        place, entry = collection.place, collection.map
        return cls(
            version=place.version,
            identity=entry.id_field or IDENTITY,
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
    """Counts of one partition's documents that the core processed."""

    partition: str
    """Empty for documents without one."""
    changed: int
    """Selected documents with a value that was sealed or opened."""
    unchanged: int
    """Selected documents without one."""
    skipped_owner: int
    not_selected: int
    values: tuple[tuple[MappedField, ValueTally], ...]
    """The values of selected documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTally:
    """Counts of one field's values; plaintext that stays is not counted."""

    changed: int
    """Values sealed or opened."""
    envelopes: int
    """Envelopes that stay."""
    null: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreRun:
    """The result for a run."""

    body: bytes = field(repr=False)
    """The documents after; those of ``alone`` unchanged."""
    touched: bytes
    """A byte for each document: 1 if it changed, or if two compared documents differ; else 0."""
    tallies: tuple[PartitionTally, ...]
    digests: tuple[tuple[MappedField, int, int], ...]
    """For each field, the number of digested plaintexts, and the sum of the digests without its modulus."""
    alone: Sequence[tuple[int, int]]
    """Number and offset in ``body`` of each document that is left to the reference."""

    def join_documents(self, given: Run, documents: Sequence[bytes | None]) -> bytes:
        """Return the body with ``documents`` instead of those in ``alone``; None for one that stays."""
        parts: list[bytes] = []
        kept = 0
        for (number, at), document in zip(self.alone, documents, strict=True):
            if document is not None:
                parts += self.body[kept:at], document
                kept = at + len(given.document(number))
        return b"".join([*parts, self.body[kept:]]) if parts else self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSurvey:
    """The keys that a run needs."""

    owners: Sequence[tuple[str, int]]
    """Owners with plaintext values, and the number of each one's values."""
    dek_ids: Sequence[str]
    """The data keys named in envelopes."""
    alone: Sequence[int]
    """The numbers of documents left to the reference; the other fields do not cover them."""


def survey(collection: MappedCollection, given: Run) -> CoreSurvey | None:
    """Return the keys that a run needs; None if each document must be processed by itself."""
    if collection.place.version == _CSFLE or given.texts is not None:
        return None
    return _survey(CoreMap.of(collection, collection.fields, None), given, is_checked=True)


def seal(collection: MappedCollection, given: Run, keys: KeySet) -> CoreRun | None:
    """Return a run, sealed with synthetic vectors; None if each document must be processed by itself."""
    return _run(collection, given, keys, task="seal")


def prove(collection: MappedCollection, given: Run, keys: KeySet | None) -> CoreRun | None:
    """Return the counts of all values, opened with ``keys``; None if each document must be processed by itself.

    An opened value counts as changed. A document with plaintext is left to the reference.
    """
    return _run(collection, given, keys, task="prove")


def reopen(collection: MappedCollection, given: Run, keys: KeySet, before: Run) -> CoreRun | None:
    """Return a run with those envelopes opened that ``before`` does not have; None as for :func:`seal`."""
    return _run(collection, given, keys, task="open", against=(before.data, before.ends))


def unseal(
    collection: MappedCollection,
    given: Run,
    keys: KeySet | None,
    changed: Sequence[bool],
    fields: Sequence[MappedField],
) -> CoreRun | None:
    """Return a run, ``fields`` of ``changed`` documents opened, or counted without keys; None as for :func:`seal`."""
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
    if core.apply_map is None or collection.place.version == _CSFLE or given.texts is not None:
        return None
    chosen = collection.fields if fields is None else fields
    core_map = CoreMap.of(collection, chosen, keys)
    core_keys = None
    if keys is not None:
        needed = _survey(core_map, given, is_checked=False)
        if needed is None:
            return None
        core_keys = _keys_for(collection, keys, needed)
        if core_keys is None:
            return None
    done = core.apply_map(given.data, given.ends, mapped=core_map, keys=core_keys, task=task, against=against)
    return _from_core(done, given, chosen) if done is not None else None


def _survey(core_map: CoreMap, given: Run, *, is_checked: bool) -> CoreSurvey | None:
    found = None
    if core.survey_map is not None:
        found = core.survey_map(given.data, given.ends, mapped=core_map, is_checked=is_checked)
    if found is None:
        return None
    owners, dek_ids, alone = found
    return CoreSurvey(owners=owners, dek_ids=dek_ids, alone=alone)


def _keys_for(collection: MappedCollection, keys: KeySet, needed: CoreSurvey) -> list[Key] | None:
    """Return the keys that seal for these owners, and those of the named keys that are for this collection.

    None if one of them is of another length than the core takes.
    """
    found: dict[str, tuple[DataKey, str, bool]] = {}
    for dek_id in needed.dek_ids:
        scope, key = keys.scopes.get(dek_id), keys.opening.get(dek_id)
        if scope is not None and key is not None and scope == collection.scope(scope.owner):
            found[dek_id] = key, scope.owner, False
    for owner, _ in needed.owners:
        key = keys.at_hand(collection.scope(owner))
        if key is not None:
            found[key.dek_id] = key, owner, True
    if any(len(key.secret) != KEY_BYTES for key, _, _ in found.values()):
        return None
    return [_key(key, owner, is_active=is_active) for key, owner, is_active in found.values()]


def _key(key: DataKey, owner: str, *, is_active: bool) -> Key:
    secrets = (key.secret, key.pseudorandom_key, key.iv_key, key.digest_key)
    return (key.dek_id, owner, is_active), (key.mek_version, key.part), secrets


def _from_core(done: Mapped, given: Run, fields: Sequence[MappedField]) -> CoreRun | None:
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
