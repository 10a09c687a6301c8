"""Restores documents in scope to what they were before their values were sealed.

Laws: in ``bound``, a restored document is byte for byte the one that was sealed (in ``compat``, as far as the strings
were well-formed, which sealing requires); a document out of scope is never opened; a value that does not open fails the
whole run. All functions are pure, so that workers can call them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kit.documents import Run, with_texts
from kit.documents.json_text import spell_value
from kit.encryption.aead import OpenedValue
from kit.encryption.approval import DocumentName, RecoveryScope
from kit.encryption.envelope import Profile
from kit.encryption.field_map import FieldMap
from kit.encryption.keys import KeySet, KeySource
from kit.encryption.mapped import (
    DocumentReader,
    DocumentStatus,
    MappedCollection,
    MappedDocument,
    MappedField,
    MappedValue,
    State,
)
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document, in_field
from kit.encryption.runs import reopen as reopen_by_core, unseal as unseal_by_core
from kit.errors import EnvelopeError, KitError, UsageError
from kit.values import CollectionName


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What to restore, and with which keys."""

    field_map: FieldMap
    profile: Profile
    scope: RecoveryScope
    keys: KeySource = field(repr=False)

    def mapped(self, name: CollectionName) -> MappedCollection:
        """Return the map of a collection.

        Raises:
            UsageError: The field map has none.
        """
        entry = self.field_map.collection(name)
        if entry is None:
            raise UsageError(f"the field map does not name {name}")
        return MappedCollection.of(entry, name, product=self.field_map.product, profile=self.profile)


@dataclass(slots=True, kw_only=True)
class RestoreCounts:
    """Counts of a recovery; results of several runs add up."""

    read: int = 0
    """Documents of the collection."""
    in_scope: int = 0
    opened: Counter[str] = field(default_factory=Counter)
    """Values that were opened, by field."""
    found: set[DocumentName] = field(default_factory=set)
    """The documents named in the scope that were found."""

    def add(self, other: RestoreCounts) -> None:
        """Add the counts of another run."""
        self.read += other.read
        self.in_scope += other.in_scope
        self.opened.update(other.opened)
        self.found |= other.found


@dataclass(slots=True, kw_only=True)
class RestoredRun:
    """The documents of a run that are in scope, restored."""

    restored: tuple[bytes, ...] = field(repr=False)
    """As they are kept: BSON or text."""
    counts: RestoreCounts

    @property
    def data(self) -> bytes:
        """All of them, back to back."""
        return b"".join(self.restored)


def restore(plan: RestorePlan, collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> RestoredRun:
    """Return a run of documents, restored; ``first`` is the ordinal of the first, for messages.

    Raises:
        EnvelopeError: A value in scope does not open, or looks like an envelope but is none.
        KeyUnusableError: Its key is not in the keyring, or locked.
        StoppedError: It is sealed under another owner's key.
        ContentError: A document cannot be judged.
    """
    counts, keys = RestoreCounts(), CollectionKeys(collection, plan.keys.key_set())
    reader = DocumentReader(collection)
    whole: list[bytes] = []
    for ordinal, (document, text) in enumerate(with_texts(documents), first):
        counts.read += 1
        try:
            mapped = reader.read(document, text)
            if not _in_scope(plan.scope, mapped):
                continue
            whole.append(_restore_document(mapped, keys, counts))
        except KitError as error:
            raise in_document(error, collection, document, ordinal) from error
        counts.in_scope += 1
        if plan.scope.documents is not None:
            counts.found.add(DocumentName(identity=mapped.name))
    return RestoredRun(restored=tuple(whole), counts=counts)


@dataclass(slots=True, kw_only=True)
class UnsealedRun:
    """Documents before a step sealed some of their values; results of several runs add up."""

    data: bytes = field(default=b"", repr=False)
    """The documents in order, as they are kept and with what is between them; unchanged where the step changed nothing.
    Without keys, all unchanged."""
    opened: Counter[str] = field(default_factory=Counter)
    """Values opened in changed documents, by field; without keys, those that are sealed."""
    without: int = 0
    """Documents that should have changed, but have nothing sealed that the step could have sealed."""


def unseal(
    collection: MappedCollection,
    documents: Iterable[bytes],
    changed: Sequence[bool],
    keys: KeySet | None,
    fields: frozenset[str] | None = None,
    *,
    first: int = 0,
) -> UnsealedRun:
    """Return documents before a step sealed values of those that ``changed``.

    Every envelope of such a document is opened, or only those in ``fields``. An envelope that existed before the step
    is opened, too, so the result then differs from what the step read: a comparison can claim less than is true, never
    more.

    Args:
        collection: The map of the collection.
        documents: A run of them.
        changed: Whether the step changed each of them.
        keys: A keyring's keys; None only counts what is sealed.
        fields: The fields that the step sealed; None for all mapped fields.
        first: Ordinal of the first document, for messages.

    Raises:
        KitError: As :func:`restore`, for a changed document.
    """
    given, chosen = Run.of(documents), _choose_fields(collection, fields)
    done = unseal_by_core(collection, given, keys, changed, chosen)
    if done is None:
        return unseal_each(collection, given, changed, keys, fields, first=first)
    unsealer = _Unsealer(collection, chosen, keys)
    alone = [unsealer.unseal(given.document(number), first + number) for number, _ in done.alone]
    found = unsealer.found
    found.data = done.join_documents(given, alone)
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
) -> UnsealedRun:
    """Return what :func:`unseal` does, document by document."""
    unsealer, run = _Unsealer(collection, _choose_fields(collection, fields), keys), Run.of(documents)
    kept = [
        unsealer.unseal(document, ordinal, text) if was_changed else (document if text is None else text)
        for ordinal, ((document, text), was_changed) in enumerate(zip(with_texts(run), changed, strict=True), first)
    ]
    unsealer.found.data = b"".join(kept) if run.texts is None else run.texts.replaced(dict(enumerate(kept))).data
    return unsealer.found


