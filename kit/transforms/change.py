"""What a transform made of one document, and what the changes of a run add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, final

from kit.values import CountName

if TYPE_CHECKING:
    from kit.errors import KitError
    from kit.transforms.protocol import Finding

Counts: TypeAlias = Mapping[CountName, int]
NO_COUNTS: Final[Counts] = MappingProxyType({})


@final
class Change:
    """What became of one document.

    Attributes:
        tenant: Whose it is.
        outcome: One word of the transform's own closed list; counted per tenant.
        document: The new bytes, or None where the document stays as it is.
        counts: Further counters of the transform, by name. Documents that came out alike share one mapping where they
            can, which is then added up once for all of them.
        sums: Counters to which each document adds an amount of its own; they are of the member, not of a tenant.
        findings: What to name in the report.
        failure: What stops a patch, where this document does; the first finding names the document.
    """

    __slots__ = ("counts", "document", "failure", "findings", "outcome", "sums", "tenant")

    def __init__(
        self,
        *,
        tenant: str,
        outcome: str,
        document: bytes | None = None,
        counts: Counts = NO_COUNTS,
        sums: Sequence[tuple[CountName, int]] = (),
        findings: Sequence[Finding] = (),
        failure: KitError | None = None,
    ) -> None:
        self.tenant = tenant
        self.outcome = outcome
        self.document = document
        self.counts = counts
        self.sums = sums
        self.findings = findings
        self.failure = failure


@final
class Summed:
    """What the changes of a run add up to.

    Attributes:
        outcomes: (tenant, outcome) → documents.
        counts: (tenant, counter) → sum.
        sums: Counter → sum, of the whole run.
        findings: In the order of the documents.
        failures: What stops a patch: the number of the document, its name and the error, in their order.
    """

    __slots__ = ("counts", "failures", "findings", "outcomes", "sums")

    def __init__(self, changes: Sequence[Change]) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}
        self.counts: dict[tuple[str, CountName], int] = {}
        self.sums: dict[CountName, int] = {}
        self.findings: list[Finding] = []
        self.failures: list[tuple[int, str, KitError]] = []
        alike: dict[tuple[str, str, int], int] = {}
        mappings: dict[int, Counts] = {}
        for number, change in enumerate(changes):
            counts = change.counts
            mappings[id(counts)] = counts
            key = (change.tenant, change.outcome, id(counts))
            alike[key] = alike.get(key, 0) + 1
            for counter, value in change.sums:
                self.sums[counter] = self.sums.get(counter, 0) + value
            if change.findings:
                self.findings.extend(change.findings)
                if change.failure is not None:
                    self.failures.append((number, change.findings[0].document, change.failure))
        for (tenant, outcome, of), documents in alike.items():
            self.outcomes[tenant, outcome] = self.outcomes.get((tenant, outcome), 0) + documents
            for counter, value in mappings[of].items():
                self.counts[tenant, counter] = self.counts.get((tenant, counter), 0) + value * documents


@final
class Rewritten:
    """What became of a run as a whole, where nothing is made for each of its documents.

    Attributes:
        body: The documents, back to back, as they are now.
        touched: Whether each changed.
        summed: What the changes add up to.
    """

    __slots__ = ("body", "summed", "touched")

    def __init__(self, body: bytes, touched: list[bool], summed: Summed) -> None:
        self.body = body
        self.touched = touched
        self.summed = summed


def applied(changes: Sequence[Change], documents: Sequence[bytes], touched: set[int]) -> list[bytes]:
    """Give the documents after their changes; adds the numbers of those that changed to ``touched``.

    Args:
        changes: One for each document.
        documents: As they were.
        touched: Those that changed before.
    """
    after: list[bytes] = []
    for number, change in enumerate(changes):
        new = change.document
        if new is None:
            after.append(documents[number])
        else:
            after.append(new)
            touched.add(number)
    if len(after) != len(documents):
        raise ValueError(f"{len(after)} changes of {len(documents)} documents")
    return after
