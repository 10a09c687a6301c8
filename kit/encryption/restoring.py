"""Turns documents in scope back into what they were before their values were sealed.

Laws: in ``bound``, a restored document is byte for byte the one that was sealed (in ``compat``, as far as the strings
were well-formed, which sealing demands); a document out of scope is never opened; a value that does not open fails the
whole run. Pure, and a function of its arguments, so that workers can do it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kit.documents import Run
from kit.encryption.approval import DocumentName, RecoveryScope
from kit.encryption.envelope import Profile
from kit.encryption.field_map import FieldMap
from kit.encryption.key_set import KeySet, KeySource
from kit.encryption.mapped import MappedDocument, MappedValue, Reading, Standing, State
from kit.encryption.mapping import MappedCollection, MappedField
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document, in_field
from kit.encryption.runs import reopen as reopen_by_core, unseal as unseal_by_core
from kit.errors import KitError, UsageError
from kit.values import CollectionName


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """What to restore, and with which keys."""

    field_map: FieldMap
    profile: Profile
    scope: RecoveryScope
    keys: KeySource = field(repr=False)

    def mapped(self, name: CollectionName) -> MappedCollection:
        """Give the map of a collection.

        Raises:
            UsageError: There is none.
        """
        entry = self.field_map.collection(name)
        if entry is None:
            raise UsageError(f"the field map does not name {name}")
        return MappedCollection.of(entry, name, product=self.field_map.product, profile=self.profile)


@dataclass(slots=True, kw_only=True)
class RestoreCounts:
    """What became of documents; results of several runs add up."""

    read: int = 0
    """Documents of the collection."""
    in_scope: int = 0
    opened: Counter[str] = field(default_factory=Counter)
    """Values that were opened, by field."""
    met: set[DocumentName] = field(default_factory=set)
    """Of the documents that the scope names, those that were there."""

    def add(self, other: RestoreCounts) -> None:
        """Add what another run found."""
        self.read += other.read
        self.in_scope += other.in_scope
        self.opened.update(other.opened)
        self.met |= other.met


@dataclass(slots=True, kw_only=True)
class Restored:
    """The documents of a run that are in scope, back to back, as they were."""

    data: bytes = field(repr=False)
    counts: RestoreCounts


def restore(restoring: Restoring, collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> Restored:
    """Restore a run of documents; ``first`` is the ordinal of the first of them, for messages.

    Raises:
        EnvelopeError: A value in scope does not open, or looks like an envelope and is none.
        KeyUnusableError: Its key is not in the keyring, or locked.
        StoppedError: It is sealed under another owner's key.
        ContentError: A document cannot be judged.
    """
    counts, keys = RestoreCounts(), CollectionKeys(collection, restoring.keys.key_set())
    reading = Reading(collection)
    whole: list[bytes] = []
    for ordinal, document in enumerate(documents, first):
        counts.read += 1
        try:
            mapped = reading.read(document)
            if not _in_scope(restoring.scope, mapped):
                continue
            whole.append(_restored(mapped, keys, counts))
        except KitError as error:
            raise in_document(error, collection, document, ordinal) from error
        counts.in_scope += 1
        if restoring.scope.documents is not None:
            counts.met.add(DocumentName(identity=mapped.identity))
    return Restored(data=b"".join(whole), counts=counts)


@dataclass(slots=True, kw_only=True)
class Unsealed:
    """Documents as they were before a step sealed some of their values; results of several runs add up."""

    data: bytes = field(default=b"", repr=False)
    """In their order, back to back; those that the step left alone as they are. Without keys, all as they are."""
    opened: Counter[str] = field(default_factory=Counter)
    """Values that were opened in documents that changed, by field; without keys, those that could be."""
    without: int = 0
    """Documents that are said to have changed, and have nothing sealed that the step could have sealed."""


def unseal(
    collection: MappedCollection,
    documents: Iterable[bytes],
    changed: Sequence[bool],
    keys: KeySet | None,
    fields: frozenset[str] | None = None,
    *,
    first: int = 0,
) -> Unsealed:
    """Return documents as they were before a step sealed values of those that ``changed``.

    Every envelope of such a document is opened, in ``fields`` where they are given; one that was there before the step
    is opened too, so that what comes out is then another document than the step read: whoever compares can claim less
    than is true, never more.

    Args:
        collection: The map at its collection.
        documents: A run of them.
        changed: Which of them the step changed.
        keys: A keyring's keys; None only counts what is sealed.
        fields: Those that the step sealed; None for all that are mapped.
        first: Ordinal of the first document, for messages.

    Raises:
        KitError: As :func:`restore`, of a document that changed.
    """
    given, chosen = Run.of(documents), _chosen(collection, fields)
    done = unseal_by_core(collection, given, keys, changed, chosen)
    if done is None:
        return unseal_each(collection, given, changed, keys, fields, first=first)
    unsealing = _Unsealing(collection, chosen, keys)
    alone = [unsealing.unsealed(given.document(number), first + number) for number, _ in done.alone]
    found = unsealing.found
    found.data = done.joined(given, alone)
    for tally in done.tallies:
        found.without += tally.unchanged + tally.skipped_owner + tally.not_selected
        found.opened.update({str(one): values.changed for one, values in tally.values if values.changed})
    return found


def unseal_each(
    collection: MappedCollection,
    documents: Iterable[bytes],
    changed: Sequence[bool],
    keys: KeySet | None,
    fields: frozenset[str] | None = None,
    *,
    first: int = 0,
) -> Unsealed:
    """As :func:`unseal`, one document after the other."""
    unsealing = _Unsealing(collection, _chosen(collection, fields), keys)
    unsealing.found.data = b"".join(
        [
            unsealing.unsealed(document, ordinal) if was_changed else document
            for ordinal, (document, was_changed) in enumerate(zip(documents, changed, strict=True), first)
        ]
    )
    return unsealing.found


def _chosen(collection: MappedCollection, fields: frozenset[str] | None) -> list[MappedField]:
    return [one for one in collection.fields if fields is None or str(one) in fields]


class _Unsealing:
    """Opens what is sealed in ``fields`` of documents."""

    def __init__(self, collection: MappedCollection, fields: Sequence[MappedField], keys: KeySet | None) -> None:
        self._collection, self._fields, self._reading = collection, fields, Reading(collection)
        self._opening = CollectionKeys(collection, keys) if keys is not None else None
        self.found = Unsealed()

    def unsealed(self, document: bytes, ordinal: int) -> bytes:
        try:
            return _unsealed(document, self._reading, self._opening, self._fields, self.found)
        except KitError as error:
            raise in_document(error, self._collection, document, ordinal) from error


def _unsealed(
    document: bytes,
    reading: Reading,
    opening: CollectionKeys | None,
    fields: Sequence[MappedField],
    found: Unsealed,
) -> bytes:
    mapped = reading.read(document)
    sealed = fields if mapped.standing is Standing.SELECTED else []
    met = [one for one in sealed if mapped.value(one).state is State.ENVELOPE]
    found.opened.update(map(str, met))
    found.without += not met
    if opening is None or not met:
        return document
    cipher = DocumentKeys(opening, mapped)
    return mapped.with_values([_opened(mapped.value(one), cipher, opening.keys) for one in met])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A run of documents as it was before some of its values were sealed."""

    data: bytes = field(repr=False)
    """The documents, back to back."""
    other: bytes
    """A byte for each document: 1 if it is another than it was, else 0."""
    envelopes: Mapping[tuple[str, str], int]
    """(partition, field) → envelopes in selected documents."""
    opened: Mapping[tuple[str, str], int]
    """Of these, the ones that were not there before."""


