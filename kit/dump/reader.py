"""Reads a dump: the prelude, then headers of blocks and the documents between them, in the order of the stream.

Everything is checked at its place: a block belongs to a collection that the prelude describes and that is not closed
yet, a closing block has the CRC-64 of the collection's documents, and at the end all collections are closed. A fault of
the framing is an :class:`ArchiveError`, one of a document a :class:`BsonError`; both name the offset. Laws: the pieces
depend on the bytes only, never on how the stream was chunked; :func:`kit.dump.writer.write_dump` gives the bytes back;
memory is bounded by the prelude, one run and one document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from fastcrc import crc64

from kit.documents import RUN_BYTES, Run, narrow_bytes
from kit.documents.framing import check_width, elements_in
from kit.documents.kinds import INT32
from kit.dump import fields
from kit.dump.prelude import (
    MAGIC,
    TERMINATOR,
    Described,
    Prelude,
    index_names,
    parse_description,
    parse_name,
    parse_origin,
)
from kit.errors import ArchiveError, BsonError
from kit.values import CollectionName, Limits, Price

_BLOCK = frozenset({"db", "collection", "EOF", "CRC"})
_HEADER_BYTES = 64 * 1024
"""Most bytes of a block's header; MongoDB's names have 255 at most."""
_END = -1
"""The terminator, read as a length."""
_LEAST_DOCUMENT = 5
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHeader:
    """The begin of a block; that of a closing one is all there is."""

    name: CollectionName
    closes: bool = False
    """Whether no more documents of the collection follow (``EOF``)."""
    crc: int = 0
    """The CRC-64/XZ of all its documents, in a closing block."""
    stored: bytes = field(default=b"", compare=False, repr=False)

    def to_bytes(self) -> bytes:
        """Return the bytes, as ``mongodump`` orders the fields."""
        signed = self.crc - (1 << 64) if self.crc >> 63 else self.crc
        return fields.document(
            fields.text("db", self.name.database),
            fields.text("collection", self.name.collection),
            fields.boolean("EOF", value=self.closes),
            fields.integer("CRC", signed, bits=64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Documents of one collection."""

    name: CollectionName
    run: Run
    """``first`` counts the documents of the collection over all its blocks, ``offset`` the bytes of the dump."""


Piece: TypeAlias = Prelude | BlockHeader | Part


def checksum(data: bytes, before: int = 0) -> int:
    """Return the CRC-64/XZ of ``data``, after bytes with the checksum ``before``."""
    return crc64.xz(data, before)


def read_dump(chunks: Iterable[bytes], limits: Limits, *, target: int = RUN_BYTES) -> Iterator[Piece]:
    """Yield the prelude, then each header and the runs of documents after it.

    Args:
        chunks: The dump, decompressed, in pieces of any sizes.
        limits: ``json_bytes`` bounds the prelude, ``document_bytes`` and ``document_elements`` a document.
        target: Bytes of a run; a document over it is a run of its own.

    Raises:
        ArchiveError: It is not framed as ``mongodump`` frames a dump, is cut, or a checksum is another.
        BsonError: A document is not framed as one.
        LimitError: Something is over a limit.
    """
    return _Reading(_Stream(chunks), limits, target).pieces()


