"""Segments: stretches of a collection, encoded against documents of the base (schemas/kit-delta.md "documents").

Unchanged documents are steps in the order. The others are shredded into scripts and columns, which are packed against
those of the base's documents: their own earlier versions, and references, which are documents of the base near the new
ones.

The order is a list of steps. A :class:`Step` is a stretch of documents: copied from the base, changed from the base, or
inserted. Copied and changed ones continue where the previous step ended, or jump.

Laws: a segment is a function of its arguments; :func:`encode` decodes what it returns; segments are independent, so any
worker can encode or decode any of them; ``parse_steps(encode_steps(s)) == s``; a collection in its old order costs a
few bytes however long it is; one in random order costs little more than the entropy of that order.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import NamedTuple, Self

from kit.delta.columns import RAW, NodeReader, Place, cut_columns
from kit.delta.dictionary import Dictionary, choose, encode_places, parse_places
from kit.delta.edits import EDITED, SHREDDED, WHOLE, StreamBuilder, Streams, apply_edits, prefix_with_length
from kit.delta.packing import Reader, pack, signed, unpack, unsigned, unzigzag, zigzag
from kit.delta.shred import Script, restore
from kit.documents import core
from kit.errors import ArchiveError, BsonError, KitError

LEVEL = 19
MAX_STEPS = 1 << 17
"""In one segment, so that none is large in any order."""
_MAX_BYTES = MAX_STEPS * 9
_ABSOLUTE, _RELATIVE = 0, 1


class Source(enum.IntEnum):
    """Where the documents of a step come from."""

    COPY = 0
    CHANGE = 1
    INSERT = 2


class Step(NamedTuple):
    """A stretch of ``length`` documents; ``start`` is the ordinal of the first in the base, 0 for inserted ones."""

    source: Source
    start: int
    length: int


def encode_steps(steps: Sequence[Step], expected: int) -> bytes:
    """Return the encoded steps; without a jump, the first continues at the base's document ``expected``."""
    out = bytearray()
    jumps: list[int] = []
    absolute: list[int] = []
    for source, start, count in steps:
        jumping = source is not Source.INSERT and start != expected
        out += unsigned(count << 3 | source << 1 | jumping)
        if jumping:
            jumps.append(zigzag(start - expected))
            absolute.append(start)
        if source is not Source.INSERT:
            expected = start + count
    # Relative jumps are small when short, and no smaller than absolute ones else: whichever form is shorter.
    forms = [pack(_planes(form), level=LEVEL) for form in (absolute, jumps)]
    best = _ABSOLUTE if len(forms[_ABSOLUTE]) < len(forms[_RELATIVE]) else _RELATIVE
    return b"".join((unsigned(len(steps)), pack(bytes(out), level=LEVEL), bytes((best,)), forms[best]))


def parse_steps(reader: Reader, expected: int) -> list[Step]:
    """Return the steps that ``reader`` holds.

    Raises:
        ArchiveError: They are not what :func:`encode_steps` returns.
    """
    total = reader.bounded(MAX_STEPS, "number of steps")
    stream = Reader(unpack(reader, most=_MAX_BYTES), "an order")
    form = reader.take(1)[0]
    jumps = iter(_of_planes(unpack(reader, most=_MAX_BYTES), reader))
    steps: list[Step] = []
    for _ in range(total):
        word = stream.unsigned()
        count, source, jumping = word >> 3, word >> 1 & 3, word & 1
        if source > Source.INSERT or (source == Source.INSERT and jumping) or not count:
            raise reader.fault("has an unknown step")
        start = expected
        if jumping:
            jump = next(jumps, None)
            if jump is None:
                raise reader.fault("has fewer jumps than steps that jump")
            start = jump if form == _ABSOLUTE else expected + unzigzag(jump)
        if source == Source.INSERT:
            start = 0
        else:
            expected = start + count
        if start < 0:
            raise reader.fault("jumps before the first document")
        steps.append(Step(Source(source), start, count))
    stream.finish()
    if next(jumps, None) is not None:
        raise reader.fault("has more jumps than steps that jump")
    return steps


def _planes(numbers: Sequence[int]) -> bytes:
    """Return numbers of one width as byte planes, lowest first: random low bytes do not spoil the high ones."""
    width = (max((number | 1 for number in numbers), default=0).bit_length() + 7) // 8
    return bytes((width,)) + b"".join(bytes(n >> shift & 0xFF for n in numbers) for shift in range(0, 8 * width, 8))


def _of_planes(data: bytes, reader: Reader) -> list[int]:
    width, body = data[0] if data else 9, data[1:]
    if width > 8 or (len(body) % width if width else body):
        raise reader.fault("has jumps of an odd width")
    count = len(body) // width if width else 0
    return [
        sum(byte << 8 * place for place, byte in enumerate(digits))
        for digits in zip(*(body[place * count : (place + 1) * count] for place in range(width)), strict=True)
    ]


