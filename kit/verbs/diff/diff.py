"""``kit diff``: what a person wants to know between two kits: advisories, documents, members.

Both kits are read strictly; who signed them is told as ``kit inspect`` tells it, and nothing is verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from kit.archive import KitReader, open_kit
from kit.comparison import FieldChange
from kit.engine.advisories import STATES
from kit.engine.collation import AFTER, BEFORE, Collation
from kit.engine.comparing import BY_ADVISORY, BY_IDENTITY, Comparer, Comparison
from kit.engine.differences import (
    AdvisoryChange,
    Differences,
    DocumentChange,
    FieldTotal,
    Listed,
    RawLinksetChange,
    UnreadDocument,
)
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage, watched
from kit.engine.scratch import scratch_folder
from kit.errors import UsageError
from kit.ops.inspect import KitFacts, facts
from kit.ops.kits import Environment, is_kept, opened
from kit.transforms.coverage import is_observations
from kit.values import CollectionName, MemberPath, Sha256

__all__ = [
    "AdvisoryChange",
    "AdvisoryDifferences",
    "CollectionDifferences",
    "DiffReport",
    "DiffRequest",
    "DocumentChange",
    "FieldChange",
    "FieldTotal",
    "Listed",
    "MemberChange",
    "MemberDifferences",
    "RawLinksetChange",
    "UnreadDocument",
    "diff",
]

LISTED = 20
"""Items of each kind that are listed where nothing else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChange:
    """A member that one kit has not, or has other bytes of."""

    path: MemberPath
    kind: str
    """``collection``, ``manifest`` (its signatures and history included) or ``file``."""
    before: int | None
    """Size as stored; None where there is none."""
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDifferences:
    """Members by path."""

    added: Listed[MemberChange]
    changed: Listed[MemberChange]
    removed: Listed[MemberChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisoryDifferences:
    """What became of the advisories of one collection of observations; each is under exactly one heading."""

    added: Listed[AdvisoryChange]
    changed: Listed[AdvisoryChange]
    migrated: Listed[AdvisoryChange]
    """Nothing but rawLinkset or encryption differs."""
    withdrawn: Listed[AdvisoryChange]
    """Their publisher withdrew them: the latest observation says so, and that of the first kit did not."""
    reinstated: Listed[AdvisoryChange]
    removed: Listed[AdvisoryChange]
    """No observation is left."""
    moved: Listed[AdvisoryChange]
    """From one tenant to another."""
    fields: Listed[FieldTotal]
    """Over advisories: how the latest observations differ."""
    raw_linkset_gained: RawLinksetChange
    """Over observations of one ``_id``, per tenant."""
    raw_linkset_lost: RawLinksetChange


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionDifferences:
    """Documents of one collection, in whatever members they are, by ``_id``."""

    name: CollectionName
    before: int
    after: int
    added: Listed[str]
    changed: Listed[DocumentChange]
    removed: Listed[str]
    unresolvable: Listed[UnreadDocument]
    """Documents that cannot be read as far as a comparison must: told of by their bytes and ``_id`` alone."""
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
    """Where to make the folder for what does not fit in memory; the system's place for such by default."""


def diff(request: DiffRequest, environment: Environment | None = None) -> DiffReport:
    """Read two kits and tell how they differ.

    Raises:
        KitError: One of them is malformed or not readable, or changed meanwhile; or the disk is full.
    """
    environment = environment or Environment()
    if request.limit < 0:
        raise UsageError("the limit is below 0")
    with (
        opened(request.before, environment, request.after) as before,
        open_kit(request.after, limits=environment.limits, allowed=environment.allowed) as after,
        scratch_folder(request.temporary) as folder,
        Collation(folder / "collation") as collation,
    ):

        def begin(stage: Stage, reader: KitReader) -> AbstractContextManager[Pipeline]:
            # Both kits share the workers that the first was opened with.
            pipeline = Pipeline(before.executor, budget=before.budget)
            every = environment.batch_documents
            return watched(environment.progress, stage, reader, pipeline, batch_documents=every)

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
