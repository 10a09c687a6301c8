"""``kit compare``: is the database what was signed?

Read and judge the kit → read the dump or the database and tick off what was signed → read the kit again for documents
of which another version was found. Laws: nothing is connected to before the kit is judged valid; equal means equal
bytes; every signed document, and every document found in a collection of the kit, is counted exactly once.

Compared are the documents of the kit's collections. Indexes, options, users and collections that the kit does not have
are not; the latter are named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kit.archive.read.reader import changed_meanwhile, open_kit
from kit.archive.read.tar import Member
from kit.engine.passing import read_again, read_first
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs, read_once
from kit.errors import ContentError
from kit.output.scratch import scratch_folder
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.values import CollectionMember, CollectionName, MemberPath, collection_member
from kit.verbs.compare.documents import Fingerprints, Standing, fingerprint, fingerprint_run, stand
from kit.verbs.compare.ledger import Ledger, Outcome
from kit.verbs.dumps import dump_runs, is_dump
from kit.verbs.verify.judged import judge_kit, require_trust
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers

LISTED = 20
"""Documents of each standing that are listed, by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """What to compare with which kit; exactly one of ``dump`` and ``uri``."""

    kit: Path
    trusted: Mapping[str, PublicKey]
    """By key id."""
    trust: Anchor | None = None
    """A policy replaces ``trusted``."""
    dump: Path | None = None
    """A folder such as mongodump writes, a tar archive of one, or a kit."""
    uri: str | None = field(default=None, repr=False)
    """The connection string of a server: a secret."""
    allowed_fields: frozenset[str] = frozenset()
    """Fields of the top level that a server may have added."""
    is_order_free: bool = False
    """Whether documents with their fields in another order count as what was signed."""
    limit: int = LISTED
    """Documents of each standing to list; all are counted."""
    temporary: Path | None = None
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCollection:
    """The documents of one collection of the kit."""

    name: CollectionName
    tenants: tuple[tuple[str, tuple[tuple[Standing, int], ...]], ...]
    """By tenant, "" for none: the number of documents of each standing."""

    def total(self, standing: Standing) -> int:
        """Return the number of documents of that standing."""
        return sum(count for _, counts in self.tenants for one, count in counts if one is standing)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReport:
    """Whether it is what was signed."""

    kit: Path
    judgement: Judgement
    source: Path | None
    """None for a server."""
    collections: tuple[ComparedCollection, ...]
    """In the order of the kit."""
    listed: tuple[Outcome, ...]
    """The first documents that are not equal, by standing."""
    others: tuple[CollectionName, ...]
    """Collections that the kit does not have; they were not compared."""
    allowed_fields: tuple[str, ...]
    is_order_free: bool

    def total(self, standing: Standing) -> int:
        """Return the number of documents of that standing in all collections."""
        return sum(one.total(standing) for one in self.collections)

    @property
    def failing(self) -> tuple[Standing, ...]:
        """The standings that make it something else than what was signed."""
        always = (Standing.CHANGED, Standing.MISSING, Standing.EXTRA)
        judged = always if self.is_order_free else (Standing.REORDERED, *always)
        return tuple(standing for standing in judged if self.total(standing))

    @property
    def is_same(self) -> bool:
        """Whether the documents are those that were signed, as far as was asked."""
        return not self.failing

    @property
    def failure(self) -> ContentError | None:
        """The error of a comparison that found something else; None if it is what was signed."""
        if self.is_same:
            return None
        found = ", ".join(f"{self.total(standing):,} {standing}" for standing in self.failing)
        return ContentError(f"is not what was signed: {found}", where=str(self.source or "the database"))


def compare(request: ComparisonRequest) -> ComparisonReport:
    """Judge a kit, and compare a dump or a database with it.

    Raises:
        ContentError: The kit or the dump has no collections, or a collection is no sequence of documents.
        UnreadableError: The dump or the database cannot be read.
        UsageError: The connection string is malformed.
        DigestError: The kit changed between two readings.
        OutputError: The disk is full or failed.
        KitError: The kit is refused, or the dump is malformed.
    """
    require_trust(request.trusted, request.trust)
    with (
        open_with_workers(request.kit, request.environment) as kit,
        scratch_folder(request.temporary) as folder,
        Ledger(folder / "ledger") as ledger,
    ):
        expectation = Expectation(trusted=request.trusted, trust=request.trust)
        judged = judge_kit(kit, expectation, read=partial(_read_signed, kit, ledger)).require()
        if not ledger.collections():
            raise ContentError("this kit has no collections", where=str(request.kit))
        ledger.index()
        others = _read_found(request, ledger)
        if ledger.pair():
            allowed = frozenset(name.encode() for name in request.allowed_fields)
            _judge_pairs(kit, judged.survey, ledger, allowed)
        return ComparisonReport(
            kit=request.kit,
            judgement=judged.judgement,
            source=request.dump,
            collections=tuple(_collections(ledger)),
            listed=tuple(
                one
                for standing in Standing
                if standing is not Standing.EQUAL
                for one in ledger.outcomes(standing, request.limit)
            ),
            others=others,
            allowed_fields=tuple(sorted(request.allowed_fields)),
            is_order_free=request.is_order_free,
        )


