"""Finds on disk which documents of two kits are the same, and what became of each advisory.

Each document is a row in one SQLite file: its identity, its digest and its advisory
(:class:`kit.verbs.diff.documents.Sketch`). Both sides are sorted by (collection, identity, digest) and merged. What is
on both sides is dropped; the others are paired by identity, the k-th with the k-th, so that documents that share an
``_id`` are counted exactly.

An advisory is (tenant, vendor, upstream id), and each of its revisions is an observation; so a new revision is an added
document and a changed advisory. An advisory is compared by its latest observation in each kit: by the time it was
received, then by ``_id`` (the longer number is the later one), then by digest. An advisory that is gone under one
tenant and new under another has moved.

Laws: the outcome does not depend on the order in which documents are stored; exchanging the sides mirrors it; memory
does not grow with the number of documents.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kit.output.scratch import disk_errors, scratch_database, spill_next_to
from kit.verbs.diff.documents import Sketch

BEFORE, AFTER = 0, 1
WITHDRAWN, RAW_LINKSET = 1, 2
"""Bits of a document's ``flags``."""
_FETCHED = 1000
"""Rows at a time."""

_SCHEMA = """
CREATE TABLE document (number INTEGER PRIMARY KEY, side INTEGER, collection INTEGER, identity BLOB, digest BLOB,
    name TEXT, vendor TEXT, upstream TEXT, tenant TEXT, moment INTEGER, flags INTEGER,
    without BLOB, elements INTEGER);
CREATE TABLE odd (collection INTEGER, identity BLOB, rank INTEGER, side INTEGER, document INTEGER,
    PRIMARY KEY (collection, identity, rank, side)) WITHOUT ROWID;
CREATE TABLE pair (number INTEGER PRIMARY KEY, collection INTEGER, before INTEGER, after INTEGER,
    by_identity INTEGER, by_advisory INTEGER, is_migration INTEGER, total INTEGER, shown TEXT);
CREATE TABLE unread (document INTEGER, reason TEXT);
CREATE INDEX unread_document ON unread (document);
CREATE TABLE spill (document INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE about (document INTEGER PRIMARY KEY, title TEXT, severity TEXT, aliases TEXT, published TEXT,
    modified TEXT);
CREATE TABLE package (document INTEGER, name TEXT, versions TEXT, digest BLOB,
    PRIMARY KEY (document, name)) WITHOUT ROWID;
CREATE TABLE field (collection INTEGER, scope INTEGER, path TEXT, how TEXT, count INTEGER,
    PRIMARY KEY (collection, scope, path, how)) WITHOUT ROWID;
"""
_ODD = """
    SELECT collection, identity, digest, number FROM document WHERE side = ?
    ORDER BY collection, identity, digest, number
"""
_PAIRS = """
    INSERT INTO pair (collection, before, after, by_identity, by_advisory, is_migration)
    SELECT one.collection, one.document, two.document, 1, 0, 0 FROM odd one JOIN odd two
    ON two.collection = one.collection AND two.identity = one.identity AND two.rank = one.rank AND two.side = 1
    WHERE one.side = 0 ORDER BY one.collection, one.identity, one.rank
"""
_WANTED_BEFORE = """
    SELECT DISTINCT document.number, digest FROM document JOIN pair ON pair.before = document.number
    WHERE pair.total IS NULL ORDER BY document.number
"""
_WANTED_AFTER = """
    SELECT document.number, document.digest, pair.number, pair.before, document.name, pair.collection,
        pair.by_identity, pair.by_advisory
    FROM pair JOIN document ON document.number = pair.after WHERE pair.total IS NULL
    ORDER BY document.number, pair.number
"""
_MIGRATED = """
    SELECT pair.number, pair.collection, pair.by_identity, pair.by_advisory, two.without = one.digest,
        CASE WHEN two.without = one.digest THEN two.elements ELSE one.elements END
    FROM pair JOIN document one ON one.number = pair.before JOIN document two ON two.number = pair.after
    WHERE two.without = one.digest OR one.without = two.digest ORDER BY pair.number
"""


