"""The report of ``kit plan`` and ``kit patch``: schemas/patch-report.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from kit.encryption import FieldCounts, field_counts
from kit.encryption.needs import OUTCOMES, SCANNED
from kit.engine.rewrite import MemberChange, Rewrite
from kit.reports.tenants import SHOWN_REASONS, tenant_rows
from kit.reports.text import MAX_DOCUMENT, MAX_REASON, SCHEMA_VERSION, clip, error_json, table
from kit.reports.verify import coverage_json, coverage_lines, judgement_json
from kit.transforms.coverage import Tally
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset.outcomes import UNRESOLVABLE
from kit.transforms.registry import parameters_digest
from kit.values import CountName
from kit.values.extractor_release import list_extractors
from kit.verbs.patch.patch import PatchReport
from kit.version import TOOL, VERSION

NOT_SELECTED = "not-selected"
SHOWN_FINDINGS = 5
"""Documents named per reason in the text report. The JSON report has all, up to its own bound."""
SHOWN_UNSOUND = 10
"""Tenants in the second table, next to those of the first on one page."""


def patch_json(report: PatchReport) -> dict[str, Any]:
    """Return the report as JSON."""
    generation = report.generation
    return {
        "schemaVersion": SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": VERSION},
        "kit": str(report.kit),
        "live": report.live,
        "container": report.container.value,
        "storedBytes": report.stored_bytes,
        "createdAt": str(report.created_at),
        "base": judgement_json(report.base),
        "warnings": list(report.migration.warnings),
        "migration": {"sha256": str(report.migration.sha256), "document": report.migration.to_json()},
        "transforms": [
            {
                "name": t.name,
                "version": t.version,
                "parametersSha256": str(parameters_digest(t)),
                **list_extractors(t.extractors),
            }
            for t in report.transforms
        ],
        **counts_json(report),
        "unchecked": [{"member": str(path), "what": what} for path, what in report.rewrite.unimportable.unchecked],
        "snapshots": report.snapshots.to_json() if report.snapshots is not None else None,
        "findings": [
            {
                "member": str(path),
                "transform": transform,
                "kind": finding.kind,
                "tenant": finding.tenant,
                "document": finding.document,
                "reason": finding.reason,
            }
            for path, transform, finding in report.rewrite.findings
        ],
        "omittedFindings": report.rewrite.omitted_findings,
        "refusal": error_json(report.refusal) if report.refusal is not None else None,
        "stops": [str(stop) for stop in report.stops],
        "preflight": report.preflight,
        "obstacles": [error_json(error) for error in report.obstacles],
        "generation": generation.number if generation else None,
        "manifestSha256": str(generation.manifest_sha256) if generation else None,
        "signedBy": list(generation.key_ids) if generation else [],
        "output": str(report.output) if report.output else None,
        "outputBytes": report.output_bytes,
        "outputSha256": str(report.output_sha256) if report.output_sha256 else None,
        "backup": str(report.backup) if report.backup else None,
        "tempBytes": report.temp_bytes,
        **({"checklist": [tick.to_json() for tick in report.checklist]} if report.checklist else {}),
    }


def counts_json(report: PatchReport) -> dict[str, Any]:
    """Return the counts, without naming a document: a plan and its patch have the same."""
    return {
        "changed": report.changed,
        "collections": [_member_json(change) for _, change in sorted(report.rewrite.members.items())],
        "outcomes": _nested(report.rewrite.outcomes),
        "counts": _nested(_of_transforms(report.rewrite.counts)),
        "fields": [counts.to_json() for counts in _field_counts(report.rewrite)],
        "unimportable": dict(sorted(report.rewrite.unimportable.counts.items())),
    }


def _of_transforms(counts: Counter[tuple[str, str, CountName]]) -> Counter[tuple[str, str, str]]:
    """Return the counts without those by field, which are reported separately or only in the provenance."""
    return Counter(
        {(name, tenant, word): count for (name, tenant, word), count in counts.items() if isinstance(word, str)}
    )


def _field_counts(done: Rewrite) -> tuple[FieldCounts, ...]:
    return field_counts((counter, count) for (_, _, counter), count in done.counts.items())


def _member_json(change: MemberChange) -> dict[str, Any]:
    return {
        "path": str(change.collection.path),
        "db": change.collection.name.database,
        "collection": change.collection.name.collection,
        "documents": change.tally.documents,
        "bytes": change.tally.bytes,
        "changed": change.changed,
        "addedBytes": change.added_bytes,
        "tenants": coverage_json(change.tally.tenants),
        "outcomes": _nested(change.outcomes),
    }


def _nested(counts: Counter[tuple[str, str, str]]) -> dict[str, dict[str, dict[str, int]]]:
    """Return transform → tenant → outcome → count."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for (transform, tenant, outcome), count in sorted(counts.items()):
        nested.setdefault(transform, {}).setdefault(tenant, {})[outcome] = count
    return nested


