"""``kit diff``: the differences of two kits, by advisories, documents and members.

Both kits are read strictly and nothing is verified; signers are shown as by ``kit inspect``. The report is queried from
the collation of the comparison: counts, and the first few items of each kind, in a fixed order. Laws: the report does
not depend on the order of documents in either kit, and exchanging the kits mirrors it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kit.archive.read.reader import KitReader, open_kit
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage, watch_pass
from kit.errors import UsageError
from kit.output.scratch import scratch_folder
from kit.transforms.coverage import is_observations
from kit.values import CollectionName, MemberPath, Sha256
from kit.verbs.diff.collation import AFTER, BEFORE, STATES, Collation
from kit.verbs.diff.comparing import BY_ADVISORY, BY_IDENTITY, Comparer, Comparison
from kit.verbs.diff.fields import FieldChange
from kit.verbs.diff.finding import (
    AboutAdvisory,
    AdvisoryChange,
    Differences,
    DocumentChange,
    FieldTotal,
    RawLinksetChange,
    TenantCount,
    UnreadDocument,
)
from kit.verbs.diff.packages import Listed, Match, PackageChange, T
from kit.verbs.inspect import KitFacts, facts
from kit.verbs.verify.kits import Environment, is_kept, open_with_workers

__all__ = [
    "AboutAdvisory",
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
    "Match",
    "MemberChange",
    "MemberDifferences",
    "PackageChange",
    "RawLinksetChange",
    "T",
    "TenantCount",
    "UnreadDocument",
    "diff",
]

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
    packages: Listed[PackageChange]
    """What would match differently."""
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
    limit: int | None
    """How many of each kind are listed at most; None for all."""

    @property
    def is_different(self) -> bool:
        """Whether any member differs; containers and the order of members do not count."""
        return bool(self.members.added.total or self.members.changed.total or self.members.removed.total)

    def shortened(self, limit: int) -> DiffReport:
        """Return the same report with at most ``limit`` items of each kind."""
        if self.limit is not None and self.limit <= limit:
            return self
        short: DiffReport = _shorten(self, limit)
        return replace(short, limit=limit)


def _shorten(value: Any, limit: int) -> Any:
    """Return a part of a report with every list of it cut; the fields of one document or advisory are no such list."""
    if isinstance(value, Listed):
        return value.first(limit)
    if isinstance(value, tuple):
        return tuple(_shorten(one, limit) for one in value)
    if isinstance(value, _PARTS):
        return replace(value, **{one.name: _shorten(getattr(value, one.name), limit) for one in fields(value)})
    return value


_PARTS = (DiffReport, CollectionDifferences, AdvisoryDifferences, RawLinksetChange, MemberDifferences)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRequest:
    """Which kits to compare."""

    before: Path
    after: Path
    limit: int | None = LISTED
    """How many items of each kind to list, None for all; all are counted. A report of all is held in memory."""
    temporary: Path | None = None
    """Where to create the folder for what does not fit in memory; by default, the system's temporary folder."""


def diff(request: DiffRequest, environment: Environment | None = None) -> DiffReport:
    """Read two kits and return how they differ.

    Raises:
        KitError: One of them is malformed or not readable, or changed meanwhile; or the disk is full.
    """
    environment = environment or Environment()
    if request.limit is not None and request.limit < 0:
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
        packages=found.packages(number),
        fields=found.fields(number, BY_ADVISORY),
        raw_linkset_gained=found.raw_linkset(number, gained=True),
        raw_linkset_lost=found.raw_linkset(number, gained=False),
    )


def _members(comparison: Comparison, limit: int | None) -> MemberDifferences:
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
