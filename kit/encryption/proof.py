"""Whether a collection is encrypted as its map says: complete, not sampled, with keys and without.

Without keys: every mapped value of a selected document is a valid envelope of the profile, null or missing; no document
is half encrypted; no known plaintext is left outside the mapped values. With keys: every envelope opens where it
stands, and all of them together hold exactly what was there before (:class:`ValueDigest`).

Findings are collected, not raised: an auditor wants all of them. Runs of documents are independent; their proofs add up
to the same in any order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kit.documents import Run, document_name
from kit.encryption.aead import check_form
from kit.encryption.key_set import KeySet
from kit.encryption.mapped import MappedDocument, MappedValue, Reading, Standing, State
from kit.encryption.mapping import MappedCollection
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document, in_field
from kit.encryption.runs import CoreRun, prove as prove_by_core
from kit.errors import ContentError, EnvelopeError, KeyUnusableError, KitError, StoppedError, UsageError
from kit.values import CollectionName

MAX_FINDINGS = 10_000
"""Kept for the report; the counts are always exact."""
_MODULUS = 2**256


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFinding:
    """One thing that is not as it must be."""

    kind: str
    """``plaintext``, ``half-encrypted``, ``envelope``, ``key``, ``owner``, ``content``, ``canary``."""
    reason: str
    """Names container, document and field; never a value."""
    document: str
    partition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDigest:
    """A keyed digest of a multiset of values, each with its place; equal digests, equal values in equal places.

    The sum modulo 2^256 of one HMAC-SHA-256 each, under a key derived from the value's data key: the additive multiset
    hash of Clarke et al. (ASIACRYPT 2003), so it needs no order and no memory, and adds up across workers. It tells
    nothing to whoever has no key.
    """

    values: int = 0
    total: int = 0

    @classmethod
    def of_sums(cls, values: int, total: int) -> ValueDigest:
        """Make one from sums that were added up without the modulus."""
        return cls(values=values, total=total % _MODULUS)

    def __add__(self, other: ValueDigest) -> ValueDigest:
        return ValueDigest(values=self.values + other.values, total=(self.total + other.total) % _MODULUS)

    def __str__(self) -> str:
        return f"{self.values}:{self.total:064x}"

    @classmethod
    def parse(cls, text: str) -> ValueDigest:
        """Invert ``str``.

        Raises:
            UsageError: It is something else.
        """
        values, _, total = text.partition(":")
        if not (values.isascii() and values.isdigit() and len(values) < 20 and len(total) == 64):
            raise UsageError(f"{text[:100]!r} is not a digest of values")
        try:
            found = cls(values=int(values), total=int(total, 16))
        except ValueError as error:
            raise UsageError(f"{text[:100]!r} is not a digest of values") from error
        if str(found) != text:
            raise UsageError(f"{text[:100]!r} is not a digest of values in its one spelling")
        return found


@dataclass(slots=True, kw_only=True)
class FieldProof:
    """What the values of one field are."""

    envelopes: int = 0
    opened: int = 0
    """Of the envelopes, those whose key was at hand and that opened."""
    locked: int = 0
    """Of the envelopes, those whose key was not at hand."""
    plaintext: int = 0
    null: int = 0
    missing: int = 0
    skipped_owner: int = 0
    faults: int = 0
    """Neither: envelope-like and not valid, or not to be found out."""
    digest: ValueDigest = field(default_factory=ValueDigest)
    """Of the plaintext of every value whose key was at hand, sealed or not."""

    def add(self, other: FieldProof) -> None:
        """Add the counts of ``other``."""
        for name in ("envelopes", "opened", "locked", "plaintext", "null", "missing", "skipped_owner", "faults"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.digest += other.digest


@dataclass(slots=True, kw_only=True)
class Proof:
    """What was found in some documents of one collection."""

    documents: int = 0
    selected: int = 0
    without_partition_key: int = 0
    half_encrypted: int = 0
    canaries: int = 0
    """Documents in which a canary was met outside the mapped values."""
    faults: int = 0
    """All findings, the omitted ones included."""
    fields: dict[str, FieldProof] = field(default_factory=dict)
    """By field path."""
    findings: list[ProofFinding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is as it must be."""
        return self.faults == 0

    def add(self, other: Proof) -> None:
        """Add what was found in further documents of the same collection."""
        for name in ("documents", "selected", "without_partition_key", "half_encrypted", "canaries", "faults"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for path, counts in other.fields.items():
            self.fields.setdefault(path, FieldProof()).add(counts)
        self.findings.extend(other.findings[: MAX_FINDINGS - len(self.findings)])


def prove(
    collection: MappedCollection,
    documents: Iterable[bytes],
    first: int = 0,
    *,
    keys: KeySet | None = None,
    canaries: Sequence[bytes] = (),
) -> Proof:
    """Look at a run of documents.

    Also the way to take the digest *before*: of a collection in plaintext, with the keys that will seal it, the fields'
    digests are those the encrypted one must have; its findings then say what is not yet encrypted.

    Args:
        collection: The map at its collection; decides the profile and which documents are meant.
        documents: BSON.
        first: Ordinal of the first of them, for messages.
        keys: A keyring's keys; None to judge the form alone.
        canaries: Plaintext that must be nowhere outside the mapped values.

    Raises:
        UsageError: A canary is empty.
    """
    if not all(canaries):
        raise UsageError("an empty canary is met everywhere")
    given = Run.of(documents)
    done = prove_by_core(collection, given, keys) if not canaries else None
    if done is None:
        return prove_each(collection, given, first, keys=keys, canaries=canaries)
    run = _Run(collection, keys, ())
    run.take_done(done, len(given.ends))
    for number, _ in done.alone:
        run.take(given.document(number), first + number)
    return run.proof


def prove_each(
    collection: MappedCollection,
    documents: Iterable[bytes],
    first: int = 0,
    *,
    keys: KeySet | None = None,
    canaries: Sequence[bytes] = (),
) -> Proof:
    """As :func:`prove`, one document after the other."""
    run = _Run(collection, keys, tuple(canaries))
    for ordinal, document in enumerate(documents, first):
        run.take(document, ordinal)
    return run.proof


class _Run:
    """One run of documents."""

    def __init__(self, collection: MappedCollection, keys: KeySet | None, canaries: tuple[bytes, ...]) -> None:
        self._collection, self._canaries = collection, canaries
        self._reading = Reading(collection)
        self._keys = CollectionKeys(collection, keys) if keys is not None else None
        self.proof = Proof(fields={str(field): FieldProof() for field in collection.fields})

    def take_done(self, done: CoreRun, documents: int) -> None:
        """Count those documents of a run that the core looked at."""
        self.proof.documents += documents - len(done.alone)
        for tally in done.tallies:
            self.proof.selected += tally.changed + tally.unchanged
            for mapped_field, values in tally.values:
                counts = self.proof.fields[str(mapped_field)]
                counts.envelopes += values.changed + values.envelopes
                counts.opened += values.changed
                counts.locked += values.envelopes
                counts.null += values.null
                counts.missing += values.missing
                counts.skipped_owner += tally.skipped_owner
        for mapped_field, digested, total in done.digests:
            self.proof.fields[str(mapped_field)].digest += ValueDigest.of_sums(digested, total)

    def take(self, document: bytes, ordinal: int) -> None:
        self.proof.documents += 1
        try:
            mapped = self._reading.read(document)
        except KitError as error:
            self._found(_kind(error), error, document, ordinal, "")
            for counts in self.proof.fields.values():
                counts.faults += 1
            return
        if mapped.standing is Standing.SELECTED:
            self._selected(mapped, ordinal)
            return
        if mapped.standing is Standing.SKIPPED_OWNER:
            for counts in self.proof.fields.values():
                counts.skipped_owner += 1
        elif mapped.standing is Standing.NO_PARTITION_KEY:
            self.proof.without_partition_key += 1
            self._found("content", ContentError("no partition key"), document, ordinal, "")
        if self._canaries:
            self._search(mapped, _met(mapped, self._collection), ordinal)

    def _selected(self, mapped: MappedDocument, ordinal: int) -> None:
        self.proof.selected += 1
        keys = DocumentKeys(self._keys, mapped) if self._keys is not None else None
        met: list[MappedValue] = []
        for mapped_field in self._collection.fields:
            counts = self.proof.fields[str(mapped_field)]
            try:
                value = mapped.value(mapped_field)
                _count(value, keys, counts)
                met.append(value)
            except KitError as error:
                counts.faults += 1
                self._found(_kind(error), in_field(error, mapped_field), mapped.document, ordinal, mapped.partition)
            else:
                if value.state is State.PLAIN:
                    fault = in_field(ContentError("plaintext where an envelope must be"), mapped_field)
                    self._found("plaintext", fault, mapped.document, ordinal, mapped.partition)
        if {State.PLAIN, State.ENVELOPE} <= {value.state for value in met}:
            self.proof.half_encrypted += 1
            fault = ContentError("half encrypted: some mapped fields are envelopes and some plaintext")
            self._found("half-encrypted", fault, mapped.document, ordinal, mapped.partition)
        self._search(mapped, met, ordinal)

    def _search(self, mapped: MappedDocument, met: Sequence[MappedValue], ordinal: int) -> None:
        """Look for canaries in what lies between the mapped values.

        Those hold base64 or are findings already; those of an owner to skip, or of a partition that was not asked for,
        may be plaintext.
        """
        at, clear = 0, []
        for value in sorted((value for value in met if value.end), key=lambda value: value.start):
            clear.append(mapped.document[at : value.start])
            at = value.end
        clear.append(mapped.document[at:])
        if any(canary in part for canary in self._canaries for part in clear):
            self.proof.canaries += 1
            error = ContentError("known plaintext is left outside the mapped fields")
            self._found("canary", error, mapped.document, ordinal, mapped.partition)

    def _found(self, kind: str, error: KitError, document: bytes, ordinal: int, partition: str) -> None:
        self.proof.faults += 1
        if len(self.proof.findings) < MAX_FINDINGS:
            reason = str(in_document(error, self._collection, document, ordinal))
            name = document_name(document)
            self.proof.findings.append(ProofFinding(kind=kind, reason=reason, document=name, partition=partition))


def _count(value: MappedValue, keys: DocumentKeys | None, counts: FieldProof) -> None:
    digest = keys.digest(value) if keys is not None else None
    if value.envelope is not None:
        if keys is None:
            check_form(value.field.place, value.envelope)
        counts.envelopes += 1
        counts.opened += digest is not None
        counts.locked += digest is None
    else:
        counts.plaintext += value.state is State.PLAIN
        counts.null += value.state is State.NULL
        counts.missing += value.state is State.MISSING
    if digest is not None:
        counts.digest += ValueDigest(values=1, total=digest)


def _met(mapped: MappedDocument, collection: MappedCollection) -> list[MappedValue]:
    """Give the mapped values of a document that nothing is demanded of; one that cannot be told is none."""
    found = []
    for mapped_field in collection.fields:
        with contextlib.suppress(KitError):
            found.append(mapped.value(mapped_field))
    return found


def search(name: CollectionName, documents: Iterable[bytes], first: int, canaries: Sequence[bytes]) -> Proof:
    """Look for canaries anywhere in documents of a collection that no map names; arguments as for :func:`prove`."""
    proof = Proof()
    for ordinal, document in enumerate(documents, first):
        proof.documents += 1
        if any(canary in document for canary in canaries):
            proof.canaries += 1
            proof.faults += 1
            if len(proof.findings) < MAX_FINDINGS:
                called = document_name(document)
                error = ContentError("known plaintext is left in a collection that the field map does not name")
                reason = str(error.inside(f'{name}: document {ordinal:,} (_id "{called}")'))
                proof.findings.append(ProofFinding(kind="canary", reason=reason, document=called, partition=""))
    return proof


def _kind(error: KitError) -> str:
    match error:
        case EnvelopeError():
            return "envelope"
        case KeyUnusableError():
            return "key"
        case StoppedError():
            return "owner"
        case _:
            return "content"
