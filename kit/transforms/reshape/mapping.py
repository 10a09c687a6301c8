"""Values that are replaced by others of a table: of an enumeration, or ids of owners and workspaces.

``reshape-enum`` first checks that no document of the collection has a value outside of the old and the new set, then
replaces what the table maps. ``reshape-owner`` replaces ids of owners and workspaces, both or neither, and picks the
documents that a reviewer is shown: per owner, workspace and product, by their digests.

Laws: no result of a table is one of its sources, so that a second run changes nothing; undone by one of the sources
that lead to it, a document is what was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from kit.documents import Kind, Place, document_name, index, replace
from kit.encryption.field_map import PRODUCT_ID, FieldPath
from kit.transforms.change import Change, Sample
from kit.transforms.reshape.scope import NOT_SELECTED, DocumentRefusedError, Reshape, find_spot, text_at
from kit.transforms.reshape.values import TypedValue
from kit.values import CollectionName

MAPPED: Final = "mapped"
_STRING = int(Kind.STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeEnum(Reshape):
    """See the module docstring."""

    path: FieldPath
    old: tuple[TypedValue, ...]
    new: tuple[TypedValue, ...]
    mapping: tuple[tuple[TypedValue, TypedValue], ...] = ()
    readers: str
    """Which readers know the new values, in the words of those who deployed them: they come before the writers."""

    NAME = "reshape-enum"
    name = NAME
    version = 1
    kind = "enum-expansion"
    description = "Checks the values of an enumeration, and replaces old ones by new ones."

    def own_parameters(self) -> dict[str, Any]:
        """See :class:`Reshape`."""
        return {
            "path": self.path.json,
            "old": [value.json for value in self.old],
            "new": [value.json for value in self.new],
            "mapping": [{"from": old.json, "to": new.json} for old, new in self.mapping],
            "readers": self.readers,
        }

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        found = find_spot(document, places, self.path).value(document)
        if found is None:
            return Change(tenant=tenant, outcome="missing")
        value = TypedValue(*found)
        if value not in self.old and value not in self.new:
            # The value itself stays out of messages and records.
            raise DocumentRefusedError(f"has at {self.path} a value that is neither an old nor a new one")
        if not is_selected:
            return Change(tenant=tenant, outcome=NOT_SELECTED)
        new = dict(self.mapping).get(value)
        if new is None:
            return Change(tenant=tenant, outcome="kept")
        changed = replace(document, self.path.steps, new.kind, new.data)
        return Change(tenant=tenant, outcome=MAPPED, document=changed)

    def earlier(self, name: CollectionName, document: bytes) -> Iterator[bytes]:  # noqa: ARG002
        """See the protocol."""
        found = find_spot(document, index(document), self.path).value(document)
        if found is not None:
            for old, new in self.mapping:
                if new == TypedValue(*found):
                    yield replace(document, self.path.steps, old.kind, old.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeOwner(Reshape):
    """See the module docstring."""

    owner_path: FieldPath
    workspace_path: FieldPath
    owners: tuple[tuple[str, str], ...] = ()
    workspaces: tuple[tuple[str, str], ...] = ()

    NAME = "reshape-owner"
    name = NAME
    version = 1
    kind = "ownership"
    description = "Replaces ids of owners and workspaces."

    def own_parameters(self) -> dict[str, Any]:
        """See :class:`Reshape`."""
        return {
            "ownerPath": self.owner_path.json,
            "workspacePath": self.workspace_path.json,
            "owners": dict(self.owners),
            "workspaces": dict(self.workspaces),
        }

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        if not is_selected:
            return Change(tenant=tenant, outcome=NOT_SELECTED)
        owner = text_at(document, find_spot(document, places, self.owner_path).place)
        workspace = text_at(document, find_spot(document, places, self.workspace_path).place)
        for path, text, table in (
            (self.owner_path, owner, self.owners),
            (self.workspace_path, workspace, self.workspaces),
        ):
            if table and text is None:
                raise DocumentRefusedError(f"has no text at {path}, so whose it is, is not known")
        new_owner = dict(self.owners).get(owner or "", owner)
        new_workspace = dict(self.workspaces).get(workspace or "", workspace)
        changed = document
        for path, old, new in (
            (self.owner_path, owner, new_owner),
            (self.workspace_path, workspace, new_workspace),
        ):
            if new is not None and new != old:
                changed = _with_text(changed, path, new)
        if changed == document:
            return Change(tenant=tenant, outcome="kept")
        group = new_owner or "", new_workspace or "", text_at(document, places.get(PRODUCT_ID.encode())) or ""
        sample = Sample(group=group, document=document_name(document))
        return Change(tenant=tenant, outcome=MAPPED, document=changed, sample=sample)

    def earlier(self, name: CollectionName, document: bytes) -> Iterator[bytes]:  # noqa: ARG002
        """See the protocol."""
        places = index(document)
        owner = text_at(document, find_spot(document, places, self.owner_path).place)
        workspace = text_at(document, find_spot(document, places, self.workspace_path).place)
        owners = [owner, *(old for old, new in self.owners if new == owner)]
        workspaces = [workspace, *(old for old, new in self.workspaces if new == workspace)]
        for before_owner, before_workspace in product(owners, workspaces):
            before = document
            if before_owner is not None and before_owner != owner:
                before = _with_text(before, self.owner_path, before_owner)
            if before_workspace is not None and before_workspace != workspace:
                before = _with_text(before, self.workspace_path, before_workspace)
            if before != document:
                yield before


def _with_text(document: bytes, path: FieldPath, text: str) -> bytes:
    data = text.encode()
    return replace(document, path.steps, _STRING, b"%b%b\0" % ((len(data) + 1).to_bytes(4, "little"), data))
