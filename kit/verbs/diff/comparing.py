"""Reads two kits and collates them: one pass to find which documents differ, a second one to find how.

Each pass is strict, and each kit is opened once. Workers sketch runs of documents and compare pairs. Results
are on disk (:mod:`kit.verbs.diff.collation`), and so are the first documents of pairs, compressed. Memory is bounded by
the pipeline's budget and the number of members.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

from kit.archive.read.headers import EntryKind
from kit.archive.read.reader import KitReader, changed_meanwhile
from kit.archive.read.tar import Member
from kit.engine.declared import DeclaredCollections
from kit.engine.passing import Digests, entries, read_first
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey, member_runs, read_whole
from kit.values import CollectionName, MemberPath, Sha256
from kit.verbs.diff.collation import AFTER, BEFORE, Collation, MigratedPair, WantedPair, find_advisories, mark_migrated
from kit.verbs.diff.describing import describe_each
from kit.verbs.diff.documents import Compared, Pair, Sketches, compare_appended, compare_pairs, compress, sketch_run
from kit.verbs.diff.fields import FieldChange
from kit.verbs.diff.packages import put_descriptions, wanted_descriptions

_BATCH_BYTES = 4 * 1024 * 1024
_RECORDED = 4096
"""Pairs that are recorded at a time."""
_COUNT_FIELD = """
    INSERT INTO field VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (collection, scope, path, how) DO UPDATE SET count = count + excluded.count
"""
Passes = Callable[[Stage, KitReader], AbstractContextManager[Pipeline]]
"""Starts one pass over a kit."""
BY_IDENTITY, BY_ADVISORY = 0, 1
"""The pairs over which fields are counted: documents of one ``_id``, or latest observations of one advisory."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """The contents of one kit."""

    survey: Survey = field(default_factory=Survey)
    documents: Counter[int] = field(default_factory=Counter)
    """Number of documents, by the number of the collection."""


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Two kits, collated; the rest is in the :class:`Collation`."""

    before: Reading
    after: Reading
    collections: dict[CollectionName, int]
    """The number each collection has in the collation."""


