"""The diff report as one HTML page for screen and paper: what was added, changed and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from kit.reports.diff import (
    HEADINGS,
    SHOWN_FIELDS,
    change_text,
    changed_documents,
    how_to_list,
    latest,
    match_texts,
    remark,
    side_name,
)
from kit.reports.html import Content, Html, code, element, facts, grid, page, prose, section
from kit.verbs.diff.diff import (
    AdvisoryChange,
    AdvisoryDifferences,
    CollectionDifferences,
    DiffReport,
    FieldChange,
    FieldTotal,
    Listed,
    MemberChange,
    PackageChange,
    RawLinksetChange,
)
from kit.verbs.inspect import KitFacts
from kit.version import TOOL, VERSION

T = TypeVar("T")


def difference_page(report: DiffReport) -> bytes:
    """Return the page. Equal reports give equal bytes."""
    before, after = report.before.kit, report.after.kit
    return page(
        f"Differences: {before.name} and {after.name}",
        element(
            "header",
            element("p", "Differences between two Offline Kits", class_="kicker"),
            element("h1", f"{before.name or before} → {after.name or after}"),
            _summary(report),
        ),
        section("Before", _kit(report.before), identifier="before"),
        section("After", _kit(report.after), identifier="after"),
        [_collection(number, found) for number, found in enumerate(report.collections)],
        section("Members", _members(report), identifier="members"),
        _foot(),
    )


def _summary(report: DiffReport) -> Html:
    parts: list[Content] = [element("p", "Different" if report.is_different else "The same", class_="word")]
    if not report.is_different:
        parts.append(element("p", "Every member of both kits has the same bytes."))
    for found in report.collections:
        parts.append(element("p", element("strong", f"{found.name}: "), f"{changed_documents(found)}."))
        counts = _advisory_counts(found.advisories) if found.advisories is not None else ""
        if counts:
            parts.append(element("p", f"Advisories: {counts}."))
    parts.append(element("p", "Nothing here is verified; kit verify does that.", class_="soft"))
    return element("div", parts, class_="verdict", id="summary")


def _advisory_counts(found: AdvisoryDifferences) -> str:
    return ", ".join(f"{listed.total:,} {state}" for state, _ in HEADINGS if (listed := getattr(found, state)).total)


def _kit(kit: KitFacts) -> Html:
    manifest = kit.manifest
    stored = f", {kit.stored_bytes:,} bytes" if kit.stored_bytes is not None else ""
    rows: list[tuple[str, Content]] = [
        ("File", code(kit.kit)),
        ("Container", f"{kit.container.value}{stored}; {kit.files:,} files, {kit.file_bytes:,} bytes"),
    ]
    if manifest is not None:
        names = (manifest.bundle_id or "(unnamed)", manifest.version, manifest.channel)
        rows += [
            ("Bundle", " ".join(text for text in names if text)),
            ("Generation", str(manifest.generation)),
            ("Manifest SHA-256", code(manifest.sha256)),
        ]
    rows += [("Claimed signer", [code(claim.key_id), f" ({claim.algorithm})"]) for claim in kit.claims]
    rows += [("Problem", problem) for problem in kit.problems]
    return facts(rows)


def _collection(number: int, found: CollectionDifferences) -> Html:
    parts: list[Content] = [element("p", f"{changed_documents(found)}.")]
    if found.advisories is not None:
        parts += list(_advisories(found.advisories))
    else:
        parts += _list("Documents added", found.added, ("Document",), lambda name: [code(name)])
        parts += _list(
            "Documents changed",
            found.changed,
            ("Document", "What changed"),
            lambda document: [code(document.document), _fields(document.fields)],
        )
        parts += _list("Documents removed", found.removed, ("Document",), lambda name: [code(name)])
    parts += _list(
        "Documents that cannot be read",
        found.unresolvable,
        ("Document", "Kit", "Reason"),
        lambda one: [code(one.document), side_name(one), one.reason],
    )
    parts += _totals("Fields, over documents of one _id", found.fields)
    return section(str(found.name), parts, identifier=f"collection-{number}")


def _advisories(found: AdvisoryDifferences) -> Iterator[Content]:
    for state, heading in HEADINGS:
        rows = _comings if state in {"added", "removed"} else _changes
        heads = (*_HEADS, "Severity", "Published") if rows is _comings else (*_HEADS, "What changed")
        yield from _list(f"Advisories {heading}", getattr(found, state), heads, rows)
    yield from _list("Packages that match differently", found.packages, ("Package", "Advisories"), _package)
    for heading, change in (("gained", found.raw_linkset_gained), ("lost", found.raw_linkset_lost)):
        yield from _raw_linkset(heading, change)
    yield from _totals("Fields, over advisories", found.fields)


_HEADS = ("Advisory", "Source", "Tenant")


def _comings(advisory: AdvisoryChange) -> list[Content]:
    about = latest(advisory)
    dates = (about.published or "-")[:_DAY] if about is not None else "-"
    notes = (about.severity if about is not None else None, remark(advisory))
    return [*_who(advisory), ", ".join(filter(None, notes)) or "-", dates]


_DAY = len("2026-01-01")


def _changes(advisory: AdvisoryChange) -> list[Content]:
    note = remark(advisory)
    return [*_who(advisory), [element("div", note) if note else None, _fields(advisory.fields)]]


def _package(change: PackageChange) -> list[Content]:
    return [code(change.package), [element("div", text) for text in match_texts(change)]]


def _who(advisory: AdvisoryChange) -> list[Content]:
    tenant = advisory.tenant or "(no tenant)"
    if advisory.moved_to is not None:
        tenant = f"{tenant} → {advisory.moved_to or '(no tenant)'}"
    about = latest(advisory)
    notes: list[str] = []
    if about is not None:
        aliases = [alias for alias in about.aliases if alias.lower() != advisory.upstream_id.lower()]
        notes = [about.title or "", ", ".join(aliases)]
    lines = [element("div", note, class_="soft") for note in notes if note]
    return [[code(advisory.upstream_id), *lines], advisory.vendor, tenant]


def _fields(all_fields: Listed[FieldChange]) -> Content:
    fields = all_fields.first(SHOWN_FIELDS)
    lines: list[Content] = [element("div", code(c.path), f": {change_text(c)}") for c in fields.items]
    if fields.omitted:
        lines.append(element("div", prose(f"and {fields.omitted:,} more fields (kit diff --json)"), class_="soft"))
    return lines


def _raw_linkset(heading: str, change: RawLinksetChange) -> Iterator[Content]:
    if change.observations:
        yield element("h3", f"rawLinkset {heading}: {change.observations:,} observations")
        rows = [(one.tenant or "(no tenant)", one.count) for one in change.tenants.items]
        yield grid(("Tenant", "Observations"), rows, numbers=(1,))
        yield _more(change.tenants)


def _list(
    heading: str,
    listed: Listed[T],
    heads: tuple[str, ...],
    row: Callable[[T], list[Content]],
    *,
    numbers: tuple[int, ...] = (),
) -> Iterator[Content]:
    if listed.total:
        yield element("h3", f"{heading}: {listed.total:,}")
        if listed.items:
            yield grid(heads, [row(item) for item in listed.items], numbers=numbers)
        yield _more(listed)


def _totals(heading: str, totals: Listed[FieldTotal]) -> Iterator[Content]:
    if totals.total:
        yield element("h3", heading)
        rows = [(code(total.path), total.how.value, total.count) for total in totals.items]
        yield grid(("Field", "How", "Count"), rows, numbers=(2,))
        yield _more(totals)


def _more(listed: Listed[T]) -> Content:
    return element("p", prose(how_to_list(listed)), class_="soft") if listed.omitted else None


def _members(report: DiffReport) -> Content:
    found = report.members
    parts: list[Content] = []
    for heading, listed in (("Added", found.added), ("Changed", found.changed), ("Removed", found.removed)):
        heads = ("Member", "Kind", "Bytes before", "Bytes after")
        parts += _list(heading, listed, heads, _member, numbers=(2, 3))
    return parts or element("p", "Every member of both kits has the same bytes.")


def _member(member: MemberChange) -> list[Content]:
    return [
        code(member.path),
        member.kind,
        *(size if size is not None else "-" for size in (member.before, member.after)),
    ]


def _foot() -> Html:
    return element(
        "footer",
        element(
            "p",
            "A * in a field's path stands for any member of a list. Values are cut; plaintext that was encrypted is "
            f"not shown. Made by {TOOL} {VERSION}.",
        ),
    )
