"""Differences between the manifests of two generations, except what every patch changes (schemas/verify-report.md).

A patch changes digests and sizes of collections, the generation, its time, the lineage, and the counts in
``collections``. Every other difference is listed here, whatever its cause: members added or removed, other files
changed, and every other field of the manifest. Pure: two manifests in, differences out. Laws: ``compare(m, n)`` is
empty if ``n`` is what ``m.next_generation`` returns without added members; each difference has one place.

Compares manifests only: whether a member's bytes changed as they should is checked where they are read.
"""

from __future__ import annotations

import copy
import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.manifest.files import Entry, Shape, respell
from kit.manifest.model import Manifest
from kit.values import MemberPath

_MAX_VALUE_LENGTH = 80
_COUNTED = frozenset({"documents", "bytes", "tenants", "merkleRoot"})
"""The fields of a summary that a patch recounts."""
_OF_TENANT = frozenset({"documents", "rawLinkset", "encrypted"})
_OF_COVERAGE = frozenset({"present", "missing", "unresolvable"})
_ABSENT = object()


class DifferenceKind(enum.StrEnum):
    """The kind of a difference."""

    ADDED = "member added"
    REMOVED = "member removed"
    CHANGED = "file changed"
    """The digest of a member that is no collection differs."""
    ENTRY = "entry reworded"
    """A field of a listed file differs."""
    FIELD = "field reworded"
    """A field of the manifest itself differs."""
    COLLECTION = "collection redescribed"
    """A field of ``collections`` differs that no patch recounts."""
    UNDECLARED = "no longer declared"
    """A field of ``collections`` is missing; nothing contradicts it."""
    ORDER = "order changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference; ``before`` and ``after`` are the values as JSON, shortened, "" for none."""

    kind: DifferenceKind
    place: str
    before: str = ""
    after: str = ""

    @property
    def is_excess(self) -> bool:
        """Whether a patch that only appends never makes it; to declare less than before does not change the kit."""
        return self.kind is not DifferenceKind.UNDECLARED

    def __str__(self) -> str:
        if not self.before and not self.after:
            return f"{self.kind}: {self.place}"
        return f"{self.kind}: {self.place}: {self.before or '(absent)'} became {self.after or '(absent)'}"


def compare(before: Manifest, after: Manifest) -> tuple[Difference, ...]:
    """Return the differences between a generation and its successor.

    Args:
        before: The generation that was replaced.
        after: Its successor; :mod:`kit.manifest.lineage` checks its generation, time and lineage.

    Returns:
        Added and removed members first, by path, then the other differences.
    """
    own = before.shape is Shape.OWN
    listed, described = before.list_name, {"collections"} if own else set()
    parts = _fields(before, after, leave={listed, after.list_name, *described})
    if listed != after.list_name:
        return (*parts, Difference(kind=DifferenceKind.FIELD, place=listed, after=f'"{after.list_name}"'))
    entries = tuple(_entries(before, after))
    members = tuple(one for one in entries if one.kind in {DifferenceKind.ADDED, DifferenceKind.REMOVED})
    others = tuple(one for one in entries if one not in members)
    summaries = tuple(_collections(before, after)) if own else ()
    return (*members, *others, *parts, *summaries)


def _fields(before: Manifest, after: Manifest, *, leave: set[str]) -> tuple[Difference, ...]:
    own, old, new = before.shape is Shape.OWN, before.document, after.document
    expected: dict[str, Any] = {name: value for name, value in old.items() if name not in leave}
    # Every patch changes these; the check of the lineage verifies them.
    expected["lineage"] = new.get("lineage", _ABSENT)
    if own or isinstance(old.get("generation"), int):
        expected["generation"] = after.generation
    if own:
        expected["createdAt"] = new.get("createdAt", _ABSENT)
    found = {name: value for name, value in new.items() if name not in leave}
    return tuple(
        _difference(DifferenceKind.FIELD, name, old.get(name, _ABSENT), found.get(name, _ABSENT))
        for name in sorted(expected.keys() | found.keys())
        if not _is_same(expected.get(name, _ABSENT), found.get(name, _ABSENT))
    )


def _entries(before: Manifest, after: Manifest) -> Iterator[Difference]:
    old, new = _listed(before), _listed(after)
    tables = before.table, after.table
    for path in sorted(old.keys() | new.keys()):
        if path not in old or path not in new:
            yield Difference(kind=DifferenceKind.ADDED if path in new else DifferenceKind.REMOVED, place=str(path))
            continue
        (was, item), (entry, present) = old[path], new[path]
        if was.sha256 != entry.sha256:
            if not any(table.member(path) for table in tables):
                yield Difference(
                    kind=DifferenceKind.CHANGED,
                    place=str(path),
                    before=str(was.sha256),
                    after=str(entry.sha256),
                )
            item = copy.deepcopy(item)
            respell(item, entry.sha256, entry.size if entry.size is not None else -1)
        for name in sorted(item.keys() | present.keys()):
            if not _is_same(item.get(name, _ABSENT), present.get(name, _ABSENT)):
                place = f"{path}: {name}"
                yield _difference(DifferenceKind.ENTRY, place, item.get(name, _ABSENT), present.get(name, _ABSENT))
    kept = [path for path in old if path in new]
    stayed = [path for path in new if path in old]
    # A patch sorts the list in the own shape, and keeps the order in a foreign one.
    if kept != stayed and (before.shape is Shape.FOREIGN or stayed != sorted(stayed, key=str)):
        yield Difference(kind=DifferenceKind.ORDER, place=before.list_name)


