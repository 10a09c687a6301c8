"""Makes the documents of a target from a base and the segments of a delta, some of them ahead of what is read.

Laws: :func:`join_segments` undoes :func:`kit.verbs.delta.segments.plan_segments` and ``encode_segment``, whatever the
order of either collection; the first fault is the same however many workers there are; a segment makes no more, and
asks for no more of the base, than :data:`kit.verbs.delta.segments.MAX_SEGMENT_BYTES`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from kit.delta import texts
from kit.delta.segment import DecodedDocuments, Head, Source, decode, parse_head
from kit.engine.pipeline import Pipeline, Workers
from kit.errors import ArchiveError, KitError
from kit.verbs.delta.documents import DocumentStore, StoredDocuments
from kit.verbs.delta.segments import MAX_SEGMENT_BYTES, READ_BYTES, size_of

_BLOCK_BYTES = 256 * 1024


def join_segments(base: DocumentStore, pieces: Iterable[bytes], *, most: int, workers: Workers) -> Iterator[bytes]:
    """Return the documents of the target, in chunks; segments are decoded ahead of the chunk that is read.

    Args:
        base: The documents that the delta was made against.
        pieces: The segments.
        most: Bytes that all of them together may make.
        workers: Decode segments.

    Raises:
        ArchiveError: A segment is malformed, or does not fit this base. It is the first one that is, however many
            workers there are.
    """
    return _group_chunks(_yield_chunks(base, _decode_ahead(base, pieces, most, workers), most))


def _yield_chunks(base: DocumentStore, segments: Iterable[tuple[Head, DecodedDocuments]], most: int) -> Iterator[bytes]:
    for head, made in segments:
        at = 0
        for source, start, count in head.steps:
            if source is Source.COPY:
                chunks = base.chunks(start, count, READ_BYTES)
            else:
                chunks = iter((made.some(at, count),))
                at += count
            for chunk in chunks:
                most -= len(chunk)
                if most < 0:
                    raise ArchiveError("a delta makes more documents than its target has")
                yield chunk


def _group_chunks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Join small chunks, since each costs its reader as much as a large one."""
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


def _decode_ahead(
    base: DocumentStore, pieces: Iterable[bytes], most: int, workers: Workers
) -> Iterator[tuple[Head, DecodedDocuments]]:
    """Yield decoded segments in order, and decode some ahead.

    A fault in one is raised after all segments before it, so that it is the same however many workers there are.
    """
    ready: deque[tuple[Head, DecodedDocuments]] = deque()
    heads = _parse_heads(base, pieces)
    fault: KitError | None = None
    is_over = False
    with Pipeline(workers.executor, budget=workers.budget) as pipeline:
        while not is_over:
            try:
                head = next(heads, None)
                if head is not None:
                    _submit(pipeline, base, head, min(most, MAX_SEGMENT_BYTES), ready)
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
    """Return the fault of a segment that is still being decoded, if there is one; it comes before ``error``."""
    try:
        pipeline.drain()
    except KitError as earlier:
        return earlier
    return error


def _parse_heads(base: DocumentStore, pieces: Iterable[bytes]) -> Iterator[Head]:
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
    """Submit a segment for decoding; the worker reads what it needs of the base."""
    if all(source is Source.COPY for source, _, _ in head.steps):
        pipeline.hand_on((head, decode(head, (), (), most=0)), cost=0, then=ready.append)
        return
    olds = sum(size_of(base, start, count) for source, start, count in head.steps if source is Source.CHANGE)
    references = sum(size_of(base, first, count) for first, count in head.ranges)
    # It makes no more than the earlier versions and the unpacked streams.
    weight = 2 * olds + references + 2 * head.unpacked_bytes
    then = partial(_append_ready, ready, head)
    decode_one = _decode_texts if base.has_texts else _decode_segment
    pipeline.submit(decode_one, base.place, head, most, cost=len(head.rest), weight=weight, then=then)


def _append_ready(ready: deque[tuple[Head, DecodedDocuments]], head: Head, made: DecodedDocuments) -> None:
    ready.append((head, made))


def _decode_segment(place: Path, head: Head, most: int) -> DecodedDocuments:
    """Decode a segment, in any process that sees the store."""
    return decode(head, *_read_needed(place, head), most=most)


def _decode_texts(place: Path, head: Head, most: int) -> DecodedDocuments:
    """Decode a segment of a collection in JSON, likewise."""
    olds, references = (list(map(texts.make_carrier, pieces)) for pieces in _read_needed(place, head))
    carriers = decode(head, olds, references, most=min(texts.FACTOR * most, 2 * MAX_SEGMENT_BYTES))
    return DecodedDocuments.of(texts.restore_pieces(carriers, most=most))


def _read_needed(place: Path, head: Head) -> tuple[list[bytes], list[bytes]]:
    """Return the earlier versions and the references of a segment."""
    with StoredDocuments(place) as base:
        changed = [(start, count) for source, start, count in head.steps if source is Source.CHANGE]
        return (
            [one for span in changed for one in _read_documents(base, *span)],
            [one for span in head.ranges for one in _read_documents(base, *span)],
        )


def _read_documents(base: StoredDocuments, first: int, count: int) -> list[bytes]:
    start, end = base.span(first, count)
    if end - start > MAX_SEGMENT_BYTES:
        raise ArchiveError(f"a segment asks for {end - start:,} bytes of the base at once")
    return base.documents(first, count)
