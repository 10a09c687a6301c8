"""Searches a kit for copies of sealed texts in the clear: what a worker does, and what is kept on disk meanwhile.

A first pass opens every sealed value and notes its texts (:mod:`kit.encryption.copies`). What is noted goes to scratch
files, by the first byte of the digest; :meth:`NotedTexts.finish` sorts each of these and joins them to one table. A
second pass has workers look for it. Law: memory is bounded by the filter and one scratch file, whatever the kit has.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kit.documents import Run, document_name
from kit.documents.census import spell
from kit.encryption import KeySource, MappedCollection
from kit.encryption.copies import (
    LONG,
    WINDOW,
    Noted,
    Secret,
    find_shorts,
    find_windows,
    is_marked,
    texts_in,
    texts_of_value,
    with_marks,
)
from kit.encryption.mapped import DocumentReader, DocumentStatus, State
from kit.encryption.opening import CollectionKeys, DocumentKeys
from kit.errors import KitError
from kit.output.scratch import ScratchFile, StoredFile, StoredNumbers, append_to
from kit.values import MemberPath

_PARTS: Final = 256
_BUFFER_BYTES: Final = 64 * 1024
MOST_EXAMPLES: Final = 5
"""Documents, or offsets, that a place names."""
OTHER: Final = "(not in a text)"
"""The path of what is found in names, or across values."""


@dataclass(slots=True, kw_only=True)
class NotedRun:
    """What was noted of the sealed values of a run."""

    values: int = 0
    unopened: int = 0
    """Sealed values that no key at hand opens; copies of them are not found."""
    noted: Noted = field(default_factory=Noted)


def note_run(mapped: MappedCollection, run: Run, secret: Secret, keys: KeySource) -> NotedRun:
    """Open every sealed value of a run and note its texts; what does not open is a finding of the proof."""
    done, opening, reader = NotedRun(), CollectionKeys(mapped, keys.key_set()), DocumentReader(mapped)
    for document in run:
        try:
            read = reader.read(document)
        except KitError:
            done.unopened += 1
            continue
        if read.status is not DocumentStatus.SELECTED:
            continue
        cipher = DocumentKeys(opening, read)
        for one in mapped.fields:
            try:
                value = read.value(one)
                if value.state is not State.ENVELOPE or value.envelope is None:
                    continue
                opened = cipher.open(one, value.envelope)
            except KitError:
                opened = None
            if opened is None:
                done.unopened += 1
                continue
            done.values += 1
            for text in texts_of_value(opened.value, opened.kind, 0, len(opened.value)):
                done.noted.note(text, secret)
    return done


class NotedTexts:
    """Collects what runs noted, in a scratch folder of its own."""

    def __init__(self, folder: Path, size: int) -> None:
        """Use ``folder``, and a filter of ``size`` bytes."""
        self._folder = folder
        self._bits = bytes(size)
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._written: set[int] = set()
        self.values = self.unopened = self.texts = 0

    def add(self, found: NotedRun) -> None:
        """Add what was noted of a run.

        Raises:
            OutputError: The disk is full or failed.
        """
        self.values += found.values
        self.unopened += found.unopened
        self.texts += found.noted.texts
        self._bits = with_marks(self._bits, found.noted.marks)
        for digest in set(found.noted.digests):
            self._parts[digest >> 56] += digest.to_bytes(8, "little")
        for number, part in enumerate(self._parts):
            if len(part) >= _BUFFER_BYTES:
                self._write(number)

    def _write(self, number: int) -> None:
        append_to(self._folder, _part(number), bytes(self._parts[number]))
        self._parts[number].clear()
        self._written.add(number)

    def finish(self) -> None:
        """Sort what was noted; :func:`search_run` and :func:`search_bytes` can read it from now on.

        Raises:
            OutputError: The disk is full or failed.
        """
        table = ScratchFile(_table(self._folder))
        for number, part in enumerate(self._parts):
            data = array("Q")
            if number in self._written:
                stored = StoredFile(self._folder / _part(number).text)
                data.frombytes(stored.read(0, stored.size))
                stored.close()
            data.frombytes(bytes(part))
            part.clear()
            table.append(array("Q", sorted(set(data))).tobytes())
        table.flush()
        table.close()
        bits = ScratchFile(_filter(self._folder))
        bits.append(self._bits)
        bits.flush()
        bits.close()
        self._bits = b""
        open_index(self._folder)  # before threads do


def _part(number: int) -> MemberPath:
    return MemberPath(f"noted-{number}")


def _table(folder: Path) -> Path:
    return folder / "noted-table"


def _filter(folder: Path) -> Path:
    return folder / "noted-filter"


class _Index:
    """What was noted, open for reading."""

    def __init__(self, folder: Path) -> None:
        bits = StoredFile(_filter(folder))
        self.bits = bits.read(0, bits.size)
        bits.close()
        self.digests = StoredNumbers(_table(folder))


_open: dict[Path, _Index] = {}


def open_index(folder: Path) -> _Index:
    """Return what ``folder`` has noted, opened once for each process.

    Raises:
        OutputError: It cannot be opened.
    """
    found = _open.get(folder)
    if found is None:
        found = _open[folder] = _Index(folder)
    return found


def close_index(folder: Path) -> None:
    """Close what this process opened, before the folder is removed; no work may be under way."""
    found = _open.pop(folder, None)
    if found is not None:
        found.digests.close()


@dataclass(slots=True, kw_only=True)
class Place:
    """Where copies are: a path in a collection, or any other member."""

    copies: int = 0
    """Values with a copy of LONG bytes or more in them; stretches of bytes, in any other member."""
    equal: int = 0
    """Values that equal a short sealed text."""
    examples: list[str] = field(default_factory=list)
    """The ``_id`` of the first documents, or the first offsets."""

    def add(self, other: Place) -> None:
        """Add what was found later."""
        self.copies += other.copies
        self.equal += other.equal
        self.examples.extend(other.examples[: MOST_EXAMPLES - len(self.examples)])


Places = dict[str, Place]
"""By path."""


def search_run(run: Run, secret: Secret, folder: Path) -> Places:
    """Return where a run of documents has copies of what ``folder`` has noted."""
    index, found = open_index(folder), Places()
    hits = _hits(run.data, secret, index)
    shorts = find_shorts(run, secret, index.bits)
    start, at = 0, 0
    for number, end in enumerate(run.ends):
        own = []
        while at < len(hits) and hits[at] < end:
            own.append(hits[at] - start)
            at += 1
        document = run.data[start:end]
        start = end
        if not own and shorts is not None and number not in shorts:
            continue
        try:
            _search_document(document, own, secret, index, found)
        except KitError:
            _found(found, OTHER, document, copies=1 if own else 0)
    return found


def _hits(data: bytes, secret: Secret, index: _Index) -> list[int]:
    windows = find_windows(data, secret, index.bits)
    return [at for at in windows if secret.digest(data[at : at + WINDOW]) in index.digests]


def _search_document(document: bytes, hits: list[int], secret: Secret, index: _Index, found: Places) -> None:
    inside = 0
    for text in texts_in(document):
        if text.end - text.start < LONG:
            whole = document[text.start : text.end]
            if whole and is_marked(whole, secret, index.bits) and secret.whole_digest(whole) in index.digests:
                _found(found, spell(text.steps), document, equal=1)
            continue
        own = bisect_right(hits, text.end - WINDOW) - bisect_left(hits, text.start)
        if own > 0:
            inside += own
            _found(found, spell(text.steps), document, copies=1)
    if inside < len(hits):
        _found(found, OTHER, document, copies=1)


def _found(found: Places, path: str, document: bytes, *, copies: int = 0, equal: int = 0) -> None:
    if copies or equal:
        found.setdefault(path, Place()).add(Place(copies=copies, equal=equal, examples=[document_name(document)]))


@dataclass(slots=True, kw_only=True)
class Stretches:
    """Where a block of any other member has copies: the first and the last window of each stretch."""

    found: list[tuple[int, int]] = field(default_factory=list)


def search_bytes(block: bytes, offset: int, secret: Secret, folder: Path) -> Stretches:
    """Return where a block, which begins at ``offset`` of its member, has copies of what ``folder`` has noted."""
    done = Stretches()
    for hit in _hits(block, secret, open_index(folder)):
        add_stretch(done.found, (offset + hit, offset + hit))
    return done


def add_stretch(found: list[tuple[int, int]], more: tuple[int, int]) -> None:
    """Add a stretch, which becomes part of the last one where no whole window fits between them."""
    if found and more[0] - found[-1][1] <= WINDOW:
        found[-1] = found[-1][0], max(found[-1][1], more[1])
    else:
        found.append(more)


def overlapping(chunks: Iterable[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Yield a stream in blocks with their offsets; each begins with the end of the last, so that no window is cut."""
    held, offset = b"", 0
    for chunk in chunks:
        held += chunk
        if len(held) >= size:
            yield offset, held
            kept = held[-(WINDOW - 1) :]
            held, offset = kept, offset + len(held) - len(kept)
    if held:
        yield offset, held
