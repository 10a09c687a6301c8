"""What a run needs before it starts, as results of workers that add up (:mod:`kit.encryption.preparation` finds it)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kit.encryption.data_keys import Scope
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
    owners: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    """Plaintext values by product and context, then by owner; there are few of the first and may be a million of these,
    so no object is made of each and sent to where they add up."""
    failure: KitError | None = None
    """The first document that cannot be judged, or holds what cannot be sealed, if there is one."""

    def fail(self, error: KitError) -> None:
        """Keep an error, unless there was one before it."""
        if self.failure is None:
            self.failure = error

    @property
    def values(self) -> Counter[Scope]:
        """Plaintext values by the purpose of their key: what will be sealed.

        An owner all of whose values are sealed or null is not there, and gets no key.
        """
        return Counter(
            {
                Scope(product=product, context=context, owner=owner): values
                for (product, context), owners in self.owners.items()
                for owner, values in owners.items()
            }
        )

    def add(self, other: Needs) -> None:
        """Add what another run found."""
        self.documents += other.documents
        self.without_partition_key += other.without_partition_key
        self.first_without = self.first_without or other.first_without
        for purpose, owners in other.owners.items():
            self.owners.setdefault(purpose, Counter()).update(owners)
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
