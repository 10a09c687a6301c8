"""What a pass over a kit reports while it runs: a port, its events, and the counting that makes events.

Laws: events are reported on the thread that delivers results, in the order of the kit, and change nothing of what a
pass does. They are cut by documents and bytes, never by time, so that the same kit gives the same batches on every
machine and with any number of workers; only ``read``, and the place of :class:`Advanced` between batches, depend on how
far the reader is ahead. How events are shown, and what the time is, is up to the implementation of :class:`Progress`.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from kit.archive.read.reader import KitReader
from kit.engine.pipeline import Pipeline
from kit.transforms.coverage import Tally

BATCH_DOCUMENTS = 10_000
ADVANCE_BYTES = 64 * 1024 * 1024


class Stage(enum.StrEnum):
    """What a pass over a kit is for."""

    SURVEY = "survey"
    """Digests of everything, what the transforms look up, and for whom data keys are needed."""
    REWRITE = "rewrite"
    """Documents through the transforms, everything to the destination."""
    CARRY = "carry"
    """Once more, with the collections in which nothing changed verbatim."""
    REREAD = "reread"
    """The finished kit is read back."""
    DEEP = "deep"
    """Every document to its last element."""
    EXPLAIN = "explain"
    """Why observations lack ``rawLinkset``: what a patch would look up, then the observations."""
    FIELDS = "fields"
    """Every mapped value."""
    EXTRACT = "extract"
    """Selected documents are taken out."""
    COMPARE = "compare"
    """A delta is built: the base is spooled and indexed, then the target is encoded against it."""
    MAKE = "make"
    """A delta is applied: the target is made of the base."""
    RECOVER = "recover"
    """Documents in scope are decrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassStarted:
    """A pass begins."""

    stage: Stage
    total: int | None
    """Stored bytes that it will read; None where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """So many documents of one collection member went through, or the last ones of it."""

    stage: Stage
    member: str
    """Path of the collection member."""
    documents: int
    bytes: int
    """Of the documents as they were read."""
    outcomes: Mapping[tuple[str, str, str], int]
    """(transform, tenant, outcome) → documents; empty where the pass transforms nothing."""
    read: int
    """Stored bytes read so far, of :attr:`PassStarted.total`."""
    lacking: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(tenant, what it lacks) → observations, as they are after the pass; see ``TenantCoverage.lacks``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """So many bytes of members were read, or made: all there is to report where nothing looks at documents."""

    stage: Stage
    bytes: int
    read: int
    """As in :class:`BatchDone`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassDone:
    """A pass ended well."""

    stage: Stage
    documents: int
    bytes: int
    """Of all members that were read, or made."""
    queue_peak: int
    """Pieces of work that waited or were worked on at once, at most."""
    queue_peak_bytes: int


Event = PassStarted | BatchDone | Advanced | PassDone


class Progress(Protocol):
    """Takes events, to show or count them."""

    def tell(self, event: Event) -> None:
        """Take one event; must not raise and must not take long, since the pass waits for it."""
        ...


class Silence:
    """Takes events and drops them."""

    def tell(self, event: Event) -> None:
        """See :class:`Progress`."""


SILENCE = Silence()


@runtime_checkable
class _OfDocuments(Protocol):
    """The result of a run, as far as progress goes."""

    @property
    def documents(self) -> int: ...


@runtime_checkable
class _OfTally(Protocol):
    """The result of a run that was counted by tenant."""

    @property
    def tally(self) -> Tally: ...


@contextmanager
def watch_pass(
    progress: Progress,
    stage: Stage,
    reader: KitReader,
    pipeline: Pipeline,
    *,
    reads: bool = True,
    batch_documents: int = BATCH_DOCUMENTS,
    advance_bytes: int = ADVANCE_BYTES,
) -> Iterator[Pipeline]:
    """Run the body as one pass of ``reader`` through ``pipeline``, and report it to ``progress``.

    ``reads``: the pass goes through all that ``reader`` has, so its end is known.
    """
    if isinstance(progress, Silence):
        with pipeline:
            yield pipeline
        return
    progress.tell(PassStarted(stage=stage, total=reader.stored_bytes if reads else None))
    watch = _Watch(
        progress=progress,
        stage=stage,
        reader=reader,
        batch_documents=batch_documents,
        advance_bytes=advance_bytes,
    )
    pipeline.watch, reader.watch = watch.count_result, watch.count_read
    try:
        with pipeline:
            yield pipeline
    finally:
        reader.watch = None
    watch.finish(pipeline)


@dataclass(slots=True, kw_only=True)
class _Watch:
    progress: Progress
    stage: Stage
    reader: KitReader
    batch_documents: int
    advance_bytes: int
    member: str = ""
    documents: int = 0
    bytes: int = 0
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lacking: Counter[tuple[str, str]] = field(default_factory=Counter)
    new_bytes: int = 0
    """Since the last :class:`Advanced`."""
    all_documents: int = 0
    all_bytes: int = 0

    def count_result(self, member: str, cost: int, result: object) -> None:
        """Count one piece of work that a worker has done."""
        if not isinstance(result, _OfDocuments):
            return
        if member != self.member:
            self._batch()
            self.member = member
        self.documents += result.documents
        self.bytes += cost
        self.outcomes.update(getattr(result, "outcomes", {}))
        if isinstance(result, _OfTally):
            for tenant, covered in result.tally.tenants.items():
                for what, observations in covered.lacks().items():
                    self.lacking[tenant, what] += observations
        if self.documents >= self.batch_documents:
            self._batch()

    def count_read(self, size: int) -> None:
        """Count bytes of a member's body that were read."""
        self.new_bytes += size
        self.all_bytes += size
        if self.new_bytes >= self.advance_bytes:
            self.progress.tell(Advanced(stage=self.stage, bytes=self.new_bytes, read=self.reader.read_bytes))
            self.new_bytes = 0

    def finish(self, pipeline: Pipeline) -> None:
        self._batch()
        self.progress.tell(
            PassDone(
                stage=self.stage,
                documents=self.all_documents,
                bytes=self.all_bytes,
                queue_peak=pipeline.peak_pieces,
                queue_peak_bytes=pipeline.peak_bytes,
            )
        )

    def _batch(self) -> None:
        if self.documents:
            self.progress.tell(
                BatchDone(
                    stage=self.stage,
                    member=self.member,
                    documents=self.documents,
                    bytes=self.bytes,
                    outcomes=dict(self.outcomes),
                    lacking=dict(self.lacking),
                    read=self.reader.read_bytes,
                )
            )
        self.all_documents += self.documents
        self.documents = self.bytes = 0
        self.outcomes.clear()
        self.lacking.clear()
