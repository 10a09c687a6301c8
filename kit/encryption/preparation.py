"""What a run needs before it starts: for whom keys must be there, how many values, and whether it may start at all.

Data keys cannot be made while workers run side by side, since two of them would make two for one owner. So the first
reading of a kit, which digests it, finds them; as it sees all documents, it can also apply the stop rules that need the
whole before anything is written (schemas/field-map.md, "Stop rules"). What is wrong with a document is kept until the
kit is known to be what its signers say: a kit that was tampered with is refused as that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kit.encryption.aead import check_sealable
from kit.encryption.data_keys import Scope
from kit.encryption.envelope import PROFILES
from kit.encryption.mapped import MappedCollection, MappedDocument, MappedField, Standing, State, read
from kit.encryption.opening import in_document, in_field
from kit.errors import KitError, StoppedError

PARTITION_KEY_FRACTION = 0.001
PARTITION_KEY_LEAST = 10


@dataclass(slots=True, kw_only=True)
class Needs:
    """What a reading of documents found; results of several runs add up."""

    documents: int = 0
    without_partition_key: int = 0
    first_without: str = ""
    """Container, document and field of the first of them."""
    values: Counter[Scope] = field(default_factory=Counter)
    """Plaintext values by the purpose of their key: what will be sealed. An owner all of whose values are sealed or
    null is not there, and gets no key."""
    failure: KitError | None = None
    """The first document that cannot be judged, or holds what cannot be sealed, if there is one."""

    def fail(self, error: KitError) -> None:
        """Keep an error, unless there was one before it."""
        if self.failure is None:
            self.failure = error

    def add(self, other: Needs) -> None:
        """Add what another run found."""
        self.documents += other.documents
        self.without_partition_key += other.without_partition_key
        self.first_without = self.first_without or other.first_without
        self.values.update(other.values)
        if other.failure is not None:
            self.fail(other.failure)

    def check(self, *, fraction: float = PARTITION_KEY_FRACTION, at_least: int = PARTITION_KEY_LEAST) -> None:
        """Apply the stop rule on documents without partition key.

        Raises:
            StoppedError: There are more of them than ``fraction`` of all documents, and more than ``at_least``.
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
    """Apply the stop rule on documents without partition key to counts.

    Raises:
        StoppedError: ``without`` is above ``fraction`` of ``documents`` and above ``at_least``.
    """
    allowed = max(at_least, int(documents * fraction))
    if without > allowed:
        raise StoppedError(
            f"{without:,} of {documents:,} documents have no partition key; at most {allowed:,} may",
            hint="the field map may name the wrong field",
        )


def needs_of(collection: MappedCollection, documents: Iterable[bytes], first: int = 0) -> Needs:
    """Find what a run of documents needs; ``first`` is the ordinal of the first of them, for messages.

    A document that cannot be judged, or holds what cannot be sealed, is kept as the failure if it is the first, and
    passed over: a dry run goes on, and needs the keys of the others.
    """
    needs, plain = Needs(), Counter[str]()
    for ordinal, document in enumerate(documents, first):
        needs.documents += 1
        try:
            mapped = read(document, collection)
            if mapped.standing is Standing.NO_PARTITION_KEY:
                needs.without_partition_key += 1
                needs.first_without = needs.first_without or _without(collection, document, ordinal)
            if mapped.standing is Standing.SELECTED:
                values = sum([_is_plain(mapped, mapped_field) for mapped_field in collection.fields])
                if values:
                    plain[mapped.owner] += values
        except KitError as error:
            if needs.failure is None:
                needs.fail(in_document(error, collection, document, ordinal))
    needs.values = Counter({collection.scope(owner): values for owner, values in plain.items()})
    return needs


def _without(collection: MappedCollection, document: bytes, ordinal: int) -> str:
    field = f'field "{collection.map.partition_key}"'
    return in_document(StoppedError("", where=field), collection, document, ordinal).where


def _is_plain(mapped: MappedDocument, mapped_field: MappedField) -> bool:
    try:
        value = mapped.value(mapped_field)
        if value.state is not State.PLAIN:
            return False
        profile = PROFILES[mapped_field.place.collection.version]
        check_sealable(profile, value.kind, mapped.document[value.start : value.end])
    except KitError as error:
        raise in_field(error, mapped_field) from error
    return True
