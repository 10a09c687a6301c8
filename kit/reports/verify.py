"""The verify report: schemas/verify-report.md.

Coverage per tenant, the same in every report.

What a verification found in mapped fields: ``fields`` of schemas/verify-report.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kit.manifest import Difference
from kit.reports.tenants import SHOWN_TENANTS, TenantRow, gap_rows, tenant_rows
from kit.reports.text import MAX_DOCUMENT, MAX_REASON, SCHEMA_VERSION, clip, error_json, table
from kit.transforms.coverage import TenantCoverage
from kit.values import Allowed
from kit.verbs.verify.ends import is_append_only
from kit.verbs.verify.judgement import Appended, Gap, Judgement, MemberProof, Obligation
from kit.verbs.verify.verify import MAX_DIFFERENCES, PUBLISHED, Ground, Link, chain

if TYPE_CHECKING:
    from kit.encryption import FieldProof
    from kit.verbs.verify.field_proof import MemberFields

    # What verifies is not loaded to report a delta.
    from kit.verbs.verify.verify import VerifyReport


def coverage_json(tenants: Mapping[str, TenantCoverage]) -> dict[str, Any]:
    """Return counts by tenant as JSON; documents without a tenant have the empty name."""
    return {
        tenant: {
            "documents": covered.documents,
            "present": covered.present,
            "both": covered.both,
            "null": covered.null,
            "otherType": covered.other_type,
            "otherShape": covered.other_shape,
            "noLinkset": covered.no_linkset,
            "missing": covered.missing,
            "unresolvable": covered.unresolvable,
        }
        for tenant, covered in sorted(tenants.items())
    }


def coverage_lines(
    tenants: Mapping[str, TenantCoverage],
    *,
    explained: bool = False,
    selected: Collection[str] | None = None,
    shown: int = SHOWN_TENANTS,
) -> Iterator[str]:
    """Return a table: tenant, observations, those with both projections, those without by what they lack, share.

    Of many tenants those that lack most are shown, and the others added up.
    """
    columns = [column for column in gap_columns(tenants.values()) if explained or column[0] != "unresolvable"]
    rows = [
        (
            row.label,
            f"{covered.documents:,}",
            f"{covered.both:,}",
            *(f"{count(covered):,}" for _, count in columns),
            share(covered.both, covered.documents),
        )
        for row, covered in coverage_rows(tenants, selected, shown)
    ]
    return table(("tenant", "observations", "both projections", *(name for name, _ in columns), "coverage"), rows)


def coverage_rows(
    tenants: Mapping[str, TenantCoverage], selected: Collection[str] | None = None, shown: int = SHOWN_TENANTS
) -> Iterator[tuple[TenantRow, TenantCoverage]]:
    """Yield the rows of a table of coverage, each with the counts of its tenants added up."""
    concern = {name: covered.lacking for name, covered in tenants.items()}
    for row in tenant_rows(tenants, concern=concern.__getitem__, selected=selected, fold="complete", shown=shown):
        total = TenantCoverage()
        for name in row.tenants:
            total.add(tenants[name])
        yield row, total


def gap_columns(tenants: Iterable[TenantCoverage]) -> list[tuple[str, Callable[[TenantCoverage], int]]]:
    """Return the columns of observations that do not count: headings and how to count them."""
    total = TenantCoverage()
    for covered in tenants:
        total.add(covered)
    return [(name, count) for name, count in _COLUMNS if name in _ALWAYS or count(total)]


_COLUMNS: tuple[tuple[str, Callable[[TenantCoverage], int]], ...] = (
    ("missing", lambda covered: covered.missing),
    ("unresolvable", lambda covered: covered.unresolvable),
    ("null", lambda covered: covered.null),
    ("other type", lambda covered: covered.other_type),
    ("other shape", lambda covered: covered.other_shape),
    ("no linkset", lambda covered: covered.no_linkset),
)
_ALWAYS = frozenset({"missing", "unresolvable"})


def gaps_json(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """Return why observations lack a projection, as JSON."""
    return [
        {
            "tenant": gap.tenant,
            "missing": gap.missing,
            "source": gap.source,
            "reason": gap.reason or None,
            "documents": gap.documents,
            "examples": list(gap.examples),
        }
        for gap in gaps
    ]


def gaps_lines(gaps: Sequence[Gap]) -> Iterator[str]:
    """Yield a line per tenant and reason, or per reason if there are many: how many, why, and examples."""
    rows, omitted = gap_rows(gaps)
    for row in rows:
        gap = row.gap
        more = ", …" if gap.documents > len(gap.examples) else ""
        examples = ", ".join(clip(name, MAX_DOCUMENT) for name in gap.examples)
        yield f"{row.label}: {gap.documents:,} x {clip(gap_reason(gap), MAX_REASON)}: {examples}{more}"
    if omitted:
        yield f"and {omitted:,} more reasons, which the JSON report names"
    if len(rows) + omitted < len(gaps):
        yield "added up over tenants; the JSON report has each (gaps)"


def gap_reason(gap: Gap) -> str:
    """Return the reason in the words of a plan: it does not count, is unresolvable, or a patch has a source for it."""
    if not gap.missing:
        return gap.reason
    if gap.source is None:
        return f"unresolvable, {gap.reason}"
    return f"not patched yet, has a source ({gap.source}){f'; {gap.reason}' if gap.reason else ''}"


def share(part: int, whole: int) -> str:
    """Return a percentage that is 100 % only if nothing is missing."""
    if part == whole:
        return "100 %"
    return f"{min(part * 1000 // whole, 999) / 10:.1f} %"


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


NOT_PROVEN = "(not proven)"
MAX_PERMITTED = 100
SHOWN_DIFFERENCES = 20
"""Differences of one step in the text report."""


def verify_json(report: VerifyReport, exit_code: int) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "container": report.container.value if report.container else None,
        "verdict": "valid" if report.failure is None else "refused",
        "exitCode": exit_code,
        "error": error_json(report.failure) if report.failure else None,
        **judgement_json(report.judgement),
        "lineage": [_link_json(link) for link in chain(report.judgement)],
        "levels": list(report.levels),
        "appendOnly": _appended_json(report.judgement.appended),
        "proofs": [_proof_json(proof) for _, proof in sorted(report.judgement.proofs.items())],
        "coverage": coverage_json(report.coverage),
        "gaps": gaps_json(report.judgement.gaps),
        "fields": [member_fields_json(member) for member in report.fields],
        **_searches_json(report),
    }


def _searches_json(report: VerifyReport) -> dict[str, Any]:
    found = dict[str, Any]()
    if report.copies is not None:
        from kit.reports.verify_searches import copies_json  # noqa: PLC0415  not for every verdict

        found["copies"] = copies_json(report.copies)
    if report.rederived is not None:
        from kit.reports.verify_searches import rederived_json  # noqa: PLC0415  not for every verdict

        found["rederived"] = rederived_json(report.rederived)
    return found


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Return the judgement of a kit as JSON."""
    manifest = judgement.manifest
    return {
        "bundleId": manifest.bundle_id if manifest else None,
        "generation": manifest.generation if manifest else None,
        "manifestSha256": str(manifest.sha256) if manifest else None,
        "signers": list(judgement.signers),
        "obligations": [_obligation_json(obligation) for obligation in judgement.obligations],
        "extraFolders": [str(folder) for folder in judgement.extra_folders],
        "permitted": permitted_json(judgement.allowed, judgement.permitted),
    }


