"""Finds out why observations lack a projection, by running the backfill on each of them without writing the result.

This only runs if some lack one, so a kit in which all have both costs nothing more. It reads the kit twice: once for
what the backfill looks up, once for the observations. Both readings must find what was judged. Laws: only the lookup is
written; every document that lacks a projection is counted exactly once; memory does not grow with the number of
documents or of different values in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit.archive.read.reader import KitReader
from kit.archive.read.tar import Member
from kit.documents import Run, document_name
from kit.engine.lookup import LookupWriter, open_lookup
from kit.engine.passing import read_again
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey, member_runs
from kit.engine.survey import survey
from kit.transforms.coverage import is_observations
from kit.transforms.raw_linkset import RawLinkset
from kit.transforms.raw_linkset.outcomes import CHANGED, NO_PROJECTION, NOT_SELECTED, NULL, PRESENT, UNRESOLVABLE
from kit.values import CollectionName
from kit.verbs.verify.judgement import Gap

MAX_REASONS = 50
"""Reasons counted apart for one tenant; documents with further ones are counted under :data:`OTHERS`."""
MAX_EXAMPLES = 3
OTHERS = "other reasons"
_MAX_REASON_LENGTH = 200


@dataclass(slots=True)
class _Counted:
    documents: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: _Counted) -> None:
        self.documents += other.documents
        self.examples += other.examples[: MAX_EXAMPLES - len(self.examples)]


_Key = tuple[str, str, str]
"""Tenant, outcome, reason."""


@dataclass(slots=True, kw_only=True)
class RunGaps:
    """The documents of one run that lack a projection, counted by a worker."""

    documents: int
    counted: dict[_Key, _Counted]


def find_run_gaps(transform: RawLinkset, name: CollectionName, run: Run, lookup: Path) -> RunGaps:
    """Return why documents of a run lack a projection, whether a patch would change them or not.

    Raises:
        KitError: A document is malformed; names its ordinal within the member.
    """
    documents = list(run)
    counted: dict[_Key, _Counted] = {}
    changes = transform.apply(name, documents, open_lookup(lookup), run.first)
    for document, change in zip(documents, changes, strict=True):
        reason = next((f.reason for f in change.findings if f.kind in {UNRESOLVABLE, NO_PROJECTION}), "")
        kept = change.outcome in {PRESENT, NULL}
        if change.outcome == NOT_SELECTED or (kept and not (reason and _is_selected(transform, change.tenant))):
            continue
        one = counted.setdefault((change.tenant, change.outcome, reason[:_MAX_REASON_LENGTH]), _Counted())
        one.documents += 1
        if len(one.examples) < MAX_EXAMPLES:
            one.examples.append(document_name(document))
    return RunGaps(documents=len(documents), counted=counted)


def _is_selected(transform: RawLinkset, tenant: str) -> bool:
    return transform.tenants is None or tenant in transform.tenants


def gather(reader: KitReader, pipeline: Pipeline, transform: RawLinkset, folder: Path) -> tuple[Path, Survey]:
    """Read what ``transform`` looks up into a new file in ``folder``; return its path, and what else was found.

    Raises:
        KitError: A document to look up is malformed, or the disk is full.
    """
    with LookupWriter(folder / "lookup") as lookup:
        found = survey(
            reader, pipeline, keep=lambda _: False, count=lambda _: False, transforms=(transform,), lookup=lookup
        )
        lookup.finish()
    return lookup.path, found


def find_gaps(
    reader: KitReader, found: Survey, pipeline: Pipeline, transform: RawLinkset, lookup: Path
) -> tuple[Gap, ...]:
    """Read every observation again; return the reasons by tenant, those that a patch resolves first.

    Raises:
        DigestError: The kit changed since it was surveyed.
        KitError: A document is malformed.
    """
    total = _Total()

    def visit(member: Member, body: Iterator[bytes]) -> None:
        collection = found.collections.get(member.path) if member.path is not None else None
        if collection is None or not is_observations(collection.name):
            return
        for run in member_runs(collection, body, reader):
            arguments = (transform, collection.name, run, lookup)
            pipeline.submit(
                find_run_gaps,
                *arguments,
                cost=len(run.data),
                weight=run.weight,
                then=total.take,
                where=str(collection.path),
            )

    read_again(reader, found, visit)
    pipeline.drain()
    return total.gaps()


@dataclass(slots=True)
class _Total:
    tenants: dict[str, dict[tuple[str, str], _Counted]] = field(default_factory=dict)

    def take(self, result: RunGaps) -> None:
        for (tenant, outcome, reason), counted in result.counted.items():
            reasons = self.tenants.setdefault(tenant, {})
            key = (outcome, reason)
            if key not in reasons and len(reasons) >= MAX_REASONS:
                key = (outcome, OTHERS if reason else "")
            reasons.setdefault(key, _Counted()).add(counted)

    def gaps(self) -> tuple[Gap, ...]:
        return tuple(
            Gap(
                tenant=tenant,
                missing=outcome == UNRESOLVABLE or outcome in CHANGED,
                source=outcome if outcome in CHANGED else None,
                reason=reason,
                documents=counted.documents,
                examples=tuple(counted.examples),
            )
            for tenant, reasons in sorted(self.tenants.items())
            for (outcome, reason), counted in sorted(reasons.items(), key=_order)
        )


def _order(item: tuple[tuple[str, str], _Counted]) -> tuple[bool, bool, int, str, str]:
    (outcome, reason), counted = item
    return outcome not in CHANGED, outcome == UNRESOLVABLE, -counted.documents, outcome, reason
