"""Checks every run before anything is signed: it is what its transforms may make, and it can be read again.

Proof of a run. The engine is not believed about its own work (docs/design/self-proof.md). What was appended is cut out
again, what was sealed is opened, and the rest must be the documents of the base, byte for byte, as many and in their
order; the counts are taken again. Laws: a run passes exactly if undoing gives the bytes it was made of; where a
transform is of no known kind, none passes.

Documents that stop a patch. Plan and patch both read on to the end of the kit and then end with the same error. Laws:
the error has the class and the words of the first such document in the order of the kit; it names the first
:data:`SHOWN` of them by ``_id`` and counts all.

Bounds. What is written must be readable again, by this program and by a server (schemas/raw-linkset.md, "What is
written"). So a document that changed is held to the bounds here, whatever ``--max`` allows of the kit that is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from kit.documents import Run, core, count_elements, document_name, first_other, is_deeper, narrow_bytes, with_texts
from kit.encryption.needs import ENCRYPTED
from kit.encryption.restoring import ReopenedRun, Reopener, reopen
from kit.errors import ContentError, DigestError, KitError
from kit.transforms import coverage
from kit.transforms.coverage import Tally, TenantCoverage, tenant_named
from kit.transforms.projections import RAW_LINKSET
from kit.transforms.protocol import Finding, KeyedTransform, Transform
from kit.transforms.raw_linkset.counting import tally_appended
from kit.transforms.undoing import Ways, find_way, join_ways
from kit.values import CollectionName, CountName, FieldOutcome, Limits, RunLengths

APPENDED = RAW_LINKSET
_HINT = "nothing was signed, and the kit is as it was; this is a fault of the program or of the machine: report it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What transforms state of a run."""

    name: CollectionName
    transforms: Sequence[Transform]
    selection: RunLengths
    """Which documents changed."""
    tally: Tally
    """What was counted of the documents as they are."""
    counts: Mapping[tuple[str, str, CountName], int]
    """(transform, tenant, counter) → sum."""


@dataclass(slots=True, kw_only=True)
class ProvenRun:
    """What the proof of a run found.

    Attributes:
        envelopes: (partition, field) → envelopes that there are now.
        ways: By which ways the documents that changed lead back, where they were undone one by one.
    """

    envelopes: Counter[tuple[str, str]]
    ways: Ways = ()


def prove_run(claim: Claim, run: Run, after: Run) -> ProvenRun:
    """Check the result of one run.

    Args:
        claim: What the transforms state of it.
        run: The documents, as they were.
        after: The documents, as they are.

    Raises:
        DigestError: They are other documents than the transforms may make, or a count is not what is there.
    """
    body = after.data
    if claim.selection.total != len(run):
        raise DigestError(f"{claim.selection.total:,} documents are accounted for, of {len(run):,}", hint=_HINT)
    sealing = [transform.keyed for transform in claim.transforms if transform.keyed is not None]
    others = [transform for transform in claim.transforms if transform.keyed is None]
    flags, envelopes = claim.selection.flags(), Counter[tuple[str, str]]()
    appending = bool(others)
    if any(transform.appends != APPENDED for transform in others):
        return _check_undone(claim, run, after)
    found = tally_appended(claim.name, run, body, bytes(flags)) if appending and not sealing else None
    if found is not None:
        _check_counted(claim, found)
        return ProvenRun(envelopes=envelopes)
    if sealing:
        envelopes = _check_sealed(claim, sealing, run, after, flags, appending=appending)
    elif (other := first_other(run.data, run.ends, body, flags, APPENDED)) >= 0:
        raise _other(run, other, "rawLinkset appended")
    _check_tally(claim, body, appending=appending)
    return ProvenRun(envelopes=envelopes)


def _check_undone(claim: Claim, run: Run, made: Run) -> ProvenRun:
    """Undo every transform of each document that changed, and compare with what was read.

    Which of a chain changed a document is not on record, so any of them may have: one way back to the very bytes that
    were read is a proof, since each step of it takes away what that transform adds and nothing else.
    """
    others = [transform for transform in claim.transforms if transform.keyed is None]
    after, envelopes = cut(made.data), Counter[tuple[str, str]]()
    if len(after) != len(run):
        raise _other(run, min(len(after), len(run)), "the transforms applied")
    undone = _unsealed(claim, run, made, envelopes)
    ways: list[tuple[int, int]] = []
    for number, (old, new, flag) in enumerate(zip(run, undone, claim.selection.flags(), strict=True)):
        way = find_way(claim.name, others, new, old) if flag != (old == after[number]) else None
        if way is None:
            raise _other(run, number, f"{' and '.join(one.name for one in claim.transforms)} applied")
        if flag:
            ways.append((1, way))
    _check_tally(claim, made.data, appending=True)
    return ProvenRun(envelopes=envelopes, ways=join_ways(ways))


