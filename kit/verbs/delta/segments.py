"""From two stores of documents to the segments of a delta, and from a base and segments back to documents.

Decides which documents are compared, where a segment ends and what it may refer to; how it is said is for
:mod:`kit.delta.segment`. Laws: what is made depends on the two collections alone, never on workers or time; a segment
holds at most :data:`SEGMENT_BYTES` of documents and one batch more, or one document, with older selves of
:data:`HELD_BYTES` at most and one more; :func:`joined` gives what :func:`differences` was given, whatever order both
are in.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from kit.delta.features import is_similar
from kit.delta.segment import (
    MAX_RANGES,
    MAX_STEPS,
    DecodedDocuments,
    Head,
    SegmentInput,
    Source,
    Step,
    decode,
    encode,
    parse_head,
)
from kit.engine.pipeline import Pipeline, Workers
from kit.errors import ArchiveError, KitError
from kit.verbs.delta.documents import DocumentStore, Likeness, Matching, StoredDocuments

SEGMENT_BYTES = 6 * 1024 * 1024
"""Of changed and inserted documents and of the older selves of the changed, in one segment."""
HELD_BYTES = 32 * 1024 * 1024
"""A segment that holds so much ends within its batch: documents that became small are many in one."""
MOST_SEGMENT_BYTES = 128 * 1024 * 1024
"""What a segment of anybody may make, or ask for of the base."""
LARGEST_DOCUMENT = 64 * 1024 * 1024
"""A collection with a larger one, in either kit, is not taken apart."""
NEAR_BYTES = 1024 * 1024
"""Documents of the base that new ones are packed against because they stand near."""
LIKE_BYTES = 2 * 1024 * 1024
"""And because they are like them."""
PICKED_FROM_BYTES = 2 * 1024 * 1024
"""Older selves of so many bytes are not taken apart whole: only some of their columns are repeated."""
_LIKES, _MOST_LIKES = 2, 3000
_THOROUGH_BYTES = 3 * 1024 * 1024
_THOROUGH, _FAST = 17, 12
"""Levels of zstd: what is little is packed as small as it gets, what is much in the time there is.

Of a backfill, dictionary and columns 0.3 and 0.8 MB, 12 makes 10,203 bytes in 5 ms, where 17 makes 11,143 in 68; of
sparse edits, 2.0 and 0.6 MB, it makes 66,189 in 48, where 17 makes 60,867 in 260.
"""
_READ_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a segment is to be made of: which documents, not their bytes, which whoever makes it reads for itself."""

    base: Path
    target: Path
    steps: tuple[Step, ...]
    expected: int
    """Ordinal in the base where the segment before ended."""
    documents: tuple[tuple[int, int], ...]
    """(first ordinal, count) of the changed and inserted ones in the target."""
    ranges: tuple[tuple[int, int], ...]
    """(first ordinal, count) of the references in the base."""
    picking: bool
    level: int
    size: int
    """Bytes of documents, their older selves and references."""


def segment(plan: Plan) -> bytes:
    """Make a segment, in any process that sees the stores.

    Raises:
        OutputError: The stores are gone.
    """
    with StoredDocuments(plan.base) as base, StoredDocuments(plan.target) as target:
        return encode(
            SegmentInput(
                steps=plan.steps,
                expected=plan.expected,
                documents=_all(target, plan.documents),
                olds=_all(base, [(at, count) for source, at, count in plan.steps if source is Source.CHANGE]),
                ranges=plan.ranges,
                references=_all(base, plan.ranges),
                picking=plan.picking,
                level=plan.level,
            )
        )


def _all(store: StoredDocuments, ranges: Sequence[tuple[int, int]]) -> tuple[bytes, ...]:
    return tuple(document for first, count in ranges for document in store.documents(first, count))


def differences(base: DocumentStore, target: DocumentStore, matching: Matching) -> Iterator[Plan]:
    """Plan what makes ``target`` of ``base``, segment by segment."""
    planner = _Planner(base, target, Likeness(base, target, matching))
    for first, bounds in target.ranges(_READ_BYTES):
        matches = matching.of(first, len(bounds) - 1)
        at = 0
        while at < len(matches):
            start = matches[at]
            end = at + 1
            if start < 0:
                planner.new(first + at, target.read_span(bounds[at], bounds[end]))
            else:
                while end < len(matches) and matches[end] == start + end - at:
                    end += 1
                yield from _compare(planner, start, first + at, bounds[at : end + 1])
            at = end
            if planner.is_full:
                yield planner.take()
    if planner.steps:
        yield planner.take()


