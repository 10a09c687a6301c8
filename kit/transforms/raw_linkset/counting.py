"""Counts whole runs through the core, and documents that it leaves to the reference by ``coverage.tally``.

Law: the tally is that of ``coverage.tally``, whatever the documents are. The core is used only while the names that it
is handed (``shape.NAMES``) are those by which ``kit.transforms.projections`` judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from kit.documents import Run, core
from kit.transforms import coverage
from kit.transforms.coverage import Tally
from kit.transforms.projections import V1
from kit.transforms.raw_linkset.shape import NAMES, Names
from kit.values import CollectionName

TENANT: Final = "tenant"

Counts = tuple[Sequence[tuple[str, int, int, int, int]], Sequence[int]]
"""By tenant: documents, those without ``rawLinkset``, with null, with another type; then the numbers of all others."""


class Counted(NamedTuple):
    """What documents are counted by, as the core is handed it."""

    tenant: str
    names: Names
    observed: bool


def counted(name: CollectionName) -> Counted | None:
    """Return by what documents of a collection are counted; None where only the reference can."""
    layout = NAMES.layout
    is_alike = (layout.linkset, layout.raw_linkset, layout.rows) == (V1.linkset, V1.raw_linkset, V1.rows)
    return Counted(TENANT, NAMES, coverage.is_observations(name)) if is_alike else None


def tally_run(name: CollectionName, run: Run) -> Tally:
    """Return the tally of a run."""
    by = counted(name)
    found = core.count(run.data, run.ends, by, None) if core.count is not None and by is not None else None
    return coverage.tally(name, run) if found is None else tally_of(name, found[0], run.data, run.ends)


def tally_appended(name: CollectionName, run: Run, body: bytes, touched: bytes) -> Tally | None:
    """Return the tally of documents that are those of a run, some with one ``rawLinkset`` appended.

    Args:
        name: The collection.
        run: The documents, as they were.
        body: The documents, as they are.
        touched: A byte for each document: not 0 where it was appended to.

    Returns:
        None where they are not plainly that, which only the reference can tell from others.
    """
    by = counted(name)
    if core.count is None or by is None:
        return None
    found = core.count(run.data, run.ends, by, (body, touched))
    return None if found is None else tally_of(name, found[0], body, found[1])


def tally_of(name: CollectionName, counts: Counts, data: bytes, ends: Sequence[int]) -> Tally:
    """Return the tally of documents that the core counted, those that it left to the reference included.

    Args:
        name: The collection.
        counts: What the core found.
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
    """Return the document of a number."""
    return data[ends[number - 1] if number else 0 : ends[number]]
