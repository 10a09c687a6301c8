"""Derives every ``rawLinkset`` of a kit again from its source (schemas/verify-report.md, "Derived again").

It does not matter who made it: a patch, the publisher, another program. Each is taken out of its document, the backfill
runs on what is left, and the element that it would append is compared byte for byte. The kit is read twice more: for
what is looked up, then for the observations. Laws: every observation in scope is counted under exactly one standing;
"equal" only where the bytes of the value are those derived; nothing of the kit is changed.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson

from kit.archive.read.reader import changed_meanwhile
from kit.archive.read.tar import Member
from kit.documents import Kind, Run, append, document_name, element, index, remove
from kit.engine.lookup import close_lookups, open_lookup
from kit.engine.passing import read_again
from kit.engine.progress import Stage
from kit.engine.reading import member_runs
from kit.errors import BsonError, ContentError, KitError, OutputError, StoppedError, UnreadableError
from kit.manifest import Manifest
from kit.output.scratch import scratch_folder
from kit.transforms.change import Change
from kit.transforms.coverage import is_observations, tenant_named
from kit.transforms.projections import ELEMENTS, RAW_LINKSET
from kit.transforms.raw_linkset import RawLinkset
from kit.transforms.raw_linkset.outcomes import CHANGED, NOT_SELECTED, UNRESOLVABLE
from kit.values import CollectionName, MemberPath
from kit.verbs.verify import ends
from kit.verbs.verify.gaps import MAX_EXAMPLES, MAX_REASONS, OTHERS, gather
from kit.verbs.verify.judgement import Evidence, Judgement, Obligation, Status
from kit.verbs.verify.kits import OpenKit

NUMBER = 8
_DOCUMENTS = 7
"""The first obligation about documents: those before it are about the bytes."""
ATTACK = "a projection that does not follow from its source"
MAX_DIFFERENCES = 100
"""The most documents that a report names; further ones are counted."""
_MAX_TEXT = 80
_UNREADABLE = "the document cannot be read"


class Standing(enum.StrEnum):
    """What became of one observation."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDERIVABLE = "underivable"
    """It has one, and there is nothing to derive it from."""
    WITHOUT = "without"
    """It has none, or not a document in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An observation whose ``rawLinkset`` is not the one derived."""

    tenant: str
    document: str
    member: str
    """The first member of ``rawLinkset`` that differs; "" where that is not known."""
    how: str


@dataclass(slots=True, kw_only=True)
class Underivable:
    """Observations of a tenant that cannot be derived for one reason."""

    documents: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, documents: int, examples: Sequence[str]) -> None:
        """Add some more."""
        self.documents += documents
        self.examples += examples[: MAX_EXAMPLES - len(self.examples)]


