"""Replaces mapped plaintext values by envelopes, and proves that nothing else changed but lengths.

Laws (schemas/field-map.md): the values of a document are sealed together or not at all; a valid envelope, null and a
missing field are left alone, so that a second application changes nothing; what is none of plaintext, envelope, null
and missing stops the run. Every value is counted under exactly one outcome.

Data keys are made before a run (``kit.encryption.preparation``) and cross to the workers in the instance; see
:class:`kit.transforms.protocol.Transform` for the rest of the contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.encryption import counting
from kit.encryption.aead import IvSource, RandomIv, SyntheticIv
from kit.encryption.envelope import Profile
from kit.encryption.field_map import FieldMap
from kit.encryption.key_set import NO_KEYS, KeySource
from kit.encryption.mapped import MappedCollection, MappedDocument, MappedValue, Standing, State, read
from kit.encryption.opening import CollectionKeys, DocumentKeys, document_name, in_document, in_field
from kit.encryption.preparation import Needs, needs_of
from kit.errors import KitError, UsageError
from kit.transforms.protocol import Change, Finding, Lookup
from kit.values import CollectionName

NAME = "encrypt-fields"
VERSION = 1

ENCRYPTED = "encrypted"
UNCHANGED = "unchanged"
"""Selected, and nothing in it is left to encrypt."""
ERROR = "error"
OUTCOMES = (
    ENCRYPTED,
    UNCHANGED,
    Standing.SKIPPED_OWNER.value,
    Standing.NOT_SELECTED.value,
    Standing.NO_PARTITION_KEY.value,
    ERROR,
)

_OUTCOME = {
    State.PLAIN: counting.ENCRYPTED,
    State.ENVELOPE: counting.SKIPPED_ENCRYPTED,
    State.NULL: counting.SKIPPED_NULL,
    State.MISSING: counting.SKIPPED_MISSING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptFields:
    """The ``encrypt-fields`` transform; see :class:`kit.transforms.protocol.Transform`."""

    field_map: FieldMap
    profile: Profile
    keys: KeySource = field(default=NO_KEYS, repr=False)
    """Given by the run itself, once it knows for whom they are needed (``kit.ops.keying``)."""
    iv: IvSource = field(default=SyntheticIv(), repr=False)
    partitions: frozenset[str] | None = None
    """Only documents of these partitions; None for all."""
    stop_at_errors: bool = True
    """False counts faulty values instead of stopping, so that a dry run can name all of them."""

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

    def parameters(self) -> Mapping[str, Any]:
        """See the protocol; key names and secrets are no part of it."""
        return {
            "fieldMap": self.field_map.to_json(),
            "profile": str(self.profile),
            "iv": "random" if isinstance(self.iv, RandomIv) else "synthetic",
            "tenants": sorted(self.partitions) if self.partitions is not None else None,
            "onError": "stop" if self.stop_at_errors else "count",
        }

    def handles(self, name: CollectionName) -> bool:
        """See the protocol."""
        return self.field_map.collection(name) is not None

    def indexes(self, name: CollectionName) -> bool:  # noqa: ARG002
        """See the protocol; nothing is looked up."""
        return False

    def gather(self, name: CollectionName, documents: Iterable[bytes], first: int) -> Iterable[tuple[bytes, bytes]]:  # noqa: ARG002
        """See the protocol; nothing is looked up."""
        return ()

    def needs(self, name: CollectionName, documents: Iterable[bytes], first: int) -> Needs:
        """Find what a run needs before it starts; a pure function of its arguments, for workers as well."""
        return needs_of(self.mapped(name), documents, first)

    def mapped(self, name: CollectionName) -> MappedCollection:
        """Give the map of a collection that this transform handles.

        Raises:
            UsageError: It does not.
        """
        entry = self.field_map.collection(name)
        if entry is None:
            raise UsageError(f"the field map does not name {name}")
        return MappedCollection.of(
            entry, name, product=self.field_map.product, profile=self.profile, partitions=self.partitions
        )

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:  # noqa: ARG002
        """Seal what is plaintext, document by document.

        Raises:
            EnvelopeError: A value looks like an envelope and is not a valid one of this profile and place.
            KeyUnusableError: An envelope's data key is not known, or an owner has none.
            StoppedError: An envelope is sealed under another owner's key.
            ContentError: A document has no owner or ``_id``, or a value that this profile cannot hold.
        """
        run = _Run(self, self.mapped(name))
        return [run.change(document, ordinal) for ordinal, document in enumerate(documents, first)]


class _Run:
    """One run of documents of one collection."""

    def __init__(self, transform: EncryptFields, collection: MappedCollection) -> None:
        self._transform = transform
        self._collection = collection
        self._keys = CollectionKeys(collection, transform.keys.key_set())
        # Documents whose values came out alike share one mapping: most do, and the engine only reads it.
        self._counts: dict[tuple[str, ...], Mapping[str, int]] = {}
        name = collection.place.name
        self._fields = [
            (
                mapped_field,
                (counting.counter(counting.DIGEST_VALUES, name, mapped_field), 1),
                counting.counter(counting.DIGEST_TOTAL, name, mapped_field),
            )
            for mapped_field in collection.fields
        ]

    def change(self, document: bytes, ordinal: int) -> Change:
        try:
            mapped = read(document, self._collection)
        except KitError as error:
            return self._failed(in_document(error, self._collection, document, ordinal), document, "")
        if mapped.standing is Standing.SELECTED:
            return self._selected(mapped, ordinal)
        change = Change(tenant=mapped.partition, outcome=mapped.standing.value)
        if mapped.standing is Standing.SKIPPED_OWNER:
            change.counts = self._counted((counting.SKIPPED_OWNER,) * len(self._collection.fields))
        if mapped.standing is Standing.NO_PARTITION_KEY:
            change.counts = self._counted((counting.ERRORS,) * len(self._collection.fields))
            change.findings = (self._finding(Standing.NO_PARTITION_KEY.value, "no partition key", document, ""),)
        return change

    def _selected(self, mapped: MappedDocument, ordinal: int) -> Change:
        keys = DocumentKeys(self._keys, mapped)
        outcomes: list[str] = []
        sums: list[tuple[str, int]] = []
        sealed: list[tuple[MappedValue, bytes]] = []
        replaced: bytes | None = None
        for mapped_field, one_value, total in self._fields:
            try:
                value = mapped.value(mapped_field)
                # Of its plaintext, where its key is at hand: what verification will compare with.
                digest = keys.digest(value)
                if value.state is State.PLAIN:
                    sealed.append((value, keys.seal(value, self._transform.iv).to_bson()))
            except KitError as error:
                in_document(in_field(error, mapped_field), self._collection, mapped.document, ordinal)
                return self._failed(error, mapped.document, mapped.partition)
            if digest is not None:
                sums += one_value, (total, digest)
            outcomes.append(_OUTCOME[value.state])
        if sealed:
            try:
                replaced = mapped.replaced(sealed)
            except KitError as error:
                return self._failed(
                    in_document(error, self._collection, mapped.document, ordinal), mapped.document, mapped.partition
                )
        counts = self._counted(tuple(outcomes))
        return Change(
            tenant=mapped.partition,
            outcome=UNCHANGED if replaced is None else ENCRYPTED,
            document=replaced,
            counts=counts,
            sums=sums,
        )

    def _failed(self, error: KitError, document: bytes, partition: str) -> Change:
        """Stop, or in a dry run count every mapped value as an error: none of the document would be written."""
        if self._transform.stop_at_errors:
            raise error
        return Change(
            tenant=partition,
            outcome=ERROR,
            counts=self._counted((counting.ERRORS,) * len(self._collection.fields)),
            findings=(self._finding(ERROR, str(error), document, partition),),
        )

    def _counted(self, outcomes: tuple[str, ...]) -> Mapping[str, int]:
        counts = self._counts.get(outcomes)
        if counts is None:
            name = self._collection.place.name
            found: Counter[str] = Counter()
            for mapped_field, outcome in zip(self._collection.fields, outcomes, strict=True):
                found[counting.counter(counting.SCANNED, name, mapped_field)] += 1
                found[counting.counter(outcome, name, mapped_field)] += 1
            counts = self._counts[outcomes] = dict(found)
        return counts

    def _finding(self, kind: str, reason: str, document: bytes, partition: str) -> Finding:
        return Finding(kind=kind, reason=reason, document=document_name(document), tenant=partition)


def check_order(names: Sequence[str]) -> None:
    """Refuse ``encrypt-fields`` before ``raw-linkset``, which could then no longer read what it derives from.

    Raises:
        UsageError: They stand in that order.
    """
    if NAME in names and "raw-linkset" in names[names.index(NAME) :]:
        raise UsageError(
            "raw-linkset cannot run after encrypt-fields: it reads what is then encrypted",
            hint="--transform raw-linkset --transform encrypt-fields",
        )
