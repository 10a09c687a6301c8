"""The documents of a kit on disk, ticked off one after the other as they are found elsewhere.

What was signed is kept as fingerprints; what is found and is none of that is kept whole, compressed, until the signed
document of its ``_id`` is read again. Memory is bounded, whatever either side holds. Laws: every signed document is
ticked off at most once, and every document that is found ticks off at most one; the result does not depend on the order
in which documents come.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import zstandard

from kit.output.scratch import disk_errors, scratch_database, spill_next_to
from kit.values import CollectionName
from kit.verbs.compare.documents import Fingerprint, Standing

_SCHEMA = """
    CREATE TABLE signed (number INTEGER PRIMARY KEY, collection INTEGER, identity BLOB, digest BLOB, name TEXT,
        tenant TEXT, found INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE other (number INTEGER PRIMARY KEY, collection INTEGER, identity BLOB, digest BLOB, name TEXT,
        tenant TEXT, data BLOB);
    CREATE TABLE outcome (standing TEXT, collection INTEGER, tenant TEXT, name TEXT, fields TEXT);
"""
_TICK = """
    UPDATE signed SET found = 1 WHERE number = (SELECT number FROM signed
        WHERE collection = ? AND identity = ? AND digest = ? AND found = 0 LIMIT 1)
"""
_RANKED = """
    SELECT number, collection, identity, row_number() OVER (PARTITION BY collection, identity ORDER BY digest) AS rank
"""
_PAIR = f"""
    CREATE TABLE pair AS SELECT one.number AS signed, two.number AS other
    FROM ({_RANKED} FROM signed WHERE found = 0) one JOIN ({_RANKED} FROM other) two USING (collection, identity, rank)
"""  # noqa: S608  no text of anybody else
_LEFT = (
    "CREATE INDEX pair_signed ON pair (signed)",
    "CREATE INDEX pair_other ON pair (other)",
    f"""INSERT INTO outcome SELECT '{Standing.MISSING}', collection, tenant, name, '' FROM signed
        WHERE found = 0 AND number NOT IN (SELECT signed FROM pair)""",  # noqa: S608
    f"""INSERT INTO outcome SELECT '{Standing.EXTRA}', collection, tenant, name, '' FROM other
        WHERE number NOT IN (SELECT other FROM pair)""",  # noqa: S608
)
_FETCHED = 1000
_BETWEEN = "\0"
"""Separates the names of fields, which cannot have it."""


class Outcome(NamedTuple):
    """A document that is not equal."""

    standing: Standing
    collection: CollectionName
    tenant: str
    name: str
    fields: tuple[str, ...]
    """Of a document that has changed, those that differ; of an allowed one, those that were added."""


class Ledger:
    """A context manager that closes the file; the caller removes its folder."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            OutputError: It cannot be created there.
        """
        self._path = path
        self._signed, self._others = itertools.count(1), itertools.count(1)
        self._collections: dict[CollectionName, int] = {}
        self._resources = ExitStack()
        with self._disk():
            self._database = scratch_database(path)
            self._resources.callback(self._database.close)
            self._resources.enter_context(spill_next_to(self._database, path))
            self._database.executescript(_SCHEMA)
            self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def collections(self) -> tuple[CollectionName, ...]:
        """Return the collections of the kit, in its order."""
        return tuple(self._collections)

    def begin(self, collection: CollectionName) -> None:
        """Note a collection of the kit, which may have no document."""
        self._collections.setdefault(collection, len(self._collections))

    def sign(self, collection: CollectionName, prints: Iterable[Fingerprint]) -> None:
        """Note signed documents of a collection, in the order of the kit.

        Raises:
            OutputError: The disk is full or failed.
        """
        number = self._collections[collection]
        rows = ((at, number, *one, 0) for one, at in zip(prints, self._signed, strict=False))
        with self._disk():
            self._database.executemany("INSERT INTO signed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def index(self) -> None:
        """Prepare for :meth:`find`, once every signed document is noted.

        Raises:
            OutputError: The disk is full or failed.
        """
        with self._disk():
            self._database.execute("CREATE INDEX by_identity ON signed (collection, identity)")

    def find(self, collection: CollectionName, one: Fingerprint, document: bytes) -> None:
        """Tick off the signed document that was found, or keep what is none.

        Raises:
            OutputError: The disk is full or failed.
        """
        number = self._collections[collection]
        with self._disk():
            if self._database.execute(_TICK, (number, one.identity, one.digest)).rowcount:
                return
            data = zstandard.compress(document, 1)
            row = (next(self._others), number, *one, data)
            self._database.execute("INSERT INTO other VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def pair(self) -> bool:
        """Pair what was not found with what was found instead; return whether there is a pair to be judged.

        Raises:
            OutputError: The disk is full or failed.
        """
        with self._disk():
            self._database.execute(_PAIR)
            for statement in _LEFT:
                self._database.execute(statement)
            return self._database.execute("SELECT 1 FROM pair LIMIT 1").fetchone() is not None

    def paired(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield the number of a signed document, its digest and the document found instead, in the order of the kit.

        Raises:
            OutputError: The disk is full or failed.
        """
        query = """SELECT pair.signed, signed.digest, other.data FROM pair JOIN signed ON signed.number = pair.signed
            JOIN other ON other.number = pair.other ORDER BY pair.signed"""
        for number, digest, data in self._rows(query):
            yield number, digest, zstandard.decompress(data)

    def settle(self, number: int, standing: Standing, fields: tuple[str, ...]) -> None:
        """Note what became of the signed document of that number, which is one of a pair.

        Raises:
            OutputError: The disk is full or failed.
        """
        query = "INSERT INTO outcome SELECT ?, collection, tenant, name, ? FROM signed WHERE number = ?"
        with self._disk():
            self._database.execute(query, (str(standing), _BETWEEN.join(fields), number))

    def counts(self) -> Iterator[tuple[CollectionName, str, Standing, int]]:
        """Yield the number of documents by collection, tenant and standing; each is counted once.

        Raises:
            OutputError: The disk is full or failed.
        """
        names = self.collections()
        equal = f"SELECT collection, tenant, '{Standing.EQUAL}', count(*) FROM signed WHERE found = 1 GROUP BY 1, 2"  # noqa: S608
        rest = "SELECT collection, tenant, standing, count(*) FROM outcome GROUP BY 1, 2, 3"
        for query in (equal, rest):
            for collection, tenant, standing, count in self._rows(query):
                yield names[collection], tenant, Standing(standing), count

    def outcomes(self, standing: Standing, limit: int) -> Iterator[Outcome]:
        """Yield the first documents of that standing, by collection and name.

        Raises:
            OutputError: The disk is full or failed.
        """
        names = self.collections()
        query = f"""SELECT collection, tenant, name, fields FROM outcome WHERE standing = '{standing}'
            ORDER BY collection, name, tenant, fields LIMIT {limit}"""  # noqa: S608
        for collection, tenant, name, fields in self._rows(query):
            listed = tuple(fields.split(_BETWEEN)) if fields else ()
            yield Outcome(standing, names[collection], tenant, name, listed)

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        with self._disk():
            cursor = self._database.execute(query)
        while True:
            with self._disk():
                rows = cursor.fetchmany(_FETCHED)
            if not rows:
                return
            yield from rows

    def _disk(self) -> AbstractContextManager[None]:
        return disk_errors(self._path, "the comparison", "name a folder with more room: --temp DIR")