def reopened(collection: MappedCollection, keys: KeySet, before: Run, after: Run) -> Reopened | None:
    """Do what :class:`Reopening` does with a whole run; None where each document must be asked for.

    Raises:
        KitError: As :class:`Reopening`.
    """
    done = reopen_by_core(collection, after, keys, before)
    if done is None:
        return None
    opening = Reopening(collection, keys)
    undone = [opening.undone(before.document(number), after.document(number)) for number, _ in done.alone]
    for tally in done.tallies:
        for one, values in tally.values:
            opening.envelopes[tally.partition, str(one)] += values.changed + values.envelopes
            opening.opened[tally.partition, str(one)] += values.changed
    return Reopened(
        data=done.joined(after, undone), other=done.touched, envelopes=+opening.envelopes, opened=+opening.opened
    )


class Reopening:
    """Undoes what a step sealed, where both sides of the step are at hand: one run of documents of one collection.

    Unlike :func:`unsealed` it needs no key for what was sealed before the step.

    Attributes:
        envelopes: (partition, field) → envelopes in selected documents, as they are after the step.
        opened: Of these, the ones that the step sealed.
    """

    def __init__(self, collection: MappedCollection, keys: KeySet) -> None:
        """Open with ``keys`` what is sealed in documents of ``collection``."""
        self._opening, self._reading = CollectionKeys(collection, keys), Reading(collection)
        self.envelopes: Counter[tuple[str, str]] = Counter()
        self.opened: Counter[tuple[str, str]] = Counter()

    def undone(self, before: bytes, after: bytes) -> bytes:
        """Return ``after`` with those of its envelopes opened that ``before`` does not have.

        Raises:
            KitError: As :func:`restore`, of one of these documents.
        """
        if before == after:
            with suppress(KitError):  # a value that cannot be judged stays as it is, and is counted by the transform
                self._count(self._reading.read(after))
            return after
        mapped = self._reading.read(after)
        if mapped.standing is not Standing.SELECTED:
            return after
        was, cipher = self._reading.read(before), DocumentKeys(self._opening, mapped)
        changes: list[tuple[MappedValue, int, bytes]] = []
        for mapped_field in self._opening.collection.fields:
            value = mapped.value(mapped_field)
            if value.state is not State.ENVELOPE:
                continue
            self.envelopes[mapped.partition, str(mapped_field)] += 1
            if was.value(mapped_field).state is not State.ENVELOPE:
                changes.append(_opened(value, cipher, self._opening.keys))
                self.opened[mapped.partition, str(mapped_field)] += 1
        return mapped.with_values(changes) if changes else after

    def _count(self, mapped: MappedDocument) -> None:
        if mapped.standing is Standing.SELECTED:
            for mapped_field in self._opening.collection.fields:
                if mapped.value(mapped_field).state is State.ENVELOPE:
                    self.envelopes[mapped.partition, str(mapped_field)] += 1