class Comparer:
    """Collates two kits into a :class:`Collation`."""

    def __init__(self, collation: Collation, begin: Passes) -> None:
        """Read each kit with the pipeline that ``begin`` returns for a pass."""
        self._collation = collation
        self._begin = begin
        self._collections: dict[CollectionName, int] = {}

    def compare(self, before: KitReader, after: KitReader, *, keep: Callable[[MemberPath], bool]) -> Comparison:
        """Read both kits; read them twice if they differ in more than what a patch appends.

        Args:
            before: The first kit.
            after: The second one.
            keep: Returns whether to hold a member in memory.

        Raises:
            KitError: A kit is malformed, cannot be read, or changed meanwhile; or the disk is full.
        """
        readings = [self._read(side, reader, keep) for side, reader in ((BEFORE, before), (AFTER, after))]
        self._collation.match()
        find_advisories(self._collation)
        _record_migrated(self._collation)
        with self._begin(Stage.COMPARE, before) as pipeline:
            self._keep_first_documents(before, _read_numbered(before, readings[BEFORE], 1), pipeline)
        with self._begin(Stage.COMPARE, after) as pipeline:
            first = 1 + readings[BEFORE].documents.total()
            self._compare_pairs(after, _read_numbered(after, readings[AFTER], first), pipeline)
        mark_migrated(self._collation)
        return Comparison(before=readings[BEFORE], after=readings[AFTER], collections=self._collections)

    def _read(self, side: int, reader: KitReader, keep: Callable[[MemberPath], bool]) -> Reading:
        with self._begin(Stage.SURVEY, reader) as pipeline:
            return self._survey(side, reader, keep, pipeline)

    def _survey(self, side: int, reader: KitReader, keep: Callable[[MemberPath], bool], pipeline: Pipeline) -> Reading:
        reading = Reading()
        reading.survey.allowed = reader.allowed
        links: Digests = {}
        declared = DeclaredCollections(reader)

        def visit(member: Member, body: Iterator[bytes]) -> None:
            reading.survey.add_entry(member)
            if member.path is None or member.kind is EntryKind.DIRECTORY:
                return
            if not member.is_file:
                links[member.path] = (Sha256.of(member.link_target.encode()), member.size)
            collection = declared.member(member.path) if member.is_file else None
            if keep(member.path):
                reading.survey.kept[member.path] = declared.note(member.path, read_whole(member, body, reader.limits))
            elif collection is not None:
                reading.survey.collections[member.path] = collection
                number = self._collections.setdefault(collection.name, len(self._collections))
                then = _Delivery(self._collation, side, number, reading.documents)
                for run in member_runs(collection, body, reader):
                    where = str(collection.path)
                    pipeline.submit(
                        sketch_run, collection.name, run, cost=len(run.data), weight=run.weight, then=then, where=where
                    )

        reading.survey.members = read_first(reader, visit) | links
        declared.require_found(reading.survey.members)
        pipeline.drain()
        return reading

    def _keep_first_documents(
        self, reader: KitReader, documents: Iterator[tuple[int, bytes]], pipeline: Pipeline
    ) -> None:
        """Keep the first document of each pair, and submit advisories for description."""
        described = _Descriptions(self._collation, pipeline, reader, BEFORE)
        wanted = self._collation.wanted_before()
        due = next(wanted, None)
        while due is not None or described.due is not None:
            number, document = _next(documents, reader.path)
            described.see(number, document)
            if due is not None and number == due.number:
                _check_same(document, due.digest, reader.path)
                with self._collation.disk_errors():
                    self._collation.database.execute("INSERT INTO spill VALUES (?, ?)", (number, compress(document)))
                due = next(wanted, None)
        described.submit()
        pipeline.drain()

    def _compare_pairs(self, reader: KitReader, documents: Iterator[tuple[int, bytes]], pipeline: Pipeline) -> None:
        """Read the second document of each pair, and submit the pairs for comparison and advisories for description."""
        described = _Descriptions(self._collation, pipeline, reader, AFTER)
        wanted = self._collation.wanted_after()
        due = next(wanted, None)
        batch = _Batch(self._collation, pipeline, reader)
        while due is not None or described.due is not None:
            number, document = _next(documents, reader.path)
            described.see(number, document)
            while due is not None and number == due.number:
                _check_same(document, due.digest, reader.path)
                batch.add(due, document)
                due = next(wanted, None)
        described.submit()
        batch.submit()
        pipeline.drain()


def _next(documents: Iterator[tuple[int, bytes]], path: Path) -> tuple[int, bytes]:
    found = next(documents, None)
    if found is None:
        raise changed_meanwhile(path)
    return found


@dataclass(slots=True)
class _Delivery:
    """Stores the sketches of one member's runs, in order."""

    collation: Collation
    side: int
    collection: int
    documents: Counter[int]

    def __call__(self, sketches: Sketches) -> None:
        self.documents[self.collection] += sketches.documents
        self.collation.put(self.side, self.collection, sketches.each)


class _Batch:
    """Pairs collected for a worker."""

    def __init__(self, collation: Collation, pipeline: Pipeline, reader: KitReader) -> None:
        self._collation = collation
        self._pipeline = pipeline
        self._reader = reader
        self._wanted: list[WantedPair] = []
        self._pairs: list[Pair] = []
        self._bytes = 0

    def add(self, wanted: WantedPair, document: bytes) -> None:
        with self._collation.disk_errors():
            query = "SELECT data FROM spill WHERE document = ?"
            (before,) = self._collation.database.execute(query, (wanted.before,)).fetchone()
        self._wanted.append(wanted)
        self._pairs.append(Pair(wanted.pair, wanted.name, before, document))
        self._bytes += len(before) + len(document)
        if self._bytes >= _BATCH_BYTES:
            self.submit()

    def submit(self) -> None:
        wanted = {pair.pair: pair for pair in self._wanted}

        def then(results: list[Compared]) -> None:
            with self._collation.disk_errors():
                _record(self._collation, wanted, results)

        where = str(self._reader.path)
        self._pipeline.submit(compare_pairs, self._pairs, cost=self._bytes, then=then, where=where)
        self._wanted, self._pairs, self._bytes = [], [], 0


