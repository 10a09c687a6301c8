"""``kit census``: which paths the documents of a kit have, and what is at them; with a field map, what it leaves plain.

The counting is in :mod:`kit.documents.census`. Here tables of runs become one of each collection, and each path is
compared with the map: it is mapped (and sealed, plain, or both), protected by the map, of the same kind as a mapped
field, or none of these. "Of the same kind" is a suggestion for the author of the map, and no verdict: it goes by names
and shapes. Nothing is verified by a census.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from kit.archive.read.tar import Member
from kit.documents.census import EMPTY, ENVELOPE, MAX_EXAMPLES, SHAPES, PathCensus, Table, add_tables, census, steps_of
from kit.documents.kinds import Kind
from kit.encryption.envelope import SEALS
from kit.encryption.field_map import IDENTITY, PRODUCT_ID, CollectionMap, FieldMap, FieldPath
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import member_runs, read_once
from kit.errors import NotFoundError, UsageError
from kit.values import CollectionMember, CollectionName, MemberPath
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers

Steps = tuple[str | None, ...]
"""A path: names, and None for any item of an array."""
_SENSITIVE: Final = ("mail", "token", "prose")
"""Shapes that a person may not want to be read."""
_ABSENT: Final = frozenset({int(Kind.NULL), int(Kind.UNDEFINED)})


class Standing(enum.Enum):
    """What a field map has to do with a path."""

    SEALED = "sealed"
    """Mapped; every value is an envelope, by its form, or null."""
    PLAIN = "plain"
    """Mapped; no value is an envelope."""
    PARTLY = "partly sealed"
    """Mapped; some values are envelopes."""
    ABSENT = "absent"
    """Mapped; no document has a value there."""
    INSIDE = "inside a mapped field"
    PROTECTED = "must stay plain"
    """The map needs it, or declares it queryable."""
    ALIKE = "not mapped, but alike"
    """Not mapped, and of the name or the shape of what is; see :attr:`PathReport.likeness`."""
    SEALED_UNMAPPED = "sealed, not mapped"
    """There are envelopes, by another map."""
    OTHER = "not mapped"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReport:
    """One path of a collection."""

    steps: Steps
    counts: PathCensus
    standing: Standing | None
    """None without a field map."""
    likeness: str = ""
    """Why it is :attr:`Standing.ALIKE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionReport:
    """The census of a collection."""

    name: CollectionName
    members: tuple[MemberPath, ...]
    documents: int
    unread: int
    """Documents that are malformed or over a limit; nothing of them is counted."""
    is_cut: bool
    """Whether it has more paths than are listed."""
    paths: tuple[PathReport, ...]
    """By their steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusRequest:
    """Of which kit, and what to compare it with."""

    kit: Path
    collections: frozenset[CollectionName] | None = None
    """None for all."""
    field_map: FieldMap | None = None
    examples: int = 0
    """Values to keep of each path: parts of documents, which the reader of the report must be allowed to see."""
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusReport:
    """What a kit holds; nothing is verified."""

    kit: Path
    field_map: FieldMap | None
    collections: tuple[CollectionReport, ...]
    """By name."""
    missing: tuple[CollectionMap, ...]
    """Mapped collections that the kit has no documents of."""

    def standings(self) -> Counter[Standing]:
        """Return the number of paths by what the map has to do with them."""
        every = (path.standing for one in self.collections for path in one.paths)
        return Counter(standing for standing in every if standing is not None)


def take_census(request: CensusRequest) -> CensusReport:
    """Read a kit once and count what is on each path of its documents.

    Raises:
        UsageError: More examples are asked for than are kept.
        NotFoundError: A collection that is asked for is not in the kit.
        KitError: The container or a collection is malformed or not readable.
    """
    if not 0 <= request.examples <= MAX_EXAMPLES:
        raise UsageError(f"--examples {request.examples}: at most {MAX_EXAMPLES} are kept of each path")
    with open_with_workers(request.kit, request.environment) as kit, kit.pipeline(Stage.SURVEY) as pipeline:
        count = _Count(kit, pipeline, request)
        read_once(kit.reader, keep=is_kept, tap=count)
        pipeline.drain()
        missing = (request.collections or frozenset()) - count.tables.keys()
        if missing:
            names = ", ".join(map(str, sorted(missing)))
            raise NotFoundError(f"no documents of {names}", where=str(request.kit), hint="kit inspect lists them")
        tables = {name: Table.parse(table) for name, table in sorted(count.tables.items())}
        return CensusReport(
            kit=kit.reader.path,
            field_map=request.field_map,
            collections=tuple(_reports(tables, count.members, request.field_map)),
            missing=tuple(_absent_collections(tables, request)),
        )


class _Count:
    """Counts the collections that a pass shows it; a :class:`kit.engine.reading.BodyTap`."""

    def __init__(self, kit: OpenKit, pipeline: Pipeline, request: CensusRequest) -> None:
        self.tables: dict[CollectionName, bytes] = {}
        self.members: dict[CollectionName, list[MemberPath]] = {}
        self._kit = kit
        self._pipeline = pipeline
        self._request = request

    def note(self, member: Member) -> None:
        """Need nothing of an entry but its body."""

    def take(
        self,
        member: Member,  # noqa: ARG002
        path: MemberPath,
        body: Iterator[bytes],
        collection: CollectionMember | None,
    ) -> None:
        """Count the documents of a collection."""
        if collection is None or not self._is_asked(collection):
            return
        self.tables.setdefault(collection.name, EMPTY)
        self.members.setdefault(collection.name, []).append(path)
        reader = self._kit.reader
        for run in member_runs(collection, body, reader):
            self._pipeline.submit(
                census,
                *(run, SEALS, self._request.examples, reader.limits),
                cost=len(run.data),
                weight=run.weight,
                then=partial(self._add, collection.name),
                where=str(path),
            )

    def _is_asked(self, collection: CollectionMember) -> bool:
        return self._request.collections is None or collection.name in self._request.collections

    def _add(self, name: CollectionName, table: bytes) -> None:
        self.tables[name] = add_tables(self.tables[name], table, self._request.examples)


def _reports(
    tables: Mapping[CollectionName, Table],
    members: Mapping[CollectionName, Sequence[MemberPath]],
    field_map: FieldMap | None,
) -> Iterator[CollectionReport]:
    likeness = _Likeness(tables, field_map) if field_map is not None else None
    for name, table in tables.items():
        paths = sorted(
            ((steps_of(key), counts) for key, (_, counts) in table.paths.items()), key=lambda one: _order(one[0])
        )
        entry = field_map.collection(name) if field_map is not None else None
        reports = [_path_report(steps, counts, entry, likeness) for steps, counts in paths]
        if entry is not None:
            found = {steps for steps, _ in paths}
            reports += [
                PathReport(steps=path.steps, counts=PathCensus(), standing=Standing.ABSENT)
                for path in entry.fields
                if path.steps not in found
            ]
        yield CollectionReport(
            name=name,
            members=tuple(members[name]),
            documents=table.documents,
            unread=table.unread,
            is_cut=table.is_cut,
            paths=tuple(sorted(reports, key=lambda one: _order(one.steps))),
        )


def _order(steps: Steps) -> tuple[tuple[bool, str], ...]:
    return tuple((step is None, step or "") for step in steps)


def _absent_collections(tables: Mapping[CollectionName, Table], request: CensusRequest) -> Iterator[CollectionMap]:
    if request.field_map is None or request.collections is not None:
        return
    for entry in request.field_map.collections:
        if not any(entry.matches(name) for name in tables):
            yield entry


def _path_report(
    steps: Steps, counts: PathCensus, entry: CollectionMap | None, likeness: _Likeness | None
) -> PathReport:
    if likeness is None:
        return PathReport(steps=steps, counts=counts, standing=None)
    standing = _standing(steps, counts, entry)
    why = likeness.of(steps, counts) if standing is Standing.OTHER else ""
    return PathReport(steps=steps, counts=counts, standing=Standing.ALIKE if why else standing, likeness=why)


def _standing(steps: Steps, counts: PathCensus, entry: CollectionMap | None) -> Standing:
    sealed = counts.kinds.get(ENVELOPE, 0)
    if entry is not None:
        if any(path.steps == steps for path in entry.fields):
            if counts.kinds.keys() - {ENVELOPE, *_ABSENT}:
                return Standing.PARTLY if sealed else Standing.PLAIN
            return Standing.SEALED if sealed else Standing.ABSENT
        if any(_is_below(steps, path) for path in entry.fields):
            return Standing.INSIDE
        if any(path.steps == steps or _is_below(steps, path) for path in _protected(entry)):
            return Standing.PROTECTED
    return Standing.SEALED_UNMAPPED if sealed else Standing.OTHER


def _is_below(steps: Steps, path: FieldPath) -> bool:
    return len(steps) > len(path.steps) and steps[: len(path.steps)] == path.steps


def _protected(entry: CollectionMap) -> tuple[FieldPath, ...]:
    named = (FieldPath((IDENTITY,)), FieldPath((PRODUCT_ID,)), entry.partition_key, entry.owner)
    return (*named, *entry.queryable)


class _Likeness:
    """What mapped fields are called and look like, so that others of their kind are found."""

    def __init__(self, tables: Mapping[CollectionName, Table], field_map: FieldMap) -> None:
        self._names = {
            path.steps[-1]: f"{entry.collection}.{path}" for entry in field_map.collections for path in entry.fields
        }
        shapes: set[str] = set(_SENSITIVE)
        for name, table in tables.items():
            entry = field_map.collection(name)
            mapped = {path.steps for path in entry.fields} if entry is not None else set()
            for key, (_, counts) in table.paths.items():
                if steps_of(key) in mapped and (shape := main_shape(counts)) is not None:
                    shapes.add(shape)
        self._shapes = shapes - {"empty", "text", "identifier", "number", "timestamp"}

    def of(self, steps: Steps, counts: PathCensus) -> str:
        """Return why a path that is not mapped is of the kind of those that are; empty if it is not."""
        if not counts.kinds.keys() - _ABSENT or counts.kinds.keys() <= {int(Kind.ARRAY)}:
            return ""
        name = next((step for step in reversed(steps) if step is not None), "")
        if name in self._names and counts.sized + counts.kinds.get(int(Kind.DOCUMENT), 0):
            return f"named as {self._names[name]}"
        shape = main_shape(counts)
        return f"looks like {shape}" if shape in self._shapes else ""


def main_shape(counts: PathCensus) -> str | None:
    """Return the shape that half of the texts that are not empty have, or more; None if there is none."""
    texts = sum(counts.shapes[1:])
    most = max(range(1, len(SHAPES)), key=lambda at: counts.shapes[at])
    return SHAPES[most][0] if texts and counts.shapes[most] * 2 >= texts else None
