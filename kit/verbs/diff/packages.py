"""The package view of a comparison: which advisories match a package in one kit only, or for other versions.

An advisory that its publisher withdrew matches nothing. Tenants are not kept apart: an advisory counts once. Left out
are advisories of which one side is encrypted or cannot be read, since nothing is known of what they match.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from kit.verbs.diff.collation import WITHDRAWN, Collation
from kit.verbs.diff.describing import About

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[T]):
    """A count, and the first items."""

    total: int
    items: tuple[T, ...]

    @property
    def omitted(self) -> int:
        """Number of items that are counted but not listed."""
        return self.total - len(self.items)

    def first(self, limit: int) -> Listed[T]:
        """Return the same with at most ``limit`` items."""
        return Listed(total=self.total, items=self.items[:limit])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An advisory that matches a package, and for which versions in each kit; None if it does not match there."""

    vendor: str
    upstream_id: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package for which other advisories match, or the same for other versions."""

    package: str
    matches: tuple[Match, ...]
    """By advisory."""


_WANTED = """
    SELECT DISTINCT document.number, document.digest FROM advisory JOIN document ON document.number = advisory.%s
    LEFT JOIN pair ON pair.number = advisory.pair WHERE pair.total IS NULL ORDER BY document.number
"""
_IN_FORCE = f"""SELECT advisory.rowid AS advisory, advisory.vendor, advisory.upstream,
    package.name, package.versions, package.digest
    FROM advisory JOIN document ON document.number = advisory.%s JOIN package ON package.document = document.number
    WHERE advisory.collection = ? AND NOT document.flags & {WITHDRAWN} AND advisory.state <> 'migrated'
    AND (advisory.before IS NULL OR advisory.before IN (SELECT document FROM about))
    AND (advisory.after IS NULL OR advisory.after IN (SELECT document FROM about))"""  # noqa: S608  ours
_CHANGED = f"""
    WITH one AS ({_IN_FORCE % "before"}), two AS ({_IN_FORCE % "after"})
    SELECT DISTINCT one.name AS name, one.vendor AS vendor, one.upstream AS upstream, one.versions AS was,
        two.versions AS is_now FROM one LEFT JOIN two ON two.advisory = one.advisory AND two.name = one.name
        WHERE two.digest IS NULL OR two.digest <> one.digest
    UNION SELECT DISTINCT two.name, two.vendor, two.upstream, NULL, two.versions FROM two
        LEFT JOIN one ON one.advisory = two.advisory AND one.name = two.name WHERE one.digest IS NULL
"""  # noqa: S608  ours


def wanted_descriptions(collation: Collation, side: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and digest of each latest observation of one kit that is to be described, in the order of the kit.

    Not those that differ from their partner by an appended ``rawLinkset`` only: a patch makes millions of them.
    """
    yield from collation.rows(_WANTED % ("before", "after")[side])


def put_descriptions(collation: Collation, described: Iterable[tuple[int, About | None]]) -> None:
    """Store descriptions, by the numbers of their documents.

    Raises:
        OutputError: The disk is full or failed.
    """
    with collation.disk_errors():
        for number, about in described:
            if about is not None:
                row = (number, about.title, about.severity, json.dumps(about.aliases), about.published, about.modified)
                collation.database.execute("INSERT OR IGNORE INTO about VALUES (?, ?, ?, ?, ?, ?)", row)
                collation.database.executemany(
                    "INSERT OR IGNORE INTO package VALUES (?, ?, ?, ?)", ((number, *one) for one in about.packages)
                )


def find_package_changes(collation: Collation, collection: int, limit: int) -> Listed[PackageChange]:
    """Return the packages of one collection that match differently, by name; at most ``limit`` of them.

    Raises:
        OutputError: The disk is full or failed.
    """
    ordered = f"SELECT * FROM ({_CHANGED}) ORDER BY name, vendor, upstream, was, is_now"  # noqa: S608  ours
    with collation.disk_errors():
        rows = collation.database.execute(ordered, (collection, collection))
        total = 0
        items: list[PackageChange] = []
        for name, group in groupby(rows, key=lambda row: str(row[0])):
            total += 1
            if len(items) < limit:
                items.append(PackageChange(package=name, matches=tuple(map(_match, group))))
    return Listed(total=total, items=tuple(items))


def _match(row: tuple[Any, ...]) -> Match:
    _, vendor, upstream_id, before, after = row
    return Match(vendor=vendor, upstream_id=upstream_id, before=before, after=after)