def _unsealed(claim: Claim, run: Run, made: Run, envelopes: Counter[tuple[str, str]]) -> list[bytes]:
    """Return the documents with their sealed values opened, and add the envelopes they held to ``envelopes``.

    Raises:
        DigestError: One does not open, or a count is wrong.
    """
    undone = cut(made.data)
    texts = [(old, new) for (_, old), (_, new) in zip(with_texts(run), with_texts(made), strict=False)]
    sealing = [transform.keyed for transform in claim.transforms if transform.keyed is not None]
    try:
        for transform in reversed(sealing):
            opening = Reopener(transform.mapped(claim.name), transform.keys.key_set(), transform.replaced)
            undone = [opening.undo(old, new, kept) for old, new, kept in zip(run, undone, texts, strict=False)]
            _check_opened(claim, transform, opening)
            envelopes.update(opening.envelopes)
    except KitError as error:
        raise DigestError(f"what was sealed does not open: {error.what}", where=error.where, hint=_HINT) from error
    return undone


def _check_sealed(
    claim: Claim, sealing: Sequence[KeyedTransform], run: Run, made: Run, flags: Sequence[bool], *, appending: bool
) -> Counter[tuple[str, str]]:
    """Open what was sealed, cut out what was appended, and compare."""
    if len(sealing) == 1 and not appending and not sealing[0].replaced:
        found = _reopened(claim, sealing[0], run, made)
        if found is not None and found.data == run.data and found.other == bytes(flags):
            _check_opened(claim, sealing[0], found)
            return Counter(found.envelopes)
    envelopes: Counter[tuple[str, str]] = Counter()
    after = cut(made.data)
    undone = _unsealed(claim, run, made, envelopes)
    # Where it was appended to, too, a document is longer than it was. One that changed is in any case not the same.
    appended = [len(old) != len(new) for old, new in zip(run, undone, strict=False)]
    for number, (old, new) in enumerate(zip(run, after, strict=False)):
        if flags[number] == (old == new) or (appended[number] and not (appending and flags[number])):
            raise _other(run, number, "its fields sealed")
    other = first_other(run.data, run.ends, b"".join(undone), appended, APPENDED) if len(after) == len(run) else 0
    if other >= 0 or len(after) != len(run):
        raise _other(run, other, "its fields sealed")
    return envelopes


def _reopened(claim: Claim, transform: KeyedTransform, run: Run, made: Run) -> ReopenedRun | None:
    """Open the sealed values of a whole run; None where that fails, and each document must be opened by itself."""
    try:
        after = Run(data=made.data, ends=tuple(ends_of(made.data)), texts=made.texts)
        return reopen(transform.mapped(claim.name), transform.keys.key_set(), Run.of(run), after)
    except KitError:
        return None


def _check_opened(claim: Claim, transform: KeyedTransform, opening: Reopener | ReopenedRun) -> None:
    """Compare what was sealed with what the statement will count."""
    counted: Counter[tuple[str, str]] = Counter()
    for (name, tenant, counter), count in claim.counts.items():
        if name == transform.name and isinstance(counter, FieldOutcome) and counter.outcome == ENCRYPTED:
            counted[tenant, counter.field] += count
    if +counted != opening.opened:
        raise DigestError("the envelopes were counted wrongly", hint=_HINT)


def _check_tally(claim: Claim, body: bytes, *, appending: bool) -> None:
    """Count the documents again, by their contents; the reason why a projection is missing is not compared."""
    if not appending:
        if claim.tally.bytes != len(body):
            raise DigestError("the documents were counted wrongly", hint=_HINT)
        return
    _check_counted(claim, coverage.tally(claim.name, cut(body)))


def _check_counted(claim: Claim, found: Tally) -> None:
    if _compared(found) != _compared(claim.tally):
        raise DigestError("the documents were counted wrongly", hint=_HINT)


def _compared(tally: Tally) -> tuple[int, int, dict[str, TenantCoverage]]:
    return tally.documents, tally.bytes, {name: replace(one, unresolvable=0) for name, one in tally.tenants.items()}


def cut(body: bytes) -> list[bytes]:
    """Cut documents apart, by their lengths.

    Raises:
        DigestError: They are none.
    """
    ends = ends_of(body)
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def ends_of(body: bytes) -> list[int]:
    """Return the offset after each document, by their lengths.

    Raises:
        DigestError: They are none.
    """
    framed = core.frame(body) if core.frame is not None else None
    if framed is not None:
        return framed
    ends, at, size = list[int](), 0, len(body)
    while at < size:
        end = at + int.from_bytes(body[at : at + 4], "little")
        if end < at + 5 or end > size:
            raise DigestError("what came out is no document", hint=_HINT)
        ends.append(end)
        at = end
    return ends


def _other(run: Run, number: int, what: str) -> DigestError:
    """Name the document that is not as it must be."""
    if number >= len(run):
        return DigestError(f"more documents came out than the {len(run):,} that went in", hint=_HINT)
    start = run.ends[number - 1] if number else 0
    name = document_name(run.data[start : run.ends[number]])
    return DigestError(
        f"came out as another document than the one that is there with {what}",
        where=f'document {run.first + number:,} (_id "{name}")',
        hint=_HINT,
    )


