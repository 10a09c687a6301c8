"""Judges what the documents show: collections as declared (obligation 7), and ``rawLinkset`` coverage (8).

Obligation 7 compares a deep reading with the counts, tenants and Merkle roots that the manifest declares. Whether the
last steps only appended is for :mod:`kit.verbs.verify.appending`.

Obligation 8 is a gate: an observation counts with both projections (schemas/raw-linkset.md, "Dual projections"). Laws:
the gate is open only if every observation of every requested tenant has both, and there is at least one; a gate over
nothing is closed.

Pure: counts in, verdict out; the caller passes in the function that reads documents again.
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


def requirements(manifest: Manifest, plan: Plan | None, paths: Collection[MemberPath]) -> dict[MemberPath, Wanted]:
    """Return what is required of each collection besides well-formed documents."""
    from kit.engine.proving import Wanted  # noqa: PLC0415  not for every verdict

    declared = {summary.path: summary for summary in manifest.collections}
    return {
        path: Wanted(
            earlier=plan.earlier(path) if plan is not None else (),
            rooted=path in declared and declared[path].merkle_root is not None,
            fields=_fields(declared[path]) if path in declared else (),
        )
        for path in paths
    }


def _fields(summary: CollectionSummary) -> tuple[str, ...]:
    return tuple(sorted({name for tenant in summary.tenants.values() for name in tenant.encrypted or ()}))


def check_declared(manifest: Manifest, survey: Survey, readings: Mapping[MemberPath, MemberReading]) -> str:
    """Check ``collections`` of the manifest against what was found, and return what was compared.

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
    """Return the number of observations that the manifest calls unresolvable, for each tenant that has any."""
    total: dict[str, int] = {}
    for summary in manifest.collections:
        for name, tenant in summary.tenants.items():
            if tenant.raw_linkset is not None and tenant.raw_linkset.unresolvable:
                total[name] = total.get(name, 0) + tenant.raw_linkset.unresolvable
    return total


