"""Counts per collection and field, with the sum that must hold (schemas/field-map.md, "Counters").

A transform reports counters by name to the engine, which only adds them up; this module makes the names and reads them
back. Law: ``scanned = encrypted + skipped_encrypted + skipped_null + skipped_missing + skipped_owner + errors``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import StoppedError

SCANNED = "scanned"
ENCRYPTED = "encrypted"
SKIPPED_ENCRYPTED = "skipped_encrypted"
SKIPPED_NULL = "skipped_null"
SKIPPED_MISSING = "skipped_missing"
SKIPPED_OWNER = "skipped_owner"
ERRORS = "errors"
DIGEST_VALUES = "digest_values"
DIGEST_TOTAL = "digest_total"
"""The two sums of :class:`kit.encryption.proof.ValueDigest`: of the plaintext, as it was before it was sealed."""
OUTCOMES = (ENCRYPTED, SKIPPED_ENCRYPTED, SKIPPED_NULL, SKIPPED_MISSING, SKIPPED_OWNER, ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCounts:
    """What became of the values of one field."""

    collection: str
    """``db.collection``."""
    field: str
    scanned: int = 0
    encrypted: int = 0
    skipped_encrypted: int = 0
    skipped_null: int = 0
    skipped_missing: int = 0
    skipped_owner: int = 0
    errors: int = 0

    def check(self) -> None:
        """Assert that every value scanned is accounted for.

        Raises:
            StoppedError: The sum does not hold: a value was lost count of, so the run cannot be trusted.
        """
        total = sum(getattr(self, outcome) for outcome in OUTCOMES)
        if total != self.scanned:
            raise StoppedError(
                f"scanned {self.scanned:,} values of {self.field!r}, but account for {total:,}", where=self.collection
            )

    def to_json(self) -> dict[str, Any]:
        """Give the counts by name."""
        return {name: getattr(self, name) for name in ("collection", "field", SCANNED, *OUTCOMES)}


def counter(outcome: str, collection: object, field: object) -> str:
    """Name a counter. Neither outcome nor collection can hold a slash, so that the name can be taken apart again."""
    return f"{outcome}/{collection}/{field}"


def field_counts(counters: Iterable[tuple[str, int]] | Mapping[str, int]) -> tuple[FieldCounts, ...]:
    """Read counters back, of whatever tenants together, sorted by collection and field; others are passed over.

    Raises:
        StoppedError: A sum does not hold.
    """
    found: dict[tuple[str, str], dict[str, int]] = {}
    pairs = counters.items() if isinstance(counters, Mapping) else counters
    for name, count in pairs:
        outcome, _, rest = name.partition("/")
        collection, _, field = rest.partition("/")
        if field and outcome in {SCANNED, *OUTCOMES}:
            counts = found.setdefault((collection, field), {})
            counts[outcome] = counts.get(outcome, 0) + count
    result = [FieldCounts(collection=key[0], field=key[1], **found[key]) for key in sorted(found)]
    for field_count in result:
        field_count.check()
    return tuple(result)
