"""What a rewriting pass adds up, per member and over all, and which members need no rewriting.

Law of the sums: they depend on the runs taken and their order only, not on which process made them, or when.

A settled member is a collection in which nothing is left to do, as the first pass finds out. It stays as it is and need
not be transformed and compressed; in a kit that this program wrote, its frames are copied. Law: a member is settled
only if every one of its documents was walked and has both projections, and the one transform that handles it states
that it then would add nothing and name nothing. Where there is any doubt (a document that cannot be walked, a second
transform), the rewriting pass decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from kit.archive.write.tar import Slot
from kit.documents import Run
from kit.engine.checks import Refusals
from kit.engine.importability import Unimportable
from kit.engine.pipeline import Pipeline
from kit.engine.reading import MAX_FINDINGS, Survey
from kit.engine.work import RunResult
from kit.transforms import coverage
from kit.transforms.change import Samples, take_samples
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Finding, Transform
from kit.transforms.raw_linkset.counting import tally_run
from kit.values import CollectionMember, CollectionName, CountName, MemberPath, RunLengths, Sha256


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
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(transform, tenant, outcome) → documents."""
    counts: Counter[tuple[str, str, CountName]] = field(default_factory=Counter)
    """(transform, tenant, counter) → sum."""
    allowed: Counter[str] = field(default_factory=Counter)
    """By tenant, how many documents changed, where a limit counts them."""
    envelopes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(partition, field) → envelopes there are now."""
    base_documents: Sha256 | None = None
    """Digest of the documents as they were, before the member's own codec."""
    proven: bool = False
    """Whether every run was proven: the documents of the base with the changes that the transforms state."""
    runs: list[tuple[bool, int]] = field(default_factory=list)
    """Which documents changed, in pieces: see :attr:`selection`."""
    ways: list[tuple[int, int]] = field(default_factory=list)
    """By which ways they lead back (:mod:`kit.transforms.undoing`), in pieces."""

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
        self.outcomes.update(result.outcomes)
        self.counts.update(result.counts)
        self.allowed.update(result.allowed)
        self.envelopes.update(result.envelopes)
        self.runs.extend(result.selection.runs())
        self.ways.extend(result.ways)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedFile:
    """A member that is no collection, and that a transform changed: proven, and as it is to be stored."""

    stored: bytes
    base_stored: bytes
    """As the base has it."""
    base_content: Sha256
    content: Sha256
    """Digests of what it held and holds, without the member's own codec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedMember:
    """A collection member that a transform made of another one."""

    collection: CollectionMember
    source: MemberPath
    transform: str
    tally: Tally
    sha256: Sha256
    size: int
    """Digest and size of the body as stored."""
    documents: Sha256
    source_documents: Sha256
    """Digests of the documents, before the members' own codec."""
    source_count: int


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
    unimportable: Unimportable = field(default_factory=Unimportable)
    """The documents that a server would refuse; its findings are among :attr:`findings`."""
    deferred: dict[MemberPath, Slot] = field(default_factory=dict)
    """Slots left open for members that are made last."""
    roots: dict[MemberPath, Sha256] = field(default_factory=dict)
    """Merkle roots of collections as they are now, where they are wanted."""
    files: dict[MemberPath, EditedFile] = field(default_factory=dict)
    """Members besides collections that change."""
    added: dict[MemberPath, AddedMember] = field(default_factory=dict)
    samples: Samples = field(default_factory=dict)
    """What a reviewer is shown, by group."""

    @property
    def changed(self) -> int:
        """Documents changed."""
        return sum(change.changed for change in self.members.values())

    @property
    def makes_generation(self) -> bool:
        """Whether there is anything new: documents, Merkle roots, members."""
        return bool(self.changed or self.roots or self.files or self.added)

    def take(self, path: MemberPath, result: RunResult) -> None:
        """Add one run of the member ``path``; findings that there is no room for leave ``result`` too."""
        self.outcomes.update(result.outcomes)
        self.counts.update(result.counts)
        for group, documents in result.samples.items():
            take_samples(self.samples, group, documents)
        self.refusals.take(result.refusals, str(path))
        self.unimportable.refusals.take(result.unimportable.refusals, str(path))
        self.unimportable.counts.update(result.unimportable.counts)
        room = MAX_FINDINGS - len(self.findings)
        result.omitted_findings += max(0, len(result.findings) - room)
        del result.findings[room:]
        self.findings.extend((path, transform, finding) for transform, finding in result.findings)
        self.omitted_findings += result.omitted_findings

    def take_unimportable(self, path: MemberPath, transform: str, found: Unimportable) -> None:
        """Add what a server would refuse of the member ``path``."""
        self.unimportable.refusals.take(found.refusals, str(path))
        self.unimportable.counts.update(found.counts)
        room = max(0, MAX_FINDINGS - len(self.findings))
        self.findings.extend((path, transform, finding) for finding in found.findings[:room])
        self.omitted_findings += len(found.findings[room:])