class Wanted(NamedTuple):
    """A document to compare, found when its kit is read again."""

    number: int
    digest: bytes


class WantedPair(NamedTuple):
    """A pair whose second document is found when its kit is read again."""

    number: int
    """Of the second document."""
    digest: bytes
    """Of the second document."""
    pair: int
    before: int
    """The first document."""
    name: str
    collection: int
    by_identity: bool
    by_advisory: bool


class MigratedPair(NamedTuple):
    """A pair that need not be compared: both are the same, except that one ends in a ``rawLinkset``."""

    pair: int
    collection: int
    by_identity: bool
    by_advisory: bool
    gained: bool
    """Whether the second document has it."""
    elements: int
    """Number of its elements."""


class Collation:
    """The documents of two kits on disk. A context manager that closes the file; the caller removes its folder."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            OutputError: It cannot be created there.
        """
        self._path = path
        self._numbers = itertools.count(1)
        self._resources = ExitStack()
        with self.disk_errors():
            self.database = scratch_database(path)
            self._resources.callback(self.database.close)
            self._resources.enter_context(spill_next_to(self.database, path))
            self.database.executescript(_SCHEMA)
            self.database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def disk_errors(self) -> AbstractContextManager[None]:
        """Return a context that turns an error of SQLite into an ``OutputError``."""
        return disk_errors(self._path, "the comparison", "name a folder with more room: --temp DIR")

    def put(self, side: int, collection: int, sketches: Iterable[Sketch]) -> None:
        """Store documents of one side and number them; all of ``BEFORE`` come first.

        Raises:
            OutputError: The disk is full or failed.
        """
        numbered = [(number, sketch) for sketch, number in zip(sketches, self._numbers, strict=False)]
        rows = (_row(number, side, collection, sketch) for number, sketch in numbered)
        with self.disk_errors():
            self.database.executemany("INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.put_unread((number, sketch.unread) for number, sketch in numbered if sketch.unread)

    def put_unread(self, reasons: Iterable[tuple[int, str]]) -> None:
        """Store why documents cannot be read, by their numbers.

        Raises:
            OutputError: The disk is full or failed.
        """
        with self.disk_errors():
            self.database.executemany("INSERT INTO unread VALUES (?, ?)", reasons)

    def match(self) -> None:
        """Drop the documents that both sides have, and pair the others.

        Raises:
            OutputError: The disk is full or failed.
        """
        with self.disk_errors():
            self.database.execute("CREATE INDEX by_identity ON document (side, collection, identity, digest)")
            self.database.executemany("INSERT INTO odd VALUES (?, ?, ?, ?, ?)", _rank(self._unmatched()))
            self.database.execute(_PAIRS)
            self.database.execute("CREATE INDEX by_documents ON pair (before, after)")
            self.database.execute("CREATE INDEX by_after ON pair (after)")

    def migrated(self) -> Iterator[MigratedPair]:
        """Return the pairs whose sketches show that one document is the other with ``rawLinkset`` appended."""
        return (MigratedPair(*row) for row in self.rows(_MIGRATED))

    def wanted_before(self) -> Iterator[Wanted]:
        """Return the first documents of the pairs still to compare, in the order they were read."""
        return (Wanted(*row) for row in self.rows(_WANTED_BEFORE))

    def wanted_after(self) -> Iterator[WantedPair]:
        """Return the pairs still to compare, in the order their second documents were read."""
        return (WantedPair(*row) for row in self.rows(_WANTED_AFTER))

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, a thousand at a time.

        Raises:
            OutputError: The disk is full or failed.
        """
        with self.disk_errors():
            cursor = self.database.execute(query)
        while True:
            with self.disk_errors():
                rows = cursor.fetchmany(_FETCHED)
            if not rows:
                return
            yield from rows

    def _unmatched(self) -> Iterator[tuple[tuple[int, bytes, bytes], int, int]]:
        """Merge both sorted sides; yield (key, side, document) of what only one has, ordered by key."""
        sides = [self.database.execute(_ODD, (side,)) for side in (BEFORE, AFTER)]
        rows = [cursor.fetchone() for cursor in sides]
        while rows[BEFORE] or rows[AFTER]:
            keys = [row and row[:3] for row in rows]
            if keys[BEFORE] == keys[AFTER]:
                rows = [cursor.fetchone() for cursor in sides]
                continue
            side = BEFORE if keys[AFTER] is None or (keys[BEFORE] and keys[BEFORE] < keys[AFTER]) else AFTER
            yield keys[side], side, rows[side][3]
            rows[side] = sides[side].fetchone()


def _rank(
    odd: Iterable[tuple[tuple[int, bytes, bytes], int, int]],
) -> Iterator[tuple[int, bytes, int, int, int]]:
    """Number the documents of one identity on each side, in the order of their digests."""
    current: tuple[int, bytes] | None = None
    ranks = [0, 0]
    for (collection, identity, _), side, document in odd:
        if current != (collection, identity):
            current, ranks = (collection, identity), [0, 0]
        yield collection, identity, ranks[side], side, document
        ranks[side] += 1


def _row(number: int, side: int, collection: int, sketch: Sketch) -> tuple[object, ...]:
    head = (number, side, collection, sketch.identity, sketch.digest, sketch.name)
    tail = sketch.appended or (None, None)
    advisory = sketch.advisory
    if advisory is None:
        return (*head, None, None, None, None, 0, *tail)
    flags = WITHDRAWN * advisory.withdrawn + RAW_LINKSET * advisory.raw_linkset
    return (*head, advisory.vendor, advisory.upstream_id, advisory.tenant, advisory.moment, flags, *tail)


STATES = ("added", "changed", "migrated", "withdrawn", "reinstated", "removed", "moved")
"""What became of an advisory; exactly one each."""

_KEY = "collection, vendor, upstream, tenant"
_OF_DOCUMENT = ", ".join(f"document.{name}" for name in _KEY.split(", "))
_OF_TOUCHED = " AND ".join(f"document.{name} = touched.{name}" for name in _KEY.split(", "))
_LATEST = f"""
    (SELECT number FROM document WHERE {_OF_TOUCHED} AND side = %d
     ORDER BY moment DESC, length(name) DESC, name DESC, digest DESC LIMIT 1)
"""  # noqa: S608  names of columns
_COUNT = f"(SELECT count(*) FROM document WHERE {_OF_TOUCHED} AND side = %d)"  # noqa: S608
_COLLECT = (
    f"""CREATE TABLE touched AS SELECT DISTINCT {_OF_DOCUMENT} FROM odd
        JOIN document ON document.number = odd.document WHERE vendor IS NOT NULL""",  # noqa: S608
    f"CREATE INDEX by_advisory ON document ({_KEY}, side) WHERE vendor IS NOT NULL",
    f"""CREATE TABLE advisory AS SELECT {_KEY}, NULL AS target, '' AS state, NULL AS pair,
        {_COUNT % 0} AS count_before, {_COUNT % 1} AS count_after,
        {_LATEST % 0} AS before, {_LATEST % 1} AS after FROM touched""",  # noqa: S608
    f"CREATE INDEX advisory_key ON advisory ({_KEY})",
)
_MOVE = (
    # The k-th tenant an advisory left, with the k-th it came to.
    """CREATE TABLE mover AS SELECT rowid AS advisory, collection, vendor, upstream, tenant, count_after = 0 AS leaves,
        count_after AS count, after, row_number() OVER
        (PARTITION BY collection, vendor, upstream, count_after = 0 ORDER BY tenant) AS rank
        FROM advisory WHERE count_before = 0 OR count_after = 0""",
    "CREATE INDEX mover_key ON mover (collection, vendor, upstream, rank, leaves)",
    """CREATE TABLE move AS SELECT one.advisory AS source,
        two.advisory AS absorbed, two.tenant AS target, two.count, two.after
        FROM mover one JOIN mover two ON two.collection = one.collection AND two.vendor = one.vendor
        AND two.upstream = one.upstream AND two.rank = one.rank AND NOT two.leaves WHERE one.leaves""",
    """UPDATE advisory SET target = move.target, count_after = move.count, after = move.after
        FROM move WHERE move.source = advisory.rowid""",
    "DELETE FROM advisory WHERE rowid IN (SELECT absorbed FROM move)",
)
_PAIR = (
    """CREATE TABLE latest AS SELECT advisory.rowid AS advisory, advisory.collection, advisory.before, advisory.after
        FROM advisory JOIN document one ON one.number = advisory.before JOIN document two ON two.number = advisory.after
        WHERE one.digest <> two.digest""",
    """UPDATE pair SET by_advisory = 1 FROM latest
        WHERE pair.before = latest.before AND pair.after = latest.after""",
    """INSERT INTO pair (collection, before, after, by_identity, by_advisory, is_migration)
        SELECT collection, before, after, 0, 1, 0 FROM latest WHERE NOT EXISTS
        (SELECT 1 FROM pair WHERE pair.before = latest.before AND pair.after = latest.after)""",
    """UPDATE advisory SET pair = pair.number FROM pair
        WHERE pair.before = advisory.before AND pair.after = advisory.after AND pair.by_advisory""",
)
_WAS, _IS = (f"(SELECT flags & {WITHDRAWN} FROM document WHERE number = {side})" for side in ("before", "after"))  # noqa: S608
_JUDGE = f"""
    UPDATE advisory SET state = CASE
        WHEN target IS NOT NULL THEN 'moved'
        WHEN count_before = 0 THEN 'added'
        WHEN count_after = 0 THEN 'removed'
        WHEN {_WAS} < {_IS} THEN 'withdrawn'
        WHEN {_WAS} > {_IS} THEN 'reinstated'
        ELSE 'changed' END
"""  # noqa: S608
_BUSY = f"""SELECT {_OF_DOCUMENT} FROM odd JOIN document ON document.number = odd.document
    LEFT JOIN pair ON pair.by_identity AND pair.%s = odd.document
    WHERE odd.side = %d AND vendor IS NOT NULL AND (pair.number IS NULL OR NOT pair.is_migration)"""  # noqa: S608
_MIGRATED_OF_ADVISORY = (
    # Advisories with a document that was added, removed, or changed by anything but a migration.
    f"CREATE TABLE busy AS {_BUSY % ('before', 0)} UNION {_BUSY % ('after', 1)}",
    f"CREATE INDEX busy_key ON busy ({_KEY})",
    f"""UPDATE advisory SET state = 'migrated' WHERE state = 'changed' AND NOT EXISTS (SELECT 1 FROM busy WHERE
        {" AND ".join(f"busy.{name} = advisory.{name}" for name in _KEY.split(", "))})""",  # noqa: S608
)


def find_advisories(collation: Collation) -> None:
    """Fill the table ``advisory`` with advisories that differ, and add the pairs of latest observations to compare.

    Raises:
        OutputError: The disk is full or failed.
    """
    _execute(collation, (*_COLLECT, *_MOVE, *_PAIR, _JUDGE))


def mark_migrated(collation: Collation) -> None:
    """Mark the changed advisories that were only migrated, once every pair has been compared.

    Raises:
        OutputError: The disk is full or failed.
    """
    _execute(collation, _MIGRATED_OF_ADVISORY)


def _execute(collation: Collation, statements: tuple[str, ...]) -> None:
    with collation.disk_errors():
        database: sqlite3.Connection = collation.database
        for statement in statements:
            database.execute(statement)
