"""Whether a run of documents became what its transforms may make of it, and nothing else: what a patch proves first.

The engine is not believed about its own work (docs/design/self-proof.md). What was appended is cut out again, what was
sealed is opened, and what is left must be the documents of the base, byte for byte, as many and in their order; what
was counted of them is counted again. Laws: a run passes exactly if undoing gives the bytes it was made of; where a
transform is of no known kind, none passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kit.documents import Run, core, document_name, first_other, without_last
from kit.encryption.counting import ENCRYPTED
from kit.encryption.restoring import ReopenedRun, Reopener, reopen
from kit.errors import DigestError, KitError
from kit.transforms import coverage
from kit.transforms.coverage import Tally, TenantCoverage
from kit.transforms.projections import RAW_LINKSET
from kit.transforms.protocol import KeyedTransform, Transform
from kit.transforms.raw_linkset.counting import tally_appended
from kit.values import CollectionName, CountName, FieldOutcome, RunLengths

APPENDED = RAW_LINKSET
_HINT = "nothing was signed, and the kit is as it was; this is a fault of the program or of the machine: report it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What transforms say of a run."""

    name: CollectionName
    transforms: Sequence[Transform]
    selection: RunLengths
    """Which documents changed."""
    tally: Tally
    """What was counted of the documents as they are."""
    counts: Mapping[tuple[str, str, CountName], int]
    """(transform, tenant, counter) → sum."""


def prove_run(claim: Claim, run: Run, body: bytes) -> Counter[tuple[str, str]]:
    """Check what became of one run, and return the envelopes that are in it now: (partition, field) → count.

    Args:
        claim: What is said of it.
        run: The documents, as they were.
        body: The documents, as they are.

    Raises:
        DigestError: They are other documents than the transforms may make, or a count is not what is there.
    """
    if claim.selection.total != len(run):
        raise DigestError(f"{claim.selection.total:,} documents are accounted for, of {len(run):,}", hint=_HINT)
    sealing = [transform.keyed for transform in claim.transforms if transform.keyed is not None]
    others = [transform for transform in claim.transforms if transform.keyed is None]
    flags, envelopes = claim.selection.flags(), Counter[tuple[str, str]]()
    appending = bool(others)
    if any(transform.appends != APPENDED for transform in others):
        return _check_undone(claim, run, body)
    found = tally_appended(claim.name, run, body, bytes(flags)) if appending and not sealing else None
    if found is not None:
        _check_counted(claim, found)
        return envelopes
    if sealing:
        envelopes = _check_sealed(claim, sealing, run, body, flags, appending=appending)
    elif (other := first_other(run.data, run.ends, body, flags, APPENDED)) >= 0:
        raise _other(run, other, "rawLinkset appended")
    _check_tally(claim, body, appending=appending)
    return envelopes


def _check_undone(claim: Claim, run: Run, body: bytes) -> Counter[tuple[str, str]]:
    """Undo every transform of each document that changed, and compare with what was read.

    Which of a chain changed a document is not on record, so any of them may have: one way back to the very bytes that
    were read is a proof, since each step of it takes away what that transform adds and nothing else.
    """
    others = [transform for transform in claim.transforms if transform.keyed is None]
    after, envelopes = cut(body), Counter[tuple[str, str]]()
    if len(after) != len(run):
        raise _other(run, min(len(after), len(run)), "the transforms applied")
    undone = _unsealed(claim, run, after, envelopes)
    for number, (old, new, flag) in enumerate(zip(run, undone, claim.selection.flags(), strict=True)):
        if flag == (old == after[number]) or not _leads_back(claim.name, others, new, old):
            raise _other(run, number, f"{' and '.join(one.name for one in claim.transforms)} applied")
    _check_tally(claim, body, appending=True)
    return envelopes


def _leads_back(name: CollectionName, others: Sequence[Transform], new: bytes, old: bytes) -> bool:
    if new == old:
        return True
    for number in reversed(range(len(others))):
        transform = others[number]
        earlier = without_last(new, transform.appends) if transform.appends else transform.undo(name, new)
        if earlier is not None and _leads_back(name, others[:number], earlier, old):
            return True
    return False


def _unsealed(claim: Claim, run: Run, after: Sequence[bytes], envelopes: Counter[tuple[str, str]]) -> list[bytes]:
    """Return the documents with what was sealed opened, and add the envelopes they held to ``envelopes``.

    Raises:
        DigestError: One does not open, or a count is wrong.
    """
    undone = list(after)
    sealing = [transform.keyed for transform in claim.transforms if transform.keyed is not None]
    try:
        for transform in reversed(sealing):
            opening = Reopener(transform.mapped(claim.name), transform.keys.key_set())
            undone = [opening.undo(old, new) for old, new in zip(run, undone, strict=False)]
            _check_opened(claim, transform, opening)
            envelopes.update(opening.envelopes)
    except KitError as error:
        raise DigestError(f"what was sealed does not open: {error.what}", where=error.where, hint=_HINT) from error
    return undone


def _check_sealed(
    claim: Claim, sealing: Sequence[KeyedTransform], run: Run, body: bytes, flags: Sequence[bool], *, appending: bool
) -> Counter[tuple[str, str]]:
    """Open what was sealed, cut out what was appended, and compare."""
    if len(sealing) == 1 and not appending:
        found = _reopened(claim, sealing[0], run, body)
        if found is not None and found.data == run.data and found.other == bytes(flags):
            _check_opened(claim, sealing[0], found)
            return Counter(found.envelopes)
    envelopes: Counter[tuple[str, str]] = Counter()
    after = cut(body)
    undone = _unsealed(claim, run, after, envelopes)
    # Where it was appended to, too, a document is longer than it was. One that changed is in any case not the same.
    appended = [len(old) != len(new) for old, new in zip(run, undone, strict=False)]
    for number, (old, new) in enumerate(zip(run, after, strict=False)):
        if flags[number] == (old == new) or (appended[number] and not (appending and flags[number])):
            raise _other(run, number, "its fields sealed")
    other = first_other(run.data, run.ends, b"".join(undone), appended, APPENDED) if len(after) == len(run) else 0
    if other >= 0 or len(after) != len(run):
        raise _other(run, other, "its fields sealed")
    return envelopes


def _reopened(claim: Claim, transform: KeyedTransform, run: Run, body: bytes) -> ReopenedRun | None:
    """Open what was sealed in a whole run; None where each document must be asked for, or one is to be named."""
    try:
        after = Run(data=body, ends=tuple(ends_of(body)))
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
    """Count the documents again, by what is in them; what the counts leave open is why one is missing."""
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