_SAMPLE = 16
"""Documents of a run that are looked at before it is handed to a worker: what is lacking mostly shows there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledMember:
    """A member in which nothing is left to do."""

    tally: Tally
    outcomes: Mapping[tuple[str, str, str], int]
    """(transform, tenant, outcome) → documents; none of them lacks a projection."""

    @property
    def documents(self) -> int:
        """Documents of the member; :mod:`kit.engine.progress` counts them and :attr:`outcomes`."""
        return self.tally.documents


@dataclass(slots=True)
class Probe:
    """Counts one member until a document lacks something."""

    collection: CollectionMember
    transform: Transform
    tally: Tally = field(default_factory=Tally)
    settled: bool = True
    """As far as is known."""

    def sample(self, run: Run) -> bool:
        """Count the first documents of the next run, and return whether the rest is worth counting."""
        if self.settled:
            self._take(coverage.tally(self.collection.name, islice(run, _SAMPLE)))
        return self.settled

    def add(self, tally: Tally) -> None:
        """Take what :func:`probe_run` found."""
        self._take(tally)
        self.tally.add(tally)

    def member(self) -> SettledMember:
        """Return what is known of the member, where every run so far was settled."""
        counted = self.transform.settled(self.tally)
        outcomes = Counter({(self.transform.name, *key): count for key, count in counted.items()})
        return SettledMember(tally=self.tally, outcomes=outcomes)

    def _take(self, tally: Tally) -> None:
        self.settled &= not any(one.lacking for one in tally.tenants.values())


def probe(collection: CollectionMember, transforms: Sequence[Transform]) -> Probe | None:
    """Return a probe of a member; None where only the transforms can decide."""
    handling = [transform for transform in transforms if transform.handles(collection.name)]
    if len(handling) != 1 or not handling[0].settles(collection):
        return None
    return Probe(collection, handling[0])


def probe_run(name: CollectionName, run: Run) -> Tally:
    """Count a run, in a worker; a document that cannot be read lacks the element, and the rewriting pass names it."""
    return tally_run(name, run)


class WatchedChunks:
    """An iterator that records whether it failed itself, as opposed to the code that uses it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.failed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException:
            self.failed = True
            raise


def rewrite_of_settled(settled: Mapping[MemberPath, SettledMember], survey: Survey) -> Rewrite:
    """Return what a pass over the settled members would have found, and what the survey did."""
    done = Rewrite(findings=list(survey.findings), omitted_findings=survey.omitted_findings)
    for path, member in settled.items():
        tally = member.tally
        sha256, size = survey.members[path]
        done.members[path] = MemberChange(
            collection=survey.collections[path],
            tally=tally,
            sha256=sha256,
            size=size,
            base_documents=sha256,
            runs=[(False, tally.documents)] if tally.documents else [],
            outcomes=Counter(member.outcomes),
        )
        done.outcomes.update(member.outcomes)
    return done


def report_settled(settled: Mapping[MemberPath, SettledMember], pipeline: Pipeline) -> None:
    """Count settled members as if their documents had come through ``pipeline``."""
    if pipeline.watch is not None:
        for path, member in settled.items():
            pipeline.watch(str(path), member.tally.bytes, member)
