"""Finds what a run needs before it starts: the keys, the number of values, and whether it may start at all.

Data keys cannot be made while workers run in parallel, since two workers would make two for one owner. So the first
pass over a kit, which digests it, finds the needed keys; the results of workers add up. As that pass reads all
documents, it can also apply the stop rules that need all of them before anything is written (schemas/field-map.md,
"Stop rules"). Errors of documents are kept until the kit is verified: a kit that was tampered with is refused for that
reason.

:class:`FieldCounts` has the counts of a run per collection and field (schemas/field-map.md, "Counters"). A transform
reports them by :class:`kit.values.FieldOutcome` to the engine, which adds them up; they are parsed here. Law: ``scanned
= encrypted + skipped_encrypted + skipped_null + skipped_missing + skipped_owner + errors``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.documents import Run, with_texts
from kit.encryption.aead import check_form, check_sealable
from kit.encryption.envelope import PROFILES, Profile
from kit.encryption.keys import Scope
from kit.encryption.mapped import DocumentReader, DocumentStatus, MappedCollection, MappedDocument, MappedField, State
from kit.encryption.opening import in_document, in_field
from kit.encryption.runs import survey
from kit.errors import KitError, StoppedError
from kit.values import CountName, FieldOutcome

PARTITION_KEY_FRACTION = 0.001
PARTITION_KEY_LEAST = 10


@dataclass(slots=True, kw_only=True)
class Needs:
    """What a pass over documents found; results of several runs add up."""

    documents: int = 0
    without_partition_key: int = 0
    first_without: str = ""
    """Container, document and field of the first without a partition key."""
    owners: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    """Plaintext values by product and context, then by owner. There may be a million owners, so workers do not send an
    object for each."""
    failure: KitError | None = None
    """The error of the first document that cannot be judged or sealed, if there is one."""

    def fail(self, error: KitError) -> None:
        """Keep an error, unless there was an earlier one."""
        if self.failure is None:
            self.failure = error

    @property
    def values(self) -> Counter[Scope]:
        """Plaintext values by the purpose of their key, to be sealed.

        An owner without plaintext values is absent, and gets no key.
        """
        return Counter(
            {
                Scope(product=product, context=context, owner=owner): values
                for (product, context), owners in self.owners.items()
                for owner, values in owners.items()
            }
        )

    def add(self, other: Needs) -> None:
        """Add the results of another run."""
        self.documents += other.documents
        self.without_partition_key += other.without_partition_key
        self.first_without = self.first_without or other.first_without
        for purpose, owners in other.owners.items():
            self.owners.setdefault(purpose, Counter()).update(owners)
        if other.failure is not None:
            self.fail(other.failure)

    def check(self, *, fraction: float = PARTITION_KEY_FRACTION, at_least: int = PARTITION_KEY_LEAST) -> None:
        """Check the stop rule on documents without partition key.

        Raises:
            StoppedError: They exceed both ``fraction`` of all documents and ``at_least``.
        """
        try:
            check_partition_keys(self.documents, self.without_partition_key, fraction=fraction, at_least=at_least)
        except StoppedError as error:
            raise error.inside(self.first_without) from None


def check_partition_keys(
    documents: int,
    without: int,
    *,
    fraction: float = PARTITION_KEY_FRACTION,
    at_least: int = PARTITION_KEY_LEAST,
) -> None:
    """Check the stop rule on documents without partition key by their counts.

    Raises:
        StoppedError: ``without`` exceeds both ``fraction`` of ``documents`` and ``at_least``.
    """
    allowed = max(at_least, int(documents * fraction))
    if without > allowed:
        raise StoppedError(
            f"{without:,} of {documents:,} documents have no partition key; the maximum is {allowed:,}",
            hint="the field map may name the wrong field",
        )


_SELECTED: Final = DocumentStatus.SELECTED
_NO_PARTITION_KEY: Final = DocumentStatus.NO_PARTITION_KEY
_PLAIN: Final = State.PLAIN


def find_needs(
    collection: MappedCollection,
    documents: Iterable[bytes],
    first: int = 0,
    *,
    replaced: frozenset[str] = frozenset(),
) -> Needs:
    """Return what a run of documents needs; ``first`` is the ordinal of the first, for messages.

    Values that are sealed under one of the data keys ``replaced`` are to be sealed again, and count as plaintext ones.

    The error of the first document that cannot be judged or sealed is kept as the failure. Such documents are skipped:
    a dry run continues, and needs the keys of the others.
    """
    given = Run.of(documents)
    found = survey(collection, given) if not replaced else None
    if found is None:
        return find_needs_each(collection, given, first, replaced=replaced)
    judge = _Judge(collection)
    for number in found.alone:
        judge.take(given.document(number), None, first + number)
    for owner, values in found.owners:
        judge.plain[owner] += values
    return judge.needs(len(given.ends))


def find_needs_each(
    collection: MappedCollection,
    documents: Iterable[bytes],
    first: int = 0,
    *,
    replaced: frozenset[str] = frozenset(),
) -> Needs:
    """Return what :func:`find_needs` does, document by document."""
    judge, ordinal = _Judge(collection, replaced), first
    for document, text in with_texts(documents):
        judge.take(document, text, ordinal)
        ordinal += 1
    return judge.needs(ordinal - first)


class _Judge:
    """Judges documents of one collection."""

    def __init__(self, collection: MappedCollection, replaced: frozenset[str] = frozenset()) -> None:
        self._collection, self._reader, self._replaced = collection, DocumentReader(collection), replaced
        self._profile: Profile = PROFILES[collection.place.version]
        self._needs = Needs()
        self.plain: Counter[str] = Counter()
        """Plaintext values by owner."""

    def needs(self, documents: int) -> Needs:
        """Return what the documents taken need."""
        needs = self._needs
        needs.documents = documents
        if self.plain:
            needs.owners[self._collection.place.product, self._collection.map.context] = self.plain
        return needs

    def take(self, document: bytes, text: bytes | None, ordinal: int) -> None:
        """Judge one document; the text, where it is kept as one."""
        needs = self._needs
        try:
            mapped = self._reader.read(document, text)
            if mapped.status is _SELECTED:
                values = sum(
                    [_is_to_seal(mapped, one, self._profile, self._replaced) for one in self._collection.fields]
                )
                if values:
                    self.plain[mapped.owner] += values
            elif mapped.status is _NO_PARTITION_KEY:
                needs.without_partition_key += 1
                needs.first_without = needs.first_without or _without(self._collection, document, ordinal)
        except KitError as error:
            if needs.failure is None:
                needs.fail(in_document(error, self._collection, document, ordinal))


def _without(collection: MappedCollection, document: bytes, ordinal: int) -> str:
    field = f'field "{collection.map.partition_key}"'
    return in_document(StoppedError("", where=field), collection, document, ordinal).where


def _is_to_seal(mapped: MappedDocument, mapped_field: MappedField, profile: Profile, replaced: frozenset[str]) -> bool:
    try:
        value = mapped.value(mapped_field)
        if value.envelope is not None and value.envelope.dek_id in replaced:
            check_form(mapped_field.place, value.envelope)
            return True
        if value.state is not _PLAIN:
            return False
        check_sealable(profile, *mapped.plaintext(value))
    except KitError as error:
        raise in_field(error, mapped_field) from error
    return True


SCANNED = "scanned"
ENCRYPTED = "encrypted"
SKIPPED_ENCRYPTED = "skipped_encrypted"
SKIPPED_NULL = "skipped_null"
SKIPPED_MISSING = "skipped_missing"
SKIPPED_OWNER = "skipped_owner"
ERRORS = "errors"
DIGEST_VALUES = "digest_values"
DIGEST_TOTAL = "digest_total"
"""The two sums of :class:`kit.encryption.proof.ValueDigest`, over the plaintext before it was sealed."""
OUTCOMES = (ENCRYPTED, SKIPPED_ENCRYPTED, SKIPPED_NULL, SKIPPED_MISSING, SKIPPED_OWNER, ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCounts:
    """The outcomes of one field's values."""

    collection: str
    """``db.collection``."""
    field: str
    scanned: int = 0
    encrypted: int = 0
    skipped_encrypted: int = 0
    skipped_null: int = 0
    skipped_missing: int = 0
    skipped_owner: int = 0
    errors: int = 0

    def check(self) -> None:
        """Check that every scanned value is accounted for.

        Raises:
            StoppedError: The sum is wrong: a value was lost, so the run cannot be trusted.
        """
        total = sum(getattr(self, outcome) for outcome in OUTCOMES)
        if total != self.scanned:
            raise StoppedError(
                f"scanned {self.scanned:,} values of {self.field!r}, but accounted for {total:,}", where=self.collection
            )

    def to_json(self) -> dict[str, Any]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in ("collection", "field", SCANNED, *OUTCOMES)}


def field_counts(
    counts: Iterable[tuple[CountName, int]] | Mapping[CountName, int],
) -> tuple[FieldCounts, ...]:
    """Return counts by collection and field, sorted, of all tenants together; other counts are ignored.

    Raises:
        StoppedError: A sum is wrong.
    """
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, count in counts.items() if isinstance(counts, Mapping) else counts:
        if isinstance(name, FieldOutcome) and name.outcome in {SCANNED, *OUTCOMES}:
            field = found.setdefault((name.collection, name.field), {})
            field[name.outcome] = field.get(name.outcome, 0) + count
    result = [FieldCounts(collection=key[0], field=key[1], **found[key]) for key in sorted(found)]
    for field_count in result:
        field_count.check()
    return tuple(result)
