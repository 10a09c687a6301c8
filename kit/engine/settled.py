"""Collections in which nothing is left to do, told while a kit is read for the first time.

Such a member stays as it is, so it need not be transformed and compressed to find that out: in a kit that this program
wrote, its frames are copied. Laws: a member is settled only if every one of its documents was walked and has both
projections, and the one transform that handles it says that it then would add nothing and name nothing; where there is
any doubt (a document that cannot be walked, a second transform) it is not, and the rewriting pass decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from kit.documents import Run
from kit.engine.changes import MemberChange, Rewrite
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.transforms import coverage
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset.counting import tally_run
from kit.values import CollectionMember, CollectionName, MemberPath

_SAMPLE = 16
"""Documents of a run that are looked at before it is handed to a worker: what lacks something mostly lacks it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledMember:
    """A member in which nothing is left to do."""

    tally: Tally
    outcomes: Mapping[tuple[str, str, str], int]
    """(transform, tenant, outcome) → documents; none of them lacks a projection."""

    @property
    def documents(self) -> int:
        """Documents of the member; :mod:`kit.engine.progress` counts them, and :attr:`outcomes`."""
        return self.tally.documents


@dataclass(slots=True)
class Probe:
    """Counts one member until a document lacks something."""

    collection: CollectionMember
    transform: Transform
    tally: Tally = field(default_factory=Tally)
    settled: bool = True
    """As far as is known."""

    def goes_on(self, run: Run) -> bool:
        """Whether it is worth it to have the next run counted."""
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
    """Give a probe of a member; None where only the transforms can tell."""
    handling = [transform for transform in transforms if transform.handles(collection.name)]
    if len(handling) != 1 or not handling[0].settles(collection):
        return None
    return Probe(collection, handling[0])


def probe_run(name: CollectionName, run: Run) -> Tally:
    """Count a run, in a worker; a document that cannot be read lacks the element, and the rewriting pass names it."""
    return tally_run(name, run)


class Overheard:
    """An iterator, and whether it failed itself: what uses it may fail, too."""

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


def as_rewritten(settled: Mapping[MemberPath, SettledMember], survey: Survey) -> Rewrite:
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
        )
        done.outcomes.update(member.outcomes)
    return done


def tell(settled: Mapping[MemberPath, SettledMember], pipeline: Pipeline) -> None:
    """Count settled members as if their documents had come through ``pipeline``."""
    if pipeline.watch is not None:
        for path, member in settled.items():
            pipeline.watch(str(path), member.tally.bytes, member)