def _in_scope(scope: RecoveryScope, mapped: MappedDocument) -> bool:
    """A document is recovered only if its values may be sealed at all: those of others were never."""
    return mapped.standing is Standing.SELECTED and scope.has(
        partition=mapped.partition, owner=mapped.owner, identity=mapped.identity
    )


def _restored(mapped: MappedDocument, keys: CollectionKeys, counts: RestoreCounts) -> bytes:
    cipher = DocumentKeys(keys, mapped)
    changes = []
    for mapped_field in keys.collection.fields:
        try:
            value = mapped.value(mapped_field)
        except KitError as error:
            raise in_field(error, mapped_field) from error
        if value.state is State.ENVELOPE:
            changes.append(_opened(value, cipher, keys.keys))
            counts.opened[str(mapped_field)] += 1
    return mapped.with_values(changes) if changes else mapped.document


def _opened(value: MappedValue, cipher: DocumentKeys, keys: KeySet) -> tuple[MappedValue, int, bytes]:
    """Open an envelope: its place, and the type and bytes of what is in it."""
    if value.envelope is None:
        raise AssertionError(value.state)
    try:
        opened = cipher.open(value.field, value.envelope)
        if opened is None:
            keys.opening_key(value.envelope.dek_id)  # says that it is locked
            raise AssertionError(value.envelope.dek_id)
    except KitError as error:
        raise in_field(error, value.field) from error
    return value, opened.kind, opened.value
