"""Proves that a collection is encrypted as its map requires: every document, with keys and without.

Without keys: every mapped value of a selected document is a valid envelope of the profile, null or missing; no document
is half encrypted; no known plaintext is left outside the mapped values. With keys: every envelope opens in its place,
and together they hold exactly the values that were there before (:class:`ValueDigest`).

Findings are collected, not raised: an auditor wants all of them. Runs of documents are independent; their proofs add up
to the same result in any order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kit.documents import Run, document_name, with_texts
from kit.encryption.aead import check_form
from kit.encryption.keys import KeySet
from kit.encryption.mapped import DocumentReader, DocumentStatus, MappedCollection, MappedDocument, MappedValue, State
from kit.encryption.opening import CollectionKeys, DocumentKeys, in_document, in_field
from kit.encryption.runs import CoreRun, prove as prove_by_core
from kit.errors import ContentError, EnvelopeError, KeyUnusableError, KitError, StoppedError, UsageError
from kit.values import CollectionName

MAX_FINDINGS = 10_000
"""Maximum findings kept for the report; the counts are always exact."""
_MODULUS = 2**256


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFinding:
    """One violation."""

    kind: str
    """``plaintext``, ``half-encrypted``, ``envelope``, ``key``, ``owner``, ``content``, ``canary``."""
    reason: str
    """Names container, document and field; never a value."""
    document: str
    partition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDigest:
    """A keyed digest of a multiset of values with their places: equal digests mean equal values in equal places.

    The sum modulo 2^256 of one HMAC-SHA-256 each, under a key derived from the value's data key: the additive multiset
    hash of Clarke et al. (ASIACRYPT 2003), so it needs no order and no memory, and adds up across workers. It reveals
    nothing without the key.
    """

    values: int = 0
    total: int = 0

    @classmethod
    def of_sums(cls, values: int, total: int) -> ValueDigest:
        """Return the digest of sums that were added up without the modulus."""
        return cls(values=values, total=total % _MODULUS)

    def __add__(self, other: ValueDigest) -> ValueDigest:
        return ValueDigest(values=self.values + other.values, total=(self.total + other.total) % _MODULUS)

    def __str__(self) -> str:
        return f"{self.values}:{self.total:064x}"

    @classmethod
    def parse(cls, text: str) -> ValueDigest:
        """Return the digest that ``str`` encoded.

        Raises:
            UsageError: It is no such digest.
        """
        values, _, total = text.partition(":")
        if not (values.isascii() and values.isdigit() and len(values) < 20 and len(total) == 64):
            raise UsageError(f"{text[:100]!r} is not a digest of values")
        try:
            found = cls(values=int(values), total=int(total, 16))
        except ValueError as error:
            raise UsageError(f"{text[:100]!r} is not a digest of values") from error
        if str(found) != text:
            raise UsageError(f"{text[:100]!r} is not a digest of values in canonical form")
        return found


@dataclass(slots=True, kw_only=True)
class FieldProof:
    """The states of one field's values."""

    envelopes: int = 0
    opened: int = 0
    """Envelopes that opened."""
    locked: int = 0
    """Envelopes whose key is locked."""
    plaintext: int = 0
    null: int = 0
    missing: int = 0
    skipped_owner: int = 0
    faults: int = 0
    """None of these: envelope-like but invalid, or unreadable."""
    digest: ValueDigest = field(default_factory=ValueDigest)
    """Over the plaintext of every value whose key is not locked, sealed or not."""

    def add(self, other: FieldProof) -> None:
        """Add the counts of ``other``."""
        for name in ("envelopes", "opened", "locked", "plaintext", "null", "missing", "skipped_owner", "faults"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.digest += other.digest


@dataclass(slots=True, kw_only=True)
class Proof:
    """The results for some documents of one collection."""

    documents: int = 0
    selected: int = 0
    without_partition_key: int = 0
    half_encrypted: int = 0
    canaries: int = 0
    """Documents with a canary outside the mapped values."""
    faults: int = 0
    """All findings, the omitted ones included."""
    fields: dict[str, FieldProof] = field(default_factory=dict)
    """Results by field path."""
    findings: list[ProofFinding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether there is no violation."""
        return self.faults == 0

    def add(self, other: Proof) -> None:
        """Add the results for further documents of the same collection."""
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
    """Return the proof of a run of documents.

    It also takes the digests *before*: for a plaintext collection and the keys that will seal it, the fields' digests
    are those that the encrypted collection must have; the findings are what is not encrypted yet.

    Args:
        collection: The map of the collection; decides the profile and which documents are selected.
        documents: BSON.
        first: Ordinal of the first of them, for messages.
        keys: A keyring's keys; None to check the form alone.
        canaries: Plaintext that must not occur outside the mapped values.

    Raises:
        UsageError: A canary is empty.
    """
    if not all(canaries):
        raise UsageError("an empty canary would be found everywhere")
    given = Run.of(documents)
    done = prove_by_core(collection, given, keys) if not canaries else None
    if done is None:
        return prove_each(collection, given, first, keys=keys, canaries=canaries)
    prover = _Prover(collection, keys, ())
    prover.add_core_run(done, len(given.ends))
    for number, _ in done.alone:
        prover.add(given.document(number), None, first + number)
    return prover.proof


def prove_each(
    collection: MappedCollection,
    documents: Iterable[bytes],
    first: int = 0,
    *,
    keys: KeySet | None = None,
    canaries: Sequence[bytes] = (),
) -> Proof:
    """Return what :func:`prove` does, document by document."""
    prover = _Prover(collection, keys, tuple(canaries))
    for ordinal, (document, text) in enumerate(with_texts(documents), first):
        prover.add(document, text, ordinal)
    return prover.proof


class _Prover:
    """Proves one run of documents."""

    def __init__(self, collection: MappedCollection, keys: KeySet | None, canaries: tuple[bytes, ...]) -> None:
        self._collection, self._canaries = collection, canaries
        self._reader = DocumentReader(collection)
        self._keys = CollectionKeys(collection, keys) if keys is not None else None
        self.proof = Proof(fields={str(field): FieldProof() for field in collection.fields})

    def add_core_run(self, done: CoreRun, documents: int) -> None:
        """Add the counts of documents that the core processed."""
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

    def add(self, document: bytes, text: bytes | None, ordinal: int) -> None:
        self.proof.documents += 1
        try:
            mapped = self._reader.read(document, text)
        except KitError as error:
            self._add_finding(_kind(error), error, document, ordinal, "")
            for counts in self.proof.fields.values():
                counts.faults += 1
            return
        if mapped.status is DocumentStatus.SELECTED:
            self._prove_values(mapped, ordinal)
            return
        if mapped.status is DocumentStatus.SKIPPED_OWNER:
            for counts in self.proof.fields.values():
                counts.skipped_owner += 1
        elif mapped.status is DocumentStatus.NO_PARTITION_KEY:
            self.proof.without_partition_key += 1
            self._add_finding("content", ContentError("no partition key"), document, ordinal, "")
        if self._canaries:
            self._search(mapped, _readable_values(mapped, self._collection), ordinal)

    def _prove_values(self, mapped: MappedDocument, ordinal: int) -> None:
        self.proof.selected += 1
        keys = DocumentKeys(self._keys, mapped) if self._keys is not None else None
        values: list[MappedValue] = []
        for mapped_field in self._collection.fields:
            counts = self.proof.fields[str(mapped_field)]
            try:
                value = mapped.value(mapped_field)
                _count(value, keys, counts)
                values.append(value)
            except KitError as error:
                counts.faults += 1
                self._add_finding(
                    _kind(error), in_field(error, mapped_field), mapped.document, ordinal, mapped.partition
                )
            else:
                if value.state is State.PLAIN:
                    fault = in_field(ContentError("plaintext where an envelope must be"), mapped_field)
                    self._add_finding("plaintext", fault, mapped.document, ordinal, mapped.partition)
        if {State.PLAIN, State.ENVELOPE} <= {value.state for value in values}:
            self.proof.half_encrypted += 1
            fault = ContentError("half encrypted: some mapped fields are envelopes and some plaintext")
            self._add_finding("half-encrypted", fault, mapped.document, ordinal, mapped.partition)
        self._search(mapped, values, ordinal)

    def _search(self, mapped: MappedDocument, values: Sequence[MappedValue], ordinal: int) -> None:
        """Look for canaries between the mapped values.

        Mapped values are base64, or findings already; for skipped owners and partitions that are not selected, they may
        be plaintext.
        """
        at, clear = 0, []
        for value in sorted((value for value in values if value.end), key=lambda value: value.start):
            clear.append(mapped.document[at : value.start])
            at = value.end
        clear.append(mapped.document[at:])
        if mapped.text is not None:
            clear.append(mapped.with_texts([(value, b"null") for value in values if value.end]))
        if any(canary in part for canary in self._canaries for part in clear):
            self.proof.canaries += 1
            error = ContentError("known plaintext is left outside the mapped fields")
            self._add_finding("canary", error, mapped.document, ordinal, mapped.partition)

    def _add_finding(self, kind: str, error: KitError, document: bytes, ordinal: int, partition: str) -> None:
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


def _readable_values(mapped: MappedDocument, collection: MappedCollection) -> list[MappedValue]:
    """Return the readable mapped values of a document without requirements."""
    found = []
    for mapped_field in collection.fields:
        with contextlib.suppress(KitError):
            found.append(mapped.value(mapped_field))
    return found


def search(name: CollectionName, documents: Iterable[bytes], first: int, canaries: Sequence[bytes]) -> Proof:
    """Return the proof that a collection that no map names has no canaries; arguments as for :func:`prove`."""
    proof = Proof()
    for ordinal, (document, text) in enumerate(with_texts(documents), first):
        proof.documents += 1
        if any(canary in document or (text is not None and canary in text) for canary in canaries):
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