def permitted_json(allowed: Allowed, found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what the user allowed in a container, and what of it was found."""
    return {
        "links": allowed.links,
        "names": sorted(allowed.names),
        "records": sorted(allowed.records),
        "met": [{"path": path, "what": what} for path, what in found[:MAX_PERMITTED]],
    }


def _obligation_json(obligation: Obligation) -> dict[str, Any]:
    return {
        "number": obligation.number,
        "name": obligation.name,
        "attack": obligation.attack,
        "status": obligation.status.value,
        "detail": obligation.detail,
        "evidence": [{"place": e.place, "expected": e.expected, "met": e.found} for e in obligation.evidence],
        "remedy": obligation.remedy,
    }


def _proof_json(proof: MemberProof) -> dict[str, Any]:
    return {
        "path": str(proof.member.path),
        "db": proof.member.name.database,
        "collection": proof.member.name.collection,
        "documents": proof.documents,
        "changed": proof.changed,
        "onlyRawLinkset": proof.only_raw_linkset,
        "other": proof.other,
        "basis": proof.basis.value if proof.basis is not None else None,
        "proven": proof.basis.is_proof if proof.basis is not None else None,
    }


def _appended_json(appended: Appended | None) -> dict[str, Any] | None:
    if appended is None:
        return None
    return {
        "since": appended.since,
        "until": appended.until,
        "wholeChain": is_append_only(appended),
        "documents": appended.documents,
        "why": appended.why or None,
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "kind": difference.kind.value,
        "place": difference.place,
        "before": difference.before,
        "after": difference.after,
    }


def _link_json(link: Link) -> dict[str, Any]:
    return {
        "generation": link.generation,
        "manifestSha256": str(link.manifest_sha256),
        "madeAt": str(link.made_at) if link.made_at is not None else None,
        "operation": link.operation,
        "tool": link.tool,
        "transforms": list(link.transforms),
        "signers": list(link.signers),
        "statementSigners": list(link.statement_signers),
        "ground": link.ground.value if link.ground is not None else None,
        "differences": [_difference_json(one) for one in link.differences[:MAX_DIFFERENCES]],
        "omittedDifferences": max(0, len(link.differences) - MAX_DIFFERENCES),
    }


def verify_lines(report: VerifyReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    yield from judgement_lines(report.judgement)
    links = chain(report.judgement)
    if len(links) > 1:
        yield ""
        yield from _chain_lines(links, report.judgement.appended)
    if report.judgement.proofs:
        yield ""
        yield from _proof_lines(report.judgement)
    if report.coverage:
        yield ""
        gaps = report.judgement.gaps
        yield from coverage_lines(report.coverage, explained=bool(gaps), selected=report.tenants)
        if gaps:
            yield ""
            yield "why observations do not count:"
            yield from (f"  {line}" for line in gaps_lines(gaps))
    if report.fields:
        yield ""
        yield from member_fields_lines(report.fields)
    if report.copies is not None and report.copies.members:
        from kit.reports.verify_searches import copies_lines  # noqa: PLC0415  not for every verdict

        yield ""
        yield from copies_lines(report.copies)
    if report.rederived is not None and (report.rederived.differences or report.rederived.reasons):
        from kit.reports.verify_searches import rederived_lines  # noqa: PLC0415  not for every verdict

        yield ""
        yield from rederived_lines(report.rederived)
    yield ""
    if report.failure is None:
        yield f"valid: {report.kit}"
    else:
        # The reason is in the line of the obligation.
        first = next(one for one in report.judgement.obligations if one.status.value == "failed")
        yield f"refused: {report.kit}: obligation {first.number}, {first.name}"


def judgement_lines(judgement: Judgement) -> Iterator[str]:
    """Yield a line per obligation: number, mark, name, detail."""
    marks: Mapping[str, str] = {"checked": "ok", "failed": "FAILED", "not applicable": "-", "overridden": "FORCED"}
    for obligation in judgement.obligations:
        mark = marks[obligation.status.value]
        yield f"{obligation.number:>3}  {mark:<6}  {obligation.name}: {obligation.detail}"
        if obligation.error is not None:
            yield f"             guards against: {obligation.attack}"
            if obligation.remedy:
                yield f"             to do: {obligation.remedy}"


def _chain_lines(links: Sequence[Link], appended: Appended | None) -> Iterator[str]:
    for link in links:
        made = f" at {link.made_at}" if link.made_at is not None else ""
        what = f"{link.operation} ({', '.join(link.transforms)})" if link.transforms else link.operation
        signed = f"signed by {', '.join(link.signers) or NOT_PROVEN}"
        step = "" if link.operation == PUBLISHED else f"; its step by {', '.join(link.statement_signers) or NOT_PROVEN}"
        yield f"  generation {link.generation}, {what}{made}: {signed}{step}"
        if link.ground is not None:
            yield f"      {_ground(link, appended if link is links[-1] else None)}"
        if link.statement is not None and link.statement.rollback is not None:
            yield f"      rollback: {link.statement.rollback}"
        for tick in link.statement.checklist if link.statement is not None else ():
            yield f"      {tick}"
        for difference in link.differences[:SHOWN_DIFFERENCES]:
            yield f"      {difference}"
        if (more := len(link.differences) - SHOWN_DIFFERENCES) > 0:
            yield f"      and {more:,} more differences, which the JSON report names"


def _ground(link: Link, appended: Appended | None) -> str:
    """Return what the claims about a generation rest on, in words for its signer."""
    if link.ground is Ground.SIGNATURE:
        return "rests on its signature, over the digest of every file"
    statement = link.statement
    changed = len(statement.materials) if statement is not None else 0
    added = len(statement.changed) - changed if statement is not None else 0
    members = f"{changed:,} member{'' if changed == 1 else 's'}"
    if link.ground is Ground.DOCUMENTS and statement is not None and statement.record is not None:
        return f"rests on the documents: undone as its record states in {members}, they are the previous ones"
    if link.ground is Ground.DOCUMENTS and appended is not None:
        if appended.since is None or appended.until - appended.since == 1:
            return f"rests on the documents: without what the step appended to {members}, they are the previous ones"
        return (
            f"rests on the documents: without what was appended since generation {appended.since}, they are the ones "
            "that it signed"
        )
    more = f"; {link.remedy}" if link.remedy else ""
    changes = f"{members} changed, {added:,} added" if added else f"{members} changed and no other"
    return (
        f"rests on the signed statement: {changes}, by the digests of both manifests; what changed inside is its "
        f"signer's claim{more}"
    )


def _proof_lines(judgement: Judgement) -> Iterator[str]:
    rows = [
        (
            str(path),
            f"{proof.documents:,}",
            f"{proof.changed:,}",
            f"{proof.only_raw_linkset:,}",
            f"{proof.other:,}",
            proof.basis.value if proof.basis is not None else "-",
        )
        for path, proof in sorted(judgement.proofs.items())
    ]
    heads = ("collection member", "documents", "changed", "only rawLinkset", "other", "compared with")
    yield from table(heads, rows)