SHOWN = 20
"""Documents that the error names."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""What a MongoDB server stores of a document, https://www.mongodb.com/docs/manual/reference/limits/."""
TOO_LARGE = "too-large"
"""The kind of the finding."""
_HINT_OF_REFUSALS = (
    "kit plan with the same options and --json names each of them; other tenants are patched by --tenant"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One document that stops a patch."""

    ordinal: int
    """In its member, from 0."""
    document: str
    """Its ``_id`` as text."""
    error: KitError
    measure: str = ""
    """The size that is over a bound, for a list; "" where something else is wrong."""


@dataclass(slots=True, kw_only=True)
class Refusals:
    """The documents of a run, or of a kit, that stop a patch."""

    total: int = 0
    first: list[Refusal] = field(default_factory=list)
    """At most :data:`SHOWN`, in the order of the kit."""

    @classmethod
    def of(cls, found: Iterable[Refusal]) -> Self:
        """Return the refusals of one run; of one document the first that was found."""
        by_ordinal: dict[int, Refusal] = {}
        for one in found:
            by_ordinal.setdefault(one.ordinal, one)
        return cls(total=len(by_ordinal), first=[by_ordinal[at] for at in sorted(by_ordinal)[:SHOWN]])

    def add(self, one: Refusal) -> None:
        """Take one that comes after all others."""
        if len(self.first) < SHOWN:
            self.first.append(one)
        self.total += 1

    def take(self, other: Refusals, where: str) -> None:
        """Take what a run of the member ``where`` found."""
        for one in other.first[: SHOWN - len(self.first)]:
            one.error.inside(where)
            self.first.append(one)
        self.total += other.total

    def error(self) -> KitError | None:
        """Return the error that a patch ends with; None where no document stops it."""
        if not self.first:
            return None
        error = self.first[0].error
        if self.total == 1:
            return error
        named = ", ".join(f'"{one.document}"{f" {one.measure}" if one.measure else ""}' for one in self.first)
        more = f" and {self.total - len(self.first):,} more" if self.total > len(self.first) else ""
        what = f"{error.what}; the first of {self.total:,} documents that stop the patch: {named}{more}"
        whole = type(error)(what, where=error.where, hint=error.hint)
        whole.__cause__ = error.__cause__
        return whole


def suspects(data: bytes, ends: Sequence[int], touched: Sequence[bool], limits: Limits) -> Sequence[int]:
    """Return the numbers of the documents that :func:`find_oversized` must look at: all others are within its bounds.

    Args:
        data: Documents back to back, as they would be written.
        ends: Offset after each.
        touched: Whether each changed.
        limits: As for :func:`find_oversized`.
    """
    if core.suspects is not None:
        bounds = _Bounds.of(limits)
        found = core.suspects(data, ends, bytes(touched), (min(bounds.size, bounds.narrow_size), bounds.levels))
        if found is not None:
            return found
    return [number for number, is_touched in enumerate(touched) if is_touched]


def find_oversized(
    documents: Iterable[tuple[int, bytes]], first: int, limits: Limits
) -> Iterator[tuple[Refusal, Finding]]:
    """Find the changed documents that nothing could read again.

    Args:
        documents: Those that changed, each with its number, as they would be written.
        first: The ordinal of the first document in its member.
        limits: What this run reads; a bound that the user lowered holds for what is written, too.
    """
    bounds = _Bounds.of(limits)
    for number, document in documents:
        excess = bounds.excess(document)
        if excess is None:
            continue
        what, measure = excess
        name = document_name(document)
        error = ContentError(
            f"cannot be written: {what}", where=f'document {first + number:,} (_id "{name}")', hint=_HINT_OF_REFUSALS
        )
        finding = Finding(kind=TOO_LARGE, reason=str(error), document=name, tenant=tenant_named(document))
        yield Refusal(ordinal=first + number, document=name, error=error, measure=measure), finding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """What a document that is written may have at most."""

    size: int
    levels: int
    elements: Limits
    """Only ``document_elements`` and ``document_depth`` of it count."""

    @classmethod
    def of(cls, limits: Limits) -> Self:
        most = Limits()
        levels = min(most.document_depth, limits.document_depth)
        elements = min(most.document_elements, limits.document_elements)
        return cls(
            size=min(MAX_DOCUMENT_BYTES, limits.document_bytes),
            levels=levels,
            elements=Limits(document_elements=elements, document_depth=levels),
        )

    @property
    def narrow_size(self) -> int:
        """Bytes up to which a document has no room for too many elements."""
        return narrow_bytes(self.elements)

    def excess(self, document: bytes) -> tuple[str, str] | None:
        """Return which bound a document exceeds, as a sentence and in short; None where it is within all of them."""
        size = len(document)
        if size > self.size:
            return f"it would have {size:,} bytes, and a document may have {self.size:,}", f"{size:,} bytes"
        if is_deeper(document, self.levels):
            return f"it would be nested deeper than {self.levels:,} levels", f"over {self.levels:,} levels"
        most = self.elements.document_elements
        if size > self.narrow_size and (count := count_elements(document, 0, size, self.elements)) > most:
            return f"it would have {count:,} elements, and a document may have {most:,}", f"{count:,} elements"
        return None
