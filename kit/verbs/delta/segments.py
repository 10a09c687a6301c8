"""Plans and encodes the segments of a delta from two stores of documents.

Decides which documents are compared, where a segment ends and what it may refer to; :mod:`kit.delta.segment` encodes
it. Laws: segments depend on the two collections alone, never on workers or time; a segment holds at most
:data:`SEGMENT_BYTES` of documents and one batch more, or one document, with earlier versions of at most
:data:`HELD_BYTES` and one more; :mod:`kit.verbs.delta.joining` undoes it, whatever the order of either collection.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from kit.delta import texts
from kit.delta.features import is_similar
from kit.delta.segment import (
    MAX_RANGES,
    MAX_STEPS,
    SegmentInput,
    Source,
    Step,
    encode,
)
from kit.verbs.delta.documents import DocumentStore, Likeness, Matching, StoredDocuments

SEGMENT_BYTES = 6 * 1024 * 1024
"""Changed and inserted documents, and the earlier versions of the changed ones, in one segment."""
HELD_BYTES = 32 * 1024 * 1024
"""A segment that holds so much ends within its batch: a batch has many documents if they became small."""
MAX_SEGMENT_BYTES = 128 * 1024 * 1024
"""What a segment, even of an untrusted builder, may make or ask for of the base."""
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""A collection with a larger document, in either kit, is not encoded as documents."""
NEAR_BYTES = 1024 * 1024
"""Documents of the base that new ones are packed against because they are near."""
LIKE_BYTES = 2 * 1024 * 1024
"""And because they are similar."""
PICKED_FROM_BYTES = 2 * 1024 * 1024
"""Of earlier versions of so many bytes, only some columns are extracted and repeated."""
_LIKES, _MAX_LIKES = 2, 3000
_THOROUGH_BYTES = 3 * 1024 * 1024
_THOROUGH, _FAST = 17, 12
"""Levels of zstd: small segments are packed as small as possible, large ones fast.

Of a backfill (dictionary 0.3 MB, columns 0.8 MB), level 12 makes 10,203 bytes in 5 ms, and 17 makes 11,143 in 68. Of
sparse edits (2.0 and 0.6 MB), level 12 makes 66,189 in 48 ms, and 17 makes 60,867 in 260.
"""
READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The documents of a segment, by ordinals: the process that encodes it reads their bytes itself."""

    base: Path
    target: Path
    steps: tuple[Step, ...]
    expected: int
    """Ordinal in the base where the previous segment ended."""
    documents: tuple[tuple[int, int], ...]
    """(first ordinal, count) of the changed and inserted ones in the target."""
    ranges: tuple[tuple[int, int], ...]
    """(first ordinal, count) of the references in the base."""
    picking: bool
    level: int
    size: int
    """Bytes of documents, their earlier versions and references."""
    has_texts: bool = False
    """Whether the documents are pieces of text."""


def encode_segment(plan: Plan) -> bytes:
    """Encode a segment, in any process that sees the stores.

    Raises:
        OutputError: The stores are gone.
    """
    read = _carry_all if plan.has_texts else _read_all
    with StoredDocuments(plan.base) as base, StoredDocuments(plan.target) as target:
        return encode(
            SegmentInput(
                steps=plan.steps,
                expected=plan.expected,
                documents=read(target, plan.documents),
                olds=read(base, [(at, count) for source, at, count in plan.steps if source is Source.CHANGE]),
                ranges=plan.ranges,
                references=read(base, plan.ranges),
                picking=plan.picking,
                level=plan.level,
            )
        )


def _read_all(store: StoredDocuments, ranges: Sequence[tuple[int, int]]) -> tuple[bytes, ...]:
    return tuple(document for first, count in ranges for document in store.documents(first, count))


def _carry_all(store: StoredDocuments, ranges: Sequence[tuple[int, int]]) -> tuple[bytes, ...]:
    return tuple(map(texts.make_carrier, _read_all(store, ranges)))


def plan_segments(base: DocumentStore, target: DocumentStore, matching: Matching) -> Iterator[Plan]:
    """Yield the plans of the segments that make ``target`` from ``base``."""
    planner = _Planner(base, target, Likeness(base, target, matching))
    for first, bounds in target.ranges(READ_BYTES):
        matches = matching.of(first, len(bounds) - 1)
        at = 0
        while at < len(matches):
            start = matches[at]
            end = at + 1
            if start < 0:
                planner.insert(first + at, target.read_span(bounds[at], bounds[end]))
            else:
                while end < len(matches) and matches[end] == start + end - at:
                    end += 1
                yield from _plan_batch(planner, start, first + at, bounds[at : end + 1])
            at = end
            if planner.is_full:
                yield planner.take()
    if planner.steps:
        yield planner.take()


def _plan_batch(planner: _Planner, start: int, first: int, bounds: array[int]) -> Iterator[Plan]:
    """Plan the documents from ``first`` on, whose earlier versions are consecutive from ``start``.

    Yields the segments that must end within the batch.
    """
    old = planner.base.bounds(start, len(bounds) - 1)
    sizes = [end - at for at, end in pairwise(bounds)]
    olds = [end - at for at, end in pairwise(old)]
    at = 0
    while at < len(sizes):
        end = at
        while end < len(sizes) and sizes[end] == olds[end]:
            end += 1
        if end > at:
            before = planner.base.read_span(old[at], old[end])
            after = planner.target.read_span(bounds[at], bounds[end])
            if before == after:
                planner.copy(start + at, end - at)
            else:
                _plan_each(planner, start + at, first + at, (before, after), sizes[at:end])
            at = end
        # Documents of different sizes differ; nothing need be read to know that.
        while at < len(sizes) and sizes[at] != olds[at]:
            planner.change(start + at, first + at, sizes[at] + olds[at])
            if planner.held >= HELD_BYTES:
                yield planner.take()
            at += 1


def _plan_each(planner: _Planner, start: int, first: int, sides: tuple[bytes, bytes], sizes: Sequence[int]) -> None:
    """Plan documents with the same places on both sides, of which at least one differs."""
    before, after = sides
    at = 0
    for number, size in enumerate(sizes):
        end = at + size
        if before[at:end] == after[at:end]:
            planner.copy(start + number, 1)
        else:
            planner.change(start + number, first + number, 2 * size)
        at = end


@dataclass(slots=True)
class _Planner:
    """Plans one segment after the other."""

    base: DocumentStore
    target: DocumentStore
    likeness: Likeness
    expected: int = 0
    steps: list[Step] = field(default_factory=list)
    documents: list[tuple[int, int]] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    """Ordinals in the base near which documents were inserted."""
    likes: set[int] = field(default_factory=set)
    """Documents of the base that are similar to inserted ones."""
    held: int = 0
    changed: int = 0
    """Bytes of changed documents and their earlier versions."""
    begun: int = 0

    @property
    def is_full(self) -> bool:
        return self.held >= SEGMENT_BYTES or len(self.steps) >= MAX_STEPS - (1 << 13)

    def copy(self, start: int, count: int) -> None:
        self._step(Source.COPY, start, count)

    def change(self, start: int, place: int, size: int) -> None:
        """Add the document ``place`` as a change of ``start``; both together have ``size`` bytes."""
        self._step(Source.CHANGE, start, 1)
        self._hold(place, size)
        self.changed += size

    def insert(self, place: int, document: bytes) -> None:
        """Add a document without an earlier version: as a change of a very similar one, else as inserted."""
        likes = self.likeness.of(document, _LIKES)
        for ordinal in likes:
            old = self.base.read(ordinal, 1)
            if is_similar(old, document):
                self.change(ordinal, place, len(old) + len(document))
                return
        if len(self.likes) < _MAX_LIKES:
            self.likes.update(likes)
        if not self.anchors or self.anchors[-1] != self.expected:
            self.anchors.append(self.expected)
        self._step(Source.INSERT, 0, 1)
        self._hold(place, len(document))

    def take(self) -> Plan:
        """Return the plan of the segment, and start the next one."""
        ranges = self._ranges()
        picking = self.changed >= 2 * PICKED_FROM_BYTES
        size = self.held + sum(size_of(self.base, first, count) for first, count in ranges)
        plan = Plan(
            base=self.base.place,
            target=self.target.place,
            steps=tuple(self.steps),
            expected=self.begun,
            documents=tuple(self.documents),
            ranges=ranges,
            picking=picking,
            level=_THOROUGH if size <= _THOROUGH_BYTES else _FAST,
            size=size,
            has_texts=self.target.has_texts,
        )
        self.begun = self.expected
        self.steps, self.documents, self.anchors = [], [], []
        self.held = self.changed = 0
        self.likes = set()
        return plan

    def _hold(self, place: int, size: int) -> None:
        self.held += size
        if self.documents and sum(self.documents[-1]) == place:
            self.documents[-1] = (self.documents[-1][0], self.documents[-1][1] + 1)
        else:
            self.documents.append((place, 1))

    def _step(self, source: Source, start: int, count: int) -> None:
        last = self.steps[-1] if self.steps else None
        if source is not Source.INSERT:
            continues = last is not None and last.source is source and last.start + last.length == start
            self.expected = start + count
        else:
            continues = last is not None and last.source is source
        if last is not None and continues:
            self.steps[-1] = Step(source, last.start, last.length + count)
        else:
            self.steps.append(Step(source, start, count))

    def _ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the references: equal windows around the inserted documents, and documents similar to them."""
        if not self.anchors or not self.base.count:
            return ()
        chosen = _References(self.base)
        for ordinal in sorted(self.likes):
            chosen.add(ordinal, ordinal + 1, LIKE_BYTES)
        mean = max(1, self.base.size // self.base.count)
        window = max(1, NEAR_BYTES // mean // len(self.anchors))
        chosen.spent = 0
        for anchor in sorted(set(self.anchors)):
            first = max(0, min(anchor - window // 2, self.base.count - window))
            chosen.add(first, min(first + window, self.base.count), NEAR_BYTES)
        return tuple(chosen.ranges())


def size_of(store: StoredDocuments, first: int, count: int) -> int:
    """Return the bytes of consecutive documents."""
    start, end = store.span(first, count)
    return end - start


@dataclass(slots=True)
class _References:
    """References being chosen, within a budget of bytes."""

    base: DocumentStore
    spent: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, first: int, end: int, budget: int) -> None:
        """Add the documents from ``first`` up to ``end``, if all of them fit into the budget."""
        lower, upper = self.base.span(first, end - first)
        if end > first and self.spent + upper - lower <= budget:
            self.spent += upper - lower
            self.spans.append((first, end))

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield (first, count), sorted, each document once."""
        at = 0
        open_first = open_end = -1
        for first, end in sorted(self.spans):
            if first <= open_end:
                open_end = max(open_end, end)
                continue
            if open_end > open_first:
                yield open_first, open_end - open_first
                at += 1
            if at >= MAX_RANGES - 1:
                return
            open_first, open_end = first, end
        if open_end > open_first:
            yield open_first, open_end - open_first
