"""The diff report: schemas/diff-report.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kit.reports.inspect import facts_json, facts_lines
from kit.reports.text import MAX_DOCUMENT, SCHEMA_VERSION, clip, table
from kit.verbs.diff.diff import (
    AboutAdvisory,
    AdvisoryChange,
    AdvisoryDifferences,
    CollectionDifferences,
    DiffReport,
    DocumentChange,
    FieldChange,
    FieldTotal,
    Listed,
    Match,
    MemberChange,
    PackageChange,
    RawLinksetChange,
    UnreadDocument,
)

T = TypeVar("T")

SHOWN_FIELDS = 12
"""Fields of one document in the text report and on the page."""
SHOWN_MATCHES = 8
"""Advisories of one package in them."""
HEADINGS = (
    ("added", "added"),
    ("changed", "changed"),
    ("withdrawn", "withdrawn by their publisher"),
    ("reinstated", "reinstated by their publisher"),
    ("removed", "removed"),
    ("moved", "moved to another tenant"),
    ("migrated", "migrated: only rawLinkset or encryption differs"),
)
"""The states of advisories, in the order of the report."""


def diff_json(report: DiffReport) -> dict[str, Any]:
    """Return the report as JSON."""
    members = report.members
    return {
        "schemaVersion": SCHEMA_VERSION,
        "different": report.is_different,
        "limit": report.limit,
        "before": facts_json(report.before),
        "after": facts_json(report.after),
        "collections": [_collection_json(collection) for collection in report.collections],
        "members": {
            "added": _listed(members.added, _member_json),
            "changed": _listed(members.changed, _member_json),
            "removed": _listed(members.removed, _member_json),
        },
    }


def _listed(listed: Listed[T], print_item: Callable[[T], Any]) -> dict[str, Any]:
    return {"total": listed.total, "items": [print_item(item) for item in listed.items]}


def _member_json(member: MemberChange) -> dict[str, Any]:
    return {"path": str(member.path), "kind": member.kind, "bytes": {"before": member.before, "after": member.after}}


def _collection_json(collection: CollectionDifferences) -> dict[str, Any]:
    return {
        "db": collection.name.database,
        "collection": collection.name.collection,
        "documents": {"before": collection.before, "after": collection.after},
        "added": _listed(collection.added, str),
        "changed": _listed(collection.changed, _document_json),
        "removed": _listed(collection.removed, str),
        "unresolvable": _listed(collection.unresolvable, _unread_json),
        "fields": _listed(collection.fields, _total_json),
        "advisories": _advisories_json(collection.advisories) if collection.advisories is not None else None,
    }


def _advisories_json(found: AdvisoryDifferences) -> dict[str, Any]:
    return {
        **{state: _listed(getattr(found, state), _advisory_json) for state, _ in HEADINGS},
        "packages": _listed(found.packages, _package_json),
        "fields": _listed(found.fields, _total_json),
        "rawLinkset": {
            "gained": _raw_linkset_json(found.raw_linkset_gained),
            "lost": _raw_linkset_json(found.raw_linkset_lost),
        },
    }


def _raw_linkset_json(change: RawLinksetChange) -> dict[str, Any]:
    print_tenant = lambda tenant: {"tenant": tenant.tenant, "observations": tenant.count}  # noqa: E731
    return {"observations": change.observations, "tenants": _listed(change.tenants, print_tenant)}


def _advisory_json(advisory: AdvisoryChange) -> dict[str, Any]:
    return {
        "tenant": advisory.tenant,
        "movedTo": advisory.moved_to,
        "vendor": advisory.vendor,
        "upstreamId": advisory.upstream_id,
        "observations": dict(zip(("before", "after"), advisory.observations, strict=True)),
        "documents": dict(zip(("before", "after"), advisory.documents, strict=True)),
        "withdrawn": advisory.withdrawn,
        "about": {side: _about_json(about) for side, about in zip(("before", "after"), advisory.about, strict=True)},
        "fields": _listed(advisory.fields, _field_json),
    }


def _about_json(about: AboutAdvisory | None) -> dict[str, Any] | None:
    if about is None:
        return None
    return {
        "title": about.title,
        "severity": about.severity,
        "aliases": list(about.aliases),
        "published": about.published,
        "modified": about.modified,
    }


def _package_json(change: PackageChange) -> dict[str, Any]:
    def name(match: Match) -> dict[str, Any]:
        return {"vendor": match.vendor, "upstreamId": match.upstream_id}

    return {
        "package": change.package,
        "gained": [{**name(one), "versions": one.after} for one in change.matches if one.before is None],
        "lost": [{**name(one), "versions": one.before} for one in change.matches if one.after is None],
        "changed": [
            {**name(one), "before": one.before, "after": one.after}
            for one in change.matches
            if one.before is not None and one.after is not None
        ],
    }


def _document_json(document: DocumentChange) -> dict[str, Any]:
    return {"document": document.document, "fields": _listed(document.fields, _field_json)}


def _unread_json(one: UnreadDocument) -> dict[str, Any]:
    return {"document": one.document, "kit": side_name(one), "reason": one.reason}


def side_name(one: UnreadDocument) -> str:
    """Return the kit of a document: ``before`` or ``after``."""
    return ("before", "after")[one.side]


def _field_json(change: FieldChange) -> dict[str, Any]:
    return {
        "path": change.path,
        "how": change.how.value,
        "times": change.times,
        "before": change.before,
        "after": change.after,
    }


def _total_json(total: FieldTotal) -> dict[str, Any]:
    return {"path": total.path, "how": total.how.value, "count": total.count}


def diff_lines(report: DiffReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    for side, facts in (("before", report.before), ("after", report.after)):
        first, *others = facts_lines(facts)
        yield f"{side}: {first}"
        yield from (f"  {line}" for line in others)
    for collection in report.collections:
        yield ""
        yield from _collection_lines(collection)
    yield ""
    yield from _member_lines(report)


def title(advisory: AdvisoryChange) -> str:
    """Return the severity and title of the latest observation; often none."""
    about = latest(advisory)
    return "; ".join(filter(None, (about.severity, about.title))) if about is not None else ""


def latest(advisory: AdvisoryChange) -> AboutAdvisory | None:
    """Return what is known of an advisory: of the second kit, else of the first."""
    before, after = advisory.about
    return after or before


def match_texts(change: PackageChange) -> Iterator[str]:
    """Yield how a package matches differently: the advisories gained, lost, and with other versions."""
    groups = {
        "gained": [one for one in change.matches if one.before is None],
        "lost": [one for one in change.matches if one.after is None],
        "other versions": [one for one in change.matches if one.before is not None and one.after is not None],
    }
    for word, matches in groups.items():
        if matches:
            more = f" and {len(matches) - SHOWN_MATCHES:,} more" if len(matches) > SHOWN_MATCHES else ""
            yield f"{word}: {', '.join(one.upstream_id for one in matches[:SHOWN_MATCHES])}{more}"


def how_to_list(listed: Listed[Any], what: str = "") -> str:
    """Return how many are left out, and the option that lists them."""
    return f"and {listed.omitted:,} more{what} (--limit {listed.total} lists all; so does --json)"


def changed_documents(collection: CollectionDifferences) -> str:
    """Return how many documents there were and are, as text."""
    changes = [
        f"{listed.total:,} {how}"
        for how, listed in (
            ("added", collection.added),
            ("changed", collection.changed),
            ("removed", collection.removed),
        )
        if listed.total
    ]
    noun = "document" if collection.before == 1 else "documents"
    return f"{collection.before:,} {noun} before, {collection.after:,} after: {', '.join(changes) or 'the same'}"


def subject(advisory: AdvisoryChange) -> str:
    """Return the name of an advisory and its tenant."""
    tenant = advisory.tenant or "(no tenant)"
    place = tenant if advisory.moved_to is None else f"{tenant} → {advisory.moved_to or '(no tenant)'}"
    return f"{advisory.upstream_id} ({advisory.vendor}), {place}"


def remark(advisory: AdvisoryChange) -> str:
    """Return remarks on an advisory; often none."""
    before, after = advisory.observations
    remarks = [f"{before:,} → {after:,} observations"] if before and after and before != after else []
    if advisory.withdrawn:
        remarks.append("withdrawn")
    if before and after and not advisory.fields.total:
        remarks.append("the latest observation is the same")
    return ", ".join(remarks)


def change_text(change: FieldChange) -> str:
    """Return how one field changed, as text."""
    if change.times > 1:
        return f"{change.how.value} in {change.times:,} places"
    if change.before is None and change.after is None:
        return change.how.value
    if change.before is None or change.after is None:
        return f"{change.how.value}: {change.before or change.after}"
    return f"{change.before} → {change.after}"


def _collection_lines(collection: CollectionDifferences) -> Iterator[str]:
    yield f"{collection.name}: {changed_documents(collection)}"
    advisories = collection.advisories
    if advisories is not None:
        for state, heading in HEADINGS:
            yield from _list_lines(f"advisories {heading}", getattr(advisories, state), _advisory_lines)
        for word, change in (("gained", advisories.raw_linkset_gained), ("lost", advisories.raw_linkset_lost)):
            if change.observations:
                yield f"  rawLinkset {word} by {change.observations:,} observations"
                yield from _items(change.tenants, lambda one: [f"{one.tenant or '(no tenant)'}: {one.count:,}"])
        yield from _list_lines("packages that match differently", advisories.packages, _package_lines)
        yield from _total_lines("fields of advisories", advisories.fields)
    else:
        yield from _list_lines("documents added", collection.added, lambda name: [name])
        yield from _list_lines("documents changed", collection.changed, _document_lines)
        yield from _list_lines("documents removed", collection.removed, lambda name: [name])
    yield from _list_lines("documents that cannot be read", collection.unresolvable, _unread_lines)
    yield from _total_lines("fields of documents", collection.fields)


def _unread_lines(one: UnreadDocument) -> list[str]:
    return [f"{one.document}, {side_name(one)}: {one.reason}"]


def _list_lines(heading: str, listed: Listed[T], lines: Callable[[T], list[str]]) -> Iterator[str]:
    if listed.total:
        yield f"  {heading}: {listed.total:,}"
        yield from _items(listed, lines)


def _items(listed: Listed[T], lines: Callable[[T], list[str]]) -> Iterator[str]:
    for item in listed.items:
        yield from (f"    {line}" for line in lines(item))
    if listed.omitted:
        yield f"    {how_to_list(listed)}"


def _advisory_lines(advisory: AdvisoryChange) -> list[str]:
    note = "; ".join(filter(None, (remark(advisory), clip(title(advisory), MAX_DOCUMENT))))
    return [f"{subject(advisory)}{f': {note}' if note else ''}", *_field_lines(advisory.fields)]


def _package_lines(change: PackageChange) -> list[str]:
    return [change.package, *(f"  {text}" for text in match_texts(change))]


def _document_lines(document: DocumentChange) -> list[str]:
    return [document.document, *_field_lines(document.fields)]


def _field_lines(all_fields: Listed[FieldChange]) -> Iterator[str]:
    fields = all_fields.first(SHOWN_FIELDS)
    for change in fields.items:
        yield f"  {change.path}: {change_text(change)}"
    if fields.omitted:
        yield f"  and {fields.omitted:,} more fields (--json)"


def _total_lines(heading: str, totals: Listed[FieldTotal]) -> Iterator[str]:
    if not totals.total:
        return
    yield ""
    rows = [(total.path, total.how.value, f"{total.count:,}") for total in totals.items]
    yield from table((heading, "how", "count"), rows)
    if totals.omitted:
        yield f"  {how_to_list(totals)}"


def _member_lines(report: DiffReport) -> Iterator[str]:
    if not report.is_different:
        yield "no differences: every member of both kits has the same bytes"
        return
    members = report.members
    for how, listed in (("added", members.added), ("changed", members.changed), ("removed", members.removed)):
        for member in listed.items:
            sizes = " → ".join(f"{size:,}" for size in (member.before, member.after) if size is not None)
            yield f"{how}: {member.path}, {sizes} bytes"
        if listed.omitted:
            yield f"{how}: {how_to_list(listed, ' members')}"
