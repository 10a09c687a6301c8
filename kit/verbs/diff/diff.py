"""``kit diff``: the differences of two kits, by advisories, documents and members.

Both kits are read strictly and nothing is verified; signers are shown as by ``kit inspect``. The report is queried from
the collation of the comparison: counts, and the first few items of each kind, in a fixed order. Laws: the report does
not depend on the order of documents in either kit, and exchanging the kits mirrors it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from kit.archive.read.reader import KitReader, open_kit
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage, watch_pass
from kit.errors import UsageError
from kit.output.scratch import scratch_folder
from kit.transforms.coverage import is_observations
from kit.values import CollectionName, MemberPath, Sha256
from kit.verbs.diff.collation import AFTER, BEFORE, RAW_LINKSET, STATES, Collation
from kit.verbs.diff.comparing import BY_ADVISORY, BY_IDENTITY, Comparer, Comparison
from kit.verbs.diff.fields import FieldChange, How
from kit.verbs.inspect import KitFacts, facts
from kit.verbs.verify.kits import Environment, is_kept, open_with_workers

__all__ = [
    "AdvisoryChange",
    "AdvisoryDifferences",
    "CollectionDifferences",
    "DiffReport",
    "DiffRequest",
    "Differences",
    "DocumentChange",
    "FieldChange",
    "FieldTotal",
    "Listed",
    "MemberChange",
    "MemberDifferences",
    "RawLinksetChange",
    "T",
    "TenantCount",
    "UnreadDocument",
    "diff",
]

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

    def __init__(self, collation: Collation, *, limit: int) -> None:
        """List at most ``limit`` of anything."""
        self._collation = collation
        self._limit = limit

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
            one.name, two.name, coalesce(two.flags, one.flags) & 1, pair.total, pair.shown
            FROM advisory LEFT JOIN document one ON one.number = advisory.before
            LEFT JOIN document two ON two.number = advisory.after LEFT JOIN pair ON pair.number = advisory.pair
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
    tenant, target, vendor, upstream_id, count_before, count_after, before, after, withdrawn, total, shown = row
    return AdvisoryChange(
        tenant=tenant,
        moved_to=target,
        vendor=vendor,
        upstream_id=upstream_id,
        observations=(count_before, count_after),
        documents=(before, after),
        withdrawn=bool(withdrawn),
        fields=_fields(total, shown),
    )


LISTED = 20
"""Default number of items of each kind that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChange:
    """A member that one kit lacks, or that has other bytes in it."""

    path: MemberPath
    kind: str
    """``collection``, ``manifest`` (its signatures and history included) or ``file``."""
    before: int | None
    """Size as stored; None if the kit lacks it."""
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDifferences:
    """Members by path."""

    added: Listed[MemberChange]
    changed: Listed[MemberChange]
    removed: Listed[MemberChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisoryDifferences:
    """What became of the advisories of one collection of observations; each is listed exactly once."""

    added: Listed[AdvisoryChange]
    changed: Listed[AdvisoryChange]
    migrated: Listed[AdvisoryChange]
    """Nothing but rawLinkset or encryption differs."""
    withdrawn: Listed[AdvisoryChange]
    """Their publisher withdrew them: the latest observation states so, and that of the first kit does not."""
    reinstated: Listed[AdvisoryChange]
    removed: Listed[AdvisoryChange]
    """No observation is left."""
    moved: Listed[AdvisoryChange]
    """From one tenant to another."""
    fields: Listed[FieldTotal]
    """How the latest observations differ, over all advisories."""
    raw_linkset_gained: RawLinksetChange
    """Over observations of one ``_id``, per tenant."""
    raw_linkset_lost: RawLinksetChange


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionDifferences:
    """Documents of one collection, by ``_id``, whichever members they are in."""

    name: CollectionName
    before: int
    after: int
    added: Listed[str]
    changed: Listed[DocumentChange]
    removed: Listed[str]
    unresolvable: Listed[UnreadDocument]
    """Documents that cannot be read as far as a comparison needs; only their bytes and ``_id`` are compared."""
    fields: Listed[FieldTotal]
    """Over documents."""
    advisories: AdvisoryDifferences | None
    """Of a collection of observations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffReport:
    """How the second kit differs from the first."""

    before: KitFacts
    after: KitFacts
    collections: tuple[CollectionDifferences, ...]
    """By name."""
    members: MemberDifferences
    limit: int

    @property
    def is_different(self) -> bool:
        """Whether any member differs; containers and the order of members do not count."""
        return bool(self.members.added.total or self.members.changed.total or self.members.removed.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRequest:
    """Which kits to compare."""

    before: Path
    after: Path
    limit: int = LISTED
    """How many items of each kind to list; all are counted."""
    temporary: Path | None = None
    """Where to create the folder for what does not fit in memory; by default, the system's temporary folder."""


def diff(request: DiffRequest, environment: Environment | None = None) -> DiffReport:
    """Read two kits and return how they differ.

    Raises:
        KitError: One of them is malformed or not readable, or changed meanwhile; or the disk is full.
    """
    environment = environment or Environment()
    if request.limit < 0:
        raise UsageError("the limit is negative")
    with (
        open_with_workers(request.before, environment, request.after) as before,
        open_kit(request.after, limits=environment.limits, allowed=environment.allowed) as after,
        scratch_folder(request.temporary) as folder,
        Collation(folder / "collation") as collation,
    ):

        def begin(stage: Stage, reader: KitReader) -> AbstractContextManager[Pipeline]:
            # Both kits share the workers that the first was opened with.
            pipeline = Pipeline(before.executor, budget=before.budget)
            every = environment.batch_documents
            return watch_pass(environment.progress, stage, reader, pipeline, batch_documents=every)

        comparison = Comparer(collation, begin).compare(before.reader, after, keep=is_kept)
        found = Differences(collation, limit=request.limit)
        return DiffReport(
            before=KitFacts(**facts(before.reader, comparison.before.survey)),
            after=KitFacts(**facts(after, comparison.after.survey)),
            collections=tuple(_collections(comparison, found)),
            members=_members(comparison, request.limit),
            limit=request.limit,
        )


def _collections(comparison: Comparison, found: Differences) -> Iterator[CollectionDifferences]:
    for name, number in sorted(comparison.collections.items()):
        yield CollectionDifferences(
            name=name,
            before=comparison.before.documents[number],
            after=comparison.after.documents[number],
            added=found.only_in(AFTER, number),
            changed=found.changed(number),
            removed=found.only_in(BEFORE, number),
            unresolvable=found.unresolvable(number),
            fields=found.fields(number, BY_IDENTITY),
            advisories=_advisories(number, found) if is_observations(name) else None,
        )


def _advisories(number: int, found: Differences) -> AdvisoryDifferences:
    return AdvisoryDifferences(
        **{state: found.advisories(number, state) for state in STATES},
        fields=found.fields(number, BY_ADVISORY),
        raw_linkset_gained=found.raw_linkset(number, gained=True),
        raw_linkset_lost=found.raw_linkset(number, gained=False),
    )


def _members(comparison: Comparison, limit: int) -> MemberDifferences:
    before, after = comparison.before.survey.members, comparison.after.survey.members
    listed = {
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(path for path in before.keys() & after.keys() if before[path][0] != after[path][0]),
        "removed": sorted(before.keys() - after.keys()),
    }
    collections = comparison.before.survey.collections.keys() | comparison.after.survey.collections.keys()
    return MemberDifferences(
        **{
            how: Listed(
                total=len(paths),
                items=tuple(
                    MemberChange(
                        path=path,
                        kind="manifest" if is_kept(path) else "collection" if path in collections else "file",
                        before=_size(before, path),
                        after=_size(after, path),
                    )
                    for path in paths[:limit]
                ),
            )
            for how, paths in listed.items()
        }
    )


def _size(members: Mapping[MemberPath, tuple[Sha256, int]], path: MemberPath) -> int | None:
    found = members.get(path)
    return found[1] if found is not None else None
