"""The diff report as release notes in Markdown: what readers of a kit will notice, by advisory and by package.

Law: names and texts of a kit stay text. No character of them makes markup, a link or HTML in CommonMark or in GitHub's
extension of it. An advisory that several tenants have is one row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from kit.reports.diff import HEADINGS, how_to_list, latest, remark
from kit.reports.text import printable
from kit.verbs.diff.diff import AdvisoryChange, AdvisoryDifferences, CollectionDifferences, DiffReport, PackageChange
from kit.verbs.inspect import KitFacts

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~]|:(?=//)|(?<=www)\.|@)", re.IGNORECASE)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_DAY = len("2026-01-01")
_SHOWN_FIELDS = 4
_IN_NOTES = tuple((state, heading) for state, heading in HEADINGS if state not in {"moved", "migrated"})


def diff_notes(report: DiffReport) -> Iterator[str]:
    """Yield the lines of the notes."""
    after = report.after
    yield f"# {_name(after)}"
    yield ""
    yield f"What changed from {_which(report.before)} to {_which(after)}."
    yield ""
    yield "Nothing here is verified; `kit verify` does that."
    collections = [found for found in report.collections if found.advisories is not None]
    for found in collections:
        yield from _collection(found, titled=len(collections) > 1)
    if not any(_has_news(found.advisories) for found in collections if found.advisories is not None):
        yield ""
        yield "No advisory reads differently."


def markdown(text: str) -> str:
    """Return a text of a kit as Markdown that shows it."""
    shown = printable(" ".join(text.split()))
    return _MARKUP.sub(r"\\\1", shown).translate(_ENTITIES)


def _name(kit: KitFacts) -> str:
    manifest = kit.manifest
    names = (manifest.bundle_id, manifest.version, manifest.channel) if manifest is not None else ()
    return markdown(" ".join(name for name in names if name) or kit.kit.name or str(kit.kit))


def _which(kit: KitFacts) -> str:
    manifest = kit.manifest
    if manifest is None:
        return markdown(kit.kit.name)
    made = f" of {str(manifest.created_at)[:_DAY]}" if manifest.created_at is not None else ""
    return f"generation {manifest.generation}{made} ({markdown(kit.kit.name)})"


def _has_news(found: AdvisoryDifferences) -> bool:
    return any(getattr(found, state).total for state, _ in HEADINGS)


def _collection(collection: CollectionDifferences, *, titled: bool) -> Iterator[str]:
    found = collection.advisories
    if found is None or not _has_news(found):
        return
    if titled:
        yield ""
        yield f"# {markdown(str(collection.name))}"
    for state, heading in _IN_NOTES:
        listed = getattr(found, state)
        if listed.total:
            rows = _by_advisory(listed.items)
            # Tenants may share advisories; of a list that is cut only the total is known.
            count = listed.total if listed.omitted else len(rows)
            yield ""
            yield f"## {heading[0].upper()}{heading[1:]}: {count:,}"
            yield ""
            columns = _COLUMNS if state != "changed" else (*_COLUMNS[:-1], ("what changed", _what_changed))
            yield from _advisory_table(columns, rows)
            if listed.omitted:
                yield ""
                yield how_to_list(listed)
    if found.packages.total:
        yield ""
        yield f"## Packages that match differently: {found.packages.total:,}"
        yield ""
        heads = ("package", "gained", "lost", "other versions")
        yield from _table(heads, map(_package, found.packages.items))
        if found.packages.omitted:
            yield ""
            yield how_to_list(found.packages)
    for state, text in (("moved", "moved to another tenant"), ("migrated", "differ in rawLinkset or encryption only")):
        if total := getattr(found, state).total:
            yield ""
            yield f"{total:,} more {text}."


def _by_advisory(changes: Iterable[AdvisoryChange]) -> list[AdvisoryChange]:
    """Return one change of each advisory, whatever tenants have it."""
    seen: dict[tuple[str, str], AdvisoryChange] = {}
    for change in changes:
        seen.setdefault((change.vendor, change.upstream_id), change)
    return list(seen.values())


def _title(change: AdvisoryChange) -> str:
    about = latest(change)
    title = markdown(about.title) if about is not None and about.title else ""
    return f"{title} (withdrawn)".strip() if change.withdrawn else title


def _severity(change: AdvisoryChange) -> str:
    about = latest(change)
    return markdown(about.severity) if about is not None and about.severity else ""


def _aliases(change: AdvisoryChange) -> str:
    about = latest(change)
    names = about.aliases if about is not None else ()
    return markdown(", ".join(name for name in names if name.lower() != change.upstream_id.lower()))


def _date(change: AdvisoryChange) -> str:
    about = latest(change)
    return markdown(((about.published or about.modified or "") if about is not None else "")[:_DAY])


def _what_changed(change: AdvisoryChange) -> str:
    names = [one.path.removeprefix("content.raw.") for one in change.fields.items if one.path != "_id"]
    shown = [markdown(name) for name in names[:_SHOWN_FIELDS]]
    more = change.fields.total - len(change.fields.items) + len(names) - len(shown)
    return ", ".join([*shown, *([f"{more:,} more"] if more > 0 else [])]) or markdown(remark(change))


_Column = tuple[str, Callable[[AdvisoryChange], str]]
_COLUMNS: tuple[_Column, ...] = (
    ("advisory", lambda change: markdown(change.upstream_id)),
    ("source", lambda change: markdown(change.vendor)),
    ("severity", _severity),
    ("title", _title),
    ("also known as", _aliases),
    ("published", _date),
)


def _advisory_table(columns: Sequence[_Column], rows: Sequence[AdvisoryChange]) -> Iterator[str]:
    """Yield a table without the columns that have nothing in them, and without the source if there is only one."""
    cells = [[cell(one) for _, cell in columns] for one in rows]
    is_kept = [
        bool({row[at] for row in cells} - {""}) and (name != "source" or len({row[at] for row in cells}) > 1)
        for at, (name, _) in enumerate(columns)
    ]
    heads = [name for (name, _), kept in zip(columns, is_kept, strict=True) if kept]
    yield from _table(heads, ([cell for cell, kept in zip(row, is_kept, strict=True) if kept] for row in cells))


def _package(change: PackageChange) -> list[str]:
    groups: list[list[str]] = [[], [], []]
    for match in change.matches:
        groups[0 if match.before is None else 1 if match.after is None else 2].append(match.upstream_id)
    return [markdown(change.package), *(markdown(", ".join(dict.fromkeys(group))) for group in groups)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