def check_unresolvable(declared: Mapping[str, int], gaps: Collection[Gap]) -> None:
    """Check that a manifest calls no more observations unresolvable than there are.

    Fewer are valid: the program that counted may not have examined all of them.

    Raises:
        ContentError: It calls more unresolvable; names the tenant.
    """
    for name, count in sorted(declared.items()):
        found = sum(gap.documents for gap in gaps if gap.tenant == name and gap.unresolvable)
        if count > found:
            raise ContentError(
                f"rawLinkset unresolvable of tenant {name!r}: the manifest declares {count:,}, but of those without it "
                f"{found:,} are",
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
        facts += _tenant_facts(name, tenant, member, reading)
    for name, declared, found in facts:
        if declared != found:
            raise ContentError(f"{name}: the manifest declares {declared}, found {found}", where=str(summary.path))


def _tenant_facts(
    name: str, tenant: TenantSummary, member: CollectionMember, reading: MemberReading
) -> list[tuple[str, object, object]]:
    counted = reading.tally.tenants.get(name, TenantCoverage())
    facts: list[tuple[str, object, object]] = [(f"documents of tenant {name!r}", tenant.documents, counted.documents)]
    raw = tenant.raw_linkset
    if raw is not None:
        observed = is_observations(member.name)
        facts.append((f"rawLinkset present of tenant {name!r}", raw.present, counted.present if observed else 0))
        facts.append((f"rawLinkset missing of tenant {name!r}", raw.missing, counted.missing if observed else 0))
    envelopes: Mapping[str, int] = reading.envelopes.get(name, {})
    for field, count in sorted((tenant.encrypted or {}).items()):
        facts.append((f"encrypted {field!r} of tenant {name!r}", count, envelopes.get(field, 0)))
    return facts


Explainer = Callable[[frozenset[str]], tuple[Gap, ...]]
"""Reads the kit again and returns why observations of these tenants lack a projection."""

_MAX_EVIDENCE = 100
_NAMED = 5
"""Tenants that the sentence names; all are in ``coverage`` of the report."""
_LONGEST_NAME = 60
_ADD = "see what a patch would add: kit plan KIT; add it: kit patch KIT --output OUT"
_ASK = "their sources are not in this kit: send the reasons to its publisher, and patch the next kit that has them"
_LEFT = "send their _id and reason (gaps in --json) to the publisher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The verdict; ``error`` is None exactly if the gate is open."""

    detail: str = ""
    error: KitError | None = None
    evidence: tuple[Evidence, ...] = ()
    gaps: tuple[Gap, ...] = ()


def check_gate(
    total: Mapping[str, TenantCoverage], wanted: frozenset[str] | None, explain: Explainer | None = None
) -> Gate:
    """Judge the coverage of the tenants ``wanted``, or of all tenants.

    Raises:
        ContentError: A requested tenant has no observations, or the kit has none.
        UnreadableError: The second reading, which finds the reasons, failed.
        StoppedError: A worker died in the second reading.
    """
    absent = sorted((wanted or frozenset()) - set(total))
    if absent:
        raise ContentError(f"tenant {absent[0]!r} has no observations in this kit")
    tenants = {name: covered for name, covered in sorted(total.items()) if wanted is None or name in wanted}
    short = {name: covered for name, covered in tenants.items() if covered.lacking}
    if short:
        return _close(short, tenants, explain)
    documents = sum(covered.documents for covered in tenants.values())
    if not documents:
        # A gate that opens for a kit without observations would open for the wrong kit.
        raise ContentError("there are no observations in this kit")
    return Gate(detail=f"{documents:,} observations of {len(tenants)} tenants, each with linkset and rawLinkset (v1)")


def _close(
    short: Mapping[str, TenantCoverage], tenants: Mapping[str, TenantCoverage], explain: Explainer | None
) -> Gate:
    what, hint = f"not every observation has linkset and rawLinkset (v1): {_shortfall(short, tenants)}", ""
    gaps: tuple[Gap, ...] = ()
    if explain is not None:
        try:
            gaps = explain(frozenset(short))
            hint = _suggest(gaps)
        except (UnreadableError, StoppedError):
            raise  # no reason was found
        except KitError as error:
            # The gate is closed in any case; the message states why the reasons are missing.
            what += f"; the reasons cannot be found: {error}"
    evidence = tuple(
        Evidence(
            place=f"tenant {name or '(none)'}",
            expected=f"{covered.documents:,} with linkset and rawLinkset (v1)",
            found=_describe_coverage(covered, [gap for gap in gaps if gap.tenant == name]),
        )
        for name, covered in _worst(short)[: _MAX_EVIDENCE if len(short) <= _MAX_EVIDENCE else _MAX_EVIDENCE - 1]
    )
    if (more := len(short) - len(evidence)) > 0:
        evidence += (Evidence(place=f"{more:,} more tenants", expected="", found="each is in coverage of --json"),)
    return Gate(error=ContentError(what, hint=hint), evidence=evidence, gaps=gaps)


def _shortfall(short: Mapping[str, TenantCoverage], tenants: Mapping[str, TenantCoverage]) -> str:
    """Return which tenants are incomplete, in one sentence: each of a few; of many their number and the worst."""
    few = len(short) <= _NAMED
    chosen = list(short.items()) if few else _worst(short)[:_NAMED]
    named = ", ".join(
        f"{_clip(name) or '(no tenant)'} {covered.both:,} of {covered.documents:,}{_describe_uncounted(covered)}"
        for name, covered in chosen
    )
    if few:
        return named
    lacking = sum(covered.lacking for covered in short.values())
    documents = sum(covered.documents for covered in tenants.values())
    return (
        f"{len(short):,} of {len(tenants):,} tenants are incomplete ({lacking:,} of {documents:,} observations); "
        f"worst: {named}"
    )


def _worst(short: Mapping[str, TenantCoverage]) -> list[tuple[str, TenantCoverage]]:
    return sorted(short.items(), key=lambda item: (-item[1].lacking, item[0]))


def _clip(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 10]}…{name[-9:]}"


def _describe_uncounted(covered: TenantCoverage) -> str:
    """Return the observations that do not count though they have a projection, in words; "" if there are none."""
    counts = (
        (covered.null, "null"),
        (covered.other_type, "of another type"),
        (covered.other_shape, "of another shape"),
        (covered.no_linkset, "without linkset"),
    )
    text = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return f" ({text})" if text else ""


def _describe_coverage(covered: TenantCoverage, gaps: list[Gap]) -> str:
    text = f"{covered.both:,}{_describe_uncounted(covered)}"
    lost = sum(gap.documents for gap in gaps if gap.unresolvable)
    return f"{text}; of {covered.missing:,} without rawLinkset, {lost:,} unresolvable" if gaps else text


def _suggest(gaps: tuple[Gap, ...]) -> str:
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
