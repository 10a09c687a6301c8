"""Counts whole runs by the core, and documents that it leaves to the reference by ``coverage.tally``.

Law: the result equals that of ``coverage.tally``, whatever the documents are. The core is used only while the names
that are passed to it (``shape.NAMES``) are those of ``kit.transforms.projections``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from kit.documents import Run, core
from kit.transforms import coverage
from kit.transforms.coverage import Tally
from kit.transforms.projections import V1
from kit.transforms.protocol import ChangeTotals
from kit.transforms.raw_linkset.outcomes import (
    NO_LINKSET,
    NOT_SELECTED,
    NULL,
    OTHER_SHAPE,
    OTHER_TYPE,
    UNRESOLVABLE,
)
from kit.transforms.raw_linkset.shape import NAMES, Names
from kit.values import CollectionName

TENANT: Final = "tenant"

Counts = tuple[Sequence[tuple[str, int, int, int, int]], Sequence[int]]
"""By tenant: documents, those without ``rawLinkset``, with null, with another type; then the numbers of the rest."""


class Counted(NamedTuple):
    """The names by which documents are counted, in the form that the core takes."""

    tenant: str
    names: Names
    observed: bool


def counted(name: CollectionName) -> Counted | None:
    """Return the names by which a collection is counted; None if only the reference can count it."""
    layout = NAMES.layout
    is_alike = (layout.linkset, layout.raw_linkset, layout.rows) == (V1.linkset, V1.raw_linkset, V1.rows)
    return Counted(TENANT, NAMES, coverage.is_observations(name)) if is_alike else None


def tally_run(name: CollectionName, run: Run) -> Tally:
    """Return the tally of a run."""
    by = counted(name)
    found = core.count(run.data, run.ends, by, None) if core.count is not None and by is not None else None
    tally = coverage.tally(name, run) if found is None else tally_of(name, found[0], run.data, run.ends)
    tally.bytes = len(run.stored)
    return tally


def tally_appended(name: CollectionName, run: Run, body: bytes, touched: bytes) -> Tally | None:
    """Return the tally of a run's documents, some of them with one ``rawLinkset`` appended.

    Args:
        name: The collection.
        run: The documents before.
        body: The documents after.
        touched: A byte for each document: not 0 if it was appended to.

    Returns:
        The tally; None if the documents are not plainly that, so that the reference must count them.
    """
    by = counted(name)
    if core.count is None or by is None:
        return None
    found = core.count(run.data, run.ends, by, (body, touched))
    return None if found is None else tally_of(name, found[0], body, found[1])


def tally_of(name: CollectionName, counts: Counts, data: bytes, ends: Sequence[int]) -> Tally:
    """Return the tally of documents that the core counted, including those left to the reference.

    Args:
        name: The collection.
        counts: The counts of the core.
        data: The documents, back to back.
        ends: The offset after each.
    """
    total = Tally()
    covered, alone = counts
    for tenant, documents, missing, null, other_type in covered:
        one = total.tenant(tenant)
        one.documents += documents
        if coverage.is_observations(name):
            one.missing, one.null, one.other_type = missing, null, other_type
            one.present = documents - missing
    if alone:
        total.add(coverage.tally(name, [document_at(data, ends, number) for number in alone]))
    total.documents, total.bytes = len(ends), len(data)
    return total


def document_at(data: bytes, ends: Sequence[int], number: int) -> bytes:
    """Return the document with this number."""
    return data[ends[number - 1] if number else 0 : ends[number]]


def count_outcomes(tally: Tally, totals: ChangeTotals) -> None:
    """Count into ``tally`` the coverage that the outcomes of a run show: as :func:`kit.transforms.coverage.tally`."""
    for (tenant, outcome), documents in totals.outcomes.items():
        covered = tally.tenant(tenant)
        covered.documents += documents
        covered.null += documents if outcome == NULL else 0
        covered.unresolvable += documents if outcome == UNRESOLVABLE else 0
        if outcome in {UNRESOLVABLE, NOT_SELECTED}:
            covered.missing += documents
        else:
            covered.present += documents
    for (tenant, counter), documents in totals.counts.items():
        covered = tally.tenant(tenant)
        covered.other_type += documents if counter == OTHER_TYPE else 0
        covered.other_shape += documents if counter == OTHER_SHAPE else 0
        covered.no_linkset += documents if counter == NO_LINKSET else 0