class _Descriptions:
    """Observations of one kit gathered for a worker that describes them."""

    def __init__(self, collation: Collation, pipeline: Pipeline, reader: KitReader, side: int) -> None:
        self._collation = collation
        self._pipeline = pipeline
        self._reader = reader
        self._wanted = wanted_descriptions(collation, side)
        self._documents: list[tuple[int, bytes]] = []
        self._bytes = 0
        self.due = next(self._wanted, None)
        """Number and digest of the next one."""

    def see(self, number: int, document: bytes) -> None:
        """Take a document if it is the next one."""
        if self.due is None or number != self.due[0]:
            return
        _check_same(document, self.due[1], self._reader.path)
        self._documents.append((number, document))
        self._bytes += len(document)
        self.due = next(self._wanted, None)
        if self._bytes >= _BATCH_BYTES:
            self.submit()

    def submit(self) -> None:
        """Hand what was gathered to a worker."""
        if self._documents:
            where = str(self._reader.path)
            then = partial(put_descriptions, self._collation)
            self._pipeline.submit(describe_each, self._documents, cost=self._bytes, then=then, where=where)
        self._documents, self._bytes = [], 0


def _record_migrated(collation: Collation) -> None:
    """Record the pairs whose sketches already show the result of a comparison: millions of them, after a patch.

    Raises:
        OutputError: The disk is full or failed.
    """
    migrated = collation.migrated()
    while some := list(islice(migrated, _RECORDED)):
        compared = [compare_appended(pair.pair, gained=pair.gained, elements=pair.elements) for pair in some]
        with collation.disk_errors():
            _record(collation, {pair.pair: pair for pair in some}, compared)


def _record(collation: Collation, wanted: Mapping[int, WantedPair | MigratedPair], results: Sequence[Compared]) -> None:
    counts: Counter[tuple[int, int, str, str]] = Counter()
    for result in results:
        pair = wanted[result.number]
        for scope, is_one in ((BY_IDENTITY, pair.by_identity), (BY_ADVISORY, pair.by_advisory)):
            if is_one:
                counts.update((pair.collection, scope, path, how) for path, how in result.all)
    unread: list[tuple[int, str]] = []
    for result in results:
        pair = wanted[result.number]
        if isinstance(pair, WantedPair):
            unread += [(at, why) for at, why in zip((pair.before, pair.number), result.unread, strict=True) if why]
    collation.put_unread(unread)
    rows = ((result.is_migration, result.total, _encode_changes(result.shown), result.number) for result in results)
    collation.database.executemany("UPDATE pair SET is_migration = ?, total = ?, shown = ? WHERE number = ?", rows)
    collation.database.executemany(_COUNT_FIELD, ((*key, count) for key, count in counts.items()))


@lru_cache(maxsize=64)  # of migrated documents nearly all are the same
def _encode_changes(changes: tuple[FieldChange, ...]) -> str:
    return json.dumps([(c.path, c.how.value, c.times, c.before, c.after) for c in changes])


def _read_numbered(reader: KitReader, reading: Reading, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield the documents of every collection again, numbered as when they were collated."""
    number = first
    for member, body in entries(reader):  # each document is compared with what was sketched
        collection = reading.survey.collections.get(member.path) if member.path is not None else None
        if collection is None:
            continue
        for run in member_runs(collection, body, reader):
            for document in run:
                yield number, document
                number += 1


def _check_same(document: bytes, digest: bytes, path: Path) -> None:
    if hashlib.sha256(document).digest() != digest:
        raise changed_meanwhile(path)
