"""The first reading of a kit for a verb that looks into documents: gathers lookups, counts, leaves and needed keys.

One pass over the container, through the descriptor that every later pass uses too. Whether the base is what its signers
signed is decided on the result, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.archive.read.proven import Proven
from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.documents import Run
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs, survey_into
from kit.errors import BsonError, KitError
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Transform
from kit.values import CollectionMember, Limits, MemberPath, metadata_name

if TYPE_CHECKING:
    from kit.encryption import Needs
    from kit.engine import changes
    from kit.engine.leaves import LeafStore
    from kit.engine.lookup import LookupWriter
    from kit.engine.work import GatherResult
    from kit.transforms.protocol import KeyedTransform


def survey(
    reader: KitReader,
    pipeline: Pipeline,
    *,
    keep: Callable[[MemberPath], bool],
    count: Callable[[CollectionMember], bool],
    transforms: Sequence[Transform] = (),
    lookup: LookupWriter | None = None,
    leaves: LeafStore | None = None,
    proven: Proven | None = None,
) -> Survey:
    """Read the whole kit once.

    Args:
        reader: The kit.
        pipeline: Does the work on documents; drained on return.
        keep: Which members to hold whole (each within ``limits.json_bytes``, all within ``limits.kept_bytes``).
        count: Which collection members to walk and tally.
        transforms: The chain; what each looks up is gathered into ``lookup``, and what it needs is found.
        lookup: Where gathered pairs go; needed if any transform indexes a collection of this kit.
        leaves: Where the leaves of the members that ``count`` names go, if they are wanted.
        proven: What this process knows of the archive, which it has just written. The documents in these bodies cannot
            be read, and their digests are the ones made while writing.

    Raises:
        KitError: The container, a member name, or a walked document is malformed or over a limit.
    """
    found = Survey(allowed=reader.allowed, needs=_needs(transforms) if transforms else {})
    walk = _Walk(
        found=found,
        pipeline=pipeline,
        count=count,
        transforms=transforms,
        lookup=lookup,
        leaves=leaves,
        reader=reader,
    )
    survey_into(found, reader, keep=keep, tap=walk, proven=proven)
    pipeline.drain()
    return found


def take_metadata(
    found: Survey, reader: KitReader, transforms: Sequence[Transform], path: MemberPath, body: Iterator[bytes]
) -> None:
    """Keep the metadata of a collection that a transform handles in ``found``; a fault in it is kept in its place.

    Raises:
        KitError: ``body`` cannot be read.
    """
    name = transforms and metadata_name(path)
    if not name or not any(transform.handles(name.collection) for transform in transforms):
        return
    from kit.engine import changes  # noqa: PLC0415  with the transforms

    watched = changes.WatchedChunks(body)
    parts, size, limits = list[bytes](), 0, reader.limits
    try:
        for chunk in reader.decode_member(watched, name.codec, where=str(path)):
            size += len(chunk)
            limits.check("json_bytes", size, where=str(path))
            limits.hold(len(chunk), where=str(path))
            parts.append(chunk)
    except KitError as error:
        if watched.failed:
            raise
        found.metadata[path] = error
    else:
        found.metadata[path] = b"".join(parts)


def _needs(transforms: Sequence[Transform]) -> dict[int, Needs]:
    from kit.encryption import Needs  # noqa: PLC0415  where there are no transforms, it is not loaded

    return {at: Needs() for at, one in enumerate(transforms) if one.keyed is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Submits the runs of collections to the workers, and sends the results where they belong."""

    found: Survey
    pipeline: Pipeline
    count: Callable[[CollectionMember], bool]
    transforms: Sequence[Transform]
    lookup: LookupWriter | None
    leaves: LeafStore | None
    reader: KitReader

    def note(self, member: Member) -> None:
        """Ignore it: only documents matter."""

    def take(
        self,
        member: Member,  # noqa: ARG002
        path: MemberPath,
        body: Iterator[bytes],
        collection: CollectionMember | None,
    ) -> None:
        """Submit the runs of a collection to the workers, if anything is needed of them."""
        if collection is None:
            take_metadata(self.found, self.reader, self.transforms, path, body)
            return
        counted = self.count(collection)
        if not counted and not self.transforms:
            return
        from kit.engine import changes  # noqa: PLC0415  where nothing is asked, transforms are not loaded

        name = collection.name
        gathering = tuple(t for t in self.transforms if t.indexes(name)) if self.lookup is not None else ()
        needing = [
            (transform.keyed, self.found.needs[at])
            for at, transform in enumerate(self.transforms)
            if transform.keyed is not None and transform.handles(name)
        ]
        if gathering or counted:
            delivery = self._delivery(collection.path, leaves=counted)  # also of a member without documents
            for run in member_runs(collection, body, self.reader):
                self._gather(collection, gathering, run, delivery)
                self._find_needs(collection, needing, run)
        elif needing:
            try:
                for run in member_runs(collection, body, self.reader):
                    self._find_needs(collection, needing, run)
            except BsonError as error:
                # As with a document that cannot be judged, and after those that come before this place.
                self.pipeline.drain()
                for _, needs in needing:
                    needs.fail(error)
        elif (probe := changes.probe(collection, self.transforms)) is not None:
            self._probe(probe, changes.WatchedChunks(body))

    def _probe(self, probe: changes.Probe, body: changes.WatchedChunks) -> None:
        """Find out whether a member has nothing left to do, as far as every run so far shows."""
        from kit.engine import changes  # noqa: PLC0415  loaded already

        collection = probe.collection

        def settle() -> None:
            if probe.settled:
                self.found.settled[collection.path] = probe.member()

        try:
            for run in member_runs(collection, body, self.reader):
                if not probe.sample(run):
                    return
                where = str(collection.path)
                cost = len(run.data)
                self.pipeline.submit(changes.probe_run, collection.name, run, cost=cost, then=probe.add, where=where)
        except KitError:
            if body.failed:
                raise
            return  # the rewriting pass finds it again, once the base is known to be what its signers signed
        self.pipeline.mark(settle)

    def _delivery(self, path: MemberPath, *, leaves: bool) -> _Delivery:
        into = self.leaves if leaves else None
        if into is not None:
            self.found.rooted.add(path)
        tally = self.found.tallies.setdefault(path, Tally())
        return _Delivery(path, self.found, tally, self.lookup, into, self.reader.limits)

    def _gather(
        self, collection: CollectionMember, gathering: tuple[Transform, ...], run: Run, delivery: _Delivery
    ) -> None:
        from kit.engine.work import gather_run  # noqa: PLC0415  with the transforms

        self.pipeline.submit(
            gather_run,
            *(collection.name, gathering, run, delivery.leaves is not None),
            cost=len(run.data),
            weight=run.weight,
            then=delivery,
            where=str(collection.path),
        )

    def _find_needs(
        self, collection: CollectionMember, needing: Sequence[tuple[KeyedTransform, Needs]], run: Run
    ) -> None:
        from kit.engine.work import needs_run  # noqa: PLC0415  with the transforms

        for transform, needs in needing:
            where = str(collection.path)
            self.pipeline.submit(
                needs_run,
                transform,
                collection,
                run,
                cost=len(run.data),
                weight=run.weight,
                then=needs.add,
                where=where,
            )


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Takes the results of one member's runs."""

    path: MemberPath
    found: Survey
    tally: Tally
    lookup: LookupWriter | None
    leaves: LeafStore | None
    limits: Limits

    def __call__(self, result: GatherResult) -> None:
        self.tally.add_within(result.tally, self.limits)
        if self.leaves is not None:
            self.leaves.add(self.path, result.leaves)
        if self.lookup is not None and result.pairs:
            self.lookup.put(result.pairs)
        self.found.take_findings(self.path, result.findings)