def patch_lines(report: PatchReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    done = report.rewrite
    for transform in report.transforms:
        yield from _outcome_lines(transform.name, done, report.migration.tenants)
        if transform.extractors:
            yield f"{transform.name}: with the added extractors {', '.join(map(str, transform.extractors))}"
    yield from _field_lines(done)
    yield from _snapshot_lines(report)
    yield from _remark_lines(report.transforms)
    yield from _finding_lines(done)
    if report.changed or report.roots:
        yield from _unchecked_lines(done)
    yield from _unsound_lines(done, report.migration.tenants)
    for path, change in sorted(done.members.items()):
        if change.changed:
            yield f"{path}: {change.changed:,} of {change.tally.documents:,} documents, +{change.added_bytes:,} bytes"
    for path in sorted(done.files):
        yield f"{path}: edited"
    for path, added in sorted(done.added.items()):
        yield f"{path}: new, {added.tally.documents:,} of {added.source_count:,} documents of {added.source}"
    record = tuple(_record_lines(report))
    yield from record
    if done.changed or done.files or done.added or record:
        yield ""
    yield from _conclusion_lines(report)


def _snapshot_lines(report: PatchReport) -> Iterator[str]:
    if report.snapshots is not None:
        ((what, digest),) = report.snapshots.to_json().items()
        yield f"snapshots from elsewhere too, {_ORIGINS[report.snapshots.is_verified]}: {what} {digest}"
        yield ""


def _record_lines(report: PatchReport) -> Iterator[str]:
    """Yield how to go back, and the checklist of the plan."""
    for name, value in report.migration.rollback.details.to_json().items():
        yield f"rollback, {name}: {value if isinstance(value, str) else ', '.join(value)}"
    for tick in report.checklist:
        yield f"checklist, {tick}"


_ORIGINS = {True: "of a kit that was verified as the base was", False: "of files that nobody verified"}


def _conclusion_lines(report: PatchReport) -> Iterator[str]:
    is_stopped = bool(report.stops or report.obstacles or report.refusal is not None)
    if not report.rewrite.makes_generation:
        yield from _preflight_lines(report)
        if is_stopped:
            yield "nothing was written; kit patch would be stopped"
        else:
            yield from _unchanged_lines(report)
    elif not report.live:
        yield f"migration {report.migration.id}, sha256 {report.migration.sha256.hex}"
        yield f"would write about {report.output_bytes:,} bytes, in {report.temp_bytes:,} bytes of temporary space"
        yield from _preflight_lines(report)
        would = "be stopped" if is_stopped else f"change {report.changed:,} documents"
        if not is_stopped and not report.changed:
            roots = f"add Merkle roots of {report.roots:,} collections and " if report.roots else ""
            would = f"{roots}change no document"
        yield f"nothing was written; kit patch would {would}"
    else:
        if not report.changed and report.roots:
            yield f"no document changed; Merkle roots of {report.roots:,} collections are added"
        yield from _written_lines(report)


def _outcome_lines(transform: str, done: Rewrite, selected: Collection[str] | None) -> Iterator[str]:
    """Yield a table for each container, so that partition keys of different kinds are never in one."""
    containers: dict[str, dict[str, Counter[str]]] = {}
    for change in done.members.values():
        for (name, tenant, outcome), count in change.outcomes.items():
            if name == transform:
                found = containers.setdefault(change.collection.name.collection, {})
                found.setdefault(tenant, Counter())[outcome] += count
    if not containers:
        yield f"{transform}: this kit has no collection for it"
    for container, found in sorted(containers.items()):
        title = transform if len(containers) == 1 else f"{transform}: {container}"
        yield from _container_lines(title, found, selected)


def _container_lines(title: str, found: Mapping[str, Counter[str]], selected: Collection[str] | None) -> Iterator[str]:
    outcomes = sorted({name for counts in found.values() for name in counts}, key=lambda name: _ORDER.get(name, 99))
    rows: list[tuple[str, ...]] = []
    for row in tenant_rows(found, concern=lambda tenant: found[tenant][UNRESOLVABLE], selected=selected):
        total: Counter[str] = Counter()
        for tenant in row.tenants:
            total.update(found[tenant])
        rows.append((row.label, *(f"{total[outcome]:,}" for outcome in outcomes)))
    yield from table((title, *outcomes), rows)
    yield ""


def _unsound_lines(done: Rewrite, selected: Collection[str] | None) -> Iterator[str]:
    """Yield the coverage afterwards if a ``rawLinkset`` is not a projection, which outcomes do not show."""
    total = Tally()
    for change in done.members.values():
        total.add(change.tally)
    unsound = {tenant: covered for tenant, covered in total.tenants.items() if covered.unsound}
    if unsound:
        yield "rawLinkset or linkset that will not count, by tenant:"
        yield from coverage_lines(unsound, explained=True, selected=selected, shown=SHOWN_UNSOUND)
        yield ""


def _field_lines(done: Rewrite) -> Iterator[str]:
    counts = _field_counts(done)
    if not counts:
        return
    rows = [
        (f"{c.collection} {c.field}", *(f"{getattr(c, outcome):,}" for outcome in (SCANNED, *OUTCOMES))) for c in counts
    ]
    yield from table(("field", *(name.replace("_", "-") for name in (SCANNED, *OUTCOMES))), rows)
    yield ""


def _remark_lines(transforms: Iterable[Transform]) -> Iterator[str]:
    remarks = [remark for transform in transforms for remark in transform.remarks()]
    yield from remarks
    if remarks:
        yield ""


_ORDER = {
    name: place
    for place, name in enumerate(("snapshot", "cache", "content", "present", "null", "unresolvable", NOT_SELECTED))
}


def _finding_lines(done: Rewrite) -> Iterator[str]:
    reasons: Counter[tuple[str, str]] = Counter()
    named: dict[tuple[str, str], list[str]] = {}
    for _, _, finding in done.findings:
        # Each divergence differs; the JSON report lists them.
        reason = (finding.kind, finding.reason if finding.kind != "divergent" else "rawLinkset and linkset disagree")
        reasons[reason] += 1
        if reasons[reason] <= SHOWN_FINDINGS:
            named.setdefault(reason, []).append(finding.document)
    for (kind, why), count in reasons.most_common(SHOWN_REASONS):
        shown = ", ".join(clip(name, MAX_DOCUMENT) for name in named[kind, why])
        yield f"{kind}: {count:,} x {clip(why, MAX_REASON)}: {shown}{', …' if count > SHOWN_FINDINGS else ''}"
    if len(reasons) > SHOWN_REASONS:
        yield f"and {len(reasons) - SHOWN_REASONS:,} more reasons, which the JSON report names"
    if done.omitted_findings:
        yield f"and {done.omitted_findings:,} more findings that are counted but not named"
    kinds = {kind for kind, _ in reasons}
    totals: Counter[tuple[str, str]] = Counter()
    for (transform, _, counter), count in _of_transforms(done.counts).items():
        if counter not in kinds:
            totals[counter, transform] += count
    for (counter, transform), count in sorted(totals.items()):
        yield f"{counter}: {count:,} ({transform}; --json counts them by tenant)"
    if reasons or totals:
        yield ""


def _unchecked_lines(done: Rewrite) -> Iterator[str]:
    """Yield what a server will demand of the result and was not evaluated."""
    members: dict[str, list[str]] = {}
    for path, what in done.unimportable.unchecked:
        members.setdefault(what, []).append(str(path))
    for what, paths in list(members.items())[:SHOWN_REASONS]:
        shown = ", ".join(clip(path, MAX_DOCUMENT) for path in paths[:SHOWN_FINDINGS])
        more = ", …" if len(paths) > SHOWN_FINDINGS else ""
        yield f"not checked, whether a server takes it: {clip(what, MAX_REASON)} ({shown}{more})"
    if len(members) > SHOWN_REASONS:
        yield f"and {len(members) - SHOWN_REASONS:,} more things that were not checked, which the JSON report names"
    if members:
        yield ""


def _preflight_lines(report: PatchReport) -> Iterator[str]:
    if report.preflight:
        count = len(report.obstacles)
        found = f"{count} obstacle{'' if count == 1 else 's'}" if count else "no obstacles"
        yield f"preflight: {found} (keys, output, permissions, disk space, memory, clock)"


def _unchanged_lines(report: PatchReport) -> Iterator[str]:
    if any(outcome == NOT_SELECTED for _, _, outcome in report.rewrite.outcomes):
        yield "nothing to change among the documents selected; others were left alone"
    else:
        yield "nothing to change: every document that could be patched already is"
    if report.output is not None:
        yield f"wrote {report.output}, a byte-for-byte copy of {report.kit}"


def _written_lines(report: PatchReport) -> Iterator[str]:
    generation = report.generation
    if generation is not None:
        yield f"generation {generation.number}, signed by {', '.join(generation.key_ids)}"
    size = f" ({report.output_bytes:,} bytes)" if report.output_bytes is not None else ""
    yield f"wrote {report.output}{size}, read back and verified"
    if report.backup is not None:
        yield f"the old kit is kept as {report.backup}"