class _Signed:
    """Notes every document of a kit; a :class:`kit.engine.reading.BodyTap`."""

    def __init__(self, kit: OpenKit, ledger: Ledger, pipeline: Pipeline) -> None:
        self._kit, self._ledger, self._pipeline = kit, ledger, pipeline

    def note(self, member: Member) -> None:
        """Need nothing of an entry but its body."""

    def take(
        self,
        member: Member,  # noqa: ARG002
        path: MemberPath,
        body: Iterator[bytes],
        collection: CollectionMember | None,
    ) -> None:
        """Note the documents of a collection."""
        if collection is None:
            return
        self._ledger.begin(collection.name)
        for run in member_runs(collection, body, self._kit.reader):
            then = partial(self._sign, collection.name)
            self._pipeline.submit(
                fingerprint_run, run, cost=len(run.data), weight=run.weight, then=then, where=str(path)
            )

    def _sign(self, name: CollectionName, prints: Fingerprints) -> None:
        self._ledger.sign(name, prints.each)


def _read_signed(kit: OpenKit, ledger: Ledger, pipeline: Pipeline) -> Survey:
    found = read_once(kit.reader, keep=is_kept, tap=_Signed(kit, ledger, pipeline))
    pipeline.drain()
    return found


_Take = Callable[[CollectionName, bytes], None]
_Names = frozenset[CollectionName]


def _read_found(request: ComparisonRequest, ledger: Ledger) -> tuple[CollectionName, ...]:
    """Tick off what is there; return the collections that the kit does not have."""

    def take(name: CollectionName, document: bytes) -> None:
        ledger.find(name, fingerprint(document), document)

    if request.uri is not None:
        # Only loaded for a server: nothing else may connect.
        from kit.verbs.compare.server import read_server  # noqa: PLC0415

        return read_server(request.uri, ledger.collections(), take)
    assert request.dump is not None  # noqa: S101  one of both is given
    signed = frozenset(ledger.collections())
    there = (_read_dump if is_dump(request.dump) else _read_files)(request.dump, request.environment, signed, take)
    if not there:
        raise ContentError(
            "has no collections",
            where=str(request.dump),
            hint="name the folder in which mongodump made a folder for each database",
        )
    return tuple(sorted(there - signed))


def _read_dump(
    path: Path, environment: Environment, signed: frozenset[CollectionName], take: _Take
) -> set[CollectionName]:
    """Take the documents of collections that were signed, and return all that a dump of ``--archive`` has."""
    there: set[CollectionName] = set()
    for name, run in dump_runs(path, environment.limits):
        there.add(name)
        if name in signed and run is not None:
            for document in run:
                take(name, document)
    return there


def _read_files(
    path: Path, environment: Environment, signed: frozenset[CollectionName], take: _Take
) -> set[CollectionName]:
    """Take the documents of collections that were signed, and return all that a folder, an archive or a kit has."""
    there: set[CollectionName] = set()
    with open_kit(path, limits=environment.limits, allowed=environment.allowed) as reader:

        def visit(member: Member, body: Iterator[bytes]) -> None:
            collection = collection_member(member.path) if member.path is not None and member.is_file else None
            if collection is None:
                return
            there.add(collection.name)
            if collection.name not in signed:
                return
            for run in member_runs(collection, body, reader):
                for document in run:
                    take(collection.name, document)

        read_first(reader, visit)
    return there


def _judge_pairs(kit: OpenKit, known: Survey, ledger: Ledger, allowed: frozenset[bytes]) -> None:
    """Read the kit again, and find out what became of the documents of which another version was found."""
    wanted = ledger.paired()
    due = next(wanted, None)
    number = 0
    settled: list[tuple[int, Standing, tuple[str, ...]]] = []

    def visit(member: Member, body: Iterator[bytes]) -> None:
        nonlocal due, number
        collection = known.collections.get(member.path) if member.path is not None else None
        if collection is None:
            return
        for run in member_runs(collection, body, kit.reader):
            for document in run:
                number += 1
                if due is None or due[0] != number:
                    continue
                if hashlib.sha256(document).digest() != due[1]:
                    raise changed_meanwhile(kit.reader.path)
                settled.append((number, *stand(document, due[2], allowed)))
                due = next(wanted, None)
                if len(settled) >= _SETTLED:
                    _settle(ledger, settled)

    read_again(kit.reader, known, visit)
    if due is not None:
        raise changed_meanwhile(kit.reader.path)
    _settle(ledger, settled)


_SETTLED = 4096
"""Documents that are judged before their outcome is put on disk."""


def _settle(ledger: Ledger, settled: list[tuple[int, Standing, tuple[str, ...]]]) -> None:
    for number, standing, fields in settled:
        ledger.settle(number, standing, fields)
    settled.clear()


def _collections(ledger: Ledger) -> Iterator[ComparedCollection]:
    counts: dict[CollectionName, dict[str, Counter[Standing]]] = {name: {} for name in ledger.collections()}
    for name, tenant, standing, count in ledger.counts():
        counts[name].setdefault(tenant, Counter())[standing] += count
    for name, tenants in counts.items():
        yield ComparedCollection(
            name=name,
            tenants=tuple(
                (tenant, tuple((standing, found[standing]) for standing in Standing if found[standing]))
                for tenant, found in sorted(tenants.items())
            ),
        )
