"""What a transform makes of documents: a change for each, the totals of a run, and what the report names.

Plain objects, since one is made for every document of a kit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, final

from kit.values import CountName

if TYPE_CHECKING:
    from kit.errors import KitError

Counts: TypeAlias = Mapping[CountName, int]
NO_COUNTS: Final[Counts] = MappingProxyType({})


SAMPLED: Final = 3
"""Documents of each group that a reviewer is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A document that may be shown to a reviewer as one of its group: the owner, workspace and product it now has."""

    group: tuple[str, ...]
    document: str
    """The document's ``_id`` as text."""


Samples: TypeAlias = "dict[tuple[str, ...], list[str]]"
"""Group → the documents with the least digests: a sample that does not depend on who looked, or in which order."""


def take_samples(into: Samples, group: tuple[str, ...], documents: Sequence[str]) -> None:
    """Add documents to a group of a sample."""
    found = {*into.get(group, ()), *documents}
    into[group] = sorted(found, key=lambda one: (sha256(one.encode("utf-8", "surrogatepass")).digest(), one))[:SAMPLED]


@final
class Change:
    """The result for one document.

    Attributes:
        tenant: The tenant of the document.
        outcome: One word of the transform's own closed list; counted per tenant.
        document: The new bytes; None if the document is unchanged.
        counts: Further counters of the transform, by name. Documents with equal results share one mapping where they
            can; it is then added up once for all of them.
        sums: Counters to which each document adds its own amount; they belong to the member, not to a tenant.
        findings: What the report names.
        failure: The error, if this document stops a patch; the first finding names the document.
        sample: The group that the document may be shown for.
    """

    __slots__ = ("counts", "document", "failure", "findings", "outcome", "sample", "sums", "tenant")

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
        sample: Sample | None = None,
    ) -> None:
        self.tenant = tenant
        self.outcome = outcome
        self.document = document
        self.counts = counts
        self.sums = sums
        self.findings = findings
        self.failure = failure
        self.sample = sample


@final
class ChangeTotals:
    """The totals of a run's changes.

    Attributes:
        outcomes: (tenant, outcome) → documents.
        counts: (tenant, counter) → sum.
        sums: Counter → sum, of the whole run.
        findings: In the order of the documents.
        failures: The errors that stop a patch, in order: number and name of the document, error.
        samples: What a reviewer is shown.
    """

    __slots__ = ("counts", "failures", "findings", "outcomes", "samples", "sums")

    def __init__(self, changes: Sequence[Change]) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}
        self.counts: dict[tuple[str, CountName], int] = {}
        self.sums: dict[CountName, int] = {}
        self.findings: list[Finding] = []
        self.failures: list[tuple[int, str, KitError]] = []
        self.samples: Samples = {}
        alike: dict[tuple[str, str, int], int] = {}
        mappings: dict[int, Counts] = {}
        for number, change in enumerate(changes):
            counts = change.counts
            mappings[id(counts)] = counts
            key = (change.tenant, change.outcome, id(counts))
            alike[key] = alike.get(key, 0) + 1
            for counter, value in change.sums:
                self.sums[counter] = self.sums.get(counter, 0) + value
            if change.sample is not None:
                take_samples(self.samples, change.sample.group, [change.sample.document])
            if change.findings:
                self.findings.extend(change.findings)
                if change.failure is not None:
                    self.failures.append((number, change.findings[0].document, change.failure))
        for (tenant, outcome, of), documents in alike.items():
            self.outcomes[tenant, outcome] = self.outcomes.get((tenant, outcome), 0) + documents
            for counter, value in mappings[of].items():
                self.counts[tenant, counter] = self.counts.get((tenant, counter), 0) + value * documents


@final
class RewrittenRun:
    """The result for a run as a whole, without a change for each document.

    Attributes:
        body: The documents, back to back, as they are now.
        touched: Whether each changed.
        totals: The totals of the changes.
    """

    __slots__ = ("body", "totals", "touched")

    def __init__(self, body: bytes, touched: list[bool], totals: ChangeTotals) -> None:
        self.body = body
        self.touched = touched
        self.totals = totals


def apply_changes(changes: Sequence[Change], documents: Sequence[bytes], touched: set[int]) -> list[bytes]:
    """Return the documents after their changes, and add the numbers of changed ones to ``touched``.

    Args:
        changes: One for each document.
        documents: The documents before.
        touched: Numbers of documents that changed earlier; extended in place.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One document that the report names: why it stays unchanged, or how it diverges."""

    kind: str
    reason: str
    document: str
    """The document's ``_id`` as text."""
    tenant: str
