"""Copies of sealed values in the clear: ``copies`` of schemas/verify-report.md, and its table in text and on the page.

Nothing of a value is in it, and no key: where, how often, and which documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kit.encryption.copies import LONG
from kit.reports.text import MAX_DOCUMENT, clip, table

if TYPE_CHECKING:
    from kit.verbs.verify.copies import Copies

SHOWN = 20
"""Places in the text report. The JSON report has all."""
HEADS = ("member", "path", f"copies of {LONG} bytes", "equal, shorter", "first")


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
    yield from table(HEADS, [(*row[:2], f"{row[2]:,}", f"{row[3]:,}", row[4]) for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        yield f"and {len(rows) - SHOWN:,} more places, which the JSON report names"
