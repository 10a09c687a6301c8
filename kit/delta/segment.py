"""A segment: a stretch of a collection, said by what the base has of it (schemas/kit-delta.md "documents").

Documents that are the same are steps in the order; the rest is taken apart into scripts and columns, and those are
packed against the columns of the base's documents: their own older selves, and references, which are documents of the
base that stand near the new ones. Laws: a segment is a function of its arguments; :func:`encode` has decoded what it
gives; segments need one another for nothing, so any worker can make or read any of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Self

from kit.delta.columns import RAW, Place, TakingNode, taking
from kit.delta.dictionary import Dictionary, choose
from kit.delta.edits import applied
from kit.delta.gathering import EDITED, SHREDDED, WHOLE, Gathered, Streams, headed
from kit.delta.order import Source, Step, parse_steps, print_steps
from kit.delta.packing import pack, unpack
from kit.delta.picking import parse_places, print_places
from kit.delta.shred import Script, restored
from kit.delta.varint import Reader, signed, unsigned
from kit.documents import core
from kit.errors import ArchiveError, BsonError, KitError

_NONE, _ALL, _PICKED = 0, 1, 2
"""What of the older selves is in the dictionaries; ``_NONE``: there are none, and no document is taken apart."""
MOST_RANGES = 4096
MOST_REFERENCES = 1 << 20
_SCRIPT_FACTOR = 4
"""A script is never longer than this many times what it makes: an element of three bytes has a step of at most five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a segment is made of."""

    steps: tuple[Step, ...]
    expected: int
    """Ordinal in the base where the segment before ended."""
    documents: tuple[bytes, ...]
    """Those that are changed or inserted, in order."""
    olds: tuple[bytes, ...]
    """The base's documents of the changed ones, in order."""
    ranges: tuple[tuple[int, int], ...] = ()
    """(first ordinal, count) of the references in the base."""
    references: tuple[bytes, ...] = ()
    """Those documents."""
    picking: bool = False
    """Whether only some columns of the older selves are to be repeated."""
    level: int = 17

    @property
    def size(self) -> int:
        """Bytes it holds."""
        return sum(map(len, (*self.documents, *self.olds, *self.references)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The part of a segment that can be read without the base."""

    steps: tuple[Step, ...]
    ranges: tuple[tuple[int, int], ...]
    rest: bytes

    @property
    def unpacked_bytes(self) -> int:
        """What its streams say they unpack to; 0 where it has none, or they are cut."""
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
class Made:
    """The documents that a segment gives besides those that are copied."""

    data: bytes
    """Back to back."""
    ends: Sequence[int]
    """The offset after each."""

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Self:
        """Join documents."""
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
        """Whether these are the documents."""
        return len(self.ends) == len(documents) and all(map(operator.eq, self, documents))

    def some(self, first: int, count: int) -> bytes:
        """Return documents that follow each other, joined."""
        start = self.ends[first - 1] if first else 0
        return self.data[start : self.ends[first + count - 1]] if count else b""


def encode(material: Material) -> bytes:
    """Print a segment, decoded once to be certain of it."""
    if not material.documents:
        return _checked_head(material, _head(material))
    dictionary = Dictionary(material.references, material.olds, picking=material.picking)
    places = choose(material.olds, _changed(material)) if material.picking else ()
    data = _encode(material, dictionary, _PICKED if material.picking else _ALL, places)
    head = parse_head(_checked_head(material, data), material.expected)
    try:
        most = sum(map(len, material.documents))
        met = _made(head, material.olds, lambda _: dictionary, most=most)
    except KitError:
        met = None
    if met is None or not met.is_of(material.documents):
        # An inside that is well-formed enough to be walked, but not to be made again: all of it goes whole.
        return _encode(material, Dictionary((), (), picking=True), _NONE, ())
    return data


def _checked_head(material: Material, data: bytes) -> bytes:
    head = parse_head(data, material.expected)
    if head.steps != material.steps or head.ranges != material.ranges:
        raise KitError("a segment of a delta does not read back")
    return data


def _changed(material: Material) -> list[bytes]:
    """Give the documents that are changed, in order."""
    documents = iter(material.documents)
    return [
        document
        for source, _, count in material.steps
        if source is not Source.COPY
        for document in islice(documents, count)
        if source is Source.CHANGE
    ]


def _head(material: Material) -> bytes:
    parts = [print_steps(material.steps, material.expected), unsigned(len(material.ranges))]
    at = material.expected
    for first, count in material.ranges:
        parts += signed(first - at), unsigned(count)
        at = first + count
    return b"".join(parts)


def _encode(material: Material, dictionary: Dictionary, form: int, places: tuple[Place, ...]) -> bytes:
    """Print a segment that has documents; in the form ``_NONE`` none of them is taken apart."""
    said = _said(material, walk=form != _NONE)
    named = print_places(places) if form == _PICKED else b""
    columns = dictionary.columns(places)
    return b"".join(
        (
            _head(material),
            bytes((form,)),
            pack(said.head + named + said.script, dictionary.script, level=material.level),
            pack(said.columns, columns, level=material.level),
        )
    )


def _said(material: Material, *, walk: bool) -> Streams:
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
            return Streams(head=headed(headers), script=script, columns=columns)
    said = Gathered()
    if walk:
        try:
            for document, old in pairs:
                said.add(document, old)
        except BsonError:
            said = Gathered()  # once more, with the means to undo a document
        else:
            return said.streams
    for document, old in pairs:
        if not (walk and said.add_carefully(document, old)):
            said.add_whole(document)
    return said.streams


def parse_head(data: bytes, expected: int) -> Head:
    """Read what a segment needs of the base.

    Raises:
        ArchiveError: The segment is malformed.
    """
    reader = Reader(data, "a segment")
    steps = tuple(parse_steps(reader, expected))
    ranges: list[tuple[int, int]] = []
    at, total = expected, 0
    for _ in range(reader.bounded(MOST_RANGES, "number of references")):
        first = at + reader.signed()
        count = reader.bounded(MOST_REFERENCES, "number of references")
        total += count
        if first < 0 or total > MOST_REFERENCES:
            raise reader.fault("refers to documents that cannot be there")
        ranges.append((first, count))
        at = first + count
    return Head(steps=steps, ranges=tuple(ranges), rest=reader.rest())


def decode(head: Head, olds: Sequence[bytes], references: Sequence[bytes], *, most: int) -> Made:
    """Return the changed and inserted documents, in order.

    Args:
        head: As parsed.
        olds: The base's documents of the steps that change, in order.
        references: The base's documents of the ranges.
        most: Bytes that all of them together may have.

    Raises:
        ArchiveError: The segment is malformed or does not fit this base.
    """
    return _made(head, olds, lambda form: Dictionary(references, olds, picking=form == _PICKED), most=most)


def _made(head: Head, olds: Sequence[bytes], dictionary_of: Callable[[int], Dictionary], *, most: int) -> Made:
    wanted = [source for source, _, count in head.steps if source is not Source.COPY for _ in range(count)]
    reader = Reader(head.rest, "a segment")
    if not wanted:
        reader.finish()
        return Made(data=b"", ends=())
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
    older = iter(olds)
    selves = [next(older, None) if source is Source.CHANGE else None for source in wanted]
    if core.delta_restore is not None:
        found = core.delta_restore(selves, script, headers, data, most)
        if found is not None:
            return Made(data=found[0], ends=found[1])
    return Made.of(put_together(selves, script, headers, data, most=most))


def put_together(
    olds: Sequence[bytes | None], scripts: bytes, headers: bytes, columns: bytes, *, most: int
) -> Iterator[bytes]:
    """Put a document together for each of ``olds``, its older self where it has one: the reference of the core.

    Args:
        olds: As many as there are documents.
        scripts: Of all of them, in a row.
        headers: How ``columns`` are cut.
        columns: The columns, joined.
        most: Bytes that all documents may have.

    Raises:
        ArchiveError: Something does not fit, or is left over.
    """
    header = Reader(headers, "column headers")
    table = taking(header, columns)
    header.finish()
    script, node = Script(scripts), TakingNode(b"", table)
    made = 0
    for old in olds:
        document = _restore(script, node, old)
        made += len(document)
        if made > most:
            raise ArchiveError(f"a segment makes more than the {most:,} bytes it may")
        yield document
    if script.at != len(script.data) or not all(column.at_end() for column in table.values()):
        raise ArchiveError("a segment has more than its documents")


def _restore(script: Script, node: TakingNode, old: bytes | None) -> bytes:
    form = script.byte()
    if form == EDITED and old is not None:
        return applied(old, script, node)
    if form == SHREDDED:
        return restored(script, node)
    if form == WHOLE:
        return node.take(RAW)
    raise ArchiveError(f"a document of a segment has the unknown form {form}")
