"""Obligation 7: what of the documents is to be read, and are the collections what the manifest says?

Pure: compares what a deep reading met with what was signed. Whether the last steps only appended is for
:mod:`kit.verbs.verify.appending`.

Obligation 8: may a reader rely on ``rawLinkset``? Per tenant, how many observations count, and why others do not.

An observation counts with both projections (schemas/raw-linkset.md, "Dual projections"). Pure: counts in, verdict out;
what reads the documents again to find out why is passed in. Laws: open only where every observation of every tenant
that is asked for has both, and there is one at least; a gate over nothing is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.engine.reading import Survey
from kit.errors import ContentError, KitError, StoppedError, UnreadableError
from kit.manifest import CollectionSummary, Manifest, TenantSummary
from kit.transforms.coverage import TenantCoverage, is_observations
from kit.values import CollectionMember, MemberPath
from kit.verbs.verify.appending import Plan
from kit.verbs.verify.judgement import Evidence, Gap

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


Explainer = Callable[[frozenset[str]], tuple[Gap, ...]]
"""Reads the kit again and returns, of these tenants, why observations lack a projection."""

_MOST_EVIDENCE = 100
_ADD = "see what a patch would add: kit plan KIT; add it: kit patch KIT --output OUT"
_ASK = "their sources are not in this kit: send the reasons to its publisher, and patch the next kit that has them"
_LEFT = "send their _id and reason (gaps in --json) to the publisher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The verdict; ``error`` is None exactly where the gate is open."""

    detail: str = ""
    error: KitError | None = None
    evidence: tuple[Evidence, ...] = ()
    gaps: tuple[Gap, ...] = ()


def check_gate(
    total: Mapping[str, TenantCoverage], wanted: frozenset[str] | None, explain: Explainer | None = None
) -> Gate:
    """Judge the coverage of ``wanted``, or of all tenants that there are.

    Raises:
        ContentError: A tenant that was asked for has no observations, or there are none at all.
        UnreadableError: Reading again to say why failed.
        StoppedError: A worker died in it.
    """
    absent = sorted((wanted or frozenset()) - set(total))
    if absent:
        raise ContentError(f"tenant {absent[0]!r} has no observations in this kit")
    tenants = {name: covered for name, covered in sorted(total.items()) if wanted is None or name in wanted}
    short = {name: covered for name, covered in tenants.items() if covered.lacking}
    if short:
        return _closed(short, explain)
    documents = sum(covered.documents for covered in tenants.values())
    if not documents:
        # A gate that opens for a kit without observations would open for the wrong kit.
        raise ContentError("there are no observations in this kit")
    return Gate(detail=f"{documents:,} observations of {len(tenants)} tenants, each with linkset and rawLinkset (v1)")


def _closed(short: Mapping[str, TenantCoverage], explain: Explainer | None) -> Gate:
    told = ", ".join(
        f"{name or '(no tenant)'} {covered.both:,} of {covered.documents:,}{_apart(covered)}"
        for name, covered in short.items()
    )
    what, hint = f"not every observation has linkset and rawLinkset (v1): {told}", ""
    gaps: tuple[Gap, ...] = ()
    if explain is not None:
        try:
            gaps = explain(frozenset(short))
            hint = _way_out(gaps)
        except (UnreadableError, StoppedError):
            raise  # nothing was found out
        except KitError as error:
            # The gate is closed all the same; a kit of which not even that can be told says so.
            what += f"; why cannot be told: {error}"
    evidence = tuple(
        Evidence(
            place=f"tenant {name or '(none)'}",
            expected=f"{covered.documents:,} with linkset and rawLinkset (v1)",
            found=_met(covered, [gap for gap in gaps if gap.tenant == name]),
        )
        for name, covered in list(short.items())[:_MOST_EVIDENCE]
    )
    return Gate(error=ContentError(what, hint=hint), evidence=evidence, gaps=gaps)


def _apart(covered: TenantCoverage) -> str:
    """Return what is there and does not count, in words; "" where nothing is."""
    counts = (
        (covered.null, "null"),
        (covered.other_type, "of another type"),
        (covered.other_shape, "of another shape"),
        (covered.no_linkset, "without linkset"),
    )
    told = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return f" ({told})" if told else ""


def _met(covered: TenantCoverage, gaps: list[Gap]) -> str:
    told = f"{covered.both:,}{_apart(covered)}"
    lost = sum(gap.documents for gap in gaps if gap.unresolvable)
    return f"{told}; of {covered.missing:,} without rawLinkset, {lost:,} unresolvable" if gaps else told


def _way_out(gaps: tuple[Gap, ...]) -> str:
    lost = sum(gap.documents for gap in gaps if gap.unresolvable)
    left = sum(gap.documents for gap in gaps if not gap.unresolvable and not gap.can_be_patched)
    remain = [f"{lost:,} unresolvable: {_ASK}"] if lost else []
    remain += (
        [f"{left:,} with a rawLinkset that a patch does not overwrite, or without linkset: {_LEFT}"] if left else []
    )
    if not remain:
        return _ADD
    if not any(gap.can_be_patched for gap in gaps):
        return f"a patch completes none of them: {'; and '.join(remain)}"
    return f"{_ADD}; that leaves {'; and '.join(remain)}"
