"""In what the manifests of two generations differ, besides what every patch changes (schemas/verify-report.md).

A patch changes digests and sizes of collections, the generation, its time, the lineage, and what it counted anew in
``collections``. Whatever else differs is named here, whoever did it: members added or removed, other files changed, and
every word of the manifest that is not what it was. Pure: two manifests in, differences out. Laws: ``compare(m, n)`` is
empty where ``n`` is what ``m.next_generation`` prints without added members; each difference has one place.

Stops at the manifests: whether a member's bytes changed as they should have is for who reads them.
"""

from __future__ import annotations

import copy
import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.manifest.model import Manifest
from kit.manifest.shapes import Entry, Shape, respell
from kit.values import MemberPath, collection_member

_LONGEST_VALUE = 80
_COUNTED = frozenset({"documents", "bytes", "tenants", "merkleRoot"})
"""Of a summary, what a patch counts anew."""
_OF_TENANT = frozenset({"documents", "rawLinkset", "encrypted"})
_OF_COVERAGE = frozenset({"present", "missing", "unresolvable"})
_ABSENT = object()


class DifferenceKind(enum.StrEnum):
    """What differs."""

    ADDED = "member added"
    REMOVED = "member removed"
    CHANGED = "file changed"
    """A member that is no collection has another digest."""
    ENTRY = "entry reworded"
    """A field of a listed file is another one."""
    FIELD = "field reworded"
    """A field of the manifest itself."""
    COLLECTION = "collection redescribed"
    """What ``collections`` tells of a member is other than what a patch counts anew."""
    UNDECLARED = "no longer declared"
    """What ``collections`` told before is not told any more; nothing contradicts it."""
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
        """Whether a patch that only appends never makes it; to declare less than before does nothing to the kit."""
        return self.kind is not DifferenceKind.UNDECLARED

    def __str__(self) -> str:
        if not self.before and not self.after:
            return f"{self.kind}: {self.place}"
        return f"{self.kind}: {self.place}: {self.before or '(absent)'} became {self.after or '(absent)'}"


def compare(before: Manifest, after: Manifest) -> tuple[Difference, ...]:
    """Name the differences between two generations, the second made of the first.

    Args:
        before: The generation that was replaced.
        after: What replaced it; that its generation, time and lineage are right is :mod:`kit.manifest.lineage`'s.

    Returns:
        Members that were added or removed first, by path, then what else differs.
    """
    own = before.shape is Shape.OWN
    listed, described = before.list_name, {"collections"} if own else set()
    parts = _fields(before, after, leave={listed, after.list_name, *described})
    if listed != after.list_name:
        return (*parts, Difference(kind=DifferenceKind.FIELD, place=listed, after=f'"{after.list_name}"'))
    entries = tuple(_entries(before, after))
    members = tuple(one for one in entries if one.kind in {DifferenceKind.ADDED, DifferenceKind.REMOVED})
    others = tuple(one for one in entries if one not in members)
    told = tuple(_collections(before, after)) if own else ()
    return (*members, *others, *parts, *told)


def _fields(before: Manifest, after: Manifest, *, leave: set[str]) -> tuple[Difference, ...]:
    own, old, new = before.shape is Shape.OWN, before.document, after.document
    expected: dict[str, Any] = {name: value for name, value in old.items() if name not in leave}
    # What every patch changes; the chain itself is held to it by the check of the lineage.
    expected["lineage"] = new.get("lineage", _ABSENT)
    if own or isinstance(old.get("generation"), int):
        expected["generation"] = after.generation
    if own:
        expected["createdAt"] = new.get("createdAt", _ABSENT)
    met = {name: value for name, value in new.items() if name not in leave}
    return tuple(
        _difference(DifferenceKind.FIELD, name, old.get(name, _ABSENT), met.get(name, _ABSENT))
        for name in sorted(expected.keys() | met.keys())
        if not _same(expected.get(name, _ABSENT), met.get(name, _ABSENT))
    )


