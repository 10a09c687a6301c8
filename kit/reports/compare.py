"""The report of ``kit compare``: schemas/compare-report.md.

It names documents and fields, and has no value of a field but ``_id`` and tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.reports.contents import columns
from kit.reports.text import MAX_DOCUMENT, SCHEMA_VERSION, clip, printable
from kit.reports.verify import judgement_json
from kit.values import CollectionName
from kit.verbs.compare.compare import ComparedCollection, ComparisonReport
from kit.verbs.compare.documents import Standing
from kit.verbs.compare.ledger import Outcome

_NO_TENANT = "(none)"
_WIDTH = 60


def compare_json(report: ComparisonReport, code: int) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        **judgement_json(report.judgement),
        "source": "server" if report.source is None else "dump",
        "dump": str(report.source) if report.source is not None else None,
        "same": report.is_same,
        "exitCode": code,
        "allowedFields": list(report.allowed_fields),
        "orderIsFree": report.is_order_free,
        "collections": [_collection_json(one) for one in report.collections],
        "differences": [_outcome_json(one) for one in report.listed],
        "notCompared": [_name_json(one) for one in report.others],
    }


def _collection_json(one: ComparedCollection) -> dict[str, Any]:
    return {
        **_name_json(one.name),
        **{str(standing): one.total(standing) for standing in Standing},
        "tenants": [
            {"tenant": tenant or None, **{str(standing): dict(counts).get(standing, 0) for standing in Standing}}
            for tenant, counts in one.tenants
        ],
    }


def _name_json(name: CollectionName) -> dict[str, Any]:
    return {"db": name.database, "collection": name.collection}


def _outcome_json(one: Outcome) -> dict[str, Any]:
    return {
        **_name_json(one.collection),
        "document": one.name,
        "tenant": one.tenant or None,
        "standing": str(one.standing),
        "fields": list(one.fields),
    }


def compare_lines(report: ComparisonReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    manifest = report.judgement.manifest
    generation = f"generation {manifest.generation}" if manifest is not None else "a generation without number"
    yield f"{report.kit}: {generation} of {(manifest and manifest.bundle_id) or '(no bundle id)'}, verified"
    for collection in report.collections:
        yield ""
        yield str(collection.name)
        standings = [one for one in Standing if collection.total(one)] or [Standing.EQUAL]
        rows = [
            (clip(tenant, _WIDTH) or _NO_TENANT, *(f"{dict(counts).get(one, 0):,}" for one in standings))
            for tenant, counts in collection.tenants
        ]
        if not rows:
            yield "  no documents"
            continue
        yield from columns(("tenant", *map(str, standings)), [tuple(map(printable, row)) for row in rows])
    if report.listed:
        yield ""
    for outcome in report.listed:
        fields = f": {', '.join(printable(name) for name in outcome.fields)}" if outcome.fields else ""
        tenant = f" (tenant {printable(clip(outcome.tenant, _WIDTH))})" if outcome.tenant else ""
        name = printable(clip(outcome.name, MAX_DOCUMENT))
        yield f'{outcome.standing}: {outcome.collection}: _id "{name}"{tenant}{fields}'
    for standing in Standing:
        listed = sum(1 for one in report.listed if one.standing is standing)
        if standing is not Standing.EQUAL and report.total(standing) > listed:
            yield f"{standing}: {report.total(standing):,} in all; --limit N lists more"
    yield ""
    for other in report.others:
        yield f"not compared, since the kit does not have it: {other}"
    yield "not compared: indexes, options, users"
    yield _verdict(report)


def _verdict(report: ComparisonReport) -> str:
    """Return what was found, stating no more than was compared."""
    equal, allowed, reordered = map(report.total, (Standing.EQUAL, Standing.ALLOWED, Standing.REORDERED))
    if not report.is_same:
        return "different: not what was signed"
    but = []
    if allowed:
        but.append(f"{allowed:,} with allowed fields added")
    if reordered:
        but.append(f"{reordered:,} with fields in another order")
    return (
        f"the same: every document that was signed, and no other; {equal:,} equal{''.join(f', {one}' for one in but)}"
    )