_NONE, _ALL, _PICKED = 0, 1, 2
"""What the dictionaries have of the earlier versions; ``_NONE``: no dictionaries, and nothing is shredded."""
MAX_RANGES = 4096
MAX_REFERENCES = 1 << 20
_SCRIPT_FACTOR = 4
"""A script is at most this many times as long as its result: an element of three bytes has a step of at most five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInput:
    """What a segment encodes, and against what."""

    steps: tuple[Step, ...]
    expected: int
    """Ordinal in the base where the previous segment ended."""
    documents: tuple[bytes, ...]
    """The changed and inserted documents, in order."""
    olds: tuple[bytes, ...]
    """The earlier versions of the changed documents, in order."""
    ranges: tuple[tuple[int, int], ...] = ()
    """(first ordinal, count) of the references in the base."""
    references: tuple[bytes, ...] = ()
    """The documents of ``ranges``."""
    picking: bool = False
    """Whether only some columns of the earlier versions may be repeated."""
    level: int = 17

    @property
    def size(self) -> int:
        """Bytes of all documents."""
        return sum(map(len, (*self.documents, *self.olds, *self.references)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The part of a segment that can be read without the base."""

    steps: tuple[Step, ...]
    ranges: tuple[tuple[int, int], ...]
    rest: bytes

    @property
    def unpacked_bytes(self) -> int:
        """Bytes that its streams claim to unpack to; 0 if it has none, or they are truncated."""
        reader = Reader(self.rest, "a segment")
        try:
            reader.take(1)  # the form
            script = reader.unsigned()
            reader.take(1)  # whether it is compressed
            reader.take(reader.unsigned())
            return script + reader.unsigned()
        except ArchiveError:
            return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedDocuments:
    """The changed and inserted documents of a segment."""

    data: bytes
    """Back to back."""
    ends: Sequence[int]
    """The offset after each."""

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Self:
        """Return these documents, joined."""
        whole = tuple(documents)
        return cls(data=b"".join(whole), ends=tuple(accumulate(map(len, whole))))

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends:
            yield self.data[start:end]
            start = end

    def is_of(self, documents: Sequence[bytes]) -> bool:
        """Return whether these are exactly ``documents``."""
        return len(self.ends) == len(documents) and all(map(operator.eq, self, documents))

    def some(self, first: int, count: int) -> bytes:
        """Return ``count`` documents from number ``first`` on, joined."""
        start = self.ends[first - 1] if first else 0
        return self.data[start : self.ends[first + count - 1]] if count else b""


def encode(material: SegmentInput) -> bytes:
    """Return the segment, decoded once as a check."""
    if not material.documents:
        return _check_head(material, _head(material))
    dictionary = Dictionary(material.references, material.olds, picking=material.picking)
    places = choose(material.olds, _changed_documents(material)) if material.picking else ()
    data = _encode(material, dictionary, _PICKED if material.picking else _ALL, places)
    head = parse_head(_check_head(material, data), material.expected)
    try:
        most = sum(map(len, material.documents))
        decoded = _decode(head, material.olds, lambda _: dictionary, most=most)
    except KitError:
        decoded = None
    if decoded is None or not decoded.is_of(material.documents):
        # An inner document is well-formed enough to be walked, but not to be restored: all are stored whole.
        return _encode(material, Dictionary((), (), picking=True), _NONE, ())
    return data


def _check_head(material: SegmentInput, data: bytes) -> bytes:
    head = parse_head(data, material.expected)
    if head.steps != material.steps or head.ranges != material.ranges:
        raise KitError("a segment of a delta does not read back")
    return data


def _changed_documents(material: SegmentInput) -> list[bytes]:
    """Return the changed documents, in order."""
    documents = iter(material.documents)
    return [
        document
        for source, _, count in material.steps
        if source is not Source.COPY
        for document in islice(documents, count)
        if source is Source.CHANGE
    ]


def _head(material: SegmentInput) -> bytes:
    parts = [encode_steps(material.steps, material.expected), unsigned(len(material.ranges))]
    at = material.expected
    for first, count in material.ranges:
        parts += signed(first - at), unsigned(count)
        at = first + count
    return b"".join(parts)


def _encode(material: SegmentInput, dictionary: Dictionary, form: int, places: tuple[Place, ...]) -> bytes:
    """Return a segment that has documents; in the form ``_NONE`` none of them is shredded."""
    streams = _shred_documents(material, walk=form != _NONE)
    chosen = encode_places(places) if form == _PICKED else b""
    columns = dictionary.columns(places)
    return b"".join(
        (
            _head(material),
            bytes((form,)),
            pack(streams.head + chosen + streams.script, dictionary.script, level=material.level),
            pack(streams.columns, columns, level=material.level),
        )
    )


