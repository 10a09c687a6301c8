"""What a worker does with one run of documents: the only code that crosses process borders.

Every function is a pure function of its arguments and, through the lookup file, of data gathered before; so the result
does not depend on which worker does it, or when. A worker transforms *and* encodes: the frame it returns goes to the
output as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.archive.frames import content_of, encode_again
from kit.archive.read.proven import encode_proven
from kit.documents import Run
from kit.documents.identity import leaf_lines, run_leaf_lines
from kit.encryption import KeySource, MappedCollection, Needs, Proof, prove
from kit.encryption.proof import search
from kit.encryption.restoring import RestoredRun, RestorePlan, restore, unseal
from kit.engine.checks import (
    Claim,
    Refusal,
    Refusals,
    cut,
    ends_of,
    find_oversized,
    prove_run as prove_own_run,
    suspects,
)
from kit.engine.importability import Unimportable, check_import
from kit.engine.lookup import open_lookup
from kit.engine.reencoding import sizes_when_cut
from kit.engine.texts import prove_texts, respell
from kit.errors import DigestError, KitError
from kit.importing.scanning import ImportCheck
from kit.output.journal import checksum
from kit.transforms import coverage
from kit.transforms.allowance import Allowance
from kit.transforms.change import Samples, take_samples
from kit.transforms.coverage import Tally
from kit.transforms.protocol import (
    Change,
    ChangeTotals,
    Finding,
    KeyedTransform,
    Lookup,
    RewrittenRun,
    Transform,
    apply_changes,
)
from kit.transforms.raw_linkset.counting import tally_run
from kit.transforms.undoing import Ways
from kit.values import Codec, CollectionMember, CollectionName, CountName, Limits, RunLengths


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWork:
    """What to do with the runs of one member."""

    name: CollectionName
    transforms: tuple[Transform, ...]
    lookup: Path | None
    member_codec: Codec
    container_codec: Codec
    limits: Limits
    """Of the kit that is read; what is written is held to them, too."""
    importing: ImportCheck | None = None
    """What a server will demand of the result; None where that is not asked."""
    leaves: bool = False
    """Whether the leaves of a Merkle tree are wanted."""
    prove: bool = True
    """Whether the result is proven (:mod:`kit.engine.checks`); only a caller that compares it with digests may omit
    that."""
    prove_frame: bool = False
    """Whether the frame is proven, too (:mod:`kit.archive.read.proven`)."""


@dataclass(slots=True, kw_only=True)
class RunResult:
    """One run, transformed and encoded."""

    stored: bytes
    """The run as it is in the member's body, in the member's own codec."""
    frame: bytes
    """``stored`` as one frame of the container; empty where the container has no codec and it is ``stored``."""
    frame_sha256: bytes = b""
    """Digest of ``frame``, if that is proven."""
    tally: Tally
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(transform, tenant, outcome) → documents."""
    counts: Counter[tuple[str, str, CountName]] = field(default_factory=Counter)
    """(transform, tenant, counter) → sum."""
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    """(transform, finding), in the order of the documents."""
    omitted_findings: int = 0
    """How many more there were."""
    refusals: Refusals = field(default_factory=Refusals)
    """The documents that stop a patch."""
    unimportable: Unimportable = field(default_factory=Unimportable)
    """What a server would refuse."""
    changed: int = 0
    """Documents that any transform changed."""
    allowed: Counter[str] = field(default_factory=Counter)
    """By tenant, how many of these, where a limit counts them."""
    selection: RunLengths = field(default_factory=RunLengths)
    """Which those are."""
    added_bytes: int = 0
    leaves: bytes = b""
    """Of the documents as they are now, where they are wanted: see :mod:`kit.documents.identity`."""
    envelopes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(partition, field) → envelopes there are now, as the proof found them."""
    ways: Ways = ()
    """By which ways the documents that changed lead back, where that is not plain."""
    samples: Samples = field(default_factory=dict)
    """What a reviewer is shown, by group."""
    proven: tuple[int, int] | None = None
    """Checksums of the run that was proven: of the documents as they were, and of ``stored``. None where it was not."""

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return self.tally.documents


def transform_run(work: RunWork, run: Run, allowance: Allowance | None, kept: bytes = b"") -> RunResult:
    """Put a run through the chain.

    A document that stops a patch is among the ``refusals`` of the result, so that a caller that reads on can name all.

    Args:
        work: What to do.
        run: The documents.
        allowance: How many documents may change; None for all.
        kept: The frame that an earlier process recorded for the run. If it holds exactly the result, it saves the
            encoding; nothing else is taken from it.

    Raises:
        KitError: A document is malformed or a stop rule holds; names the document's ordinal within the member.
    """
    return _transform(work, run, allowance, kept)[0]


def _transform(work: RunWork, run: Run, allowance: Allowance | None, kept: bytes = b"") -> tuple[RunResult, Run]:
    """Return the result for a run, and the documents as they are."""
    whole = _rewrite_whole(work, run) if allowance is None else None
    if whole is not None:
        return _encode_whole(work, run, whole, kept)
    result = RunResult(stored=b"", frame=b"", tally=Tally())
    lookup = open_lookup(work.lookup)
    touched: set[int] = set()
    refused: list[Refusal] = []
    after = run
    for transform in work.transforms:
        changes = _apply(work, transform, after, lookup)
        if allowance is not None:
            allowance.cut(changes, touched, result.allowed)
        totals = ChangeTotals(changes)
        _count(result, transform, totals)
        refused += _refusals(totals, run.first)
        made = Run.of(apply_changes(changes, list(after), touched))
        # A later transform may seal the text of what an earlier one changed.
        flags = [change.document is not None for change in changes]
        after = (
            replace(made, first=run.first)
            if run.texts is None
            else respell(after, replace(made, first=run.first), flags)
        )
    documents = list(after)
    if not result.tally.tenants:
        result.tally = coverage.tally(work.name, documents, walked=True)
    result.selection = RunLengths.of([number in touched for number in range(len(documents))])
    result.changed = len(touched)
    changed = [(number, documents[number]) for number in sorted(touched)]
    result.refusals = Refusals.of((*refused, *_add_oversized(result, work, changed, run.first)))
    _check_import(result, work, run, after, [number in touched for number in range(len(documents))])
    result.leaves = _leaves_of(after) if work.leaves else b""
    _encode(result, work, run, after, kept)
    return result, after


def _apply(work: RunWork, transform: Transform, run: Run, lookup: Lookup) -> Sequence[Change]:
    if run.texts is not None and transform.keyed is not None:
        return transform.keyed.apply_to_texts(work.name, run)
    return transform.apply(work.name, list(run), lookup, run.first)


def _rewrite_whole(work: RunWork, run: Run) -> RewrittenRun | None:
    """Return what the only transform makes of a whole run; None where it must be taken document by document."""
    if len(work.transforms) > 1 or (run.texts is not None and work.transforms[0].keyed is not None):
        return None
    return work.transforms[0].rewrite(work.name, run.data, run.ends, open_lookup(work.lookup), run.first)


def _leaves_of(run: Run) -> bytes:
    if run.texts is None:
        return run_leaf_lines(run.data, run.ends)
    return leaf_lines(run, run.originals)


def _encode_whole(work: RunWork, run: Run, whole: RewrittenRun, kept: bytes) -> tuple[RunResult, Run]:
    result = RunResult(stored=b"", frame=b"", tally=Tally())
    _count(result, work.transforms[0], whole.totals)
    result.selection = RunLengths.of(whole.touched)
    result.changed = result.selection.chosen
    after = Run(first=run.first, offset=run.offset, data=whole.body, ends=tuple(ends_of(whole.body)))
    if not result.tally.tenants:
        result.tally = coverage.tally(work.name, after, walked=True)
    numbers = suspects(after.data, after.ends, whole.touched, work.limits)
    oversize = _add_oversized(result, work, [(number, after.document(number)) for number in numbers], run.first)
    result.refusals = Refusals.of((*_refusals(whole.totals, run.first), *oversize))
    _check_import(result, work, run, after, whole.touched)
    after = after if run.texts is None else respell(run, after, whole.touched)
    result.leaves = _leaves_of(after) if work.leaves else b""
    _encode(result, work, run, after, kept)
    return result, after


def _refusals(totals: ChangeTotals, first: int) -> list[Refusal]:
    return [
        Refusal(ordinal=first + number, document=document, error=error) for number, document, error in totals.failures
    ]


def _add_oversized(
    result: RunResult, work: RunWork, documents: Iterable[tuple[int, bytes]], first: int
) -> list[Refusal]:
    """Return the refusals of documents too large or too deep to be written, and add their findings to ``result``."""
    found = list(find_oversized(documents, first, work.limits))
    result.findings.extend((work.transforms[-1].name, finding) for _, finding in found)
    return [refusal for refusal, _ in found]


def _check_import(result: RunResult, work: RunWork, run: Run, after: Run, touched: Sequence[bool]) -> None:
    """Find out what a server would refuse of the result, where that is asked."""
    if work.importing is not None:
        result.unimportable = check_import(work.importing, run, after, touched)
        result.findings.extend((work.transforms[-1].name, finding) for finding in result.unimportable.findings)
        result.unimportable.findings = []


def _encode(result: RunResult, work: RunWork, run: Run, after: Run, kept: bytes) -> None:
    body = after.stored
    result.tally.documents, result.tally.bytes = len(run), len(after.data)
    result.added_bytes = len(body) - len(run.stored)
    inner = (content_of(work.container_codec, kept) or b"") if kept and work.member_codec is not Codec.NONE else b""
    result.stored = encode_again(work.member_codec, body, inner)
    if work.prove:
        _prove(result, work, run, after)
    result.tally.bytes = len(body)
    if work.prove_frame:
        frame = encode_proven(work.container_codec, result.stored, kept)
        result.frame, result.frame_sha256 = frame.encoded, frame.sha256
    elif work.container_codec is not Codec.NONE:
        result.frame = encode_again(work.container_codec, result.stored, kept)


def _prove(result: RunResult, work: RunWork, run: Run, after: Run) -> None:
    claim = Claim(
        name=work.name,
        transforms=work.transforms,
        selection=result.selection,
        tally=result.tally,
        counts=result.counts,
    )
    found = prove_own_run(claim, run, after)
    result.envelopes, result.ways = found.envelopes, found.ways
    if run.texts is not None:
        prove_texts(run, after, result.selection.flags(), work.limits)
    if work.member_codec is not Codec.NONE and content_of(work.member_codec, result.stored) != after.stored:
        raise DigestError("the documents were compressed to something else")
    result.proven = checksum(run.stored), checksum(result.stored)


@dataclass(slots=True, kw_only=True)
class GatherResult:
    """What one run of an untouched collection holds, and what it adds to the lookup."""

    tally: Tally
    pairs: list[tuple[bytes, bytes]]
    findings: list[tuple[str, Finding]]
    """(transform, finding): the documents that cannot be looked up."""
    leaves: bytes = b""

    @property
    def documents(self) -> int:
        """Documents of the run."""
        return self.tally.documents


def gather_run(
    name: CollectionName,
    transforms: Sequence[Transform],
    run: Run,
    leaves: bool = False,  # noqa: FBT001, FBT002  for submit
) -> GatherResult:
    """Count a run, and gather what each of ``transforms`` will look up in it; and ``leaves`` where they are wanted."""
    documents = list(run)
    pairs: list[tuple[bytes, bytes]] = []
    findings: list[tuple[str, Finding]] = []
    for transform in transforms:
        for one in transform.gather(name, documents):
            if isinstance(one, Finding):
                findings.append((transform.name, one))
            else:
                pairs.append(one)
    return GatherResult(
        tally=tally_run(name, run),
        pairs=pairs,
        findings=findings,
        leaves=_leaves_of(run) if leaves else b"",
    )


def needs_run(transform: KeyedTransform, collection: CollectionMember, run: Run) -> Needs:
    """Find the keys that a run needs; the result also names a document that cannot be judged."""
    needs = transform.needs(collection.name, run, run.first)
    if needs.failure is not None:
        needs.failure.inside(str(collection.path))
    if needs.first_without:
        needs.first_without = f"{collection.path}: {needs.first_without}"
    return needs


def prove_run(mapped: MappedCollection, run: Run, keys: KeySource | None, canaries: tuple[bytes, ...]) -> Proof:
    """Check every mapped value of a run; faults are part of the result."""
    return prove(mapped, run, run.first, keys=keys.key_set() if keys is not None else None, canaries=canaries)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsPreview:
    """What a plan finds in the mapped values of a run, as a patch would leave them."""

    changed: int
    """Documents."""
    allowed: Mapping[str, int]
    """As of :class:`RunResult`."""
    proof: Proof


def preview_run(
    work: RunWork, run: Run, allowance: Allowance | None, mapped: MappedCollection, keys: KeySource | None
) -> FieldsPreview:
    """Put a run through the chain, and check every mapped value of the result.

    Raises:
        KitError: As :func:`transform_run`.
    """
    result, after = _transform(work, run, allowance)
    return FieldsPreview(changed=result.changed, allowed=result.allowed, proof=prove_run(mapped, after, keys, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What is needed of a run in which the last step sealed values.

    Attributes:
        changed: Which documents it changed.
        cut: Which had an element appended since their frames were cut, where the member has a codec.
        fields: Which fields it sealed; None where that is not known.
        sized: Whether the sizes by which the frames were cut are wanted.
    """

    changed: RunLengths
    cut: RunLengths
    fields: frozenset[str] | None
    sized: bool


