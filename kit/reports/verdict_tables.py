"""The parts of a verdict's page that are tables and pictures: signers, lineage, coverage, collections, fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from kit.engine.gap import Gap
from kit.ops.chain import PUBLISHED, Link, chain
from kit.ops.judgement import Expectation, Judgement
from kit.ops.verify import VerifyReport
from kit.reports.coverage import columns_of, gap_reason, share
from kit.reports.html import Content, Html, bar, code, element, facts, grid, section
from kit.reports.lineage_picture import lineage_picture
from kit.transforms.coverage import TenantCoverage
from kit.trust import TrustedKey

MOST_ROWS = 1_000
"""Of tenants, collections, generations or findings; what is more is counted, and the JSON report has it all."""

_SHORT_ID = 16


def counted(number: int, what: str) -> str:
    """Say how many there are of something."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def capital(text: str) -> str:
    """Begin a heading with a capital, unless its first word is a name with capitals of its own."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].islower() else text


def signers_part(judgement: Judgement, keys: Mapping[str, TrustedKey], expectation: Expectation) -> Html:
    """Give who signed the manifest, among those who are trusted."""
    if judgement.signers:
        told = f"The manifest is signed by {counted(len(judgement.signers), 'trusted key')} that may sign it."
    else:
        told = "That a trusted key which may sign it has signed the manifest is not proven."
    rows: list[list[Content]] = [
        [
            [code(key_id), [element("br"), key.name] if key.name else None],
            str(key.key.algorithm),
            "any" if expectation.trust is None else ", ".join(sorted(key.roles)),
            "yes" if key_id in judgement.signers else "no",
        ]
        for key_id, key in sorted(keys.items())
    ]
    heads = ("Trusted key", "Algorithm", "Roles", "Signed this manifest")
    return section("Signers", element("p", told), *_rows(heads, rows), identifier="signers")


def lineage_part(judgement: Judgement, keys: Mapping[str, TrustedKey]) -> Html | None:
    """Draw the generations, and list them; None without a manifest."""
    links = chain(judgement)
    if not links:
        return None
    names = {key_id: key.name or f"{key_id[:_SHORT_ID]}…" for key_id, key in keys.items()}
    proven = sum(link.proven for link in links)
    told = f"{counted(len(links), 'generation')}, {proven:,} of them proven. A broken outline or line is not proven."
    figure = element("figure", lineage_picture(links, names), element("figcaption", told))
    parts = [_generation(link) for link in islice(links, MOST_ROWS)]
    more = f"and {len(links) - MOST_ROWS:,} more, which the JSON report names" if len(links) > MOST_ROWS else None
    return section("Lineage", figure, parts, element("p", more) if more else None, identifier="lineage")


def _generation(link: Link) -> Content:
    statement = link.statement
    given = (statement.operator, statement.environment) if statement is not None else ()
    step = ", ".join((link.operation, *link.transforms))
    rows: list[tuple[str, Content]] = [
        ("Made by", step if link.tool is None else f"{step}; {link.tool}"),
        ("On behalf of", ", ".join(text for text in given if text) or None),
        ("At", str(link.made_at) if link.made_at is not None else "not proven"),
        ("Signed by", _ids(link.signers)),
        ("Step signed by", None if link.operation == PUBLISHED else _ids(link.statement_signers)),
        ("Rollback note", statement.rollback_note if statement is not None else None),
        ("Manifest SHA-256", code(link.manifest_sha256)),
    ]
    differing = [[one.kind.value, code(one.place), one.before or "-", one.after or "-"] for one in link.differences]
    return [
        element("h3", f"Generation {link.generation}"),
        facts(rows),
        *_differences(differing),
    ]


def _differences(rows: Sequence[Sequence[Content]]) -> Iterator[Html]:
    if rows:
        yield element("p", "Besides what every patch changes, its manifest differs from the one before:")
        yield from _rows(("What", "Where", "Before", "After"), rows)


def _ids(key_ids: Sequence[str]) -> Content:
    return [[element("br") if number else None, code(key_id)] for number, key_id in enumerate(key_ids)] or "not proven"


def coverage_part(report: VerifyReport) -> Html | None:
    """Return the share of observations that count, by tenant; None where nothing is known of it."""
    met = bool(report.coverage)
    tenants = report.coverage or _declared(report.judgement)
    if not tenants:
        return None
    total = TenantCoverage()
    for covered in tenants.values():
        total.add(covered)
    everyone: Content = element("b", "All tenants")
    named = [(everyone, total), *((name or "(no tenant)", covered) for name, covered in sorted(tenants.items()))]
    columns = [column for column in columns_of([total]) if column[0] != "unresolvable"]
    rows: list[list[Content]] = [
        [
            name,
            covered.documents,
            covered.both,
            *(count(covered) for _, count in columns),
            bar(covered.both, covered.documents),
            share(covered.both, covered.documents),
        ]
        for name, covered in named
    ]
    told = (
        "Observations that have both projections, counted in this run: linkset, a document, and rawLinkset of shape v1."
        if met
        else "Observations that have an element rawLinkset, as the manifest declares; not counted in this run, nor "
        "looked into (--require-raw-linkset)."
    )
    heads = (
        *("Tenant", "Observations", "Both projections" if met else "With rawLinkset"),
        *(name.capitalize() for name, _ in columns),
        *("Coverage" if met else "Share", ""),
    )
    return section(
        "Coverage",
        element("p", told, _unproven(report.judgement, measured=met)),
        *_rows(heads, rows, numbers=(*range(1, len(columns) + 3), len(columns) + 4)),
        *_gaps(report.judgement.gaps),
        identifier="coverage",
    )


def _gaps(gaps: Sequence[Gap]) -> Iterator[Html]:
    """List why observations do not count, where that was asked for."""
    if not gaps:
        return
    rows: list[list[Content]] = [
        [gap.tenant or "(no tenant)", gap_reason(gap), gap.documents, _examples(gap)] for gap in gaps
    ]
    yield element("p", "Why observations do not count, of every tenant that must have both projections:")
    yield from _rows(("Tenant", "Why", "Observations", "For example"), rows, numbers=(2,))


def _examples(gap: Gap) -> Content:
    ids: list[Content] = [[element("br") if number else None, code(name)] for number, name in enumerate(gap.examples)]
    return [*ids, " …"] if gap.documents > len(gap.examples) else ids


def _declared(judgement: Judgement) -> dict[str, TenantCoverage]:
    tenants: dict[str, TenantCoverage] = {}
    for summary in judgement.manifest.collections if judgement.manifest is not None else ():
        for name, tenant in summary.tenants.items():
            raw = tenant.raw_linkset
            if raw is not None:
                said = TenantCoverage(
                    documents=raw.present + raw.missing,
                    present=raw.present,
                    missing=raw.missing,
                    unresolvable=raw.unresolvable,
                )
                tenants.setdefault(name, TenantCoverage()).add(said)
    return tenants


def collections_part(judgement: Judgement) -> Html | None:
    """Give the collections: as read where every document was, else as declared; None where there are none."""
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
        told = "Every document was read in this run."
        return section(
            "Collections", element("p", told), *_rows(heads, rows, numbers=(1, 2, 3, 4)), identifier="collections"
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
    told = "As the manifest declares; no document was read in this run (--deep)."
    return section(
        "Collections",
        element("p", told, _unproven(judgement, measured=False)),
        *_rows(("Collection", "Documents", "Bytes", "Tenants"), rows, numbers=(1, 2, 3)),
        identifier="collections",
    )


def fields_part(report: VerifyReport) -> Html | None:
    """Give what was found of mapped fields; None where that was not asked for."""
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
    told = _rows(("Collection", "Finding", "Document", "Reason"), findings) if findings else ()
    return section("Encrypted fields", *_rows(heads, rows, numbers=(1, 2, 3, 4, 5)), *told, identifier="fields")


def _unproven(judgement: Judgement, *, measured: bool) -> str | None:
    return None if measured or judgement.signers else " The manifest's signature is not proven."


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Content]], *, numbers: Sequence[int] = ()) -> Iterator[Html]:
    yield grid(heads, islice(rows, MOST_ROWS), numbers=numbers)
    if len(rows) > MOST_ROWS:
        yield element("p", f"and {len(rows) - MOST_ROWS:,} more, which the JSON report names", class_="soft")
