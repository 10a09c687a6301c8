"""Obligation 8: may a reader rely on ``rawLinkset``? Per tenant, how many observations have it, and why others do not.

Pure: counts in, verdict out; who reads the documents again to say why is passed in. Laws: open only where every
observation of every tenant that is asked for has the element, and there is one at least; a gate over nothing is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kit.engine.gap import Gap
from kit.errors import ContentError, KitError, StoppedError, UnreadableError
from kit.ops.judgement import Evidence
from kit.transforms.coverage import TenantCoverage

Explainer = Callable[[frozenset[str]], tuple[Gap, ...]]
"""Reads the kit again and says, of these tenants, why observations lack the element."""

_MOST_EVIDENCE = 100
_ADD = "see what a patch would add: kit plan KIT; add it: kit patch KIT --output OUT"
_ASK = "their sources are not in this kit: send the reasons to its publisher, and patch the next kit that has them"


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
    short = {name: covered for name, covered in tenants.items() if covered.missing}
    if short:
        return _closed(short, explain)
    documents = sum(covered.documents for covered in tenants.values())
    if not documents:
        # A gate that opens for a kit without observations would open for the wrong kit.
        raise ContentError("there are no observations in this kit")
    return Gate(detail=f"{documents:,} observations of {len(tenants)} tenants")


def _closed(short: Mapping[str, TenantCoverage], explain: Explainer | None) -> Gate:
    told = ", ".join(
        f"{name or '(no tenant)'} {covered.present:,} of {covered.documents:,}" for name, covered in short.items()
    )
    what, hint = f"rawLinkset is not on every observation: {told}", ""
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
            expected=f"{covered.documents:,} with rawLinkset",
            met=_met(covered, [gap for gap in gaps if gap.tenant == name]),
        )
        for name, covered in list(short.items())[:_MOST_EVIDENCE]
    )
    return Gate(error=ContentError(what, hint=hint), evidence=evidence, gaps=gaps)


def _met(covered: TenantCoverage, gaps: list[Gap]) -> str:
    if not gaps:
        return f"{covered.present:,}"
    lost = sum(gap.documents for gap in gaps if gap.source is None)
    return f"{covered.present:,}; of {covered.missing:,} without, {lost:,} unresolvable"


def _way_out(gaps: tuple[Gap, ...]) -> str:
    lost = sum(gap.documents for gap in gaps if gap.source is None)
    found = sum(gap.documents for gap in gaps if gap.source is not None)
    if not lost:
        return _ADD
    if not found:
        return f"a patch adds no more, {lost:,} of {lost:,} are unresolvable: {_ASK}"
    return f"{_ADD}; that leaves {lost:,} unresolvable: {_ASK}"
