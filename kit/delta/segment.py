"""A segment: a stretch of a collection, said by what the base has of it (schemas/kit-delta.md "documents").

Documents that are the same are steps in the order; the rest is taken apart into scripts and columns, and those are
packed against the columns of the base's documents: their own older selves, and references, which are documents of the
base that stand near the new ones. Laws: a segment is a function of its arguments; :func:`encode` has decoded what it
gives; segments need one another for nothing, so any worker can make or read any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
    dictionary = Dictionary.of((*material.references, *material.olds)) if material.documents else Dictionary()
    data = _encode(material, dictionary)
    head = parse_head(data, material.expected)
    if head.steps != material.steps or head.ranges != material.ranges:
        raise KitError("a segment of a delta does not read back")
    if not material.documents:
        return data
    try:
        met = tuple(_decode(head, material.olds, dictionary, most=sum(map(len, material.documents))))
    except KitError:
        met = ()
    if met != material.documents:
        # An inside that is well-formed enough to be walked, but not to be made again: all of it goes whole.
        return _encode(material, None)
    return data


def _encode(material: Material, dictionary: Dictionary | None) -> bytes:
    """Print a segment; without a dictionary, no document is taken apart."""
    parts = [print_steps(material.steps, material.expected), unsigned(len(material.ranges))]
    at = material.expected
    for first, count in material.ranges:
        parts += signed(first - at), unsigned(count)
        at = first + count
    if not material.documents:
        return b"".join(parts)
    said = _said(material, walk=dictionary is not None)
    used = dictionary or Dictionary()
    parts += (
        bytes((dictionary is not None,)),
        pack(said.meta, used.script, level=material.level),
        pack(joined(said.node.table), used.columns, level=material.level),
    )
    return b"".join(parts)


def edited_size(old: bytes, document: bytes) -> int:
    """Tell how many bytes of script and values it takes to edit one document into another, before packing."""
    said = _Said()
    try:
        said.add(document, old)
    except BsonError:
        return len(document)
    return len(said.script) + sum(map(len, said.node.table.values()))


@dataclass(slots=True)
class _Said:
    """Scripts and columns being gathered."""

    script: bytearray = field(default_factory=bytearray)
    node: Node = field(default_factory=root)

    @property
    def meta(self) -> bytes:
        head = headers(self.node.table)
        return unsigned(len(head)) + head + bytes(self.script)

    def add(self, document: bytes, old: bytes | None) -> None:
        """Say a document by edits of the old one, or by itself.

        Raises:
            BsonError: It cannot be walked; everything gathered is void.
        """
        if old is not None:
            self.script.append(_EDITED)
            edit(old, document, self.script, self.node)
        else:
            self.script.append(_SHREDDED)
            shred(document, self.script, self.node)

    def add_whole(self, document: bytes) -> None:
        self.script.append(_WHOLE)
        column = self.node.column(RAW)
        column += unsigned(len(document))
        column += document

    def add_carefully(self, document: bytes, old: bytes | None) -> bool:
        """Do as :meth:`add`; nothing, and False, where the document cannot be walked."""
        place = len(self.script)
        marks = {key: len(column) for key, column in self.node.table.items()}
        try:
            self.add(document, old)
        except BsonError:
            for key, column in self.node.table.items():
                del column[marks.get(key, 0) :]
            del self.script[place:]
            return False
        return True


def _said(material: Material, *, walk: bool) -> _Said:
    olds = iter(material.olds)
    documents = iter(material.documents)
    pairs = [
        (next(documents), next(olds) if source is Source.CHANGE else None)
        for source, _, count in material.steps
        if source is not Source.COPY
        for _ in range(count)
    ]
    said = _Said()
    if walk:
        try:
            for document, old in pairs:
                said.add(document, old)
        except BsonError:
            said = _Said()  # once more, with the means to undo a document
        else:
            return said
    for document, old in pairs:
        if not (walk and said.add_carefully(document, old)):
            said.add_whole(document)
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """What packed streams may repeat of the base."""

    script: bytes = b""
    columns: bytes = b""

    @classmethod
    def of(cls, documents: Sequence[bytes]) -> Dictionary:
        """Take documents of the base apart; those that cannot be walked give nothing."""
        said = _Said()
        try:
            for document in documents:
                said.add(document, None)
        except BsonError:
            said = _Said()
            for document in documents:
                said.add_carefully(document, None)
        return cls(script=bytes(said.script[-_SCRIPT_DICTIONARY:]), columns=joined(said.node.table))


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


def decode(head: Head, olds: Sequence[bytes], references: Sequence[bytes], *, most: int) -> Iterator[bytes]:
    """Give the changed and inserted documents, in order.

    Args:
        head: As parsed.
        olds: The base's documents of the steps that change, in order.
        references: The base's documents of the ranges.
        most: Bytes that all of them together may have.

    Raises:
        ArchiveError: The segment is malformed or does not fit this base.
    """
    needed = any(source is not Source.COPY for source, _, _ in head.steps)
    return _decode(head, olds, Dictionary.of((*references, *olds)) if needed else Dictionary(), most=most)


def _decode(head: Head, olds: Sequence[bytes], dictionary: Dictionary, *, most: int) -> Iterator[bytes]:
    wanted = [source for source, _, count in head.steps if source is not Source.COPY for _ in range(count)]
    reader = Reader(head.rest, "a segment")
    if not wanted:
        reader.finish()
        return
    used = dictionary if reader.take(1)[0] else Dictionary()
    meta = Reader(unpack(reader, used.script, most=_SCRIPT_FACTOR * most + 65536), "a script")
    data = unpack(reader, used.columns, most=2 * most + 65536)
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
