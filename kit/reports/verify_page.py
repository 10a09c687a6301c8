"""The verdict on a kit as one HTML page for an auditor's file: the content of the JSON report, laid out for reading.

It separates what was measured (digests, counts), what was proven (signatures by keys that count), and what the manifest
only claims, which is marked if its signature is not proven. The page is not signed. It states that, and names the
receipt, which is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import KitError
from kit.reports.html import Content, Html, code, element, facts, grid, page, prose, section
from kit.reports.verify_tables import (
    SHOWN_ROWS,
    capitalize,
    collections_part,
    count_text,
    coverage_part,
    fields_part,
    key_names,
    lineage_part,
    name_keys,
    rederived_part,
    signers_part,
)
from kit.values import Timestamp
from kit.verbs.verify.judgement import Evidence, Expectation, Judgement, Obligation, Status
from kit.verbs.verify.verify import VerifyReport
from kit.version import TOOL, VERSION

_STATES = {
    Status.CHECKED: "Holds",
    Status.FAILED: "FAILED",
    Status.NOT_APPLICABLE: "Not checked",
    Status.OVERRIDDEN: "FORCED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Facts of the verification itself.

    Attributes:
        at: When it was judged, or as of when (``--at``).
        exit_code: The exit code of the command.
        judged_by: The policy, or the files of keys, as the user named them.
    """

    at: Timestamp
    exit_code: int
    judged_by: tuple[Path, ...] = ()


def verdict_page(report: VerifyReport, expectation: Expectation, occasion: Occasion) -> bytes:
    """Return the page of any verdict. Equal reports, trust and occasions give equal bytes."""
    judgement = report.judgement
    keys = {key.key_id: key for key in expectation.anchor.policy.keys}
    names = key_names(keys)
    return page(
        f"{_word(judgement)}: {report.kit.name}",
        _head(report.kit, _verdict(judgement, names)),
        section("Kit", _kit_facts(report, expectation, occasion), identifier="kit"),
        section("Obligations", _obligations(judgement.obligations, names), identifier="obligations"),
        signers_part(judgement, keys, expectation),
        lineage_part(judgement, keys),
        coverage_part(report),
        collections_part(judgement),
        fields_part(report),
        rederived_part(report),
        _foot(),
    )


def no_verdict_page(kit: Path, error: KitError, occasion: Occasion) -> bytes:
    """Return the page of a kit without a verdict: it does not exist, cannot be read, or no key is trusted."""
    box = [
        element("p", "No verdict", class_="word"),
        element("p", str(error)),
        element("p", "To do: ", prose(error.hint)) if error.hint else None,
        element("p", "Nothing is known about the kit. It must not be treated as valid."),
    ]
    return page(
        f"No verdict: {kit.name}",
        _head(kit, element("div", box, class_="verdict bad", id="verdict")),
        section("Kit", facts([("File", code(kit)), *_occasion_facts(occasion)]), identifier="kit"),
        _foot(),
    )


def _head(kit: Path, verdict: Html) -> Html:
    kicker = element("p", "Verification of an Offline Kit", class_="kicker")
    return element("header", kicker, element("h1", kit.name or str(kit)), verdict)


def _word(judgement: Judgement) -> str:
    if not judgement.valid:
        return "Refused"
    return "Valid by force" if judgement.override is not None else "Valid"


def _verdict(judgement: Judgement, names: Mapping[str, str]) -> Html:
    failed = [o for o in judgement.obligations if o.status is Status.FAILED]
    forced = [o for o in judgement.obligations if o.status is Status.OVERRIDDEN]
    unchecked = [o for o in judgement.obligations if o.status is Status.NOT_APPLICABLE]
    parts: list[Content] = [element("p", _word(judgement), class_="word")]
    if judgement.failure is not None:
        first = failed[0]
        parts += [
            element(
                "p",
                element("strong", f"{capitalize(first.name)} (obligation {first.number}). "),
                name_keys(str(judgement.failure), names),
            ),
            element("p", f"It guards against: {first.attack}."),
        ]
        if first.remedy:
            parts.append(element("p", "To do: ", prose(first.remedy)))
        if len(failed) > 1:
            others = ", ".join(f"{o.number} ({o.name})" for o in failed[1:])
            parts.append(element("p", f"Also failed: {others}."))
    else:
        holding = sum(o.status is Status.CHECKED for o in judgement.obligations)
        parts.append(element("p", f"{holding} of {len(judgement.obligations)} obligations were checked and hold."))
        parts += [element("p", element("strong", f"Obligation {o.number} failed. "), o.detail) for o in forced]
    reasons: dict[str, list[str]] = {}
    for obligation in unchecked:
        reasons.setdefault(obligation.detail, []).append(f"{obligation.number}, {obligation.name}")
    for reason, named in reasons.items():
        parts.append(element("p", f"Not checked: {'; '.join(named)}. Why: ", prose(reason), ".", class_="soft"))
    kind = "bad" if not judgement.valid else "forced" if forced else "good"
    return element("div", parts, class_=f"verdict {kind}", id="verdict")


