"""From two stores of documents to the segments of a delta, and from a base and segments back to documents.

Decides which documents are compared, where a segment ends and what it may refer to; how it is said is for
:mod:`kit.delta.segment`. Laws: what is made depends on the two collections alone, never on workers or time; a segment
holds at most :data:`SEGMENT_BYTES` of documents, or one document; :func:`joined` gives what :func:`differences` was
given, whatever order both are in.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kit.delta.order import MOST_STEPS, Source, Step
from kit.delta.segment import Material, decode, parse_head
from kit.engine.document_store import DocumentStore
from kit.errors import ArchiveError

SEGMENT_BYTES = 6 * 1024 * 1024
"""Of changed and inserted documents and of the older selves of the changed, in one segment."""
MOST_SEGMENT_BYTES = 128 * 1024 * 1024
"""What a segment of anybody may make."""
LARGEST_DOCUMENT = 64 * 1024 * 1024
"""A collection with a larger one is not taken apart."""
REFERENCE_BYTES = 2 * 1024 * 1024
"""Documents of the base that new ones are packed against."""
_THOROUGH_SEGMENTS = 4
_THOROUGH, _FAST = 17, 9
"""Levels of zstd: what is little is packed as small as it gets, what is much in the time there is."""
_READ_BYTES = 4 * 1024 * 1024


def differences(base: DocumentStore, target: DocumentStore, matches: array[int]) -> Iterator[Material]:
    """Give what makes ``target`` of ``base``, segment by segment.

    Args:
        base: The older documents.
        target: The newer ones.
        matches: For each of them the ordinal of its older self, or -1.
    """
    planner = _Planner(base)
    for first, documents in target.batches(_READ_BYTES):
        at = 0
        while at < len(documents):
            start = matches[first + at]
            end = at + 1
            if start < 0:
                planner.insert(documents[at])
            else:
                while end < len(documents) and matches[first + end] == start + end - at:
                    end += 1
                _compare(planner, base, start, documents[at:end])
            at = end
            if planner.is_full:
                yield planner.take()
    if planner.steps:
        yield planner.take()


def _compare(planner: _Planner, base: DocumentStore, start: int, documents: list[bytes]) -> None:
    """Tell the planner of documents whose older selves follow each other from ``start``."""
    lower, upper = base.span(start, len(documents))
    if upper - lower == sum(map(len, documents)) and base.read(start, len(documents)) == b"".join(documents):
        planner.copy(start, len(documents))
        return
    for ordinal, document in enumerate(documents, start):
        old = base.read(ordinal, 1)
        if old == document:
            planner.copy(ordinal, 1)
        else:
            planner.change(ordinal, old, document)


@dataclass(slots=True)
class _Planner:
    """The segment being gathered."""

    base: DocumentStore
    expected: int = 0
    steps: list[Step] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)
    olds: list[bytes] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    """Where in the base inserted documents stand."""
    held: int = 0
    begun: int = 0
    segments: int = 0

    @property
    def is_full(self) -> bool:
        return self.held >= SEGMENT_BYTES or len(self.steps) >= MOST_STEPS - (1 << 13)

    def copy(self, start: int, count: int) -> None:
        self._step(Source.COPY, start, count)

    def change(self, start: int, old: bytes, document: bytes) -> None:
        self._step(Source.CHANGE, start, 1)
        self.olds.append(old)
        self.documents.append(document)
        self.held += len(old) + len(document)

    def insert(self, document: bytes) -> None:
        if not self.anchors or self.anchors[-1] != self.expected:
            self.anchors.append(self.expected)
        self._step(Source.INSERT, 0, 1)
        self.documents.append(document)
        self.held += len(document)

    def take(self) -> Material:
        """Close the segment."""
        ranges = self._ranges()
        material = Material(
            steps=tuple(self.steps),
            expected=self.begun,
            documents=tuple(self.documents),
            olds=tuple(self.olds),
            ranges=ranges,
            references=tuple(document for first, count in ranges for document in self.base.documents(first, count)),
            level=_THOROUGH if self.segments < _THOROUGH_SEGMENTS else _FAST,
        )
        self.begun, self.segments = self.expected, self.segments + 1
        self.steps, self.documents, self.olds, self.anchors, self.held = [], [], [], [], 0
        return material

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
        """Choose references: all of a small base, else equal windows around where the inserted documents stand."""
        if not self.anchors or not self.base.count:
            return ()
        if self.base.size <= REFERENCE_BYTES:
            return ((0, self.base.count),)
        mean = max(1, self.base.size // self.base.count)
        window = max(1, REFERENCE_BYTES // mean // len(self.anchors))
        ranges: list[tuple[int, int]] = []
        budget = REFERENCE_BYTES
        for anchor in sorted(set(self.anchors)):
            first = max(0, min(anchor - window // 2, self.base.count - window))
            if ranges and first < sum(ranges[-1]):
                first = sum(ranges[-1])
            last = min(anchor + window - window // 2, self.base.count)
            start, end = self.base.span(first, last - first)
            if last <= first or end - start > budget:
                continue
            budget -= end - start
            if ranges and sum(ranges[-1]) == first:
                ranges[-1] = (ranges[-1][0], last - ranges[-1][0])
            else:
                ranges.append((first, last - first))
        return tuple(ranges[:1024])


def joined(base: DocumentStore, pieces: Iterable[bytes], *, most: int) -> Iterator[bytes]:
    """Give the documents of the target, in chunks.

    Args:
        base: The documents that the delta was made against.
        pieces: The segments.
        most: Bytes that all of them together may make.

    Raises:
        ArchiveError: A segment is malformed, or does not fit this base.
    """
    expected = 0
    for piece in pieces:
        head = parse_head(piece, expected)
        needed = [(start, count) for source, start, count in head.steps if source is not Source.INSERT]
        for start, count in (*needed, *head.ranges):
            if start + count > base.count:
                raise ArchiveError(f"a segment asks for document {start + count - 1:,} of {base.count:,}")
        olds = [
            document
            for source, start, count in head.steps
            if source is Source.CHANGE
            for document in _some(base, start, count)
        ]
        references = [document for first, count in head.ranges for document in _some(base, first, count)]
        made = iter(decode(head, olds, references, most=min(most, MOST_SEGMENT_BYTES)))
        for source, start, count in head.steps:
            if source is Source.COPY:
                chunks = base.chunks(start, count, _READ_BYTES)
            else:
                chunks = (next(made) for _ in range(count))
            for chunk in chunks:
                most -= len(chunk)
                if most < 0:
                    raise ArchiveError("a delta makes more documents than its target has")
                yield chunk
            if source is not Source.INSERT:
                expected = start + count
        if next(made, None) is not None:
            raise ArchiveError("a segment has more documents than its steps")


def _some(base: DocumentStore, first: int, count: int) -> list[bytes]:
    start, end = base.span(first, count)
    if end - start > MOST_SEGMENT_BYTES:
        raise ArchiveError(f"a segment asks for {end - start:,} bytes of the base at once")
    return base.documents(first, count)
