"""Splits a stream into runs of whole documents: the unit that workers get.

Decides where documents begin and end, by their leading length and closing NUL alone. The bytes between are read only to
count the elements of a document that has room for too many. Laws: the runs, and the error if there is one, depend on
the bytes and the target only, never on how the stream was chunked; the runs' data joined is the stream; a fault never
drops bytes without an error. Memory is bounded by the target, one document and one chunk.

Runs: whole documents, back to back, the unit that workers get.

Counts the elements of one document, so that one of nothing but elements is refused before it is indexed.

An element takes two bytes in a document, and a hundred or more in memory once it is indexed or decoded. So elements
have a bound of their own, which is checked where documents are split from their stream. Laws: the count is exact for a
sound document, and that of a malformed one includes the elements before the fault; no recursion; a document too short
for too many elements is not read, and one with fewer NULs than allowed elements is not walked, so that ordinary
documents cost nothing.

Whether a document is nested too deeply for a decoder that recurses.

The depth at which such a decoder fails depends on the depth of its caller, and so on the number of workers. Laws: no
recursion; linear time; a document with too few bytes that could be the type of a nested one is not walked, so that
ordinary documents cost next to nothing.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kit.documents import core
from kit.documents.kinds import FIXED, INT32, NESTING, first_nested, value_end
from kit.errors import BsonError
from kit.values import Limits, Price

__all__ = [
    "RUN_BYTES",
    "Run",
    "Texts",
    "check_width",
    "count_elements",
    "elements_in",
    "is_deeper",
    "joined",
    "narrow_bytes",
    "runs",
    "with_texts",
]

_ZERO_OR_ONE = bytes((0,)) + bytes((1,)) * 255
_LEAST_ELEMENT = 2
"""The size of the smallest element: a type, and the NUL of an empty name."""


def narrow_bytes(limits: Limits) -> int:
    """Return the length up to which a document has no room for more elements than ``limits.document_elements``."""
    return _LEAST_ELEMENT * limits.document_elements + 5


def check_width(buffer: bytes, start: int, end: int, limits: Limits, *, where: str) -> None:
    """Check the number of elements of the document ``buffer[start:end]``, nested ones included.

    Raises:
        LimitError: It is over ``document_elements``.
    """
    # Each element has its own NUL, so NULs are an upper bound; counting takes a millisecond for 16 MiB, a walk seconds.
    if buffer.count(0, start, end) > limits.document_elements:
        limits.check("document_elements", count_elements(buffer, start, end, limits), where=where)


def elements_in(block: bytes, *, exactly: bool) -> int:
    """Return an upper bound of the number of elements in a stretch of documents.

    An element begins with a type, which is no NUL, and has a NUL after its name. So NULs are an upper bound, in a sound
    kit about five for each element; and so are the places where a NUL follows another byte.

    Args:
        block: The bytes, cut anywhere.
        exactly: Leave out the zeros of numbers and binary values, which takes ten times as long (3 ms a MiB).
    """
    if core.max_elements is not None:
        return core.max_elements(block, exactly)
    return block.translate(_ZERO_OR_ONE).count(b"\1\0") if exactly else block.count(0)


def count_elements(buffer: bytes, start: int, end: int, limits: Limits) -> int:
    """Return the number of elements of ``buffer[start:end]``, which is a document by its length and its NUL.

    A value nested over ``limits.document_depth`` counts as one element, since no reader enters it. At a fault in a
    nested document the walk continues after that document, as a walk of one level does.
    """
    count, at, last = 0, start + 4, end - 1
    outer: list[int] = []  # the final NUL of each document around the current one
    while True:
        while at < last:
            nul = buffer.find(0, at + 1, last)
            if nul < 0:
                break
            count += 1
            kind, value = buffer[at], nul + 1
            size = FIXED[kind]
            if size >= 0:
                at = value + size
                continue
            try:
                at = value_end(buffer, kind, value, last)
            except BsonError:
                break
            if kind in NESTING and len(outer) + 2 <= limits.document_depth:
                outer.append(last)
                at, last = first_nested(buffer, kind, value, at), at - 1
        if not outer:
            return count
        at, last = last + 1, outer.pop()


_WIDE_BYTES = 1 << 20
_ELEMENT_BYTES = 250
"""The memory of an element in an index: its name, the place of its value, and its entry in a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The exact bytes of a run whose documents are kept as text. Law: those of a member joined are the member."""

    data: bytes
    """All bytes from the first document, or what is before it in the member, to the next run or the end."""
    spans: tuple[tuple[int, int], ...]
    """Begin and end of the text of each document, within ``data``."""

    def __iter__(self) -> Iterator[bytes]:
        return (self.data[start:end] for start, end in self.spans)

    def replaced(self, changed: Mapping[int, bytes]) -> Texts:
        """Return texts, some of them replaced, by number; what is between them stays."""
        if not changed:
            return self
        parts: list[bytes] = []
        spans: list[tuple[int, int]] = []
        at = shift = 0
        for number, (start, end) in enumerate(self.spans):
            new = changed.get(number)
            if new is None:
                spans.append((start + shift, end + shift))
                continue
            parts += self.data[at:start], new
            spans.append((start + shift, start + shift + len(new)))
            shift += len(new) - (end - start)
            at = end
        parts.append(self.data[at:])
        return Texts(data=b"".join(parts), spans=tuple(spans))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive documents of a member. Law: ``b"".join(run) == run.data``.

    Documents that are kept as text are here as the BSON documents that they represent, with their :attr:`texts`.
    """

    first: int = 0
    """Ordinal of the first document in the member, from 0."""
    offset: int = 0
    """Offset of the first document in the decoded member."""
    data: bytes
    """The documents, back to back."""
    ends: tuple[int, ...]
    """Offset after each document, within ``data``; the last one is the length of ``data``."""
    texts: Texts | None = None
    """How they are kept, where that is not as BSON."""

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Run:
        """Return documents as a run; a run is returned as it is."""
        if isinstance(documents, cls):
            return documents
        parts = tuple(documents)
        return cls(data=b"".join(parts), ends=tuple(itertools.accumulate(map(len, parts))))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def stored(self) -> bytes:
        """The bytes of the member, without its codec: ``data``, or those of ``texts``."""
        return self.data if self.texts is None else self.texts.data

    @property
    def originals(self) -> Iterable[bytes]:
        """The documents as they are kept, in order: what digests and leaves are of."""
        return self if self.texts is None else self.texts

    @property
    def weight(self) -> int:
        """Bytes of memory that work on the run takes: for a wide document many times its size."""
        size = len(self.data) + (0 if self.texts is None else len(self.texts.data))
        if max(map(operator.sub, self.ends, (0, *self.ends[:-1])), default=0) < _WIDE_BYTES:
            return size
        return size + _ELEMENT_BYTES * elements_in(self.data, exactly=True)

    def document(self, number: int) -> bytes:
        """Return one of the documents."""
        return self.data[self.ends[number - 1] if number else 0 : self.ends[number]]

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends:
            yield self.data[start:end]
            start = end


