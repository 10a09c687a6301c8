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
from kit.delta.segment import MOST_RANGES, Material, decode, edited_size, parse_head
from kit.engine.document_store import DocumentStore
from kit.engine.likeness import Likeness
from kit.errors import ArchiveError

SEGMENT_BYTES = 6 * 1024 * 1024
"""Of changed and inserted documents and of the older selves of the changed, in one segment."""
MOST_SEGMENT_BYTES = 128 * 1024 * 1024
"""What a segment of anybody may make."""
LARGEST_DOCUMENT = 64 * 1024 * 1024
"""A collection with a larger one is not taken apart."""
NEAR_BYTES = 1024 * 1024
"""Documents of the base that new ones are packed against because they stand near."""
LIKE_BYTES = 2 * 1024 * 1024
"""And because they are like them."""
_LIKES, _MOST_LIKES = 2, 3000
_MUCH = 4
"""A new document is said as a change of another that leaves less than one part in so many of it to be said."""
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
    planner = _Planner(base, Likeness(base, target, matches))
    for first, documents in target.batches(_READ_BYTES):
        at = 0
        while at < len(documents):
            start = matches[first + at]
            end = at + 1
            if start < 0:
                planner.new(documents[at])
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
    likeness: Likeness
    expected: int = 0
    steps: list[Step] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)
    olds: list[bytes] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    """Where in the base inserted documents stand."""
    likes: set[int] = field(default_factory=set)
    """Documents of the base that are like inserted ones."""
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

    def new(self, document: bytes) -> None:
        """Take a document that has no older self: as a change of one that is nearly the same, else as inserted."""
        likes = self.likeness.of(document, _LIKES)
        for ordinal in likes:
            old = self.base.read(ordinal, 1)
            if len(old) < _MUCH * len(document) and edited_size(old, document) * _MUCH < len(document):
                self.change(ordinal, old, document)
                return
        if len(self.likes) < _MOST_LIKES:
            self.likes.update(likes)
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
        self.likes = set()
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
            if at >= MOST_RANGES - 1:
                return
            open_first, open_end = first, end
        if open_end > open_first:
            yield open_first, open_end - open_first


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
