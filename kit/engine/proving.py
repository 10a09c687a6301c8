"""A deep reading: every document well-formed, counted, and the documents as they were before the last step digested.

Obligation 7 of schemas/verify-report.md. The appended element is cut out of the documents that the statement of the
step names, in the workers; what is left is digested in order, as a stream (schemas/patch-provenance.md, "Documents").
Law: the digest is that of the documents before the step exactly if the step only appended ``rawLinkset`` to those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from kit.archive import KitReader
from kit.documents import Kind, Run, elements, remove, validate
from kit.documents.leaves import leaf_lines
from kit.engine.leaves import LeafStore
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, hashing, member_runs
from kit.errors import DigestError, KitError
from kit.transforms import coverage
from kit.transforms.coverage import Tally
from kit.values import CollectionName, Limits, MemberPath, RunLengths, RunLengthsReader, Sha256

APPENDED = "rawLinkset"
_NAME = APPENDED.encode()


@dataclass(slots=True, kw_only=True)
class MemberReading:
    """What a deep reading found in one member."""

    tally: Tally = field(default_factory=Tally)
    changed: int = 0
    """Documents that the statement says changed."""
    appended: int = 0
    """Of those, the ones that end in the element."""
    before: Sha256 | None = None
    """Digest of the documents as they were; None for a member that the step did not change."""
    merkle_root: Sha256 | None = None
    """Over the documents, where it is asked for."""


@dataclass(slots=True, kw_only=True)
class ProofResult:
    """What one run gave."""

    tally: Tally
    appended: int
    before: bytes
    leaves: bytes = b""

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return self.tally.documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooted:
    """Members whose Merkle roots are asked for, and where their leaves are sorted."""

    members: frozenset[MemberPath]
    store: LeafStore


def prove(
    reader: KitReader,
    survey: Survey,
    pipeline: Pipeline,
    changed: Mapping[MemberPath, RunLengths],
    rooted: Rooted | None = None,
) -> dict[MemberPath, MemberReading]:
    """Read every collection of a surveyed kit to its last element.

    Args:
        reader: The kit.
        survey: What its first reading met; this one must meet the same.
        pipeline: Does the work.
        changed: Which documents the last step changed, by member.
        rooted: Whose Merkle roots are asked for.

    Raises:
        DigestError: A body is not the one the survey read: the kit changed meanwhile.
        KitError: A document is malformed; names member, document and element.
    """
    found: dict[MemberPath, MemberReading] = {}
    for member, body in reader.members():
        collection = survey.collections.get(member.path) if member.path is not None else None
        if collection is None:
            continue
        digest = hashlib.sha256()
        reading = found[collection.path] = MemberReading()
        selection = changed.get(collection.path)
        store = rooted.store if rooted is not None and collection.path in rooted.members else None
        before = hashlib.sha256() if selection is not None else None
        deliver = _Delivery(collection.path, reading, before, reader.limits, store)
        left = RunLengthsReader(selection or RunLengths())
        hashed = hashing(body, digest)
        for run in member_runs(collection, hashed, reader):
            piece = left.take(len(run)) if selection is not None else None
            reading.changed += piece.chosen if piece is not None else 0
            pipeline.submit(
                prove_run,
                *(collection.name, run, piece, reader.limits, store is not None),
                cost=len(run.data),
                then=deliver,
                where=str(collection.path),
            )
        for _ in hashed:
            pass
        pipeline.mark(deliver.finish)
        if survey.members[collection.path][0].hex != digest.hexdigest():
            raise DigestError(
                "the kit changed while it was being read", where=str(collection.path), hint="verify it again"
            )
    pipeline.drain()
    if rooted is not None:
        for path in sorted(rooted.members & found.keys()):
            found[path].merkle_root = rooted.store.root(path, pipeline)
    return found


def prove_run(
    name: CollectionName,
    run: Run,
    selection: RunLengths | None,
    limits: Limits,
    leaves: bool,  # noqa: FBT001  the pipeline hands on arguments by place
) -> ProofResult:
    """Walk a run to its last element, and cut out what was appended to the documents of ``selection``.

    Raises:
        KitError: A document is malformed; names its ordinal.
    """
    documents = list(run)
    for ordinal, document in enumerate(documents, run.first):
        try:
            validate(document, limits=limits)
        except KitError as error:
            raise error.inside(f"document {ordinal:,}") from error.__cause__
    result = ProofResult(
        tally=coverage.tally(name, documents, run.first),
        appended=0,
        before=b"",
        leaves=leaf_lines(documents, run.first) if leaves else b"",
    )
    if selection is None:
        return result
    # Documents beyond what the statement counts are kept as they are: the digest then tells.
    flags = selection.flags() + [False] * (len(documents) - selection.total)
    before: list[bytes] = []
    for document, is_changed in zip(documents, flags, strict=True):
        appended = is_changed and _ends_in_it(document)
        result.appended += appended
        before.append(remove(document, [APPENDED]) if appended else document)
    result.before = b"".join(before)
    return result


def _ends_in_it(document: bytes) -> bool:
    """Whether the last element is one ``rawLinkset``, a document, that has no namesake."""
    found = list(elements(document))
    return (
        bool(found)
        and [at for at, element in enumerate(found) if element.name == _NAME] == [len(found) - 1]
        and (found[-1].kind == Kind.DOCUMENT)
    )


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Takes the results of one member's runs, in order."""

    path: MemberPath
    reading: MemberReading
    before: hashlib._Hash | None
    limits: Limits
    store: LeafStore | None

    def __call__(self, result: ProofResult) -> None:
        if self.store is not None:
            self.store.add(self.path, result.leaves)
        self.reading.tally.add(result.tally)
        self.limits.check("tenants", len(self.reading.tally.tenants))
        self.reading.appended += result.appended
        if self.before is not None:
            self.before.update(result.before)

    def finish(self) -> None:
        if self.before is not None:
            self.reading.before = Sha256(self.before.hexdigest())