def _listed(manifest: Manifest) -> dict[MemberPath, tuple[Entry, dict[str, Any]]]:
    items: Sequence[dict[str, Any]] = manifest.document[manifest.list_name]
    return {entry.path: (entry, item) for entry, item in zip(manifest.entries, items, strict=True)}


def _collections(before: Manifest, after: Manifest) -> Iterator[Difference]:
    old, new = _summaries(before), _summaries(after)
    digests = {entry.path.text: entry.sha256 for entry in before.entries}
    now = {entry.path.text: entry.sha256 for entry in after.entries}
    if ("collections" in before.document) and ("collections" not in after.document) and not old:
        yield _difference(DifferenceKind.UNDECLARED, "collections", before.document["collections"], _ABSENT)
    for path in sorted(old.keys() | new.keys()):
        place = f"collections: {path}"
        if path not in new:
            yield Difference(kind=DifferenceKind.UNDECLARED, place=place)
        elif path not in old:
            # The counts of a member that had no summary before are verified against the member itself.
            yield from _unknown(place, new[path], _COUNTED | {"path", "db", "collection", "format"})
        else:
            yield from _summary(place, old[path], new[path], recounted=digests.get(path) != now.get(path))
    kept = [path for path in old if path in new]
    stayed = [path for path in new if path in old]
    if kept != stayed and stayed != sorted(stayed):
        yield Difference(kind=DifferenceKind.ORDER, place="collections")


def _summaries(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {item["path"]: item for item in manifest.document.get("collections", ())}


def _unknown(place: str, new: Mapping[str, Any], known: frozenset[str]) -> Iterator[Difference]:
    for name in sorted(new.keys() - known):
        yield _difference(DifferenceKind.COLLECTION, f"{place}: {name}", _ABSENT, new[name])
    for tenant, summary in sorted(new["tenants"].items()):
        yield from _compare_tenant(f"{place}: tenant {_spell(tenant)}", {}, summary, recounted=True)


def _summary(place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, recounted: bool) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if name == "tenants" or _is_same(was, now):
            continue
        if name == "merkleRoot" and (was is _ABSENT or now is _ABSENT):
            if now is _ABSENT:
                yield _difference(DifferenceKind.UNDECLARED, f"{place}: {name}", was, now)
            continue
        if not recounted or name not in _COUNTED:
            yield _difference(DifferenceKind.COLLECTION, f"{place}: {name}", was, now)
    for tenant in sorted(old["tenants"].keys() | new["tenants"].keys()):
        at = f"{place}: tenant {_spell(tenant)}"
        was, now = old["tenants"].get(tenant), new["tenants"].get(tenant)
        if (was is None or now is None) and not recounted:
            yield _difference(
                DifferenceKind.COLLECTION, at, was if was is not None else _ABSENT, now if now is not None else _ABSENT
            )
        else:
            yield from _compare_tenant(at, was or {}, now or {}, recounted=recounted)


def _compare_tenant(
    place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, recounted: bool
) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        at = f"{place}: {name}"
        if _is_same(was, now):
            continue
        if name in {"rawLinkset", "encrypted"} and now is _ABSENT:
            yield _difference(DifferenceKind.UNDECLARED, at, was, now)
        elif name in {"rawLinkset", "encrypted"}:
            yield from _counts(at, {} if was is _ABSENT else was, now, name=name, recounted=recounted)
        elif not recounted or name not in _OF_TENANT:
            yield _difference(DifferenceKind.COLLECTION, at, was, now)


def _counts(
    place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, name: str, recounted: bool
) -> Iterator[Difference]:
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        known = name == "encrypted" or key in _OF_COVERAGE
        if _is_same(was, now) or (known and recounted and now is not _ABSENT):
            continue
        lost = known and (now is _ABSENT or key == "unresolvable")
        kind = DifferenceKind.UNDECLARED if lost else DifferenceKind.COLLECTION
        yield _difference(kind, f"{place}: {key}", was, now)


def _difference(kind: DifferenceKind, place: str, before: object, after: object) -> Difference:
    return Difference(kind=kind, place=place, before=_spell(before), after=_spell(after))


def _spell(value: object) -> str:
    if value is _ABSENT:
        return ""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[: _MAX_VALUE_LENGTH - 1]}…"


def _is_same(one: object, other: object) -> bool:
    """Return whether two parsed JSON values are the same value; 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one == other