def _entries(before: Manifest, after: Manifest) -> Iterator[Difference]:
    old, new = _listed(before), _listed(after)
    for path in sorted(old.keys() | new.keys()):
        if path not in old or path not in new:
            yield Difference(kind=DifferenceKind.ADDED if path in new else DifferenceKind.REMOVED, place=str(path))
            continue
        (was, item), (entry, met) = old[path], new[path]
        if was.sha256 != entry.sha256:
            if collection_member(path) is None:
                yield Difference(
                    kind=DifferenceKind.CHANGED,
                    place=str(path),
                    before=str(was.sha256),
                    after=str(entry.sha256),
                )
            item = copy.deepcopy(item)
            respell(item, entry.sha256, entry.size if entry.size is not None else -1)
        for name in sorted(item.keys() | met.keys()):
            if not _same(item.get(name, _ABSENT), met.get(name, _ABSENT)):
                place = f"{path}: {name}"
                yield _difference(DifferenceKind.ENTRY, place, item.get(name, _ABSENT), met.get(name, _ABSENT))
    kept = [path for path in old if path in new]
    stayed = [path for path in new if path in old]
    # A patch sorts the list of its own shape; of a foreign one it keeps the order.
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
            # What is counted of a member that was not described before is held to the member itself.
            yield from _unknown(place, new[path], _COUNTED | {"path", "db", "collection"})
        else:
            yield from _summary(place, old[path], new[path], recounted=digests.get(path) != now.get(path))
    kept = [path for path in old if path in new]
    stayed = [path for path in new if path in old]
    if kept != stayed and stayed != sorted(stayed):
        yield Difference(kind=DifferenceKind.ORDER, place="collections")


def _summaries(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {item["path"]: item for item in manifest.document.get("collections", ())}


def _unknown(place: str, met: Mapping[str, Any], known: frozenset[str]) -> Iterator[Difference]:
    for name in sorted(met.keys() - known):
        yield _difference(DifferenceKind.COLLECTION, f"{place}: {name}", _ABSENT, met[name])
    for tenant, told in sorted(met["tenants"].items()):
        yield from _compare_tenant(f"{place}: tenant {_shown(tenant)}", {}, told, recounted=True)


def _summary(place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, recounted: bool) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        was, met = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if name == "tenants" or _same(was, met):
            continue
        if name == "merkleRoot" and (was is _ABSENT or met is _ABSENT):
            if met is _ABSENT:
                yield _difference(DifferenceKind.UNDECLARED, f"{place}: {name}", was, met)
            continue
        if not recounted or name not in _COUNTED:
            yield _difference(DifferenceKind.COLLECTION, f"{place}: {name}", was, met)
    for tenant in sorted(old["tenants"].keys() | new["tenants"].keys()):
        at = f"{place}: tenant {_shown(tenant)}"
        was, met = old["tenants"].get(tenant), new["tenants"].get(tenant)
        if (was is None or met is None) and not recounted:
            yield _difference(
                DifferenceKind.COLLECTION, at, was if was is not None else _ABSENT, met if met is not None else _ABSENT
            )
        else:
            yield from _compare_tenant(at, was or {}, met or {}, recounted=recounted)


def _compare_tenant(
    place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, recounted: bool
) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        was, met = old.get(name, _ABSENT), new.get(name, _ABSENT)
        at = f"{place}: {name}"
        if _same(was, met):
            continue
        if name in {"rawLinkset", "encrypted"} and met is _ABSENT:
            yield _difference(DifferenceKind.UNDECLARED, at, was, met)
        elif name in {"rawLinkset", "encrypted"}:
            yield from _counts(at, {} if was is _ABSENT else was, met, name=name, recounted=recounted)
        elif not recounted or name not in _OF_TENANT:
            yield _difference(DifferenceKind.COLLECTION, at, was, met)


def _counts(
    place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, name: str, recounted: bool
) -> Iterator[Difference]:
    for key in sorted(old.keys() | new.keys()):
        was, met = old.get(key, _ABSENT), new.get(key, _ABSENT)
        known = name == "encrypted" or key in _OF_COVERAGE
        if _same(was, met) or (known and recounted and met is not _ABSENT):
            continue
        lost = known and (met is _ABSENT or key == "unresolvable")
        kind = DifferenceKind.UNDECLARED if lost else DifferenceKind.COLLECTION
        yield _difference(kind, f"{place}: {key}", was, met)


def _difference(kind: DifferenceKind, place: str, before: object, after: object) -> Difference:
    return Difference(kind=kind, place=place, before=_shown(before), after=_shown(after))


def _shown(value: object) -> str:
    if value is _ABSENT:
        return ""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _same(one: object, other: object) -> bool:
    """Whether two parsed JSON values are one value; 1, 1.0 and true are three."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other
