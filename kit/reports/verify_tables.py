"""The parts of a verdict's page that are tables and pictures: signers, lineage, coverage, collections, fields.

The lineage of a kit as a picture in the page (SVG): one box per generation, one arrow per step.

It fits a narrow column, so that a telephone need not scroll and paper need not be turned. Text that does not fit is cut
with an ellipsis; the table next to the picture has all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from kit.manifest.rollback import Tick
from kit.reports.html import Content, Html, bar, code, element, facts, grid, prose, section
from kit.reports.tenants import gap_rows
from kit.reports.text import printable
from kit.reports.verify import coverage_rows, gap_columns, gap_reason, share
from kit.transforms.coverage import TenantCoverage
from kit.trust import TrustedKey
from kit.verbs.verify.judgement import Expectation, Gap, Judgement
from kit.verbs.verify.verify import PUBLISHED, Link, VerifyReport, chain

if TYPE_CHECKING:
    from kit.verbs.verify.copies import Copies

_WIDTH, _BOX, _STEP, _MARGIN = 440, 62, 54, 2
_MAX_TEXT = 62
_MAX_SHOWN = 12
_FIRST_SHOWN = 2


def lineage_picture(links: Sequence[Link], labels: Mapping[str, str]) -> Html:
    """Return a picture of the generations, oldest first; ``labels`` are the names of keys by id.

    A generation or step that is not proven has a broken outline and a label. The middle of a long lineage is omitted.
    """
    left_out = max(0, len(links) - _MAX_SHOWN)
    shown = [*links[:_FIRST_SHOWN], *links[_FIRST_SHOWN + left_out :]] if left_out else list(links)
    parts: list[Html] = []
    y = _MARGIN
    for number, link in enumerate(shown):
        if number:
            omission = f"… {left_out:,} generations between …" if left_out and number == _FIRST_SHOWN else None
            parts += _arrow(y, link, labels, omission)
            y += _STEP
        parts += _box(y, link, labels, current=link is links[-1])
        y += _BOX
    height = y + _MARGIN
    label = f"{len(links)} generations, oldest first, one below the other, with a step between each two"
    return element(
        "svg",
        parts,
        role="img",
        aria_label=label if len(links) > 1 else "One generation, as it was published",
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
    )


def _box(y: int, link: Link, labels: Mapping[str, str], *, current: bool) -> list[Html]:
    kind = "box now" if current else "box"
    outline = element(
        "rect",
        x=_MARGIN,
        y=y,
        width=_WIDTH - 2 * _MARGIN,
        height=_BOX,
        class_=kind if link.signers else f"{kind} doubt",
    )
    name = f"Generation {link.generation}" + (", the kit as it is" if current else "")
    at = f"{link.made_at}" if link.made_at is not None else "time not proven"
    signed = f"signed by {_named(link.signers, labels)}" if link.signers else "signature not proven"
    return [
        outline,
        _text(14, y + 19, name, class_="strong"),
        _text(_WIDTH - 14, y + 19, at, class_="soft", anchor="end"),
        _text(14, y + 36, signed),
        _text(14, y + 53, f"manifest {link.manifest_sha256.hex[:32]}…", class_="soft"),
    ]


def _arrow(y: int, link: Link, labels: Mapping[str, str], omission: str | None) -> list[Html]:
    x, end = 30, y + _STEP
    line = element("path", d=f"M{x} {y}V{end - 7}", class_="arrow" if link.proven else "arrow doubt")
    head = element("path", d=f"M{x - 4} {end - 8}H{x + 4}L{x} {end}Z", class_="head")
    what = ", ".join(link.transforms) or link.operation
    if link.operation != PUBLISHED and link.transforms:
        what = f"{link.operation}: {what}"
    signed = f"statement signed by {_named(link.statement_signers, labels)}"
    signature = signed if link.statement_signers else "statement not proven"
    return [
        line,
        head,
        _text(46, y + 23, omission or f"{what}, with {link.tool}"),
        _text(46, y + 40, "see the table below" if omission else signature, class_="soft"),
    ]


def _named(key_ids: Sequence[str], labels: Mapping[str, str]) -> str:
    return ", ".join(labels.get(key_id, key_id) for key_id in key_ids)


def _text(x: int, y: int, text: str, *, class_: str | None = None, anchor: str | None = None) -> Html:
    cut = text
    while len(printable(cut)) > _MAX_TEXT:  # escaped, as it is shown
        cut = f"{cut[: min(len(cut), _MAX_TEXT) - 2]}…"
    return element("text", cut, x=x, y=y, class_=class_, text_anchor=anchor)


MAX_ROWS = 1_000
"""Rows of tenants, collections, generations or findings. More are counted; the JSON report has all."""
SHOWN_ROWS = 40
"""Tenants with a row of their own, and pieces of evidence of one obligation."""

_SHORT_ID = 16


def count_text(number: int, what: str) -> str:
    """Return a count with its noun, in singular or plural."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def capitalize(text: str) -> str:
    """Return a heading with a capital first letter, unless its first word has capitals of its own."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].islower() else text


def key_names(keys: Mapping[str, TrustedKey]) -> dict[str, str]:
    """Return what the page calls each trusted key; the table of signers has every key id whole."""
    return {key_id: key.name or f"{key_id[:_SHORT_ID]}…" for key_id, key in keys.items()}


def name_keys(text: str, names: Mapping[str, str]) -> str:
    """Return a text with the names of keys for their ids; an id of a key that is not trusted stays whole.

    Messages have the name behind the id (:attr:`kit.trust.TrustedKey.label`). It is not there twice.
    """
    for key_id, name in names.items():
        text = text.replace(f"{key_id} ({name})", name).replace(key_id, name)
    return text


def signers_part(judgement: Judgement, keys: Mapping[str, TrustedKey], expectation: Expectation) -> Html:
    """Return the trusted keys, and which of them signed the manifest."""
    if judgement.signers:
        text = f"The manifest is signed by {count_text(len(judgement.signers), 'trusted key')} that may sign it."
    else:
        text = "It is not proven that a trusted key which may sign the manifest has signed it."
    rows: list[list[Content]] = [
        [
            [[element("b", key.name), element("br")] if key.name else None, code(key_id)],
            str(key.key.algorithm),
            "any" if expectation.trust is None else ", ".join(sorted(key.roles)),
            "yes" if key_id in judgement.signers else "no",
        ]
        for key_id, key in sorted(keys.items())
    ]
    heads = ("Trusted key", "Algorithm", "Roles", "Signed this manifest")
    return section("Signers", element("p", text), *_rows(heads, rows), identifier="signers")


def lineage_part(judgement: Judgement, keys: Mapping[str, TrustedKey]) -> Html | None:
    """Return a picture and a list of the generations; None without a manifest."""
    links = chain(judgement)
    if not links:
        return None
    names = key_names(keys)
    proven = sum(link.proven for link in links)
    caption = (
        f"{count_text(len(links), 'generation')}, {proven:,} of them proven. A broken outline or line is not proven."
    )
    figure = element("figure", lineage_picture(links, names), element("figcaption", caption))
    parts = [_generation(link, names) for link in islice(links, MAX_ROWS)]
    more = f"and {len(links) - MAX_ROWS:,} more, which the JSON report names" if len(links) > MAX_ROWS else None
    return section("Lineage", figure, parts, element("p", more) if more else None, identifier="lineage")


def _generation(link: Link, names: Mapping[str, str]) -> Content:
    statement = link.statement
    step = ", ".join((link.operation, *link.transforms))
    rows: list[tuple[str, Content]] = [
        ("Made by", step if link.tool is None else f"{step}; {link.tool}"),
        ("Operator", statement.operator if statement is not None else None),
        ("Environment", statement.environment if statement is not None else None),
        ("At", str(link.made_at) if link.made_at is not None else "not proven"),
        ("Signed by", _ids(link.signers, names)),
        ("Step signed by", None if link.operation == PUBLISHED else _ids(link.statement_signers, names)),
        ("Rollback note", statement.rollback_note if statement is not None else None),
        ("Rollback", str(statement.rollback) if statement is not None and statement.rollback is not None else None),
        ("Manifest SHA-256", code(link.manifest_sha256)),
    ]
    ticks = [[one.step.value, one.status.value, one.by or one.text, str(one.at or "")] for one in _ticks(link)]
    differing = [[one.kind.value, code(one.place), one.before or "-", one.after or "-"] for one in link.differences]
    return [
        element("h3", f"Generation {link.generation}"),
        facts(rows),
        *(_rows(("Step of the plan", "Status", "By, or why", "At"), ticks) if ticks else ()),
        *_differences(differing),
    ]


def _ticks(link: Link) -> tuple[Tick, ...]:
    return link.statement.checklist if link.statement is not None else ()


def _differences(rows: Sequence[Sequence[Content]]) -> Iterator[Html]:
    if rows:
        yield element("p", "Its manifest differs from the previous one in more than a patch must change:")
        yield from _rows(("What", "Where", "Before", "After"), rows)


def _ids(key_ids: Sequence[str], names: Mapping[str, str]) -> Content:
    return ", ".join(names.get(key_id, key_id) for key_id in key_ids) or "not proven"


def coverage_part(report: VerifyReport) -> Html | None:
    """Return the share of observations that count, by tenant; None if it is not known."""
    is_counted = bool(report.coverage)
    tenants = report.coverage or _declared(report.judgement)
    if not tenants:
        return None
    columns = [column for column in gap_columns(tenants.values()) if column[0] != "unresolvable"]
    shown = list(coverage_rows(tenants, report.tenants, SHOWN_ROWS))
    shown.sort(key=lambda pair: not pair[0].total)  # the row of all first
    rows: list[list[Content]] = [
        [
            element("b", capitalize(row.label)) if row.total else row.label,
            covered.documents,
            covered.both,
            *(count(covered) for _, count in columns),
            bar(covered.both, covered.documents),
            share(covered.both, covered.documents),
        ]
        for row, covered in shown
    ]
    folded = len(tenants) - sum(len(row.tenants) == 1 for row, _ in shown)
    text = (
        "Observations with both projections, counted in this run: linkset is a document, rawLinkset has shape v1."
        if is_counted
        else "Observations with an element rawLinkset, as the manifest declares. All documents were counted in this "
        "run, and the counts compared (--deep); what is in rawLinkset was not checked (--require-raw-linkset)."
        if report.judgement.proofs
        else "Observations with an element rawLinkset, as the manifest declares. They were neither counted nor checked "
        "in this run (--require-raw-linkset)."
    )
    heads = (
        *("Tenant", "Observations", "Both projections" if is_counted else "With rawLinkset"),
        *(name.capitalize() for name, _ in columns),
        *("Coverage" if is_counted else "Share", "Per cent"),
    )
    return section(
        "Coverage",
        element("p", text, _unproven(report.judgement, measured=is_counted)),
        *_rows(heads, rows, numbers=(*range(1, len(columns) + 3), len(columns) + 4)),
        _omitted(f"{count_text(folded, 'tenant')} added up; kit verify --json has each") if folded else None,
        *_gaps(report.judgement.gaps),
        identifier="coverage",
    )


def _gaps(gaps: Sequence[Gap]) -> Iterator[Html]:
    """Yield why observations do not count, if that was asked for."""
    if not gaps:
        return
    shown, omitted = gap_rows(gaps)
    rows: list[list[Content]] = [
        [row.label, gap_reason(row.gap), row.gap.documents, _examples(row.gap)] for row in shown
    ]
    yield element("p", "Why observations do not count, of every tenant that must have both projections:")
    yield from _rows(("Tenant", "Why", "Observations", "For example"), rows, numbers=(2,))
    if len(shown) < len(gaps):
        more = f", and {count_text(omitted, 'more reason')} not shown" if omitted else ""
        yield _omitted(f"added up over tenants{more}; kit verify --json has each (gaps)")


def _omitted(text: str) -> Html:
    return element("p", prose(text), class_="soft")


def _examples(gap: Gap) -> Content:
    ids: list[Content] = [[element("br") if number else None, code(name)] for number, name in enumerate(gap.examples)]
    return [*ids, " …"] if gap.documents > len(gap.examples) else ids


def _declared(judgement: Judgement) -> dict[str, TenantCoverage]:
    tenants: dict[str, TenantCoverage] = {}
    for summary in judgement.manifest.collections if judgement.manifest is not None else ():
        for name, tenant in summary.tenants.items():
            raw = tenant.raw_linkset
            if raw is not None:
                declared = TenantCoverage(
                    documents=raw.present + raw.missing,
                    present=raw.present,
                    missing=raw.missing,
                    unresolvable=raw.unresolvable,
                )
                tenants.setdefault(name, TenantCoverage()).add(declared)
    return tenants


def collections_part(judgement: Judgement) -> Html | None:
    """Return the collections, as read or else as declared; None without any."""
    manifest = judgement.manifest
    if manifest is None or not (manifest.collections or judgement.proofs):
        return None
    if judgement.proofs:
        heads = (
            "Collection",
            "Documents",
            "Changed by the last step",
            "Only rawLinkset added",
            "Otherwise",
            "Compared with",
        )
        rows: list[list[Content]] = [
            [
                [str(proof.member.name), element("br"), code(path)],
                proof.documents,
                proof.changed,
                proof.only_raw_linkset,
                proof.other,
                proof.basis.value if proof.basis is not None else "-",
            ]
            for path, proof in sorted(judgement.proofs.items())
        ]
        text = "Every document was read in this run."
        return section(
            "Collections", element("p", text), *_rows(heads, rows, numbers=(1, 2, 3, 4)), identifier="collections"
        )
    rows = [
        [
            [f"{summary.database}.{summary.collection}", element("br"), code(summary.path)],
            summary.documents,
            summary.bytes,
            len(summary.tenants),
        ]
        for summary in manifest.collections
    ]
    text = "As the manifest declares. No document was read in this run (--deep)."
    return section(
        "Collections",
        element("p", text, _unproven(judgement, measured=False)),
        *_rows(("Collection", "Documents", "Bytes", "Tenants"), rows, numbers=(1, 2, 3)),
        identifier="collections",
    )


def fields_part(report: VerifyReport) -> Html | None:
    """Return what was found in mapped fields; None if that was not asked for."""
    if not report.fields:
        return None
    rows: list[list[Content]] = [
        [
            [str(member.collection.name), element("br"), name],
            counts.envelopes,
            counts.opened,
            counts.plaintext,
            counts.null + counts.missing,
            counts.faults,
            member.comparison(name).value,
        ]
        for member in report.fields
        for name, counts in member.proof.fields.items()
    ]
    heads = ("Field", "Envelopes", "Opened", "Plaintext", "Null or missing", "Faults", "Values before")
    findings: list[list[Content]] = [
        [str(member.collection.name), finding.kind, finding.document or "-", finding.reason]
        for member in report.fields
        for finding in member.proof.findings
    ]
    listed = _rows(("Collection", "Finding", "Document", "Reason"), findings) if findings else ()
    copied = _copies(report.copies) if report.copies is not None and report.copies.members else ()
    parts = (*_rows(heads, rows, numbers=(1, 2, 3, 4, 5)), *listed, *copied)
    return section("Encrypted fields", *parts, identifier="fields")


def _copies(copies: Copies) -> Sequence[Content]:
    from kit.reports.verify_searches import COPIES_HEADS, copies_rows  # noqa: PLC0415  not for every verdict

    rows: list[list[Content]] = [list(row) for row in copies_rows(copies)]
    return element("p", f"{copies.detail}."), *_rows(
        tuple(head.capitalize() for head in COPIES_HEADS), rows, numbers=(2, 3)
    )


def rederived_part(report: VerifyReport) -> Html | None:
    """Return how ``rawLinkset`` compares with what is derived again; None if that was not asked for."""
    if report.rederived is None:
        return None
    from kit.reports.verify_searches import (  # noqa: PLC0415  not for every verdict
        DIFFERENCE_HEADS,
        REASON_HEADS,
        difference_rows,
        reason_rows,
    )

    parts: list[Content] = [element("p", f"{report.rederived.detail}.")]
    different, reasons = difference_rows(report.rederived), reason_rows(report.rederived)
    if different:
        parts += _rows(tuple(head.capitalize() for head in DIFFERENCE_HEADS), different)
    if reasons:
        parts += _rows(tuple(head.capitalize() for head in REASON_HEADS), reasons, numbers=(1,))
    return section("Derived again", *parts, identifier="rederived")


def _unproven(judgement: Judgement, *, measured: bool) -> str | None:
    return None if measured or judgement.signers else " The manifest's signature is not proven."


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Content]], *, numbers: Sequence[int] = ()) -> Iterator[Html]:
    yield grid(heads, islice(rows, MAX_ROWS), numbers=numbers)
    if len(rows) > MAX_ROWS:
        yield element("p", f"and {len(rows) - MAX_ROWS:,} more, which the JSON report names", class_="soft")
