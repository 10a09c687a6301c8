"""Counts per collection and field, with the sum that must hold (schemas/field-map.md, "Counters").

A transform reports counts by :class:`kit.values.FieldOutcome` to the engine, which adds them up; this module parses
them. Law: ``scanned = encrypted + skipped_encrypted + skipped_null + skipped_missing + skipped_owner + errors``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import StoppedError
from kit.values import CountName, FieldOutcome

SCANNED = "scanned"
ENCRYPTED = "encrypted"
SKIPPED_ENCRYPTED = "skipped_encrypted"
SKIPPED_NULL = "skipped_null"
SKIPPED_MISSING = "skipped_missing"
SKIPPED_OWNER = "skipped_owner"
ERRORS = "errors"
DIGEST_VALUES = "digest_values"
DIGEST_TOTAL = "digest_total"
"""The two sums of :class:`kit.encryption.proof.ValueDigest`, over the plaintext before it was sealed."""
OUTCOMES = (ENCRYPTED, SKIPPED_ENCRYPTED, SKIPPED_NULL, SKIPPED_MISSING, SKIPPED_OWNER, ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCounts:
    """The outcomes of one field's values."""

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
        """Check that every scanned value is accounted for.

        Raises:
            StoppedError: The sum is wrong: a value was lost, so the run cannot be trusted.
        """
        total = sum(getattr(self, outcome) for outcome in OUTCOMES)
        if total != self.scanned:
            raise StoppedError(
                f"scanned {self.scanned:,} values of {self.field!r}, but accounted for {total:,}", where=self.collection
            )

    def to_json(self) -> dict[str, Any]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in ("collection", "field", SCANNED, *OUTCOMES)}


def field_counts(
    counts: Iterable[tuple[CountName, int]] | Mapping[CountName, int],
) -> tuple[FieldCounts, ...]:
    """Return counts by collection and field, sorted, of all tenants together; other counts are ignored.

    Raises:
        StoppedError: A sum is wrong.
    """
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, count in counts.items() if isinstance(counts, Mapping) else counts:
        if isinstance(name, FieldOutcome) and name.outcome in {SCANNED, *OUTCOMES}:
            field = found.setdefault((name.collection, name.field), {})
            field[name.outcome] = field.get(name.outcome, 0) + count
    result = [FieldCounts(collection=key[0], field=key[1], **found[key]) for key in sorted(found)]
    for field_count in result:
        field_count.check()
    return tuple(result)
