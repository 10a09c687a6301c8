"""What a run needs before it starts, as results of workers that add up; :mod:`kit.encryption.preparation` finds it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kit.encryption.data_keys import Scope
from kit.errors import KitError, StoppedError

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