def with_texts(documents: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each document with the text that it is kept as; None where that is not how it is kept."""
    run = documents if isinstance(documents, Run) else None
    if run is None or run.texts is None:
        return ((document, None) for document in documents)
    return zip(run, run.texts, strict=True)


_BLOCK = 64 * 1024
"""Chunks are joined to at least this size, so that the cost per chunk does not matter even if each is one byte."""


RUN_BYTES = 4 * 1024 * 1024
"""The maximum size of a run; a larger document is a run of its own."""


def runs(chunks: Iterable[bytes], *, limits: Limits, target: int = RUN_BYTES) -> Iterator[Run]:
    """Yield the stream as runs of at most ``target`` bytes; a document over ``target`` is a run of its own.

    Args:
        chunks: The decoded member, in pieces of any sizes.
        limits: ``document_bytes`` bounds a document's length, ``document_elements`` its elements.
        target: Bytes of a run; a run is closed if the next document would exceed it.

    Raises:
        BsonError: A length is below 5, the stream ends inside a document or its length, or a document does not end
            in NUL; names the document's ordinal and its offset in the member.
        LimitError: A length is over ``limits.document_bytes``, a document has more elements than
            ``limits.document_elements``, or the kit exceeds its budget.
    """
    cutter = _Cutter(limits, target)
    # Measured, CPython 3.11: 0.16 µs a document of 20 bytes; 0.5 µs one of 4.2 kB, most of it the copy into the run.
    for block in joined(chunks):
        yield from cutter.feed(block)
    yield from cutter.finish()


def joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a stream in blocks that are not small, so that a cost for each does not matter."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        if not held and len(chunk) >= _BLOCK:
            yield chunk
        elif chunk:
            held.append(chunk)
            size += len(chunk)
            if size >= _BLOCK:
                yield b"".join(held)
                held.clear()
                size = 0
    if held:
        yield b"".join(held)


class _Cutter:
    """The open run, between blocks: pieces of blocks, copied once, when the run is closed."""

    def __init__(self, limits: Limits, target: int) -> None:
        self._limits = limits
        self._target = target
        self._first = 0
        self._offset = 0
        self._counted = 0  # documents
        self._pieces: list[bytes | memoryview] = []
        self._held = 0  # bytes in pieces
        self._ends: list[int] = []
        self._carry = b""  # the begin of a length field that a block cut
        self._missing = 0  # bytes of the open document that have not arrived; it is not in ends yet
        self._narrow = narrow_bytes(limits)
        self._wide = False  # whether the open run has a document with room for too many elements

    def feed(self, block: bytes) -> Iterator[Run]:
        self._spend(block)
        if self._carry:
            block, self._carry = self._carry + block, b""
        size = len(block)
        if self._missing > size:
            self._keep(block, 0, size)
            self._missing -= size
            return
        at = begin = 0  # offset of the next document, and of the part that this block adds to the open run
        if self._missing:
            at, self._missing = self._missing, 0
            if block[at - 1]:
                raise self._fault("document without terminating NUL")
            self._ends.append(self._held + at)

        unpack, ends, target = INT32.unpack_from, self._ends, self._target
        bound = min(self._limits.document_bytes, target, self._narrow)
        shift = self._held - begin  # from offsets in the block to offsets in the run
        while at + 4 <= size:
            (length,) = unpack(block, at)
            # One test for every rare case: the length is refused, or the run must be closed.
            if length < 5 or length > bound or at + length + shift > target:
                self._check_length(length)
                if ends and at + length + shift > target:
                    self._keep(block, begin, at)
                    yield self._close()
                    begin = at
                    shift = -begin
                    ends = self._ends
                self._wide = self._wide or length > self._narrow
            at += length
            if at > size:
                self._missing = at - size
                break
            if block[at - 1]:
                raise self._fault("document without terminating NUL")
            ends.append(at + shift)
        else:
            self._carry = block[at:]
            size = at
        self._keep(block, begin, size)

    def finish(self) -> Iterator[Run]:
        self._spend(b"")
        if self._missing:
            raise self._fault(f"stream ends inside a document, {self._missing:,} bytes before its end")
        if self._carry:
            raise self._fault("stream ends inside a document's length")
        if self._ends:
            yield self._close()

    def _spend(self, block: bytes) -> None:
        """Charge the documents that ended since the last block, and the elements of this one, to the budget."""
        ended = self._first + len(self._ends)
        elements = elements_in(block, exactly=self._limits.is_work_scarce())
        self._limits.spend(Price.DOCUMENT * (ended - self._counted) + Price.ELEMENT * elements, where=self._where())
        self._counted = ended

    def _keep(self, block: bytes, begin: int, end: int) -> None:
        if end > begin:
            whole = begin == 0 and end == len(block)  # join returns a single piece without copying it
            self._pieces.append(block if whole else memoryview(block)[begin:end])
            self._held += end - begin

    def _close(self) -> Run:
        run = Run(first=self._first, offset=self._offset, data=b"".join(self._pieces), ends=tuple(self._ends))
        if self._wide:
            self._check_widths(run)
            self._wide = False
        self._first += len(run.ends)
        self._offset += len(run.data)
        self._pieces, self._held, self._ends = [], 0, []
        return run

    def _check_widths(self, run: Run) -> None:
        start = 0
        for number, end in enumerate(run.ends, run.first):
            if end - start > self._narrow:
                where = f"document {number}: byte {run.offset + start}"
                check_width(run.data, start, end, self._limits, where=where)
            start = end

    def _where(self) -> str:
        return f"document {self._first + len(self._ends)}: byte {self._offset + (self._ends or [0])[-1]}"

    def _check_length(self, length: int) -> None:
        if length < 5:
            raise self._fault(f"document length {length} is below 5, that of the empty one")
        if length > self._limits.document_bytes:
            self._limits.check("document_bytes", length, where=self._where())

    def _fault(self, what: str) -> BsonError:
        return BsonError(what, where=self._where())


def is_deeper(document: bytes, levels: int) -> bool:
    """Return whether a document has more than ``levels`` levels, its own included; ``levels`` is at least 1.

    A malformed document is judged up to its fault only: a decoder reaches that fault first.
    """
    if _is_plainly_not(document, levels):
        return False
    at, last = 4, len(document) - 1
    outer: list[int] = []  # the final NUL of each document around the current one
    while True:
        while at < last:
            nul = document.find(0, at + 1, last)
            if nul < 0:
                return False
            kind, value = document[at], nul + 1
            size = FIXED[kind]
            if size >= 0:
                at = value + size
                continue
            try:
                at = value_end(document, kind, value, last)
            except BsonError:
                return False
            if kind in NESTING:
                outer.append(last)
                if len(outer) >= levels:
                    return True
                at, last = first_nested(document, kind, value, at), at - 1
        if not outer:
            return False
        at, last = last + 1, outer.pop()


def _is_plainly_not(document: bytes, levels: int) -> bool:
    return sum(document.count(kind) for kind in NESTING) < levels
