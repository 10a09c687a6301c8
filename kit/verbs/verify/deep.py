"""Obligation 7: what of the documents is to be read, and are the collections what the manifest says?

Pure: compares what a deep reading met with what was signed. Whether the last steps only appended is for
:mod:`kit.ops.appending`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from kit.engine.gap import Gap
from kit.engine.reading import Survey
from kit.errors import ContentError
from kit.manifest import CollectionSummary, Manifest, TenantSummary
from kit.ops.appending import Plan
from kit.transforms.coverage import TenantCoverage, is_observations
from kit.values import CollectionMember, MemberPath

if TYPE_CHECKING:
    from kit.engine.proving import MemberReading, Wanted


def wanted(manifest: Manifest, plan: Plan | None, paths: Collection[MemberPath]) -> dict[MemberPath, Wanted]:
    """Say what is asked of each collection besides that its documents are well-formed."""
    from kit.engine.proving import Wanted  # noqa: PLC0415  not for every verdict

    told = {summary.path: summary for summary in manifest.collections}
    return {
        path: Wanted(
            earlier=plan.earlier(path) if plan is not None else (),
            rooted=path in told and told[path].merkle_root is not None,
            fields=_fields(told[path]) if path in told else (),
        )
        for path in paths
    }


def _fields(summary: CollectionSummary) -> tuple[str, ...]:
    return tuple(sorted({name for tenant in summary.tenants.values() for name in tenant.encrypted or ()}))


def check_declared(manifest: Manifest, survey: Survey, readings: Mapping[MemberPath, MemberReading]) -> str:
    """Compare ``collections`` of the manifest with what was met, and return what was compared.

    Raises:
        ContentError: They differ; names the member and the count.
    """
    if not manifest.collections:
        return "the manifest declares no collections"
    rooted = sum(summary.merkle_root is not None for summary in manifest.collections)
    declared = {summary.path: summary for summary in manifest.collections}
    for path in sorted(declared.keys() ^ readings.keys()):
        raise ContentError("declared, but no collection" if path in declared else "not declared", where=str(path))
    for path, summary in declared.items():
        _check_summary(summary, survey.collections[path], readings[path])
    return f"as declared (Merkle roots of {rooted} included)" if rooted else "as declared"


def unresolvable(manifest: Manifest) -> dict[str, int]:
    """Return by tenant how many observations the manifest calls unresolvable, where it does so of any."""
    total: dict[str, int] = {}
    for summary in manifest.collections:
        for name, tenant in summary.tenants.items():
            if tenant.raw_linkset is not None and tenant.raw_linkset.unresolvable:
                total[name] = total.get(name, 0) + tenant.raw_linkset.unresolvable
    return total


def check_unresolvable(declared: Mapping[str, int], gaps: Collection[Gap]) -> None:
    """Refuse a manifest that calls more observations unresolvable than are.

    Fewer are no lie: whoever counted may not have looked at all of them.

    Raises:
        ContentError: It does; names the tenant.
    """
    for name, count in sorted(declared.items()):
        met = sum(gap.documents for gap in gaps if gap.tenant == name and gap.unresolvable)
        if count > met:
            raise ContentError(
                f"rawLinkset unresolvable of tenant {name!r}: the manifest declares {count:,}, and of those without it "
                f"{met:,} are",
                where="collections",
                hint="kit plan KIT shows which can be resolved; kit patch KIT --output OUT resolves them",
            )


def _check_summary(summary: CollectionSummary, member: CollectionMember, reading: MemberReading) -> None:
    tally = reading.tally
    if summary.merkle_root is not None and summary.merkle_root != reading.merkle_root:
        raise ContentError(
            f"the manifest declares Merkle root {summary.merkle_root}, its documents have {reading.merkle_root}",
            where=str(summary.path),
        )
    facts: list[tuple[str, object, object]] = [
        ("db", summary.database, member.name.database),
        ("collection", summary.collection, member.name.collection),
        ("documents", summary.documents, tally.documents),
        ("bytes", summary.bytes, tally.bytes),
        ("tenants", sorted(summary.tenants), sorted(tally.tenants)),
    ]
    for name, tenant in sorted(summary.tenants.items()):
        facts += _of_tenant(name, tenant, member, reading)
    for name, declared, found in facts:
        if declared != found:
            raise ContentError(f"{name}: the manifest declares {declared}, met {found}", where=str(summary.path))


def _of_tenant(
    name: str, tenant: TenantSummary, member: CollectionMember, reading: MemberReading
) -> list[tuple[str, object, object]]:
    met = reading.tally.tenants.get(name, TenantCoverage())
    facts: list[tuple[str, object, object]] = [(f"documents of tenant {name!r}", tenant.documents, met.documents)]
    raw = tenant.raw_linkset
    if raw is not None:
        observed = is_observations(member.name)
        facts.append((f"rawLinkset present of tenant {name!r}", raw.present, met.present if observed else 0))
        facts.append((f"rawLinkset missing of tenant {name!r}", raw.missing, met.missing if observed else 0))
    envelopes: Mapping[str, int] = reading.envelopes.get(name, {})
    for field, count in sorted((tenant.encrypted or {}).items()):
        facts.append((f"encrypted {field!r} of tenant {name!r}", count, envelopes.get(field, 0)))
    return facts
