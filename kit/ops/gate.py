"""Obligation 8: may a reader rely on ``rawLinkset``? Per tenant, how many observations count, and why others do not.

An observation counts with both projections (schemas/raw-linkset.md, "Dual projections"). Pure: counts in, verdict out;
what reads the documents again to find out why is passed in. Laws: open only where every observation of every tenant
that is asked for has both, and there is one at least; a gate over nothing is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kit.engine.gap import Gap
from kit.errors import ContentError, KitError, StoppedError, UnreadableError
from kit.ops.judgement import Evidence
from kit.transforms.coverage import TenantCoverage

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


def check(total: Mapping[str, TenantCoverage], wanted: frozenset[str] | None, explain: Explainer | None = None) -> Gate:
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
            met=_met(covered, [gap for gap in gaps if gap.tenant == name]),
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
