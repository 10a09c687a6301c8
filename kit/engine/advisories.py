"""From documents to advisories: what became of each (tenant, vendor, upstream id) that any difference concerns.

Each revision of an advisory is an observation, so a new one is an added document and a changed advisory. An advisory
is compared by the latest observation that each kit has of it: by when it was received, then by ``_id`` (the longer
number is the later one), then by digest. One that is gone under one tenant and new under another has moved.
"""

from __future__ import annotations

import sqlite3

from kit.engine.collation import WITHDRAWN, Collation

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
_MIGRATED = (
    # What has a document that came, went, or changed otherwise than by a migration.
    f"CREATE TABLE busy AS {_BUSY % ('before', 0)} UNION {_BUSY % ('after', 1)}",
    f"CREATE INDEX busy_key ON busy ({_KEY})",
    f"""UPDATE advisory SET state = 'migrated' WHERE state = 'changed' AND NOT EXISTS (SELECT 1 FROM busy WHERE
        {" AND ".join(f"busy.{name} = advisory.{name}" for name in _KEY.split(", "))})""",  # noqa: S608
)


def find_advisories(collation: Collation) -> None:
    """Make the table ``advisory`` of what is not the same, and the pairs of latest observations to compare.

    Raises:
        OutputError: The disk is full or failed.
    """
    _execute(collation, (*_COLLECT, *_MOVE, *_PAIR, _JUDGE))


def tell_migrated(collation: Collation) -> None:
    """Tell advisories that only were migrated from changed ones, once every pair has been compared.

    Raises:
        OutputError: The disk is full or failed.
    """
    _execute(collation, _MIGRATED)


def _execute(collation: Collation, statements: tuple[str, ...]) -> None:
    with collation.disk_errors():
        database: sqlite3.Connection = collation.database
        for statement in statements:
            database.execute(statement)
