"""The census of a kit as text, JSON and a page: schemas/census-report.md.

Values of documents are in it only if examples were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kit.documents.census import ENVELOPE, EXAMPLE_BYTES, SHAPES, PathCensus, spell
from kit.documents.kinds import Kind
from kit.reports.contents import columns
from kit.reports.html import Content, code, element, facts, grid, page, prose, section
from kit.reports.text import SCHEMA_VERSION, clip, printable
from kit.reports.verify import share
from kit.verbs.census import CensusReport, CollectionReport, PathReport, Standing
from kit.version import TOOL, VERSION

_TYPES: Final = {
    ENVELOPE: "envelope",
    Kind.DOUBLE: "double",
    Kind.STRING: "string",
    Kind.DOCUMENT: "object",
    Kind.ARRAY: "array",
    Kind.BINARY: "binData",
    Kind.UNDEFINED: "undefined",
    Kind.OBJECT_ID: "objectId",
    Kind.BOOLEAN: "bool",
    Kind.DATETIME: "date",
    Kind.NULL: "null",
    Kind.REGEX: "regex",
    Kind.DB_POINTER: "dbPointer",
    Kind.CODE: "javascript",
    Kind.SYMBOL: "symbol",
    Kind.CODE_WITH_SCOPE: "javascriptWithScope",
    Kind.INT32: "int",
    Kind.TIMESTAMP: "timestamp",
    Kind.INT64: "long",
    Kind.DECIMAL128: "decimal",
    Kind.MIN_KEY: "minKey",
    Kind.MAX_KEY: "maxKey",
}
"""Types as MongoDB's ``$type`` names them, and envelopes."""
_RANKS: Final = (
    *(Standing.PLAIN, Standing.PARTLY, Standing.ALIKE, Standing.SEALED_UNMAPPED, Standing.ABSENT, Standing.SEALED),
    *(Standing.PROTECTED, Standing.INSIDE, Standing.OTHER),
)
"""What to act on first."""
_QUIET: Final = frozenset({Standing.INSIDE, Standing.OTHER})
"""Paths that a text lists only with ``--limit``."""
_WIDTH: Final = 56
_SHAPES_SHOWN: Final = 2
_UNVERIFIED: Final = "Nothing is verified (kit verify). Envelopes are counted by their form and not opened."


def census_json(report: CensusReport) -> dict[str, Any]:
    """Return the report as JSON."""
    field_map = report.field_map
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kit": str(report.kit),
        "product": field_map.product if field_map is not None else None,
        "collections": [_collection_json(one) for one in report.collections],
        "missing": [
            {"db": one.database, "collection": one.collection, "fields": [path.json for path in one.fields]}
            for one in report.missing
        ],
    }


def _collection_json(report: CollectionReport) -> dict[str, Any]:
    return {
        "db": report.name.database,
        "collection": report.name.collection,
        "members": list(map(str, report.members)),
        "documents": report.documents,
        "unread": report.unread,
        "complete": not report.is_cut,
        "paths": [_path_json(path) for path in report.paths],
    }


def _path_json(path: PathReport) -> dict[str, Any]:
    counts = path.counts
    number, is_exact = counts.distinct
    lengths = {"least": counts.least, "most": counts.longest, "total": counts.total} if counts.sized else None
    made: dict[str, Any] = {
        "path": spell(path.steps),
        "steps": list(path.steps),
        "documents": counts.documents,
        "values": counts.values,
        "types": {_TYPES[kind]: count for kind, count in sorted(counts.kinds.items())},
        "distinct": {"number": number, "exact": is_exact} if number else None,
        "lengths": lengths,
        "shapes": {name: count for (name, _), count in zip(SHAPES, counts.shapes, strict=True) if count},
    }
    if path.standing is not None:
        made |= {"map": path.standing.name.lower().replace("_", "-"), "why": path.likeness or None}
    if counts.examples:
        made["examples"] = examples(counts)
    return made


def examples(counts: PathCensus) -> list[str]:
    """Return the examples of a path as text: texts as they are, other values in hexadecimal."""
    return [_example(kind, value) for kind, value in counts.examples.values()]


def _example(kind: int, value: bytes) -> str:
    if kind in {Kind.STRING, Kind.CODE, Kind.SYMBOL}:
        return value.decode(errors="ignore") + "…" * (len(value) == EXAMPLE_BYTES)
    if kind in {Kind.INT32, Kind.INT64}:
        return str(int.from_bytes(value, "little", signed=True))
    if kind == Kind.BOOLEAN:
        return str(bool(value[0])).lower()
    return value.hex() + "…" * (len(value) == EXAMPLE_BYTES)


def census_lines(report: CensusReport, *, limit: int | None) -> Iterator[str]:
    """Yield the report as lines of text, with at most ``limit`` paths of each collection."""
    for one in report.collections:
        yield _heading(one)
        shown = _shown(one, limit)
        yield from _table(shown, has_map=report.field_map is not None)
        for path in shown:
            if path.counts.examples:
                values = ", ".join(printable(clip(value, _WIDTH)) for value in examples(path.counts))
                yield f"  {printable(clip(spell(path.steps), _WIDTH))}: {values}"
        yield from _omissions(one, len(shown))
        yield ""
    for entry in report.missing:
        yield f"{entry.collection}: mapped, and not in the kit"
    if report.field_map is not None:
        yield summary(report)
    yield _UNVERIFIED


