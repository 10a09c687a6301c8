"""Puts runs through the core and through the reference, and holds the two together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from kit.documents import core
from kit.engine.lookup import EmptyLookup
from kit.errors import KitError
from kit.transforms.protocol import Change, ChangeTotals, Lookup, RewrittenRun, apply_changes
from kit.transforms.raw_linkset import RawLinkset, runs
from kit.values import CollectionName

NAME = CollectionName(database="concelier", collection="advisory_observations")

needs_core = pytest.mark.skipif(core.rewrite is None, reason=f"the core is {core.ABSENCE}")


def ends_of(documents: Sequence[bytes]) -> list[int]:
    return list(itertools.accumulate(map(len, documents)))


def one_by_one(transform: RawLinkset, documents: Sequence[bytes], lookup: Lookup | None = None) -> RewrittenRun:
    changes = transform.apply(NAME, documents, lookup or EmptyLookup(), 0)
    touched: set[int] = set()
    body = b"".join(apply_changes(changes, documents, touched))
    return RewrittenRun(body, [number in touched for number in range(len(documents))], ChangeTotals(changes))


def at_once(
    transform: RawLinkset, documents: Sequence[bytes], lookup: Lookup | None = None
) -> tuple[RewrittenRun | None, list[int]]:
    """Return what the core makes of a run, and the numbers of the documents that it left to the reference."""
    left: list[int] = []
    known = lookup or EmptyLookup()

    def alone(numbers: Sequence[int]) -> Sequence[Change]:
        left.extend(numbers)
        return transform.apply(NAME, [documents[number] for number in numbers], known, 0)

    data = b"".join(documents)
    result = runs.rewrite(transform.names, transform.tenants, NAME.database, known, data, ends_of(documents), alone)
    return result, left if result is not None else list(range(len(documents)))


def parts(result: RewrittenRun) -> tuple[object, ...]:
    totals = result.totals
    return result.body, result.touched, totals.outcomes, totals.counts, totals.sums, totals.findings


def hold_together(transform: RawLinkset, documents: Sequence[bytes], lookup: Lookup | None = None) -> list[int]:
    """Check that core and reference agree about a run; return the numbers that the core left to the reference."""
    try:
        expected = one_by_one(transform, documents, lookup)
    except KitError:
        data = b"".join(documents)
        assert transform.rewrite(NAME, data, ends_of(documents), lookup or EmptyLookup(), 0) is None
        return list(range(len(documents)))
    result, left = at_once(transform, documents, lookup)
    assert result is None or parts(result) == parts(expected)
    return left
