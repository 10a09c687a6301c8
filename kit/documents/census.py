"""Counts the values of documents by their path: a table of a run, and the sum of two tables.

A path has a step for each name, and one for "any item of an array", so that all items of an array share a path. Of
each path the table has: documents and values, values by type, lengths of texts and binary values, texts by *shape*, and
a sketch of the distinct values. An envelope counts as one value of the type :data:`ENVELOPE` and is not entered; nor is
code with scope. Values are not kept, unless examples are asked for.

Laws: the table of two runs is the sum of their tables, in any order and grouping; memory is bounded by
:data:`MAX_PATHS`, whatever the documents are; a document that is malformed counts as unread and adds nothing else; the
core gives the same bytes (``core/kit-core/src/census.rs``).

A sketch is the :data:`SKETCH` smallest hashes (BLAKE2b, 8 bytes) of type and value (Bar-Yossef et al., "Counting
distinct elements in a data stream", RANDOM 2002, algorithm 2). With fewer hashes it is the number of distinct values;
else the standard error is 1/√(SKETCH - 2), 4.4 %. The author of the documents can choose values that mislead it.
"""

from __future__ import annotations

import json
import re
import struct
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nsmallest
from typing import Final

from kit.documents import core
from kit.documents.elements import Element, elements
from kit.documents.framing import Run
from kit.documents.kinds import Kind
from kit.documents.validation import validate
from kit.errors import BsonError, LimitError
from kit.values import Limits

MAX_PATHS: Final = 2000
"""Paths of a table. If there are more, the ones with the fewest steps are kept, and of these the first by name."""
MAX_KEY_BYTES: Final = 1024
"""Bytes of a path; a longer one is not kept."""
SKETCH: Final = 512
"""Hashes of a sketch."""
MAX_EXAMPLES: Final = 20
"""Examples of a path, at most."""
EXAMPLE_BYTES: Final = 200
"""Bytes of an example; the rest is cut off."""
ENVELOPE: Final = 0
"""In :attr:`PathCensus.kinds`: the type of an envelope, next to those of :class:`Kind`."""
_NAME, _ITEM = b"\0f", b"\0a"
"""What begins a step in a key. A name has no NUL, so that keys of different paths differ."""


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda text: compiled.fullmatch(text) is not None


