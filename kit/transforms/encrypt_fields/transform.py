"""Replaces mapped plaintext values by envelopes, and proves that nothing else changed but lengths.

:class:`SealingRun` seals one run of documents of one collection, and accounts for every value; :class:`EncryptFields`
is the transform (:class:`kit.transforms.protocol.Transform`). Data keys are made before a run
(``kit.encryption.needs``) and reach the workers in the instance.

Laws (schemas/field-map.md): the values of a document are sealed together or not at all; a valid envelope, null and a
missing field stay unchanged, so a second application changes nothing; any other value stops the run; every value is
counted under exactly one outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeVar, final

from kit.documents import Run, document_name, with_texts
from kit.encryption import field_map as platform_names, needs
from kit.encryption.aead import IvSource, RandomIv, SyntheticIv
from kit.encryption.envelope import Profile
from kit.encryption.field_map import FieldMap
from kit.encryption.keys import NO_KEYS, KeySet, KeySource
from kit.encryption.mapped import (
    DocumentReader,
    DocumentStatus,
    MappedCollection,
    MappedDocument,
    MappedField,
    MappedValue,
    State,
)
from kit.encryption.needs import Needs, find_needs
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document, in_field
from kit.encryption.runs import PartitionTally, seal
from kit.errors import KitError, UsageError
from kit.transforms.protocol import (
    Change,
    ChangeTotals,
    Counts,
    Finding,
    Lookup,
    ProductConflictError,
    RewrittenRun,
    Selection,
    Transform,
)
from kit.values import CollectionName, CountName, FieldOutcome

_K = TypeVar("_K")
ENCRYPTED: Final = "encrypted"
UNCHANGED: Final = "unchanged"
"""Selected, with nothing left to encrypt."""
ERROR: Final = "error"

_SEALED: Final = needs.ENCRYPTED
_OUTCOME: Final = {
    State.ENVELOPE: needs.SKIPPED_ENCRYPTED,
    State.NULL: needs.SKIPPED_NULL,
    State.MISSING: needs.SKIPPED_MISSING,
}
_SELECTED: Final = DocumentStatus.SELECTED
_PLAIN: Final = State.PLAIN


@final
class SealingRun:
    """Seals the values of documents; see :meth:`kit.transforms.encrypt_fields.EncryptFields.apply` for the errors."""

    def __init__(
        self,
        collection: MappedCollection,
        keys: KeySet,
        iv: IvSource,
        *,
        rekeyed: frozenset[str] = frozenset(),
        stop_at_errors: bool,
    ) -> None:
        self._collection = collection
        self._rekeyed = rekeyed
        self._reader = DocumentReader(collection)
        self._keys = CollectionKeys(collection, keys)
        self._iv = iv
        self._stop_at_errors = stop_at_errors
        # Documents whose values came out alike share one mapping: most do, and the engine only reads it.
        self._counts: dict[tuple[str, ...], Counts] = {}
        self._fields: list[tuple[MappedField, tuple[CountName, int], CountName]] = [
            (
                mapped_field,
                (self._named(needs.DIGEST_VALUES, mapped_field), 1),
                self._named(needs.DIGEST_TOTAL, mapped_field),
            )
            for mapped_field in collection.fields
        ]

    def changes(self, documents: Iterable[bytes], first: int) -> list[Change]:
        """Return the change of each document; ``first`` is the ordinal of the first, for messages."""
        return [
            self._change(document, ordinal, text)
            for ordinal, (document, text) in enumerate(with_texts(documents), first)
        ]

    def rewrite(self, data: bytes, ends: Sequence[int], first: int) -> RewrittenRun | None:
        """Return the documents and totals of :meth:`changes`; None if each document must be processed by itself."""
        if not isinstance(self._iv, SyntheticIv) or self._rekeyed:
            return None
        given = Run(data=data, ends=tuple(ends))
        done = seal(self._collection, given, self._keys.keys)
        if done is None:
            return None
        changes = [self._change(given.document(number), first + number) for number, _ in done.alone]
        touched = list(map(bool, done.touched))
        for (number, _), change in zip(done.alone, changes, strict=True):
            touched[number] = change.document is not None
        totals = ChangeTotals(changes)
        totals.failures = [(done.alone[number][0], name, error) for number, name, error in totals.failures]
        for tally in done.tallies:
            self._add(totals, tally)
        for (_, (one_value, _), total), (_, values, digest) in zip(self._fields, done.digests, strict=True):
            if values:
                _add(totals.sums, one_value, values)
                _add(totals.sums, total, digest)
        return RewrittenRun(done.join_documents(given, [change.document for change in changes]), touched, totals)

    def _add(self, totals: ChangeTotals, tally: PartitionTally) -> None:
        tenant = tally.partition
        outcomes = {
            ENCRYPTED: tally.changed,
            UNCHANGED: tally.unchanged,
            DocumentStatus.SKIPPED_OWNER.value: tally.skipped_owner,
            DocumentStatus.NOT_SELECTED.value: tally.not_selected,
        }
        for outcome, documents in outcomes.items():
            _add(totals.outcomes, (tenant, outcome), documents)
        for mapped_field, values in tally.values:
            scanned = tally.changed + tally.unchanged + tally.skipped_owner
            counts = {
                needs.SCANNED: scanned,
                _SEALED: values.changed,
                needs.SKIPPED_ENCRYPTED: values.envelopes,
                needs.SKIPPED_NULL: values.null,
                needs.SKIPPED_MISSING: values.missing,
                needs.SKIPPED_OWNER: tally.skipped_owner,
            }
            for outcome, count in counts.items():
                _add(totals.counts, (tenant, self._named(outcome, mapped_field)), count)

    def _change(self, document: bytes, ordinal: int, text: bytes | None = None) -> Change:
        try:
            mapped = self._reader.read(document, text)
        except KitError as error:
            return self._fail(in_document(error, self._collection, document, ordinal), document, "")
        if mapped.status is _SELECTED:
            return self._seal_values(mapped, ordinal)
        change = Change(tenant=mapped.partition, outcome=mapped.status.value)
        if mapped.status is DocumentStatus.SKIPPED_OWNER:
            change.counts = self._counts_of((needs.SKIPPED_OWNER,) * len(self._collection.fields))
        if mapped.status is DocumentStatus.NO_PARTITION_KEY:
            change.counts = self._counts_of((needs.ERRORS,) * len(self._collection.fields))
            change.findings = (self._finding(DocumentStatus.NO_PARTITION_KEY.value, "no partition key", document, ""),)
        return change

    def _seal_values(self, mapped: MappedDocument, ordinal: int) -> Change:
        keys = DocumentKeys(self._keys, mapped)
        outcomes: list[str] = []
        sums: list[tuple[CountName, int]] = []
        sealed: list[tuple[MappedValue, bytes]] = []
        replaced: bytes | None = None
        for mapped_field, one_value, total in self._fields:
            try:
                value = mapped.value(mapped_field)
                # The digest of the plaintext, if its key is available: verification compares with it.
                if value.state is _PLAIN:
                    digest, envelope = keys.digest_and_seal(value, self._iv)
                    sealed.append((value, envelope))
                    outcomes.append(_SEALED)
                    sums += one_value, (total, digest)
                    continue
                if value.envelope is not None and value.envelope.dek_id in self._rekeyed:
                    digest, envelope = keys.digest_and_reseal(value, value.envelope, self._iv)
                    sealed.append((value, envelope))
                    outcomes.append(_SEALED)
                    sums += one_value, (total, digest)
                    continue
                opened = keys.digest(value)
            except KitError as error:
                in_document(in_field(error, mapped_field), self._collection, mapped.document, ordinal)
                return self._fail(error, mapped.document, mapped.partition)
            if opened is not None:
                sums += one_value, (total, opened)
            outcomes.append(_OUTCOME[value.state])
        if sealed:
            try:
                replaced = mapped.with_envelopes(sealed, self._collection.sealed_kind)
            except KitError as error:
                return self._fail(
                    in_document(error, self._collection, mapped.document, ordinal), mapped.document, mapped.partition
                )
        return Change(
            tenant=mapped.partition,
            outcome=UNCHANGED if replaced is None else ENCRYPTED,
            document=replaced,
            counts=self._counts_of(tuple(outcomes)),
            sums=sums,
        )

    def _fail(self, error: KitError, document: bytes, partition: str) -> Change:
        """Raise, or count every mapped value as an error, since nothing of the document would be written."""
        if self._stop_at_errors:
            raise error
        return Change(
            tenant=partition,
            outcome=ERROR,
            counts=self._counts_of((needs.ERRORS,) * len(self._collection.fields)),
            findings=(self._finding(ERROR, str(error), document, partition),),
            failure=error,
        )

    def _counts_of(self, outcomes: tuple[str, ...]) -> Counts:
        counts = self._counts.get(outcomes)
        if counts is None:
            found: dict[CountName, int] = {}
            for mapped_field, outcome in zip(self._collection.fields, outcomes, strict=True):
                found[self._named(needs.SCANNED, mapped_field)] = 1
                found[self._named(outcome, mapped_field)] = 1
            counts = self._counts[outcomes] = found
        return counts

    def _named(self, outcome: str, mapped_field: MappedField) -> FieldOutcome:
        name = self._collection.place.name
        return FieldOutcome(outcome=outcome, collection=str(name), field=str(mapped_field))

    def _finding(self, kind: str, reason: str, document: bytes, partition: str) -> Finding:
        return Finding(kind=kind, reason=reason, document=document_name(document), tenant=partition)


def _add(counts: dict[_K, int], key: _K, count: int) -> None:
    if count:
        counts[key] = counts.get(key, 0) + count


NAME = "encrypt-fields"
VERSION = 1

OUTCOMES = (
    ENCRYPTED,
    UNCHANGED,
    DocumentStatus.SKIPPED_OWNER.value,
    DocumentStatus.NOT_SELECTED.value,
    DocumentStatus.NO_PARTITION_KEY.value,
    ERROR,
)


_SEALS = "Replaces the mapped plaintext fields of NoteLett documents by envelopes of the profile"
_BY_PLAN = {
    Profile.COMPAT: f"{_SEALS} compat, which the platform's own reader opens.",
    Profile.BOUND: f"{_SEALS} bound, which the platform's own reader cannot open: for kits that nothing but kit reads.",
    Profile.CSFLE: f"{_SEALS} csfle, which drivers of MongoDB open with the keys of a key vault.",
}
_OPENED_BY = {
    Profile.COMPAT: "the platform's own reader can open them with their data keys",
    Profile.BOUND: "the platform's own reader cannot open them (it opens compat)",
    Profile.CSFLE: "drivers of MongoDB can open them with their data keys, the platform's own reader cannot; bound to "
    "key and type only, so one that was moved to another document or field opens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptFields(Transform):
    """The ``encrypt-fields`` transform; see :class:`kit.transforms.protocol.Transform`."""

    field_map: FieldMap
    profile: Profile
    keys: KeySource = field(default=NO_KEYS, repr=False)
    """Set by the run once it knows which keys are needed (``kit.verbs.patch.request``)."""
    iv: IvSource = field(default=SyntheticIv(), repr=False)
    partitions: frozenset[str] | None = None
    """Select the documents of these partitions; None for all."""
    rekeyed: frozenset[str] = frozenset()
    """Data keys whose envelopes are opened and sealed again under their owners' active keys."""
    stop_at_errors: bool = True
    """False counts faulty values instead of raising, so that a run can name all of them before it ends."""

    @property
    def name(self) -> str:
        """See the protocol."""
        return NAME

    @property
    def version(self) -> int:
        """See the protocol."""
        return VERSION

    @property
    def kind(self) -> str:
        """See the protocol."""
        return "encrypted-field"

    @property
    def keyed(self) -> Self:
        """See the protocol."""
        return self

    @property
    def is_reproducible(self) -> bool:
        """See the protocol: random initialisation vectors do not come out again."""
        return not isinstance(self.iv, RandomIv)

    @property
    def tenants(self) -> frozenset[str] | None:
        """See the protocol."""
        return self.partitions

    @property
    def slug(self) -> str:
        """See the protocol."""
        product = re.sub("[^a-z0-9]+", "_", self.field_map.product.lower()).strip("_")
        verb = "rekeying" if self.rekeyed else "encryption"
        return f"{product}_{verb}{f'_{self.profile}' if self._is_by_plan() else ''}"

    @property
    def description(self) -> str:
        """See the protocol."""
        if self.rekeyed:
            return f"Seals values again that are under {len(self.rekeyed)} replaced data keys."
        if self._is_by_plan():
            return _BY_PLAN[self.profile]
        return "Replaces the mapped plaintext fields by authenticated envelopes."

    def advice(self) -> tuple[str, ...]:
        """See the protocol."""
        found = platform_names.advice(self.field_map)
        return (*found, "the shipped field map notelett-2 keeps these rules") if found else ()

    def remarks(self) -> tuple[str, ...]:
        """See the protocol."""
        return (f"envelopes have the profile {self.profile}: {_OPENED_BY[self.profile]}",)

    def _is_by_plan(self) -> bool:
        """Whether it is of NoteLett, and keeps the rules of its plan: as the migrations that ship for it."""
        return self.field_map.product == platform_names.PRODUCT and not platform_names.advice(self.field_map)

    @property
    def replaced(self) -> frozenset[str]:
        """See :class:`kit.transforms.protocol.KeyedTransform`."""
        return self.rekeyed

    def with_keys(self, keys: KeySource) -> Self:
        """See :class:`kit.transforms.protocol.KeyedTransform`."""
        return replace(self, keys=keys)

    def reading_on(self) -> Self:
        """See the protocol."""
        return replace(self, stop_at_errors=False)

    def selecting(self, selection: Selection) -> Self:
        """See the protocol.

        Raises:
            ProductConflictError: The field map limits a collection to another product.
        """
        chosen, product_id = self.field_map, selection.product_id
        if product_id is not None:
            other = next((one for one in chosen.collections if one.product_id not in {None, product_id}), None)
            if other is not None:
                raise ProductConflictError(
                    f"the selection is productId {product_id!r}, but the field map limits {other.collection}"
                    f" to {other.product_id!r}",
                    hint="omit productId from the selection, or give the other product a field map of its own",
                )
            chosen = replace(chosen, collections=tuple(replace(c, product_id=product_id) for c in chosen.collections))
        if selection.collections is not None:
            chosen = chosen.narrowed(selection.collections)
        return replace(self, partitions=selection.tenants, field_map=chosen)

    def alternatives(self, tenants: frozenset[str] | None) -> Iterator[Self]:
        """See the protocol."""
        for source in (SyntheticIv(), RandomIv(bytes)):
            yield replace(self, partitions=self.partitions if tenants is None else tenants, iv=source)

    def parameters(self) -> Mapping[str, Any]:
        """See the protocol; without key names and secrets."""
        return {
            "fieldMap": self.field_map.to_json(),
            "profile": str(self.profile),
            "iv": "random" if isinstance(self.iv, RandomIv) else "synthetic",
            "tenants": sorted(self.partitions) if self.partitions is not None else None,
            **({"rekey": sorted(self.rekeyed)} if self.rekeyed else {}),
            "onError": "stop",  # a fault ends the run with nothing written, raised or counted
        }

    def handles(self, name: CollectionName) -> bool:
        """See the protocol."""
        return self.field_map.collection(name) is not None

    def needs(self, name: CollectionName, documents: Iterable[bytes], first: int) -> Needs:
        """Return what a run needs before it starts; pure, so that workers can call it."""
        return find_needs(self.mapped(name), documents, first, replaced=self.rekeyed)

    def mapped(self, name: CollectionName) -> MappedCollection:
        """Return the map of a collection that this transform handles.

        Raises:
            UsageError: It does not handle it.
        """
        entry = self.field_map.collection(name)
        if entry is None:
            raise UsageError(f"the field map does not name {name}")
        return MappedCollection.of(
            entry, name, product=self.field_map.product, profile=self.profile, partitions=self.partitions
        )

    def rewrite(
        self,
        name: CollectionName,
        data: bytes,
        ends: Sequence[int],
        lookup: Lookup,  # noqa: ARG002
        first: int,
    ) -> RewrittenRun | None:
        """See the protocol; the errors are those of :meth:`apply`."""
        return self._run(name).rewrite(data, ends, first)

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:  # noqa: ARG002
        """Return the change of each document, its plaintext sealed.

        Raises:
            EnvelopeError: A value looks like an envelope, but is no valid one of this profile and place.
            KeyUnusableError: An envelope's data key is not known, or an owner has none.
            StoppedError: An envelope is sealed under another owner's key.
            ContentError: A document has no owner or ``_id``, or a value that this profile cannot hold.
        """
        return self._run(name).changes(documents, first)

    def apply_to_texts(self, name: CollectionName, run: Run) -> Sequence[Change]:
        """See :class:`kit.transforms.protocol.KeyedTransform`; the errors are those of :meth:`apply`."""
        return self._run(name).changes(run, run.first)

    def _run(self, name: CollectionName) -> SealingRun:
        return SealingRun(
            self.mapped(name), self.keys.key_set(), self.iv, rekeyed=self.rekeyed, stop_at_errors=self.stop_at_errors
        )