def _heading(one: CollectionReport) -> str:
    unread = f", {one.unread:,} that cannot be read (kit verify --deep)" if one.unread else ""
    members = f" in {len(one.members):,} members" if len(one.members) > 1 else ""
    return f"{printable(str(one.name))}: {_count(one.documents, 'document')}{members}{unread}"


def _shown(one: CollectionReport, limit: int | None) -> Sequence[PathReport]:
    if limit is not None:
        return _ranked(one.paths)[:limit]
    loud = [path for path in one.paths if path.standing not in _QUIET]
    return _ranked(loud)


def _ranked(paths: Sequence[PathReport]) -> Sequence[PathReport]:
    return sorted(paths, key=lambda path: _RANKS.index(path.standing) if path.standing is not None else 0)


def _omissions(one: CollectionReport, shown: int) -> Iterator[str]:
    if len(one.paths) > shown:
        yield f"  {_count(len(one.paths) - shown, 'more path')} (--limit N, --json, --html)"
    if one.is_cut:
        yield "  there are more paths than are counted; the deepest are left out"


def summary(report: CensusReport) -> str:
    """Return what the field map covers, in a sentence."""
    found = report.standings()
    parts = [f"{found[one]:,} {one.value}" for one in _RANKS if found[one] and one not in _QUIET]
    return f"paths: {'; '.join(parts) or 'none is mapped'}"


def _table(paths: Sequence[PathReport], *, has_map: bool) -> Iterator[str]:
    heads = ["path", *(["map"] if has_map else []), "documents", "types", "distinct", "bytes", "shapes"]
    rows = [_row(path, has_map=has_map) for path in paths]
    for at in (heads.index("documents"), heads.index("distinct")):
        width = max((len(row[at]) for row in rows), default=0)
        for row in rows:
            row[at] = row[at].rjust(width)
    yield from columns(heads, rows)


def _row(path: PathReport, *, has_map: bool) -> list[str]:
    standing = [_standing(path)] if has_map else []
    return [printable(clip(spell(path.steps), _WIDTH)), *standing, f"{path.counts.documents:,}", *_cells(path.counts)]


def _standing(path: PathReport) -> str:
    words = path.standing.value if path.standing is not None else ""
    return f"{words}: {path.likeness}" if path.likeness else words


def _cells(counts: PathCensus) -> list[str]:
    return [_types(counts), _distinct(counts), _lengths(counts), _shapes(counts)]


def _types(counts: PathCensus) -> str:
    ranked = sorted(counts.kinds.items(), key=lambda one: (-one[1], one[0]))
    return " ".join(_TYPES[kind] for kind, _ in ranked)


def _distinct(counts: PathCensus) -> str:
    number, is_exact = counts.distinct
    return "" if not number else f"{number:,}" if is_exact else f"about {_rounded(number):,}"


def _rounded(number: int) -> int:
    """Return the number with two digits that count."""
    size = max(len(str(number)) - 2, 0)
    return round(number, -size)


def _lengths(counts: PathCensus) -> str:
    if not counts.sized:
        return ""
    return f"{counts.least:,}" if counts.least == counts.longest else f"{counts.least:,}-{counts.longest:,}"


def _shapes(counts: PathCensus) -> str:
    total = sum(counts.shapes)
    ranked = sorted(enumerate(counts.shapes), key=lambda one: (-one[1], one[0]))
    shown = [f"{SHAPES[at][0]} {share(count, total)}" for at, count in ranked[:_SHAPES_SHOWN] if count]
    return ", ".join(shown)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else what + 's'}"


def census_page(report: CensusReport) -> bytes:
    """Return the report as one HTML page, with every path. Equal reports give equal bytes."""
    has_map = report.field_map is not None
    parts: list[Content] = [element("p", prose(_UNVERIFIED))]
    if has_map:
        parts.insert(0, element("p", element("strong", f"{summary(report)[:1].upper()}{summary(report)[1:]}.")))
    missing = [element("p", code(one.collection), ": mapped, and not in the kit.") for one in report.missing]
    return page(
        f"Census: {report.kit.name}",
        element(
            "header",
            element("p", "Census of an Offline Kit", class_="kicker"),
            element("h1", report.kit.name or str(report.kit)),
            element("div", parts, missing, class_="verdict", id="summary"),
        ),
        [
            section(str(one.name), _page_table(one, has_map=has_map), identifier=f"collection-{number}")
            for number, one in enumerate(report.collections)
        ],
        element("footer", element("p", f"{TOOL} {VERSION}")),
    )


def _page_table(one: CollectionReport, *, has_map: bool) -> Content:
    with_examples = any(path.counts.examples for path in one.paths)
    heads = ["Path", *(["Map"] if has_map else []), "Documents", "Types", "Distinct", "Bytes", "Shapes"]
    rows = []
    for path in _ranked(one.paths):
        row: list[Content] = [code(spell(path.steps)), *([_standing(path)] if has_map else [])]
        row += [path.counts.documents, *_cells(path.counts)]
        if with_examples:
            row.append([element("div", code(value)) for value in examples(path.counts)])
        rows.append(row)
    known: list[tuple[str, Content]] = [
        ("Documents", f"{one.documents:,}"),
        ("Cannot be read", f"{one.unread:,}" if one.unread else None),
        ("Members", [element("div", code(member)) for member in one.members]),
        ("Left out", "there are more paths than are counted; the deepest are left out" if one.is_cut else None),
    ]
    numbers = (2, 4) if has_map else (1, 3)
    return [facts(known), grid([*heads, *(["Examples"] if with_examples else [])], rows, numbers=numbers)]
