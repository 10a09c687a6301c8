"""What was searched in documents: ``copies`` and ``rederived`` of schemas/verify-report.md, and their tables.

Of copies of sealed values there is no value and no key: only where, how often, and which documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kit.encryption.copies import LONG
from kit.reports.text import MAX_DOCUMENT, clip, table

if TYPE_CHECKING:
    from kit.verbs.verify.copies import Copies
    from kit.verbs.verify.rederiving import Rederived

SHOWN = 20
"""Rows of a table in the text report. The JSON report has all that are named."""
COPIES_HEADS = ("member", "path", f"copies of {LONG} bytes", "equal, shorter", "first")
DIFFERENCE_HEADS = ("tenant", "observation", "difference")
REASON_HEADS = ("tenant", "not derivable", "because", "first")


def copies_json(copies: Copies) -> dict[str, Any]:
    """Return what was found as JSON."""
    return {
        "values": copies.values,
        "unopened": copies.unopened,
        "copies": copies.copies,
        "equal": copies.equal,
        "places": [
            {
                "path": str(member.path),
                "collection": str(member.name) if member.name is not None else None,
                "field": path if member.name is not None else None,
                "copies": place.copies,
                "equal": place.equal,
                "examples": place.examples,
            }
            for member in copies.members
            for path, place in sorted(member.places.items())
        ],
    }


def copies_rows(copies: Copies) -> list[tuple[str, str, int, int, str]]:
    """Return a row for each place, those with most copies first."""
    rows = [
        (str(member.path), path or "-", place.copies, place.equal, clip(place.examples[0], MAX_DOCUMENT))
        for member in copies.members
        for path, place in member.places.items()
    ]
    return sorted(rows, key=lambda row: (-row[2], -row[3], row[0], row[1]))


def copies_lines(copies: Copies) -> Iterator[str]:
    """Yield a table of the places with most copies."""
    rows = copies_rows(copies)
    yield "copies of sealed values in the clear:"
    yield from table(COPIES_HEADS, [(*row[:2], f"{row[2]:,}", f"{row[3]:,}", row[4]) for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        yield f"and {len(rows) - SHOWN:,} more places, which the JSON report names"


def rederived_json(found: Rederived) -> dict[str, Any]:
    """Return what was found as JSON."""
    from kit.verbs.verify.rederiving import Standing  # noqa: PLC0415  not for every verdict

    return {
        "tenants": {
            tenant: {str(one): counts[one] for one in Standing} for tenant, counts in sorted(found.tenants.items())
        },
        "differences": [
            {"tenant": one.tenant, "document": one.document, "member": one.member or None, "how": one.how}
            for one in found.differences
        ],
        "omittedDifferences": found.total(Standing.DIFFERENT) - len(found.differences),
        "underivable": [
            {"tenant": tenant, "reason": reason, "documents": one.documents, "examples": one.examples}
            for (tenant, reason), one in sorted(found.reasons.items())
        ],
    }


def difference_rows(found: Rederived) -> list[tuple[str, str, str]]:
    """Return a row for each difference that is named."""
    return [(clip(one.tenant, MAX_DOCUMENT), one.document, one.how) for one in found.differences]


def reason_rows(found: Rederived) -> list[tuple[str, int, str, str]]:
    """Return a row for each reason, those of most documents first."""
    rows = [
        (clip(tenant, MAX_DOCUMENT), one.documents, reason, clip(one.examples[0], MAX_DOCUMENT))
        for (tenant, reason), one in found.reasons.items()
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0], row[2]))


def rederived_lines(found: Rederived) -> Iterator[str]:
    """Yield a table of differences and one of reasons, where there are any."""
    from kit.verbs.verify.rederiving import Standing  # noqa: PLC0415  not for every verdict

    different, reasons = difference_rows(found), reason_rows(found)
    if different:
        yield "rawLinkset that differs from what is derived:"
        yield from table(DIFFERENCE_HEADS, different[:SHOWN])
        more = found.total(Standing.DIFFERENT) - len(different[:SHOWN])
        if more:
            yield f"and {more:,} more"
    if reasons:
        yield "rawLinkset that cannot be derived again:"
        yield from table(REASON_HEADS, [(row[0], f"{row[1]:,}", *row[2:]) for row in reasons[:SHOWN]])
        if len(reasons) > SHOWN:
            yield f"and for {len(reasons) - SHOWN:,} more reasons, which the JSON report names"
