"""What a rewriting pass adds up: counts, tallies and findings, per member and over all.

Law: the sums depend on the runs taken and their order only, not on which process made them, or when.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kit.archive import Slot
from kit.engine.reading import MAX_FINDINGS
from kit.engine.refusals import Refusals
from kit.engine.work import RunResult
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Finding
from kit.values import CollectionMember, CountName, MemberPath, RunLengths, Sha256


@dataclass(slots=True, kw_only=True)
class MemberChange:
    """One collection member that went through the transforms."""

    collection: CollectionMember
    tally: Tally = field(default_factory=Tally)
    changed: int = 0
    added_bytes: int = 0
    sha256: Sha256 | None = None
    size: int = 0
    """Digest and size of the new body as stored."""
    counts: Counter[tuple[str, str, CountName]] = field(default_factory=Counter)
    """(transform, tenant, counter) → sum."""
    envelopes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(partition, field) → envelopes there are now."""
    base_documents: Sha256 | None = None
    """Digest of the documents as they were, before the member's own codec."""
    proven: bool = False
    """Whether every run was proven to be what it was with what the transforms state."""
    runs: list[tuple[bool, int]] = field(default_factory=list)
    """Which documents changed, in pieces: see :attr:`selection`."""

    @property
    def selection(self) -> RunLengths:
        """Which documents changed."""
        return RunLengths.join(self.runs)

    def take(self, result: RunResult) -> None:
        """Add the result of one run."""
        self.size += len(result.stored)
        self.changed += result.changed
        self.added_bytes += result.added_bytes
        self.tally.add(result.tally)
        self.counts.update(result.counts)
        self.envelopes.update(result.envelopes)
        self.runs.extend(result.selection.runs())


@dataclass(slots=True, kw_only=True)
class Rewrite:
    """What one rewriting pass did."""

    members: dict[MemberPath, MemberChange] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(transform, tenant, outcome) → documents."""
    counts: Counter[tuple[str, str, CountName]] = field(default_factory=Counter)
    findings: list[tuple[MemberPath, str, Finding]] = field(default_factory=list)
    """(member, transform, finding), in the order of the kit; at most MAX_FINDINGS."""
    omitted_findings: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    """The documents that stop a patch."""
    deferred: dict[MemberPath, Slot] = field(default_factory=dict)
    """Slots left open for members that are made last."""
    roots: dict[MemberPath, Sha256] = field(default_factory=dict)
    """Merkle roots of collections as they are now, where they are wanted."""

    @property
    def changed(self) -> int:
        """Documents changed."""
        return sum(change.changed for change in self.members.values())

    def take(self, path: MemberPath, result: RunResult) -> None:
        """Add one run of the member ``path``; findings that there is no room for leave ``result`` too."""
        self.outcomes.update(result.outcomes)
        self.counts.update(result.counts)
        self.refusals.take(result.refusals, str(path))
        room = MAX_FINDINGS - len(self.findings)
        result.omitted_findings += max(0, len(result.findings) - room)
        del result.findings[room:]
        self.findings.extend((path, transform, finding) for transform, finding in result.findings)
        self.omitted_findings += result.omitted_findings