class _Stream:
    """The bytes from ``at`` on, as many as are needed at once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._before = 0
        self.data = b""
        self.at = 0

    @property
    def offset(self) -> int:
        """The offset of ``at`` in the dump."""
        return self._before + self.at

    def has(self, size: int) -> bool:
        """Return whether there are ``size`` bytes from ``at`` on; what is before ``at`` is dropped."""
        if len(self.data) - self.at < size:
            self._read_on(size)
        return len(self.data) - self.at >= size

    def _read_on(self, size: int) -> None:
        """Add chunks until there are ``size`` bytes, and at least :data:`_CHUNK` new ones."""
        self._before += self.at
        parts = [self.data[self.at :]]
        self.at = 0
        held, least = len(parts[0]), len(parts[0]) + _CHUNK
        for chunk in self._chunks:
            parts.append(chunk)
            held += len(chunk)
            if held >= size and held >= least:
                break
        self.data = b"".join(parts)

    def take(self, size: int) -> bytes:
        """Return the next bytes, which are there."""
        taken = self.data[self.at : self.at + size]
        self.at += size
        return taken

    @property
    def where(self) -> str:
        return f"byte {self.offset}"


@dataclass(slots=True)
class _Open:
    """A collection of which documents may follow."""

    documents: int = 0
    crc: int = 0


class _Reading:
    def __init__(self, stream: _Stream, limits: Limits, target: int) -> None:
        self._stream = stream
        self._limits = limits
        self._target = target
        self._narrow = narrow_bytes(limits)
        self._expected: dict[CollectionName, Described] = {}
        self._open: dict[CollectionName, _Open] = {}
        self._closed: set[CollectionName] = set()

    def pieces(self) -> Iterator[Piece]:
        prelude = self._read_prelude()
        self._expected = index_names(prelude.described, where="the prelude")
        yield prelude
        while self._stream.has(1):
            at = self._stream.where
            header = self._read_header()
            yield header
            if header.closes:
                self._close(header, at)
            else:
                yield from self._read_parts(header.name, self._open.setdefault(header.name, _Open()))
        self._check_all_closed()

    def _read_prelude(self) -> Prelude:
        stream = self._stream
        if not stream.has(len(MAGIC)) or stream.take(len(MAGIC)) != MAGIC:
            raise ArchiveError(f"is no dump of mongodump --archive, which begins with {MAGIC.hex()}", where="byte 0")
        stored = [MAGIC]
        held = len(MAGIC)
        origin = None
        described: list[Described] = []
        while True:
            where = stream.where
            data = self._small(self._limits.json_bytes, what="the prelude")
            stored.append(data or TERMINATOR)
            held += len(stored[-1])
            self._limits.check("json_bytes", held, where=where)
            self._limits.spend(Price.COLLECTION, where=where)
            if origin is None:
                if not data:
                    raise ArchiveError("the prelude has no header", where=where)
                origin = parse_origin(data, self._limits, where=where)
                continue
            if not data:
                return Prelude(origin=origin, described=tuple(described), stored=b"".join(stored))
            self._limits.hold(len(data) * 4, where=where)
            described.append(parse_description(data, self._limits, where=where))

    def _read_header(self) -> BlockHeader:
        where = self._stream.where
        data = self._small(_HEADER_BYTES, what="the header of a block")
        if not data:
            raise ArchiveError("a block ends where none has begun", where=where)
        self._limits.spend(Price.FRAME, where=where)
        found = fields.read_fields(data, _BLOCK, self._limits, what="the header of a block", where=where)
        name, closes, crc = parse_name(found), found.truth("EOF"), found.number("CRC")
        if name in self._closed:
            raise found.fault(f"is of {name}, which is closed already")
        described = self._expected.get(name)
        if described is None:
            raise found.fault(f"is of {name}, which the prelude does not describe")
        for other in described.data_names:
            if other != name and (other in self._open or other in self._closed):
                raise found.fault(f"is of {name}, and {other} holds the same time series")
        if crc and not closes:
            raise found.fault(f"has a CRC, and more of {name} may follow")
        return BlockHeader(name=name, closes=closes, crc=crc % (1 << 64), stored=data)

    def _small(self, most: int, *, what: str) -> bytes:
        """Return the next document, which is no data; empty at a terminator."""
        stream = self._stream
        if not stream.has(4):
            raise ArchiveError(f"the dump is cut inside {what}", where=stream.where)
        (length,) = INT32.unpack_from(stream.data, stream.at)
        if length == _END:
            stream.take(4)
            return b""
        if not _LEAST_DOCUMENT <= length <= most:
            raise ArchiveError(f"{length} is no length of {what}", where=stream.where)
        if not stream.has(length):
            raise ArchiveError(f"the dump is cut inside {what}", where=stream.where)
        return stream.take(length)

    def _read_parts(self, name: CollectionName, state: _Open) -> Iterator[Part]:
        """Yield the documents up to the terminator."""
        stream, unpack, target = self._stream, INT32.unpack_from, self._target
        bound = min(self._limits.document_bytes, self._narrow)
        ends: list[int] = []  # of the documents in the run that begins where the stream is
        held = 0  # bytes of these
        wide = False
        while True:
            self._require(held + 4, name, state, ends)
            length = int(unpack(stream.data, stream.at + held)[0])
            if length == _END or (ends and held + length > target):
                if ends:
                    yield self._cut(name, state, ends, wide=wide)
                    ends, held, wide = [], 0, False
                if length == _END:
                    stream.take(4)
                    return
            if not _LEAST_DOCUMENT <= length <= bound:
                self._check_length(length, name, state, ends)
                wide = wide or length > self._narrow
            self._require(held + length, name, state, ends)
            held += length
            if stream.data[stream.at + held - 1]:
                raise BsonError("document without terminating NUL", where=self._where(name, state, ends))
            ends.append(held)

    def _require(self, size: int, name: CollectionName, state: _Open, ends: list[int]) -> None:
        if not self._stream.has(size):
            raise ArchiveError("the dump is cut inside a block", where=self._where(name, state, ends))

    def _cut(self, name: CollectionName, state: _Open, ends: list[int], *, wide: bool) -> Part:
        offset = self._stream.offset
        data = self._stream.take(ends[-1])
        where = f"{name}: document {state.documents}: byte {offset}"
        elements = elements_in(data, exactly=self._limits.is_work_scarce())
        self._limits.spend(Price.DOCUMENT * len(ends) + Price.ELEMENT * elements, where=where)
        run = Run(first=state.documents, offset=offset, data=data, ends=tuple(ends))
        if wide:
            for number, (start, end) in enumerate(zip((0, *ends), ends, strict=False), state.documents):
                place = f"{name}: document {number}: byte {offset + start}"
                check_width(data, start, end, self._limits, where=place)
        state.documents += len(ends)
        state.crc = checksum(data, state.crc)
        return Part(name=name, run=run)

    def _check_length(self, length: int, name: CollectionName, state: _Open, ends: list[int]) -> None:
        where = self._where(name, state, ends)
        if length < _LEAST_DOCUMENT:
            what = f"{length} is neither a document's length, at least {_LEAST_DOCUMENT}, nor the end of a block"
            raise BsonError(what, where=where)
        self._limits.check("document_bytes", length, where=where)

    def _where(self, name: CollectionName, state: _Open, ends: list[int]) -> str:
        """Return the place of the document after those that end at ``ends``."""
        offset = self._stream.offset + (ends[-1] if ends else 0)
        return f"{name}: document {state.documents + len(ends)}: byte {offset}"

    def _close(self, header: BlockHeader, where: str) -> None:
        if self._small(_HEADER_BYTES, what="a closing block"):
            raise ArchiveError(f"a document follows the end of {header.name}", where=where)
        state = self._open.pop(header.name, _Open())
        if state.crc != header.crc:
            found = f"{state.documents:,} documents have the CRC {state.crc:016x}, and {header.crc:016x} is due"
            raise ArchiveError(f"{header.name}: {found}", where=where)
        self._closed.add(header.name)

    def _check_all_closed(self) -> None:
        where = self._stream.where
        for name in self._open:
            raise ArchiveError(f"the dump ends before {name} is closed", where=where)
        for described in self._expected.values():
            if self._closed.isdisjoint(described.data_names):
                raise ArchiveError(f"the dump ends before a block of {described.name}, which it describes", where=where)