def _compare(planner: _Planner, start: int, first: int, bounds: array[int]) -> Iterator[Plan]:
    """Tell the planner of documents from ``first`` on, whose older selves follow each other from ``start``.

    Gives segments that must end before the batch does.
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
                _compare_each(planner, start + at, first + at, (before, after), sizes[at:end])
            at = end
        # Documents of other sizes are others; nothing is read to see that.
        while at < len(sizes) and sizes[at] != olds[at]:
            planner.change(start + at, first + at, sizes[at] + olds[at])
            if planner.held >= HELD_BYTES:
                yield planner.take()
            at += 1


def _compare_each(planner: _Planner, start: int, first: int, sides: tuple[bytes, bytes], sizes: Sequence[int]) -> None:
    """Tell of documents that stand at the same places of both sides, at least one of which differs."""
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
    """The segment being planned."""

    base: DocumentStore
    target: DocumentStore
    likeness: Likeness
    expected: int = 0
    steps: list[Step] = field(default_factory=list)
    documents: list[tuple[int, int]] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    """Where in the base inserted documents stand."""
    likes: set[int] = field(default_factory=set)
    """Documents of the base that are like inserted ones."""
    held: int = 0
    changed: int = 0
    """Bytes of changed documents and their older selves."""
    begun: int = 0

    @property
    def is_full(self) -> bool:
        return self.held >= SEGMENT_BYTES or len(self.steps) >= MAX_STEPS - (1 << 13)

    def copy(self, start: int, count: int) -> None:
        self._step(Source.COPY, start, count)

    def change(self, start: int, place: int, size: int) -> None:
        """Take the document ``place`` as a change of ``start``; both together have ``size`` bytes."""
        self._step(Source.CHANGE, start, 1)
        self._hold(place, size)
        self.changed += size

    def new(self, place: int, document: bytes) -> None:
        """Take a document that has no older self: as a change of one that is nearly the same, else as inserted."""
        likes = self.likeness.of(document, _LIKES)
        for ordinal in likes:
            old = self.base.read(ordinal, 1)
            if is_similar(old, document):
                self.change(ordinal, place, len(old) + len(document))
                return
        if len(self.likes) < _MOST_LIKES:
            self.likes.update(likes)
        if not self.anchors or self.anchors[-1] != self.expected:
            self.anchors.append(self.expected)
        self._step(Source.INSERT, 0, 1)
        self._hold(place, len(document))

    def take(self) -> Plan:
        """Close the segment."""
        ranges = self._ranges()
        picking = self.changed >= 2 * PICKED_FROM_BYTES
        size = self.held + sum(_size(self.base, first, count) for first, count in ranges)
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
            goes_on = last is not None and last.source is source and last.start + last.length == start
            self.expected = start + count
        else:
            goes_on = last is not None and last.source is source
        if last is not None and goes_on:
            self.steps[-1] = Step(source, last.start, last.length + count)
        else:
            self.steps.append(Step(source, start, count))

    def _ranges(self) -> tuple[tuple[int, int], ...]:
        """Choose references: equal windows around where the inserted documents stand, and documents like them."""
        if not self.anchors or not self.base.count:
            return ()
        chosen = _Chosen(self.base)
        for ordinal in sorted(self.likes):
            chosen.add(ordinal, ordinal + 1, LIKE_BYTES)
        mean = max(1, self.base.size // self.base.count)
        window = max(1, NEAR_BYTES // mean // len(self.anchors))
        chosen.spent = 0
        for anchor in sorted(set(self.anchors)):
            first = max(0, min(anchor - window // 2, self.base.count - window))
            chosen.add(first, min(first + window, self.base.count), NEAR_BYTES)
        return tuple(chosen.ranges())


def _size(store: StoredDocuments, first: int, count: int) -> int:
    start, end = store.span(first, count)
    return end - start


@dataclass(slots=True)
class _Chosen:
    """References being chosen, within a budget of bytes."""

    base: DocumentStore
    spent: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, first: int, end: int, budget: int) -> None:
        """Take documents from ``first`` up to ``end``, if all of them together have room."""
        lower, upper = self.base.span(first, end - first)
        if end > first and self.spent + upper - lower <= budget:
            self.spent += upper - lower
            self.spans.append((first, end))

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Give (first, count), sorted, each document once."""
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


