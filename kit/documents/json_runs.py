"""Cuts a collection of JSON documents into runs: a document a line, or one array of all.

Every byte of the member is in exactly one run, so that what is between documents is kept as it is. Strict: a line holds
one object and nothing but blanks around it, and only the last line may lack its line feed; an array holds objects, and
nothing but blanks and commas between them. Laws: as of :mod:`kit.documents.framing`; memory is bounded by a run, one
document and one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from kit.documents.framing import RUN_BYTES, Run, Texts, elements_in, joined
from kit.documents.json_view import MARK, after_blanks, views
from kit.errors import BsonError
from kit.values import Limits, Price

_BLANKS: Final = b" \t\r\n"


def json_lines(chunks: Iterable[bytes], *, limits: Limits, target: int = RUN_BYTES) -> Iterator[Run]:
    """Yield the documents of a stream with one JSON object a line.

    Raises:
        BsonError: A line is empty or is not one strict JSON object; names the document's ordinal and the byte.
        LimitError: A document is over a limit, or the kit exceeds its budget.
    """
    made = _Runs(limits, target)
    rest = b""
    for chunk in joined(chunks):
        first = chunk.find(b"\n")
        if first < 0:
            rest += chunk
            made.require_room(len(rest))
            continue
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if made.is_full(len(line)):
                yield made.take()
            made.add_line(line, b"\n")
        made.require_room(len(rest))
    if rest:
        if made.is_full(len(rest)):
            yield made.take()
        made.add_line(rest, b"")
    yield from made.finish()


def json_array(chunks: Iterable[bytes], *, limits: Limits, target: int = RUN_BYTES) -> Iterator[Run]:
    """Yield the documents of a stream that is one JSON array of objects.

    Raises:
        BsonError: It is not; names the document's ordinal and the byte.
        LimitError: A document is over a limit, or the kit exceeds its budget.
    """
    made = _Runs(limits, target)
    scan = _ArrayScan(made)
    for chunk in joined(chunks):
        yield from scan.feed(chunk)
    yield from scan.finish()


class _Runs:
    """The open run: bytes of the member, the places of documents in them, and what they represent."""

    def __init__(self, limits: Limits, target: int) -> None:
        self._limits = limits
        self._target = target
        self._first = 0
        self._offset = 0
        self._parts: list[bytes] = []
        self._held = 0
        self._spans: list[tuple[int, int]] = []

    @property
    def ordinal(self) -> int:
        """The ordinal of the next document."""
        return self._first + len(self._spans)

    @property
    def offset(self) -> int:
        """The offset of the next byte in the member."""
        return self._offset + self._held

    def require_room(self, size: int) -> None:
        """Check that a document that is not complete yet is not too long already."""
        if size > self._limits.document_bytes:
            self._limits.check("document_bytes", size, where=f"document {self.ordinal}: byte {self.offset}")

    def is_full(self, size: int) -> bool:
        """Return whether a document of ``size`` bytes belongs into the next run."""
        return bool(self._spans) and self._held + size > self._target

    def add_line(self, line: bytes, end: bytes) -> None:
        """Add a line with its end."""
        text = line.strip(_BLANKS)
        if not text:
            raise self.fault("an empty line")
        start = line.find(text[:1])
        self.add(line + end, start, start + len(text))

    def add(self, data: bytes, start: int, end: int) -> None:
        """Add bytes with one document in them."""
        self._spans.append((self._held + start, self._held + end))
        self.add_between(data)

    def add_between(self, data: bytes) -> None:
        """Add bytes without a document."""
        self._parts.append(data)
        self._held += len(data)

    def take(self) -> Run:
        """Return the open run, and begin the next."""
        texts = Texts(data=b"".join(self._parts), spans=tuple(self._spans))
        limits = self._limits
        found = views(texts.data, texts.spans, limits=limits, start=self._offset, first=self._first)
        data = b"".join(found)
        elements = elements_in(data, exactly=limits.is_work_scarce())
        limits.spend(Price.DOCUMENT * len(found) + Price.ELEMENT * elements, where=f"document {self._first}")
        run = Run(
            first=self._first,
            offset=self._offset,
            data=data,
            ends=tuple(accumulate(map(len, found))),
            texts=texts,
        )
        self._first += len(found)
        self._offset += len(texts.data)
        self._parts, self._held, self._spans = [], 0, []
        return run

    def finish(self) -> Iterator[Run]:
        """Yield the last run; also one without documents, if it has bytes."""
        if self._held:
            yield self.take()

    def fault(self, what: str, at: int = 0) -> BsonError:
        """Return the error at the next byte, or ``at`` bytes after it.

        Raises:
            KitError: A document before this place is malformed.
        """
        error = BsonError(what, where=f"document {self.ordinal}: byte {self.offset + at}")
        if self._spans:
            self.take()  # what is wrong before this place comes first
        return error


class _ArrayScan:
    """Finds the objects of an array by their brackets; what is in them is checked when they are parsed."""

    def __init__(self, made: _Runs) -> None:
        self._made = made
        self._data = b""
        self._begin = 0  # what is before is in a run
        self._at = 0  # what is before needs not be looked at again
        self._due = 1  # the length at which it is worth to look at the open document again
        self._state = self._before

    def feed(self, chunk: bytes) -> Iterator[Run]:
        """Take a chunk, and yield runs."""
        self._data = self._data[self._begin :] + chunk
        self._begin, self._at = 0, self._at - self._begin
        if len(self._data) >= self._due:
            yield from self._advance()

    def finish(self) -> Iterator[Run]:
        """End the member."""
        yield from self._advance()
        if self._state != self._after:
            raise self._fault("the array does not end", len(self._data))
        if self._begin < len(self._data):
            self._made.add_between(self._data[self._begin :])
        yield from self._made.finish()

    def _advance(self) -> Iterator[Run]:
        self._due = 1
        while (found := self._state()) is not None:
            if found and self._made.is_full(found):
                yield self._made.take()
            if found:
                end = self._at + found
                begin = self._begin
                self._made.add(self._data[begin:end], self._at - begin, found + self._at - begin)
                self._begin = self._at = end
                self._state = self._behind

    def _fault(self, what: str, at: int) -> BsonError:
        return self._made.fault(what, at - self._begin)

    def _mark(self) -> bytes:
        """Return the next byte that is no blank; empty if there is none yet."""
        self._at = after_blanks(self._data, self._at)
        return self._data[self._at : self._at + 1]

    def _before(self) -> int | None:
        return self._expect(b"[", self._at_first)

    def _at_first(self) -> int | None:
        if self._mark() == b"]":
            return self._end()
        return self._at_document()

    def _behind(self) -> int | None:
        if self._mark() == b"]":
            return self._end()
        return self._expect(b",", self._at_document)

    def _end(self) -> int:
        self._at += 1
        self._state = self._after
        return 0

    def _after(self) -> int | None:
        if self._mark():
            raise self._fault("something follows the array", self._at)
        return None

    def _expect(self, due: bytes, then: object) -> int | None:
        mark = self._mark()
        if not mark:
            return None
        if mark != due:
            raise self._fault(f"is no {due.decode()} of an array", self._at)
        self._at += 1
        self._state = then  # type: ignore[assignment]
        return 0

    def _at_document(self) -> int | None:
        """Return the length of the document that begins here; None if it has not ended yet."""
        mark = self._mark()
        if not mark:
            return None
        if mark != b"{":
            raise self._fault("is no JSON object", self._at)
        depth = 0
        for found in MARK.finditer(self._data, self._at):
            first = found[0][:1]
            if first in b"{[":
                depth += 1
            elif first in b"}]":
                depth -= 1
                if not depth:
                    return found.end() - self._at
        self._made.require_room(len(self._data) - self._at)
        # Looked at again when there is twice as much, so that the time is linear.
        self._due = 2 * (len(self._data) - self._begin)
        self._state = self._at_document
        return None