@dataclass(slots=True, kw_only=True)
class UnsealedRun:
    """A run as it was before; ``data`` is None without keys, or where a document does not open."""

    count: int
    """Of documents; a pass counts those that the proof of the same run looks at."""
    failed: bool = False
    """Whether a document that changed cannot be read or opened."""
    data: bytes | None = None
    sizes: bytes = b""
    opened: Counter[str] = field(default_factory=Counter)
    without: int = 0


def unseal_run(mapped: MappedCollection, run: Run, sealing: Sealing, keys: KeySource | None) -> UnsealedRun:
    """Return a run as it was before a step sealed values of the documents that changed."""
    # Documents beyond what the statement counts are kept as they are: the digest then shows it.
    flags = sealing.changed.flags() + [False] * (len(run) - sealing.changed.total)
    opening = keys.key_set() if keys is not None else None
    try:
        found = unseal(mapped, run, flags, opening, sealing.fields, first=run.first)
    except KitError:
        return UnsealedRun(count=len(run), failed=True)  # a finding of the proof of the same run
    done = UnsealedRun(count=len(run), opened=found.opened, without=found.without)
    if opening is not None:
        done.data = found.data
        if sealing.sized:
            done.sizes = sizes_when_cut(cut(found.data), sealing.cut)
    return done


def search_run(name: CollectionName, run: Run, canaries: tuple[bytes, ...]) -> Proof:
    """Search for known plaintext in a run of a collection that no field map names."""
    return search(name, run, run.first, canaries)


def restore_run(restoring: RestorePlan, name: CollectionName, run: Run) -> RestoredRun:
    """Restore what is in scope of a run.

    Raises:
        KitError: A document cannot be judged, or a value in scope does not open; names the document's ordinal.
        UsageError: The field map does not name the collection.
    """
    return restore(restoring, restoring.mapped(name), run, run.first)


def _count(result: RunResult, transform: Transform, totals: ChangeTotals) -> None:
    name = transform.name
    transform.cover(result.tally, totals)
    for (tenant, outcome), count in totals.outcomes.items():
        result.outcomes[name, tenant, outcome] += count
    for (tenant, counter), value in totals.counts.items():
        result.counts[name, tenant, counter] += value
    for counter, value in totals.sums.items():
        result.counts[name, coverage.NO_TENANT, counter] += value
    for group, documents in totals.samples.items():
        take_samples(result.samples, group, documents)
    result.findings.extend((name, finding) for finding in totals.findings)
