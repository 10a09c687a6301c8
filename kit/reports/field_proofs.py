"""What a verification found in mapped fields: ``fields`` of schemas/verify-report.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kit.reports.table import table

if TYPE_CHECKING:
    # Not loaded for a report without encrypted fields.
    from kit.encryption import FieldProof
    from kit.ops.field_proof import MemberFields

SHOWN_FINDINGS = 5
"""Findings per member in the text report. The JSON report has all, up to its own bound."""
_COUNTS = ("envelopes", "opened", "locked", "plaintext", "null", "missing", "skipped_owner", "faults")


def member_fields_json(member: MemberFields) -> dict[str, Any]:
    """Return the findings of one collection member as JSON."""
    proof = member.proof
    return {
        "path": str(member.collection.path),
        "db": member.collection.name.database,
        "collection": member.collection.name.collection,
        "documents": proof.documents,
        "selected": proof.selected,
        "withoutPartitionKey": proof.without_partition_key,
        "halfEncrypted": proof.half_encrypted,
        "canaries": proof.canaries,
        "faults": proof.faults,
        "restIdentical": member.rest.identical if member.rest is not None else None,
        "restNotProven": (member.rest.why or None) if member.rest is not None else None,
        "fields": [_field_json(name, counts, member) for name, counts in proof.fields.items()],
        "findings": [
            {
                "kind": finding.kind,
                "tenant": finding.partition,
                "document": finding.document,
                "reason": finding.reason,
            }
            for finding in proof.findings
        ],
        "omittedFindings": proof.faults - len(proof.findings),
    }


def _field_json(name: str, counts: FieldProof, member: MemberFields) -> dict[str, Any]:
    return {
        "field": name,
        **{_camel(count): getattr(counts, count) for count in _COUNTS},
        "digest": member.comparison(name).value,
    }


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.title() for word in more)


def member_fields_lines(members: Sequence[MemberFields]) -> Iterator[str]:
    """Yield a table of all members, and the first findings of each."""
    rows = [
        (
            f"{member.collection.name} {name}",
            *(f"{getattr(counts, count):,}" for count in _COUNTS),
            member.comparison(name).value,
        )
        for member in members
        for name, counts in member.proof.fields.items()
    ]
    yield from table(("field", *(name.replace("_", "-") for name in _COUNTS), "digest"), rows)
    for member in members:
        yield from (f"{finding.kind}: {finding.reason}" for finding in member.proof.findings[:SHOWN_FINDINGS])
        if member.proof.faults > SHOWN_FINDINGS:
            yield f"and {member.proof.faults - SHOWN_FINDINGS:,} more in {member.collection.path}"
