"""A field that is renamed in two migrations: copied first, and removed once every document has an equal copy.

Between the two, readers and writers use both names. ``reshape-copy`` appends the value under its new name where it is
missing there, and refuses a document that has another value there. ``reshape-remove`` refuses to run before the copy is
complete and equal in every document of the collection, selected or not.

Laws: a copy is equal bytes of one type; a second run of either changes nothing; undone, a changed document is what was
read, for a removal at one of the places where the element may have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kit.documents import Kind, Place, element, elements, index, remove, replace
from kit.encryption.field_map import FieldPath
from kit.transforms.change import Change
from kit.transforms.reshape.scope import (
    NOT_SELECTED,
    DocumentRefusedError,
    Reshape,
    Spot,
    append_at,
    find_spot,
    without_appended,
)
from kit.values import CollectionName

MOST_PLACES: Final = 1_000
"""Elements next to one that is removed: its place among them is put on record, and found again by trying."""
_DOCUMENT = int(Kind.DOCUMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rename(Reshape):
    """Both names of the field."""

    old: FieldPath
    new: FieldPath

    kind = "rename"

    def own_parameters(self) -> dict[str, Any]:
        """See :class:`Reshape`."""
        return {"from": self.old.json, "to": self.new.json}

    def spots(self, document: bytes, places: Mapping[bytes, Place]) -> tuple[Spot, Spot]:
        """Return where both names lead."""
        return find_spot(document, places, self.old), find_spot(document, places, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeCopy(_Rename):
    """See the module docstring."""

    NAME = "reshape-copy"
    name = NAME
    version = 1
    description = "Copies a field to its new name."

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        if not is_selected:
            return Change(tenant=tenant, outcome=NOT_SELECTED)
        old, new = self.spots(document, places)
        value, there = old.value(document), new.value(document)
        if value is None:
            return Change(tenant=tenant, outcome="missing" if there is None else "renamed")
        if there is not None:
            if there != value:
                raise DocumentRefusedError(f"has {self.new} already, and it differs from {self.old}")
            return Change(tenant=tenant, outcome="present")
        if new.parent is None:
            raise DocumentRefusedError(f"has no document that could have {self.new}")
        copied = append_at(document, self.new, new, element(self.new.steps[-1], *value))
        return Change(tenant=tenant, outcome="copied", document=copied)

    def undo(self, name: CollectionName, document: bytes) -> bytes | None:  # noqa: ARG002
        """See the protocol."""
        old, new = self.spots(document, index(document))
        if new.place is None or old.value(document) != new.value(document):
            return None
        return without_appended(document, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeRemove(_Rename):
    """See the module docstring."""

    NAME = "reshape-remove"
    name = NAME
    version = 1
    description = "Removes a field that was copied to its new name."
    follows = ReshapeCopy.NAME

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        old, new = self.spots(document, places)
        if old.place is None or old.parent is None:
            return Change(tenant=tenant, outcome="removed-before" if new.place is not None else "missing")
        if old.value(document) != new.value(document):
            raise DocumentRefusedError(f"has no {self.new} that equals {self.old}: the copy is not complete")
        if not is_selected:
            return Change(tenant=tenant, outcome=NOT_SELECTED)
        if sum(1 for _ in elements(document, old.parent[0])) > MOST_PLACES:
            raise DocumentRefusedError(f"has more than {MOST_PLACES:,} elements next to {self.old}")
        return Change(tenant=tenant, outcome="removed", document=remove(document, self.old.steps))

    def earlier(self, name: CollectionName, document: bytes) -> Iterator[bytes]:  # noqa: ARG002
        """See the protocol."""
        old, new = self.spots(document, index(document))
        value = new.value(document)
        if value is None or old.place is not None or old.parent is None:
            return
        start, end = old.parent
        parent = document[start:end]
        gone = element(self.old.steps[-1], *value)
        size = (len(parent) + len(gone)).to_bytes(4, "little")
        places = [4, *(one.end for one in elements(parent))]
        for at in places[: MOST_PLACES + 1]:
            before = b"".join((size, parent[4:at], gone, parent[at:]))
            if len(self.old.steps) > 1:
                before = replace(document, self.old.steps[:-1], _DOCUMENT, before)
            yield before