_TOKEN = _matches(rb"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9_+/=.~-]{20,}")
_WORD = _matches(rb"(?=.*[A-Za-z])(?=.*[0-9])[A-Za-z0-9._:/@#%?=&+~*-]{1,256}")
_SPACES = re.compile(rb"[ \t\n\r\v\f]")
_LETTER = re.compile(rb"[A-Za-z\x80-\xff]")
SHAPES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("empty", lambda text: not text),
    ("uuid", _matches(rb"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")),
    ("object-id", _matches(rb"[0-9A-Fa-f]{24}")),
    ("digest", _matches(rb"(?:[a-z0-9]{1,10}:)?(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})")),
    ("ulid", _matches(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}")),
    ("mail", _matches(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")),
    ("url", _matches(rb"[A-Za-z][A-Za-z0-9+.-]*://[^ \t\n\r\v\f]+")),
    ("timestamp", _matches(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].{0,30})?")),
    ("number", _matches(rb"[+-]?[0-9]+(?:\.[0-9]+)?")),
    ("json", lambda text: len(text) > 1 and text[:1] + text[-1:] in {b"{}", b"[]"}),
    ("token", lambda text: text.startswith(b"-----BEGIN ") or _TOKEN(text)),
    ("identifier", _WORD),
    ("prose", lambda text: len(_SPACES.findall(text)) > 1 and _LETTER.search(text) is not None),
    ("text", lambda _: True),
)
"""Shapes of a text, by name; a text has the first that fits. Of ASCII alone, so that no table of Unicode decides."""

_HEADER = struct.Struct("<QQ?I")
_PATH = struct.Struct("<HH")
_COUNTS = struct.Struct(f"<QQ4Q{len(SHAPES)}Q")
_KIND = struct.Struct("<BQ")
_EXAMPLE = struct.Struct("<QBH")
_SHORT = struct.Struct("<H")
_NO_LEAST = (1 << 64) - 1
_TEXT = frozenset({int(Kind.STRING), int(Kind.CODE), int(Kind.SYMBOL)})
_NESTED = frozenset({int(Kind.DOCUMENT), int(Kind.ARRAY)})
_PLAIN = frozenset('.[]"\\')


@dataclass(slots=True, kw_only=True)
class PathCensus:
    """What is counted of one path."""

    documents: int = 0
    """Documents that have it at least once."""
    values: int = 0
    kinds: dict[int, int] = field(default_factory=dict)
    """Values by type: a :class:`Kind`, or :data:`ENVELOPE`."""
    sized: int = 0
    """Texts and binary values; their lengths in bytes follow."""
    least: int = _NO_LEAST
    longest: int = 0
    total: int = 0
    shapes: list[int] = field(default_factory=lambda: [0] * len(SHAPES))
    """Texts by shape, in the order of :data:`SHAPES`."""
    hashes: list[int] = field(default_factory=list)
    """The smallest hashes, in order."""
    examples: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """By hash: type and value, cut off; those of the smallest hashes."""
    latest: int = 0
    """Number of the latest document that has it, while documents are counted."""

    @property
    def distinct(self) -> tuple[int, bool]:
        """The number of distinct values, and whether it is exact."""
        if len(self.hashes) < SKETCH:
            return len(self.hashes), True
        return round((SKETCH - 1) / (self.hashes[-1] / (1 << 64))), False

    def add_value(self, kind: int, value: bytes, examples: int) -> None:
        """Count a value that is neither nested nor an envelope; ``value`` is as BSON stores it."""
        inside = value
        if kind in _TEXT:
            inside = value[4:-1]
        elif kind == Kind.BINARY:
            inside = value[5:]
        if kind in _TEXT or kind == Kind.BINARY:
            self.sized += 1
            self.least = min(self.least, len(inside))
            self.longest = max(self.longest, len(inside))
            self.total += len(inside)
        if kind == Kind.STRING:
            self.shapes[next(at for at, (_, fits) in enumerate(SHAPES) if fits(inside))] += 1
        digest = int.from_bytes(blake2b(bytes((kind,)) + value, digest_size=8).digest(), "little")
        if len(self.hashes) < SKETCH or digest < self.hashes[-1]:
            _insert(self.hashes, digest)
        if examples:
            self.examples[digest] = (kind, inside[:EXAMPLE_BYTES])
            if len(self.examples) > examples:
                del self.examples[max(self.examples)]

    def add(self, other: PathCensus, examples: int) -> None:
        """Add what was counted of other documents."""
        self.documents += other.documents
        self.values += other.values
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        self.sized += other.sized
        self.least, self.longest = min(self.least, other.least), max(self.longest, other.longest)
        self.total += other.total
        self.shapes = [one + more for one, more in zip(self.shapes, other.shapes, strict=True)]
        self.hashes = sorted({*self.hashes, *other.hashes})[:SKETCH]
        merged = self.examples | other.examples
        self.examples = {digest: merged[digest] for digest in nsmallest(examples, merged)}


def _insert(hashes: list[int], digest: int) -> None:
    insort(hashes, digest)
    at = hashes.index(digest)
    if hashes[at + 1 : at + 2] == [digest]:
        del hashes[at]
    del hashes[SKETCH:]


@dataclass(slots=True, kw_only=True)
class Table:
    """The census of some documents of one collection."""

    documents: int = 0
    """Those that were counted."""
    unread: int = 0
    """Those that are malformed, or over a limit."""
    is_cut: bool = False
    """Whether there are paths that are not kept."""
    paths: dict[bytes, tuple[int, PathCensus]] = field(default_factory=dict)
    """By key: number of steps, and what was counted."""

    @classmethod
    def parse(cls, data: bytes) -> Table:
        """Return a table that :meth:`to_bytes` or the core made."""
        documents, unread, is_cut, count = _HEADER.unpack_from(data)
        table, at = cls(documents=documents, unread=unread, is_cut=is_cut), _HEADER.size
        for _ in range(count):
            depth, size = _PATH.unpack_from(data, at)
            at += _PATH.size
            key = data[at : at + size]
            at += size
            found_documents, values, sized, least, longest, total, *shapes = _COUNTS.unpack_from(data, at)
            at += _COUNTS.size
            kinds = [_KIND.unpack_from(data, at + 1 + number * _KIND.size) for number in range(data[at])]
            at += 1 + len(kinds) * _KIND.size
            (hashes,) = _SHORT.unpack_from(data, at)
            at += _SHORT.size
            found = PathCensus(
                documents=found_documents,
                values=values,
                kinds=dict(kinds),
                sized=sized,
                least=least,
                longest=longest,
                total=total,
                shapes=shapes,
                hashes=list(struct.unpack_from(f"<{hashes}Q", data, at)),
            )
            at += 8 * hashes
            (examples,) = _SHORT.unpack_from(data, at)
            at += _SHORT.size
            for _ in range(examples):
                digest, kind, size = _EXAMPLE.unpack_from(data, at)
                at += _EXAMPLE.size
                found.examples[digest] = (kind, data[at : at + size])
                at += size
            table.paths[key] = (depth, found)
        return table

    def to_bytes(self) -> bytes:
        """Return the table for :meth:`parse`; equal tables give equal bytes."""
        parts = [_HEADER.pack(self.documents, self.unread, self.is_cut, len(self.paths))]
        for key, (depth, found) in sorted(self.paths.items(), key=_place):
            counts = (found.documents, found.values, found.sized, found.least, found.longest, found.total)
            parts += [_PATH.pack(depth, len(key)), key, _COUNTS.pack(*counts, *found.shapes)]
            parts += [bytes((len(found.kinds),)), *(_KIND.pack(*one) for one in sorted(found.kinds.items()))]
            parts.append(struct.pack(f"<H{len(found.hashes)}Q", len(found.hashes), *found.hashes))
            parts.append(_SHORT.pack(len(found.examples)))
            for digest, (kind, value) in sorted(found.examples.items()):
                parts += [_EXAMPLE.pack(digest, kind, len(value)), value]
        return b"".join(parts)

    def add(self, other: Table, examples: int) -> None:
        """Add the table of other documents of the collection."""
        self.documents += other.documents
        self.unread += other.unread
        self.is_cut = self.is_cut or other.is_cut
        for key, (depth, found) in other.paths.items():
            _, mine = self.paths.setdefault(key, (depth, PathCensus()))
            mine.add(found, examples)
        self.cut()

    def cut(self) -> None:
        """Keep no more than :data:`MAX_PATHS` paths."""
        if len(self.paths) > MAX_PATHS:
            self.paths = dict(nsmallest(MAX_PATHS, self.paths.items(), key=_place))
            self.is_cut = True


def _place(path: tuple[bytes, tuple[int, PathCensus]]) -> tuple[int, bytes]:
    return path[1][0], path[0]


def census(run: Run, seals: Sequence[Sequence[bytes]], examples: int, limits: Limits) -> bytes:
    """Return the table of a run, for :func:`add_tables` and :meth:`Table.parse`.

    Args:
        run: Documents of one collection.
        seals: What makes a subdocument an envelope: all names of one of these groups.
        examples: How many examples to keep of each path, at most :data:`MAX_EXAMPLES`.
        limits: ``document_bytes`` and ``document_depth`` bound a document.
    """
    if core.census is not None:
        most = (limits.document_bytes, limits.document_depth)
        table: bytes | None = core.census(run.data, run.ends, seals, examples, most)
        if table is not None:
            return table
    return census_by_reference(run, seals, examples, limits)


def census_by_reference(run: Run, seals: Sequence[Sequence[bytes]], examples: int, limits: Limits) -> bytes:
    """Return what :func:`census` returns, without the core."""
    counter = _Counter(seals, examples)
    for document in run:
        try:
            validate(document, limits=limits)
        except (BsonError, LimitError):
            counter.table.unread += 1
        else:
            counter.count(document)
    counter.table.cut()
    return counter.table.to_bytes()


def add_tables(one: bytes, other: bytes, examples: int) -> bytes:
    """Return the sum of two tables, of :func:`census` or of this function."""
    if core.census_sum is not None:
        table: bytes | None = core.census_sum(one, other, examples)
        if table is not None:
            return table
    return add_by_reference(one, other, examples)


def add_by_reference(one: bytes, other: bytes, examples: int) -> bytes:
    """Return what :func:`add_tables` returns, without the core."""
    summed = Table.parse(one)
    summed.add(Table.parse(other), examples)
    return summed.to_bytes()


EMPTY: Final = Table().to_bytes()
"""The table of no documents."""


class _Counter:
    """Counts documents that are well formed."""

    def __init__(self, seals: Sequence[Sequence[bytes]], examples: int) -> None:
        self.table = Table()
        self._seals = [frozenset(group) for group in seals]
        self._sealing = frozenset().union(*self._seals)
        self._examples = examples

    def count(self, document: bytes) -> None:
        self.table.documents += 1
        levels = [(b"", False, elements(document))]
        while levels:
            key, is_array, level = levels[-1]
            element = next(level, None)
            if element is None:
                levels.pop()
                continue
            below = key + _ITEM if is_array else key + _NAME + element.name
            found = self._path(below, len(levels))
            if found is not None and self._count_value(found, document, element):
                levels.append((below, element.kind == Kind.ARRAY, elements(document, element.value)))

    def _path(self, key: bytes, depth: int) -> PathCensus | None:
        kept = self.table.paths.get(key)
        if kept is None:
            if len(key) > MAX_KEY_BYTES:
                self.table.is_cut = True
                return None
            # What is dropped here is behind MAX_PATHS others, and stays so when it is found again.
            if len(self.table.paths) >= 2 * MAX_PATHS:
                self.table.cut()
            kept = self.table.paths[key] = (depth, PathCensus())
        return kept[1]

    def _count_value(self, found: PathCensus, document: bytes, element: Element) -> bool:
        """Count a value, and return whether it is to be entered."""
        if found.latest != self.table.documents:
            found.latest = self.table.documents
            found.documents += 1
        found.values += 1
        kind, is_entered = element.kind, element.kind in _NESTED
        if not is_entered:
            found.add_value(kind, document[element.value : element.end], self._examples)
        elif kind == Kind.DOCUMENT and self._is_sealed(document, element.value):
            kind, is_entered = ENVELOPE, False
        found.kinds[kind] = found.kinds.get(kind, 0) + 1
        return is_entered

    def _is_sealed(self, document: bytes, start: int) -> bool:
        names = {one.name for one in elements(document, start) if one.name in self._sealing}
        return any(group <= names for group in self._seals)


def steps_of(key: bytes) -> tuple[str | None, ...]:
    """Return the steps of a key: names, and None for any item of an array."""
    parts = key.split(b"\0")[1:]
    return tuple(part[1:].decode() if part[:1] == b"f" else None for part in parts)


def spell(steps: Sequence[str | None]) -> str:
    """Return a path as people write it: ``a.b[].c``; a name with a dot, bracket or quote in it as in JSON."""
    parts = []
    for step in steps:
        plain = step if step is None or (step and _PLAIN.isdisjoint(step)) else json.dumps(step)
        parts.append("[]" if plain is None else f".{plain}")
    return "".join(parts).removeprefix(".")