def _choose_fields(collection: MappedCollection, fields: frozenset[str] | None) -> list[MappedField]:
    return [one for one in collection.fields if fields is None or str(one) in fields]


class _Unsealer:
    """Opens the envelopes in ``fields`` of documents."""

    def __init__(self, collection: MappedCollection, fields: Sequence[MappedField], keys: KeySet | None) -> None:
        self._collection, self._fields, self._reader = collection, fields, DocumentReader(collection)
        self._opening = CollectionKeys(collection, keys) if keys is not None else None
        self.found = UnsealedRun()

    def unseal(self, document: bytes, ordinal: int, text: bytes | None = None) -> bytes:
        try:
            return _unseal_document(self._reader.read(document, text), self._opening, self._fields, self.found)
        except KitError as error:
            raise in_document(error, self._collection, document, ordinal) from error


def _unseal_document(
    mapped: MappedDocument, opening: CollectionKeys | None, fields: Sequence[MappedField], found: UnsealedRun
) -> bytes:
    sealed = fields if mapped.status is DocumentStatus.SELECTED else []
    envelopes = [one for one in sealed if mapped.value(one).state is State.ENVELOPE]
    found.opened.update(map(str, envelopes))
    found.without += not envelopes
    if opening is None or not envelopes:
        return mapped.document if mapped.text is None else mapped.text
    cipher, values = DocumentKeys(opening, mapped), [mapped.value(one) for one in envelopes]
    return _with_opened(mapped, [(value, _open_value(value, cipher, opening.keys)) for value in values])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenedRun:
    """A run of documents before some of its values were sealed."""

    data: bytes = field(repr=False)
    """The documents, back to back."""
    other: bytes
    """A byte for each document: 1 if the reopened document differs from the one before, else 0."""
    envelopes: Mapping[tuple[str, str], int]
    """(partition, field) → envelopes in selected documents."""
    opened: Mapping[tuple[str, str], int]
    """Those of them that did not exist before."""


def reopen(collection: MappedCollection, keys: KeySet, before: Run, after: Run) -> ReopenedRun | None:
    """Return a whole run, reopened as by :class:`Reopener`; None if each document must be processed by itself.

    Raises:
        KitError: As :class:`Reopener`.
    """
    done = reopen_by_core(collection, after, keys, before)
    if done is None:
        return None
    opening = Reopener(collection, keys)
    undone = [opening.undo(before.document(number), after.document(number)) for number, _ in done.alone]
    for tally in done.tallies:
        for one, values in tally.values:
            opening.envelopes[tally.partition, str(one)] += values.changed + values.envelopes
            opening.opened[tally.partition, str(one)] += values.changed
    return ReopenedRun(
        data=done.join_documents(after, undone),
        other=done.touched,
        envelopes=+opening.envelopes,
        opened=+opening.opened,
    )