@dataclass(slots=True, kw_only=True)
class Rederived:
    """What was found, in a run or in a kit."""

    tenants: dict[str, Counter[Standing]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    reasons: dict[tuple[str, str], Underivable] = field(default_factory=dict)
    """By tenant and reason."""

    def count(self, tenant: str, standing: Standing) -> None:
        """Count one observation."""
        self.tenants.setdefault(tenant, Counter())[standing] += 1

    def add(self, other: Rederived) -> None:
        """Add what was found in a later run; what is beyond a limit is counted only."""
        for tenant, counts in other.tenants.items():
            self.tenants.setdefault(tenant, Counter()).update(counts)
        self.differences += other.differences[: MAX_DIFFERENCES - len(self.differences)]
        for (tenant, reason), one in other.reasons.items():
            known = (tenant, reason) in self.reasons or len(self.reasons) < MAX_REASONS
            self.reasons.setdefault((tenant, reason if known else OTHERS), Underivable()).add(
                one.documents, one.examples
            )

    def total(self, standing: Standing) -> int:
        """Return how many observations have a standing."""
        return sum(counts[standing] for counts in self.tenants.values())

    @property
    def detail(self) -> str:
        """The result in one line."""
        equal, different, underivable, without = (self.total(one) for one in Standing)
        text = f"{equal:,} of {equal + different + underivable:,} equal what is derived"
        parts = ((different, "different"), (underivable, "not derivable"), (without, "observations without one"))
        return ", ".join((text, *(f"{count:,} {what}" for count, what in parts if count)))


def rederive_kit(kit: OpenKit, judgement: Judgement, transform: RawLinkset) -> Rederived | None:
    """Derive again what the kit has, add the obligation to ``judgement``, and return what was found.

    Nothing is derived where the bytes are not those that were signed, nor returned where they cannot be read so.

    Args:
        kit: The kit.
        judgement: The judgement.
        transform: The backfill, limited to the tenants in scope.

    Raises:
        UnreadableError: The kit can no longer be read.
        StoppedError: A worker died.
        OutputError: There is no room for what is kept meanwhile.
    """
    manifest = judgement.manifest
    if manifest is None or any(
        one.status is Status.FAILED and one.number < NUMBER - 1 for one in judgement.obligations
    ):
        why = "not derived again, since these are not the bytes that were signed"
        judgement.obligations.append(_obligation(ends.REDERIVED, Status.NOT_APPLICABLE, why))
        return None
    try:
        result = _derive(kit, manifest, transform)
    except (UnreadableError, StoppedError, OutputError):
        raise  # there is no verdict on it
    except KitError as failure:
        judgement.obligations.append(_obligation(ends.REDERIVED, Status.FAILED, str(failure), error=failure))
        return None
    error: ContentError | None = None
    if result.total(Standing.DIFFERENT):
        first = result.differences[0]
        error = ContentError(
            f"{result.detail}: the first is {first.document}, {first.how}",
            hint="kit verify --json lists them; ask who made them from which source",
        )
    elif not result.total(Standing.EQUAL):
        error = ContentError(f"{result.detail}: nothing was compared")
    name = ends.REDERIVED_IN_PART if result.total(Standing.UNDERIVABLE) else ends.REDERIVED
    evidence = tuple(
        Evidence(place=one.document, expected="what is derived", found=one.how) for one in result.differences
    )
    status, detail = (Status.CHECKED, result.detail) if error is None else (Status.FAILED, str(error))
    judgement.obligations.append(_obligation(name, status, detail, error=error, evidence=evidence))
    return result


def _obligation(
    name: str, status: Status, detail: str, *, error: KitError | None = None, evidence: tuple[Evidence, ...] = ()
) -> Obligation:
    return Obligation(
        number=NUMBER, name=name, attack=ATTACK, status=status, detail=detail, evidence=evidence, error=error
    )


def _derive(kit: OpenKit, manifest: Manifest, transform: RawLinkset) -> Rederived:
    total = Rederived()
    with scratch_folder(None) as scratch, ExitStack() as stack:
        stack.callback(close_lookups)
        with kit.pipeline(Stage.EXPLAIN) as pipeline:
            lookup, found = gather(kit.reader, pipeline, transform, scratch)
        if any(found.members.get(entry.path, (None, 0))[0] != entry.sha256 for entry in manifest.entries):
            raise changed_meanwhile(kit.reader.path)
        with kit.pipeline(Stage.EXPLAIN) as pipeline:

            def visit(member: Member, body: Iterator[bytes]) -> None:
                collection = found.collections.get(member.path) if member.path is not None else None
                if collection is None or not is_observations(collection.name):
                    return
                for run in member_runs(collection, body, kit.reader):
                    pipeline.submit(
                        rederive_run,
                        *(transform, collection.name, collection.path, run, lookup),
                        cost=len(run.data),
                        weight=run.weight,
                        then=total.add,
                        where=str(collection.path),
                    )

            read_again(kit.reader, found, visit)
            pipeline.drain()
    return total


@dataclass(frozen=True, slots=True)
class _Stripped:
    """A document without its ``rawLinkset``, the value of this as it is stored, and the document with it at its end."""

    document: bytes
    stored: bytes
    appended: bytes


def rederive_run(transform: RawLinkset, name: CollectionName, path: MemberPath, run: Run, lookup: Path) -> Rederived:
    """Return what becomes of the observations of a run; what cannot be read is underivable."""
    found, kept = Rederived(), list[_Stripped]()
    for document in run:
        try:
            stripped = _strip(document)
        except BsonError as error:
            _leave(found, document, f"{_UNREADABLE}: {error}", transform)
            continue
        if stripped is not None:
            kept.append(stripped)
            continue
        tenant = tenant_named(document)
        if transform.tenants is None or tenant in transform.tenants:
            found.count(tenant, Standing.WITHOUT)
    # A transform takes the ordinal of a run's first document for messages only.
    bare, source = Run.of([one.document for one in kept]), open_lookup(lookup)
    whole = transform.rewrite(name, bare.data, bare.ends, source, run.first) if kept else None
    if whole is not None and all(whole.touched) and whole.body == b"".join(one.appended for one in kept):
        for (tenant, _), documents in whole.totals.outcomes.items():
            found.tenants.setdefault(tenant, Counter())[Standing.EQUAL] += documents
        return found
    changes = transform.apply(name, [one.document for one in kept], source, run.first) if kept else ()
    for one, change in zip(kept, changes, strict=True):
        _compare(one, change, transform, path, found)
    return found


def _compare(one: _Stripped, change: Change, transform: RawLinkset, path: MemberPath, found: Rederived) -> None:
    if change.outcome == NOT_SELECTED:
        return
    if change.outcome not in CHANGED or change.document is None:
        reason = next((finding.reason for finding in change.findings if finding.kind == UNRESOLVABLE), "no source")
        _leave(found, one.document, reason, transform, change.tenant)
        return
    if change.document == one.appended:
        found.count(change.tenant, Standing.EQUAL)
        return
    found.count(change.tenant, Standing.DIFFERENT)
    _, start, end = index(change.document)[RAW_LINKSET.encode()]
    member, how = describe_difference(one.stored, change.document[start:end])
    if len(found.differences) < MAX_DIFFERENCES:
        where = f'{path}: _id "{document_name(one.document)}"'
        found.differences.append(Difference(tenant=change.tenant, document=where, member=member, how=how))


def _strip(document: bytes) -> _Stripped | None:
    """Return a document without its ``rawLinkset``; None where it has none that is a document.

    Raises:
        BsonError: Its top level is malformed, or has the element more than once.
    """
    place = index(document).get(RAW_LINKSET.encode())
    if place is None or place[0] != Kind.DOCUMENT:
        return None
    stored, stripped = document[place[1] : place[2]], remove(document, [RAW_LINKSET])
    is_last = place[2] == len(document) - 1
    appended = document if is_last else append(stripped, element(RAW_LINKSET, Kind.DOCUMENT, stored))
    return _Stripped(stripped, stored, appended)


def _leave(found: Rederived, document: bytes, reason: str, transform: RawLinkset, tenant: str | None = None) -> None:
    tenant = tenant_named(document) if tenant is None else tenant
    if transform.tenants is not None and tenant not in transform.tenants:
        return
    found.count(tenant, Standing.UNDERIVABLE)
    found.reasons.setdefault((tenant, reason), Underivable()).add(1, [document_name(document)])


def describe_difference(stored: bytes, derived: bytes) -> tuple[str, str]:
    """Return the first member in which two values of ``rawLinkset`` differ, and how; "" where it is no member."""
    try:
        has, due = (bson.decode(value) for value in (stored, derived))
    except (bson.errors.BSONError, ValueError):
        return "", "rawLinkset is not readable"
    for name in (*ELEMENTS, *(name for name in has if name not in ELEMENTS)):
        if has.get(name) != due.get(name) or (name in has) != (name in due):
            return name, f"{name}: {_describe(has.get(name), due.get(name))}"
    return "", "the order or the types of its members"


def _describe(has: Any, due: Any) -> str:
    if isinstance(has, list) and isinstance(due, list):
        at = next((number for number, (one, other) in enumerate(zip(has, due, strict=False)) if one != other), None)
        if at is None:
            return f"{len(has):,} where {len(due):,} are derived"
        if len(has) == len(due) and Counter(map(repr, has)) == Counter(map(repr, due)):
            return f"in another order, from item {at} on"
        return f"item {at} is {_clip(has[at])} where {_clip(due[at])} is derived"
    return f"is {_clip(has)} where {_clip(due)} is derived"


def _clip(value: Any) -> str:
    text = "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