def _kit_facts(report: VerifyReport, expectation: Expectation, occasion: Occasion) -> Html:
    judgement, manifest = report.judgement, report.judgement.manifest
    anchor = expectation.anchor
    sources: list[Content] = [[" ", code(path)] for path in occasion.judged_by]
    if expectation.trust is not None:
        trust: Content = [
            *("policy", sources, f", version {anchor.policy.version}, SHA-256 "),
            code(anchor.policy_sha256),
        ]
    else:
        number = count_text(len(anchor.policy.keys), "key")
        trust = [f"{number} named for this run, without roles, time or memory", ":" if sources else None, sources]
    rows: list[tuple[str, Content]] = [
        ("File", code(report.kit)),
        ("Container", report.container.value if report.container is not None else "not recognised"),
        ("SHA-256", code(judgement.archive) if judgement.archive is not None else None),
    ]
    if manifest is not None and judgement.location is not None:
        version = " ".join(text for text in (manifest.version, manifest.channel) if text)
        rows += [
            ("Bundle", " ".join(filter(None, (manifest.bundle_id or "(unnamed)", version)))),
            ("Producer", manifest.producer),
            ("Generation", str(manifest.generation)),
            ("Made", str(manifest.created_at) if manifest.created_at is not None else None),
            ("Manifest", [code(judgement.location.manifest), f", {len(manifest.entries):,} files listed"]),
            ("Manifest SHA-256", code(manifest.sha256)),
            ("Caution", None if judgement.signers else "nothing in the manifest is proven: obligation 3 failed"),
        ]
    return facts([*rows, ("Judged by", trust), *_occasion_facts(occasion)])


def _occasion_facts(occasion: Occasion) -> list[tuple[str, Content]]:
    return [
        ("Judged as of", str(occasion.at)),
        ("Program", f"{TOOL} {VERSION}, exit code {occasion.exit_code}"),
    ]


def _obligations(obligations: Sequence[Obligation], names: Mapping[str, str]) -> Html:
    return element("div", [_obligation(obligation, names) for obligation in obligations], class_="obligations")


_KINDS = {
    Status.CHECKED: "obligation holds",
    Status.FAILED: "obligation failed",
    Status.NOT_APPLICABLE: "obligation",
    Status.OVERRIDDEN: "obligation forced",
}


def _obligation(obligation: Obligation, names: Mapping[str, str]) -> Html:
    state = element("span", _STATES[obligation.status], class_="state")
    body: list[Content] = [
        element("p", prose(name_keys(obligation.detail, names))),
        element("p", f"Guards against: {obligation.attack}", class_="soft"),
    ]
    evidence = [one for one in obligation.evidence if one.expected or one.found not in obligation.detail]
    if evidence:  # without what only repeats the sentence above
        shown = [_evidence(one, names) for one in evidence[:SHOWN_ROWS]]
        body.append(grid(("Evidence", "Expected", "Found"), shown, inner=True))
    if len(evidence) > SHOWN_ROWS:
        more = f"and {len(evidence) - SHOWN_ROWS:,} more, which kit verify --json names (evidence)"
        body.append(element("p", prose(more), class_="soft"))
    if obligation.remedy:
        body.append(element("p", element("strong", "To do: "), prose(obligation.remedy)))
    title = element("h3", element("span", str(obligation.number), class_="count"), capitalize(obligation.name))
    made = element("div", title, state, element("div", body, class_="body"), class_=_KINDS[obligation.status])
    return Html(f"\n{made.markup}")


def _evidence(evidence: Evidence, names: Mapping[str, str]) -> list[Content]:
    expected, found = (name_keys(text or "-", names) for text in (evidence.expected, evidence.found))
    return [code(evidence.place or "-"), code(expected), code(found)]


def _foot() -> Html:
    return element(
        "footer",
        element(
            "p",
            "This page is not signed and proves nothing by itself. kit verify repeats the verdict, kit verify "
            "--receipt signs it, and kit verify --write-script checks signatures and digests with stock tools. "
            "Characters that would hide or reorder text are escaped, as in ",
            code("\u202e"),
            ".",
        ),
    )
