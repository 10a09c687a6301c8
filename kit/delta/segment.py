"""A segment: a stretch of a collection, said by what the base has of it (schemas/kit-delta.md "documents").

Documents that are the same are steps in the order; the rest is taken apart into scripts and columns, and those are
packed against the columns of the base's documents: their own older selves, and references, which are documents of the
base that stand near the new ones. Laws: a segment is a function of its arguments; :func:`encode` has decoded what it
gives; segments need one another for nothing, so any worker can make or read any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.delta.columns import RAW, Node, TakingNode, headers, joined, root, taking
from kit.delta.edits import applied, edit
from kit.delta.order import Source, Step, parse_steps, print_steps
from kit.delta.packing import pack, unpack
from kit.delta.shred import Script, restored, shred
from kit.delta.varint import Reader, signed, unsigned
from kit.errors import ArchiveError, BsonError, KitError

_WHOLE, _SHREDDED, _EDITED = 0, 1, 2
_SCRIPT_DICTIONARY = 128 * 1024
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


def encode(material: Material) -> bytes:
    """Print a segment, decoded once to be certain of it."""
    data = _encode(material)
    head = parse_head(data, material.expected)
    if head.steps != material.steps or head.ranges != material.ranges:
        raise KitError("a segment of a delta does not read back")
    if not material.documents:
        return data
    try:
        met = tuple(decode(head, material.olds, material.references, most=sum(map(len, material.documents))))
    except KitError:
        met = ()
    if met != material.documents:
        # An inside that is well-formed enough to be walked, but not to be made again: all of it goes whole.
        return _encode(material, walk=False)
    return data


def _encode(material: Material, *, walk: bool = True) -> bytes:
    parts = [print_steps(material.steps, material.expected), unsigned(len(material.ranges))]
    at = material.expected
    for first, count in material.ranges:
        parts += signed(first - at), unsigned(count)
        at = first + count
    if not material.documents:
        return b"".join(parts)
    dictionary = Dictionary.of((*material.references, *material.olds)) if walk else Dictionary()
    script, node = bytearray(), root()
    olds = iter(material.olds)
    documents = iter(material.documents)
    for source, _, count in material.steps:
        if source is Source.COPY:
            continue
        for _ in range(count):
            old = next(olds) if source is Source.CHANGE else None
            _append(next(documents), old, script, node, walk=walk)
    head = headers(node.table)
    meta = unsigned(len(head)) + head + bytes(script)
    parts += (
        bytes((walk,)),
        pack(meta, dictionary.script, level=material.level),
        pack(joined(node.table), dictionary.columns, level=material.level),
    )
    return b"".join(parts)


def _append(document: bytes, old: bytes | None, script: bytearray, node: Node, *, walk: bool) -> None:
    """Say one document: by edits of the old one, by itself, or whole where it cannot be walked."""
    place = len(script)
    if walk:
        marks = {key: len(column) for key, column in node.table.items()}
        try:
            if old is not None:
                script.append(_EDITED)
                edit(old, document, script, node)
            else:
                script.append(_SHREDDED)
                shred(document, script, node)
        except (BsonError, RecursionError):
            for key, column in node.table.items():
                del column[marks.get(key, 0) :]
            del script[place:]
        else:
            return
    script.append(_WHOLE)
    column = node.column(RAW)
    column += unsigned(len(document))
    column += document


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """What packed streams may repeat of the base."""

    script: bytes = b""
    columns: bytes = b""

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Dictionary:
        """Take documents of the base apart; those that cannot be walked give nothing."""
        script, node = bytearray(), root()
        for document in documents:
            _append(document, None, script, node, walk=True)
        return cls(script=bytes(script[-_SCRIPT_DICTIONARY:]), columns=joined(node.table))


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


def decode(head: Head, olds: Sequence[bytes], references: Sequence[bytes], *, most: int) -> Iterable[bytes]:
    """Give the changed and inserted documents, in order.

    Args:
        head: As parsed.
        olds: The base's documents of the steps that change, in order.
        references: The base's documents of the ranges.
        most: Bytes that all of them together may have.

    Raises:
        ArchiveError: The segment is malformed or does not fit this base.
    """
    wanted = [source for source, _, count in head.steps if source is not Source.COPY for _ in range(count)]
    reader = Reader(head.rest, "a segment")
    if not wanted:
        reader.finish()
        return
    walked = reader.take(1)[0]
    dictionary = Dictionary.of((*references, *olds)) if walked else Dictionary()
    meta = Reader(unpack(reader, dictionary.script, most=_SCRIPT_FACTOR * most + 65536), "a script")
    data = unpack(reader, dictionary.columns, most=2 * most + 65536)
    reader.finish()
    header = Reader(meta.take(meta.unsigned()), "column headers")
    table = taking(header, data)
    header.finish()
    script, node = Script(meta.rest()), TakingNode(b"", table)
    made = 0
    older = iter(olds)
    for source in wanted:
        document = _restore(script, node, next(older, None) if source is Source.CHANGE else None)
        made += len(document)
        if made > most:
            raise ArchiveError(f"a segment makes more than the {most:,} bytes it may")
        yield document
    if script.at != len(script.data) or not all(column.at_end() for column in table.values()):
        raise ArchiveError("a segment has more than its documents")


def _restore(script: Script, node: TakingNode, old: bytes | None) -> bytes:
    form = script.byte()
    if form == _EDITED and old is not None:
        return applied(old, script, node)
    if form == _SHREDDED:
        return restored(script, node)
    if form == _WHOLE:
        return node.take(RAW)
    raise ArchiveError(f"a document of a segment has the unknown form {form}")
