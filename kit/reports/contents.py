"""Documents of a kit that were found by a name: schemas/find-report.md.

Members of a kit, listed or written: schemas/members-report.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from kit.reports.text import SCHEMA_VERSION
from kit.verbs.find import By, FindReport, Match
from kit.verbs.members import CatReport, KitMember, MemberKind, MembersReport

_BY = {By.ID: "id", By.UPSTREAM_ID: "upstreamId", By.ALIAS: "alias", By.PURL: "purl", By.PART: "upstreamIdInText"}
_WIDEST = 60
"""Characters to which a column is padded; a longer cell moves those after it."""


def find_json(report: FindReport, *, limit: int | None = None) -> dict[str, Any]:
    """Return the report as JSON, with at most ``limit`` matches."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "text": report.text,
        "documents": report.documents,
        "unread": report.unread,
        "matches": {
            "total": report.total,
            "items": [
                {
                    "member": str(one.member.path),
                    "db": one.member.name.database,
                    "collection": one.member.name.collection,
                    **match_json(one.match),
                }
                for one in report.found[:limit]
            ],
        },
    }


def match_json(match: Match) -> dict[str, Any]:
    """Return a document that was found by a name, as JSON."""
    return {
        "id": match.name.to_json() if match.name is not None else None,
        "document": match.document,
        "tenant": match.tenant or None,
        "upstreamId": match.upstream_id,
        "by": [_BY[by] for by in match.by],
    }


def find_lines(report: FindReport, *, limit: int) -> Iterator[str]:
    """Yield the report as lines of text, with at most ``limit`` matches."""
    for member, found in groupby(report.found[:limit], key=lambda one: one.member):
        yield f"{member.path}:"
        rows = [_row(one.match) for one in found]
        yield from columns(("_id", "tenant", "upstream id", "found by"), rows)
    if limit and report.found:
        yield ""
    shown = min(limit, len(report.found))
    more = f"; {report.total - shown:,} more are not shown (--limit)" if report.total > shown else ""
    yield f"{_count(report.total, 'document')} of {report.documents:,}{more}; not verified (kit verify)"
    if report.unread:
        yield f"{_count(report.unread, 'document')} that may match cannot be read (kit verify --deep)"


def _row(match: Match) -> tuple[str, ...]:
    return match.document, match.tenant or "-", match.upstream_id or "-", ", ".join(by.value for by in match.by)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else what + 's'}"


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table of texts, heads first, every column to the left."""
    everything = [heads, *rows]
    widths = [min(_WIDEST, max(len(row[column]) for row in everything)) for column in range(len(heads))]
    for row in everything:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  " + "  ".join(cells).rstrip()


def members_json(report: MembersReport) -> dict[str, Any]:
    """Return the members of a kit as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "below": report.below or None,
        "members": [_member_json(one) for one in report.members],
    }


def _member_json(member: KitMember) -> dict[str, Any]:
    return {
        "path": str(member.path),
        "kind": member.kind.value,
        "bytes": member.bytes,
        "sha256": str(member.sha256) if member.sha256 is not None else None,
        "target": member.target,
    }


def members_lines(report: MembersReport) -> Iterator[str]:
    """Yield the members of a kit as lines of text."""
    sizes = [f"{one.bytes:,}" if one.bytes is not None else "-" for one in report.members]
    width = max(map(len, sizes), default=0)
    for size, one in zip(sizes, report.members, strict=True):
        target = f" -> {one.target} ({one.kind.value})" if one.target is not None else ""
        folder = "/" if one.kind is MemberKind.FOLDER else ""
        yield f"{size:>{width}}  {one.path}{folder}{target}"
    total = sum(one.bytes or 0 for one in report.members)
    yield f"{_count(len(report.members), 'member')}, {total:,} bytes; not verified (kit verify)"


def cat_json(report: CatReport) -> dict[str, Any]:
    """Return what was written of a member as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "member": _member_json(report.member),
        "output": str(report.output) if report.output is not None else None,
        "decompressed": bool(report.codec.value),
        "bytes": report.bytes,
        "sha256": str(report.sha256),
    }


def cat_lines(report: CatReport) -> Iterator[str]:
    """Yield what was written of a member as lines of text."""
    decompressed = ", decompressed" if report.codec.value else ""
    yield f"wrote {report.output}, {report.bytes:,} bytes{decompressed}; not verified (kit verify)"