class Reopener:
    """Opens what a step sealed, given the documents before and after: one run of one collection.

    Unlike :func:`unseal`, it needs no key for what was sealed before the step.

    Attributes:
        envelopes: (partition, field) → envelopes in selected documents after the step.
        opened: Those of them that the step sealed.
    """

    def __init__(self, collection: MappedCollection, keys: KeySet, replaced: frozenset[str] = frozenset()) -> None:
        """Open values in documents of ``collection`` with ``keys``; of the data keys ``replaced``, nothing is left."""
        self._opening, self._reader = CollectionKeys(collection, keys), DocumentReader(collection)
        self._replaced = replaced
        self.envelopes: Counter[tuple[str, str]] = Counter()
        self.opened: Counter[tuple[str, str]] = Counter()

    def undo(self, before: bytes, after: bytes, texts: tuple[bytes | None, bytes | None] = (None, None)) -> bytes:
        """Return ``after``, with those envelopes opened that ``before`` does not have; with the texts of both.

        In a document that is kept as text, an envelope must hold the very text that it took the place of.

        An envelope that took the place of one under a replaced key is opened, compared with what that one held, and
        becomes it again.

        Raises:
            EnvelopeError: It holds another value, or is under a replaced key itself.
            KitError: As :func:`restore`, for one of these documents.
        """
        if before == after:
            with suppress(KitError):  # an unreadable value stays unchanged; the transform counts it
                self._count(self._reader.read(after, texts[1]))
            return after
        mapped = self._reader.read(after, texts[1])
        if mapped.status is not DocumentStatus.SELECTED:
            return after
        was, cipher = self._reader.read(before, texts[0]), DocumentKeys(self._opening, mapped)
        changes: list[tuple[MappedValue, int, bytes]] = []
        for mapped_field in self._opening.collection.fields:
            value = mapped.value(mapped_field)
            if value.state is not State.ENVELOPE:
                continue
            self.envelopes[mapped.partition, str(mapped_field)] += 1
            old = was.value(mapped_field)
            if old.envelope is None:
                changes.append(self._opened(was, old, value, cipher))
            elif old.envelope.dek_id in self._replaced:
                changes.append(self._resealed(was, old, value, cipher))
            else:
                continue
            self.opened[mapped.partition, str(mapped_field)] += 1
        return mapped.with_values(changes) if changes else after

    def _opened(
        self, was: MappedDocument, old: MappedValue, new: MappedValue, cipher: DocumentKeys
    ) -> tuple[MappedValue, int, bytes]:
        """Return the place of a new envelope, and what it holds as it is in the view."""
        opened = _open_value(new, cipher, self._opening.keys)
        if was.text is None:
            return new, opened.kind, opened.value
        if old.state is State.PLAIN and opened.text != was.text_of(old):
            raise in_field(EnvelopeError("was sealed, and holds another text than before"), new.field)
        kind, value = opened.viewed()
        # What a transform added before is only in the view: it has the one spelling of this program.
        if old.state is State.MISSING and opened.text != spell_value(value, kind, 0, len(value)):
            raise in_field(EnvelopeError("was added and sealed, and is spelled otherwise"), new.field)
        return new, kind, value

    def _resealed(
        self, was: MappedDocument, old: MappedValue, new: MappedValue, cipher: DocumentKeys
    ) -> tuple[MappedValue, int, bytes]:
        """Return the place of an envelope that was made of another, and the bytes of that one."""
        held = _open_value(new, cipher, self._opening.keys)
        if held != _open_value(old, DocumentKeys(self._opening, was), self._opening.keys):
            raise in_field(EnvelopeError("was sealed again and holds another value than before"), new.field)
        if new.envelope is None or new.envelope.dek_id in self._replaced:
            raise in_field(EnvelopeError("was sealed again under a data key that is replaced"), new.field)
        return new, old.kind, was.document[old.start : old.end]

    def _count(self, mapped: MappedDocument) -> None:
        if mapped.status is DocumentStatus.SELECTED:
            for mapped_field in self._opening.collection.fields:
                if mapped.value(mapped_field).state is State.ENVELOPE:
                    self.envelopes[mapped.partition, str(mapped_field)] += 1


def _in_scope(scope: RecoveryScope, mapped: MappedDocument) -> bool:
    """Return whether a document is recovered: it is in scope, and its values can have been sealed."""
    return mapped.status is DocumentStatus.SELECTED and scope.has(
        partition=mapped.partition, owner=mapped.owner, identity=mapped.name
    )


def _restore_document(mapped: MappedDocument, keys: CollectionKeys, counts: RestoreCounts) -> bytes:
    cipher = DocumentKeys(keys, mapped)
    changes: list[tuple[MappedValue, OpenedValue]] = []
    for mapped_field in keys.collection.fields:
        try:
            value = mapped.value(mapped_field)
        except KitError as error:
            raise in_field(error, mapped_field) from error
        if value.state is State.ENVELOPE:
            changes.append((value, _open_value(value, cipher, keys.keys)))
            counts.opened[str(mapped_field)] += 1
    return _with_opened(mapped, changes)


def _with_opened(mapped: MappedDocument, changes: Sequence[tuple[MappedValue, OpenedValue]]) -> bytes:
    """Return a document as it is kept, with these envelopes replaced by what they hold."""
    if mapped.text is not None:
        return mapped.with_texts([(value, opened.text) for value, opened in changes])
    return mapped.with_values([(value, *opened) for value, opened in changes])


def _open_value(value: MappedValue, cipher: DocumentKeys, keys: KeySet) -> OpenedValue:
    """Return what an envelope holds."""
    if value.envelope is None:
        raise AssertionError(value.state)
    try:
        opened = cipher.open(value.field, value.envelope)
        if opened is None:
            keys.opening_key(value.envelope.dek_id)  # raises that it is locked
            raise AssertionError(value.envelope.dek_id)
    except KitError as error:
        raise in_field(error, value.field) from error
    return opened
