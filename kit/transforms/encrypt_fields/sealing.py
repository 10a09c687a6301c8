"""Seals plaintext in one run of documents of one collection, and accounts for every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar, final

from kit.documents import Run, document_name
from kit.encryption import counting
from kit.encryption.initialisation import IvSource, SyntheticIv
from kit.encryption.key_set import KeySet
from kit.encryption.mapped import DocumentReader, DocumentStatus, MappedDocument, MappedValue, State
from kit.encryption.mapping import MappedCollection, MappedField
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document, in_field
from kit.encryption.runs import PartitionTally, seal
from kit.errors import KitError
from kit.transforms.change import ChangeTotals, Counts, RewrittenRun
from kit.transforms.protocol import Change, Finding
from kit.values import CountName, FieldOutcome

_K = TypeVar("_K")
ENCRYPTED: Final = "encrypted"
UNCHANGED: Final = "unchanged"
"""Selected, with nothing left to encrypt."""
ERROR: Final = "error"

_SEALED: Final = counting.ENCRYPTED
_OUTCOME: Final = {
    State.ENVELOPE: counting.SKIPPED_ENCRYPTED,
    State.NULL: counting.SKIPPED_NULL,
    State.MISSING: counting.SKIPPED_MISSING,
}
_SELECTED: Final = DocumentStatus.SELECTED
_PLAIN: Final = State.PLAIN


@final
class SealingRun:
    """Seals the values of documents; see :meth:`kit.transforms.encrypt_fields.EncryptFields.apply` for the errors."""

    def __init__(self, collection: MappedCollection, keys: KeySet, iv: IvSource, *, stop_at_errors: bool) -> None:
        self._collection = collection
        self._reader = DocumentReader(collection)
        self._keys = CollectionKeys(collection, keys)
        self._iv = iv
        self._stop_at_errors = stop_at_errors
        # Documents whose values came out alike share one mapping: most do, and the engine only reads it.
        self._counts: dict[tuple[str, ...], Counts] = {}
        self._fields: list[tuple[MappedField, tuple[CountName, int], CountName]] = [
            (
                mapped_field,
                (self._named(counting.DIGEST_VALUES, mapped_field), 1),
                self._named(counting.DIGEST_TOTAL, mapped_field),
            )
            for mapped_field in collection.fields
        ]

    def changes(self, documents: Sequence[bytes], first: int) -> list[Change]:
        """Return the change of each document; ``first`` is the ordinal of the first, for messages."""
        return [self._change(document, ordinal) for ordinal, document in enumerate(documents, first)]

    def rewrite(self, data: bytes, ends: Sequence[int], first: int) -> RewrittenRun | None:
        """Return the documents and totals of :meth:`changes`; None if each document must be processed by itself."""
        if not isinstance(self._iv, SyntheticIv):
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
                counting.SCANNED: scanned,
                _SEALED: values.changed,
                counting.SKIPPED_ENCRYPTED: values.envelopes,
                counting.SKIPPED_NULL: values.null,
                counting.SKIPPED_MISSING: values.missing,
                counting.SKIPPED_OWNER: tally.skipped_owner,
            }
            for outcome, count in counts.items():
                _add(totals.counts, (tenant, self._named(outcome, mapped_field)), count)

    def _change(self, document: bytes, ordinal: int) -> Change:
        try:
            mapped = self._reader.read(document)
        except KitError as error:
            return self._fail(in_document(error, self._collection, document, ordinal), document, "")
        if mapped.status is _SELECTED:
            return self._seal_values(mapped, ordinal)
        change = Change(tenant=mapped.partition, outcome=mapped.status.value)
        if mapped.status is DocumentStatus.SKIPPED_OWNER:
            change.counts = self._counts_of((counting.SKIPPED_OWNER,) * len(self._collection.fields))
        if mapped.status is DocumentStatus.NO_PARTITION_KEY:
            change.counts = self._counts_of((counting.ERRORS,) * len(self._collection.fields))
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
                opened = keys.digest(value)
            except KitError as error:
                in_document(in_field(error, mapped_field), self._collection, mapped.document, ordinal)
                return self._fail(error, mapped.document, mapped.partition)
            if opened is not None:
                sums += one_value, (total, opened)
            outcomes.append(_OUTCOME[value.state])
        if sealed:
            try:
                replaced = mapped.with_envelopes(sealed)
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
            counts=self._counts_of((counting.ERRORS,) * len(self._collection.fields)),
            findings=(self._finding(ERROR, str(error), document, partition),),
            failure=error,
        )

    def _counts_of(self, outcomes: tuple[str, ...]) -> Counts:
        counts = self._counts.get(outcomes)
        if counts is None:
            found: dict[CountName, int] = {}
            for mapped_field, outcome in zip(self._collection.fields, outcomes, strict=True):
                found[self._named(counting.SCANNED, mapped_field)] = 1
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