def joined(base: DocumentStore, pieces: Iterable[bytes], *, most: int, workers: Workers) -> Iterator[bytes]:
    """Return the documents of the target, in chunks; segments are put together ahead of what is taken.

    Args:
        base: The documents that the delta was made against.
        pieces: The segments.
        most: Bytes that all of them together may make.
        workers: Put segments together.

    Raises:
        ArchiveError: A segment is malformed, or does not fit this base; whatever workers do, the first that is.
    """
    return _in_blocks(_chunks(base, _remade(base, pieces, most, workers), most))


def _chunks(base: DocumentStore, segments: Iterable[tuple[Head, DecodedDocuments]], most: int) -> Iterator[bytes]:
    for head, made in segments:
        at = 0
        for source, start, count in head.steps:
            if source is Source.COPY:
                chunks = base.chunks(start, count, _READ_BYTES)
            else:
                chunks = iter((made.some(at, count),))
                at += count
            for chunk in chunks:
                most -= len(chunk)
                if most < 0:
                    raise ArchiveError("a delta makes more documents than its target has")
                yield chunk


def _in_blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Join chunks that are small: each costs those who take them as much as a large one."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _remade(
    base: DocumentStore, pieces: Iterable[bytes], most: int, workers: Workers
) -> Iterator[tuple[Head, DecodedDocuments]]:
    """Put segments together, some ahead of the one that is taken, and return them in their order.

    A fault in one is raised once all before it were taken, so that it is the same however many workers there are.
    """
    ready: deque[tuple[Head, DecodedDocuments]] = deque()
    heads = _heads(base, pieces)
    fault: KitError | None = None
    is_over = False
    with Pipeline(workers.executor, budget=workers.budget) as pipeline:
        while not is_over:
            try:
                head = next(heads, None)
                if head is not None:
                    _submit(pipeline, base, head, min(most, MOST_SEGMENT_BYTES), ready)
                is_over = head is None
                if is_over:
                    pipeline.drain()
            except KitError as error:
                fault, is_over = _first_fault(pipeline, error), True
            while ready:
                yield ready.popleft()
    if fault is not None:
        raise fault


def _first_fault(pipeline: Pipeline, error: KitError) -> KitError:
    """Return the fault of a segment that is still being put together, if there is one; it comes before ``error``."""
    try:
        pipeline.drain()
    except KitError as earlier:
        return earlier
    return error


def _heads(base: DocumentStore, pieces: Iterable[bytes]) -> Iterator[Head]:
    expected = 0
    for piece in pieces:
        head = parse_head(piece, expected)
        needed = [(start, count) for source, start, count in head.steps if source is not Source.INSERT]
        for start, count in (*needed, *head.ranges):
            if start + count > base.count:
                raise ArchiveError(f"a segment asks for document {start + count - 1:,} of {base.count:,}")
        if needed:
            expected = sum(needed[-1])
        yield head


def _submit(
    pipeline: Pipeline, base: DocumentStore, head: Head, most: int, ready: deque[tuple[Head, DecodedDocuments]]
) -> None:
    """Have a segment put together; a worker reads what of the base it is made of."""
    if all(source is Source.COPY for source, _, _ in head.steps):
        pipeline.hand_on((head, decode(head, (), (), most=0)), cost=0, then=ready.append)
        return
    olds = sum(_size(base, start, count) for source, start, count in head.steps if source is Source.CHANGE)
    references = sum(_size(base, first, count) for first, count in head.ranges)
    # What it makes is not more than the older selves and what is unpacked.
    weight = 2 * olds + references + 2 * head.unpacked_bytes
    then = partial(_ready, ready, head)
    pipeline.submit(_decoded, base.place, head, most, cost=len(head.rest), weight=weight, then=then)


def _ready(ready: deque[tuple[Head, DecodedDocuments]], head: Head, made: DecodedDocuments) -> None:
    ready.append((head, made))


def _decoded(place: Path, head: Head, most: int) -> DecodedDocuments:
    """Put a segment together, in any process that sees the store."""
    with StoredDocuments(place) as base:
        changed = [(start, count) for source, start, count in head.steps if source is Source.CHANGE]
        olds, references = ([one for span in spans for one in _some(base, *span)] for spans in (changed, head.ranges))
        return decode(head, olds, references, most=most)


def _some(base: StoredDocuments, first: int, count: int) -> list[bytes]:
    start, end = base.span(first, count)
    if end - start > MOST_SEGMENT_BYTES:
        raise ArchiveError(f"a segment asks for {end - start:,} bytes of the base at once")
    return base.documents(first, count)
