"""Queries of the collation of a comparison: counts, and the first few items of each kind, in a fixed order.

Law: the result does not depend on the order of documents in either kit, and exchanging the kits mirrors it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kit.verbs.diff.collation import RAW_LINKSET, Collation
from kit.verbs.diff.fields import FieldChange, How
from kit.verbs.diff.packages import Listed, PackageChange, T, find_package_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChange:
    """A document that changed, by its ``_id``."""

    document: str
    fields: Listed[FieldChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadDocument:
    """A document that cannot be read as far as a comparison needs."""

    document: str
    side: int
    """The kit that it is in: ``BEFORE`` or ``AFTER``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTotal:
    """How often a field changed in one way."""

    path: str
    how: How
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutAdvisory:
    """What the latest observation of an advisory states of it, as its upstream document has it."""

    title: str | None
    severity: str | None
    aliases: tuple[str, ...]
    published: str | None
    modified: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisoryChange:
    """What became of an advisory."""

    tenant: str
    """If it moved, the tenant that it left."""
    moved_to: str | None
    vendor: str
    upstream_id: str
    observations: tuple[int, int]
    """Before and after."""
    documents: tuple[str | None, str | None]
    """The ``_id`` of the latest observation, before and after."""
    withdrawn: bool
    """Whether the latest observation states that the publisher withdrew the advisory."""
    fields: Listed[FieldChange]
    """How the latest observations differ; empty if only earlier ones do."""
    about: tuple[AboutAdvisory | None, AboutAdvisory | None] = (None, None)
    """Before and after; None if there is none, if it cannot be read, and both if either is encrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCount:
    """Observations of one tenant."""

    tenant: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLinksetChange:
    """Observations of one ``_id`` that gained ``rawLinkset``, or lost it."""

    observations: int
    tenants: Listed[TenantCount]


class Differences:
    """Queries a collation after a comparison."""

    def __init__(self, collation: Collation, *, limit: int | None) -> None:
        """List at most ``limit`` of anything; all if that is None."""
        self._collation = collation
        self._limit = limit if limit is not None else sys.maxsize

    def only_in(self, side: int, collection: int) -> Listed[str]:
        """Return the documents without a counterpart in the other kit, by name."""
        return self._list(
            """SELECT document.name FROM odd one JOIN document ON document.number = one.document
            WHERE one.collection = ? AND one.side = ? AND NOT EXISTS (SELECT 1 FROM odd two WHERE
            two.collection = one.collection AND two.identity = one.identity AND two.rank = one.rank
            AND two.side <> one.side) ORDER BY document.name, document.digest""",
            (collection, side),
            lambda row: str(row[0]),
        )

    def changed(self, collection: int) -> Listed[DocumentChange]:
        """Return the documents that differ, each with that of the same ``_id``."""
        return self._list(
            """SELECT document.name, pair.total, pair.shown FROM pair JOIN document ON document.number = pair.before
            WHERE pair.collection = ? AND pair.by_identity ORDER BY document.name, pair.number""",
            (collection,),
            lambda row: DocumentChange(document=row[0], fields=_fields(row[1], row[2])),
        )

    def unresolvable(self, collection: int) -> Listed[UnreadDocument]:
        """Return the documents that cannot be read, by name; one that is in both kits is listed twice."""
        return self._list(
            """SELECT document.name, document.side, min(unread.reason) AS reason FROM unread
            JOIN document ON document.number = unread.document WHERE document.collection = ?
            GROUP BY document.number ORDER BY document.name, document.digest, document.side, document.number""",
            (collection,),
            lambda row: UnreadDocument(document=row[0], side=row[1], reason=row[2]),
        )

    def fields(self, collection: int, scope: int) -> Listed[FieldTotal]:
        """Return the fields that changed, the most frequent first."""
        return self._list(
            "SELECT path, how, count FROM field WHERE collection = ? AND scope = ? ORDER BY count DESC, path, how",
            (collection, scope),
            lambda row: FieldTotal(path=row[0], how=How(row[1]), count=row[2]),
        )

    def advisories(self, collection: int, state: str) -> Listed[AdvisoryChange]:
        """Return the advisories in a state of :data:`kit.verbs.diff.collation.STATES`."""
        return self._list(
            """SELECT advisory.tenant, target, advisory.vendor, advisory.upstream, count_before, count_after,
            one.name, two.name, coalesce(two.flags, one.flags) & 1, pair.total, pair.shown,
            was.document, was.title, was.severity, was.aliases, was.published, was.modified,
            now.document, now.title, now.severity, now.aliases, now.published, now.modified
            FROM advisory LEFT JOIN document one ON one.number = advisory.before
            LEFT JOIN document two ON two.number = advisory.after LEFT JOIN pair ON pair.number = advisory.pair
            LEFT JOIN about was ON was.document = advisory.before LEFT JOIN about now ON now.document = advisory.after
            WHERE advisory.collection = ? AND advisory.state = ?
            ORDER BY advisory.vendor, advisory.upstream, advisory.tenant""",
            (collection, state),
            _advisory,
        )

    def raw_linkset(self, collection: int, *, gained: bool) -> RawLinksetChange:
        """Return per tenant how many observations of one ``_id`` gained rawLinkset, or lost it."""
        has, lacks = ("two", "one") if gained else ("one", "two")
        query = f"""SELECT coalesce(two.tenant, '') AS place, count(*) AS count FROM pair
            JOIN document one ON one.number = pair.before JOIN document two ON two.number = pair.after
            WHERE pair.collection = ? AND pair.by_identity
            AND {has}.flags & {RAW_LINKSET} AND NOT {lacks}.flags & {RAW_LINKSET}
            AND NOT EXISTS (SELECT 1 FROM unread WHERE unread.document IN (one.number, two.number))
            GROUP BY place ORDER BY place"""  # noqa: S608
        with self._collation.disk_errors():
            rows = self._collation.database.execute(query, (collection,)).fetchall()  # no more than tenants
        items = tuple(TenantCount(tenant=place, count=count) for place, count in rows[: self._limit])
        tenants = Listed(total=len(rows), items=items)
        return RawLinksetChange(observations=sum(count for _, count in rows), tenants=tenants)

    def packages(self, collection: int) -> Listed[PackageChange]:
        """Return the packages that other advisories match, or the same for other versions."""
        return find_package_changes(self._collation, collection, self._limit)

    def _list(self, query: str, parameters: tuple[object, ...], make: Callable[[Any], T]) -> Listed[T]:
        with self._collation.disk_errors():
            execute = self._collation.database.execute
            (total,) = execute(f"SELECT count(*) FROM ({query})", parameters).fetchone()  # noqa: S608  ours
            rows = execute(f"{query} LIMIT ?", (*parameters, self._limit)).fetchall()
        return Listed(total=total, items=tuple(make(row) for row in rows))


def _fields(total: int | None, shown: str | None) -> Listed[FieldChange]:
    changes = [] if shown is None else json.loads(shown)
    return Listed(
        total=total or 0,
        items=tuple(
            FieldChange(path=path, how=How(how), times=times, before=before, after=after)
            for path, how, times, before, after in changes
        ),
    )


def _advisory(row: tuple[Any, ...]) -> AdvisoryChange:
    tenant, target, vendor, upstream_id, count_before, count_after, before, after, withdrawn, total, shown = row[:11]
    about = _about(row[11:17]), _about(row[17:])
    if any(name is not None and one is None for name, one in zip((before, after), about, strict=True)):
        about = None, None
    return AdvisoryChange(
        tenant=tenant,
        moved_to=target,
        vendor=vendor,
        upstream_id=upstream_id,
        observations=(count_before, count_after),
        documents=(before, after),
        withdrawn=bool(withdrawn),
        fields=_fields(total, shown),
        about=about,
    )


def _about(row: tuple[Any, ...]) -> AboutAdvisory | None:
    document, title, severity, aliases, published, modified = row
    if document is None:
        return None
    names = tuple(json.loads(aliases))
    return AboutAdvisory(title=title, severity=severity, aliases=names, published=published, modified=modified)