def _shred_documents(material: SegmentInput, *, walk: bool) -> Streams:
    olds = iter(material.olds)
    documents = iter(material.documents)
    pairs = [
        (next(documents), next(olds) if source is Source.CHANGE else None)
        for source, _, count in material.steps
        if source is not Source.COPY
        for _ in range(count)
    ]
    if walk and core.delta_gather is not None:
        found = core.delta_gather(*zip(*pairs, strict=True))
        if found is not None:
            script, headers, columns = found
            return Streams(head=prefix_with_length(headers), script=script, columns=columns)
    builder = StreamBuilder()
    if walk:
        try:
            for document, old in pairs:
                builder.add(document, old)
        except BsonError:
            builder = StreamBuilder()  # once more, so that a document can be undone
        else:
            return builder.streams
    for document, old in pairs:
        if not (walk and builder.try_add(document, old)):
            builder.add_whole(document)
    return builder.streams


def parse_head(data: bytes, expected: int) -> Head:
    """Return what a segment needs of the base.

    Raises:
        ArchiveError: The segment is malformed.
    """
    reader = Reader(data, "a segment")
    steps = tuple(parse_steps(reader, expected))
    ranges: list[tuple[int, int]] = []
    at, total = expected, 0
    for _ in range(reader.bounded(MAX_RANGES, "number of references")):
        first = at + reader.signed()
        count = reader.bounded(MAX_REFERENCES, "number of references")
        total += count
        if first < 0 or total > MAX_REFERENCES:
            raise reader.fault("refers to documents that cannot exist")
        ranges.append((first, count))
        at = first + count
    return Head(steps=steps, ranges=tuple(ranges), rest=reader.rest())


def decode(head: Head, olds: Sequence[bytes], references: Sequence[bytes], *, most: int) -> DecodedDocuments:
    """Return the changed and inserted documents, in order.

    Args:
        head: As parsed.
        olds: The earlier versions of the changed documents, in order.
        references: The base's documents of the ranges.
        most: Maximum bytes of all of them together.

    Raises:
        ArchiveError: The segment is malformed or does not match this base.
    """
    return _decode(head, olds, lambda form: Dictionary(references, olds, picking=form == _PICKED), most=most)


def _decode(
    head: Head, olds: Sequence[bytes], dictionary_of: Callable[[int], Dictionary], *, most: int
) -> DecodedDocuments:
    wanted = [source for source, _, count in head.steps if source is not Source.COPY for _ in range(count)]
    reader = Reader(head.rest, "a segment")
    if not wanted:
        reader.finish()
        return DecodedDocuments(data=b"", ends=())
    form = reader.take(1)[0]
    if form > _PICKED:
        raise reader.fault(f"has the unknown form {form}")
    dictionary = dictionary_of(form) if form != _NONE else Dictionary((), (), picking=False)
    meta = Reader(unpack(reader, dictionary.script, most=_SCRIPT_FACTOR * most + 65536), "a script")
    headers = meta.take(meta.unsigned())
    places = parse_places(meta) if form == _PICKED else ()
    data = unpack(reader, dictionary.columns(places), most=2 * most + 65536)
    reader.finish()
    script = meta.rest()
    remaining = iter(olds)
    earlier = [next(remaining, None) if source is Source.CHANGE else None for source in wanted]
    if core.delta_restore is not None:
        found = core.delta_restore(earlier, script, headers, data, most)
        if found is not None:
            return DecodedDocuments(data=found[0], ends=found[1])
    return DecodedDocuments.of(assemble_documents(earlier, script, headers, data, most=most))


def assemble_documents(
    olds: Sequence[bytes | None], scripts: bytes, headers: bytes, columns: bytes, *, most: int
) -> Iterator[bytes]:
    """Yield a document for each of ``olds``, its earlier version or None: the reference of the core.

    Args:
        olds: One for each document.
        scripts: Those of all documents, in a row.
        headers: Paths, types and lengths of ``columns``.
        columns: The columns, joined.
        most: Maximum bytes of all documents together.

    Raises:
        ArchiveError: Something does not match, or is left over.
    """
    header = Reader(headers, "column headers")
    table = cut_columns(header, columns)
    header.finish()
    script, node = Script(scripts), NodeReader(b"", table)
    made = 0
    for old in olds:
        document = _restore(script, node, old)
        made += len(document)
        if made > most:
            raise ArchiveError(f"a segment makes more than {most:,} bytes")
        yield document
    if script.at != len(script.data) or not all(column.at_end() for column in table.values()):
        raise ArchiveError("a segment has data left after its last document")


def _restore(script: Script, node: NodeReader, old: bytes | None) -> bytes:
    form = script.byte()
    if form == EDITED and old is not None:
        return apply_edits(old, script, node)
    if form == SHREDDED:
        return restore(script, node)
    if form == WHOLE:
        return node.take(RAW)
    raise ArchiveError(f"a document of a segment has the unknown form {form}")
