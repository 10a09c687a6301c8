"""A field that is added: with a default where it is missing, or as one that every document must have.

``reshape-default`` writes a typed value where the field is missing, and nothing else. ``reshape-require`` does the same
where it has a value to write, and then demands the field of every document of the collection, selected or not; with
``tighten`` it also adds the field to ``required`` of the validator in ``metadata.json``, in the same step.

Laws: a document that has the field keeps its bytes, whatever the value; undone, a changed one is what was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kit.documents import Place, element
from kit.encryption.field_map import FieldPath
from kit.transforms.change import Change
from kit.transforms.reshape import metadata
from kit.transforms.reshape.scope import (
    NOT_SELECTED,
    DocumentRefusedError,
    Reshape,
    append_at,
    find_spot,
    without_appended,
)
from kit.transforms.reshape.values import TypedValue
from kit.values import CollectionName

PRESENT: Final = "present"
ADDED: Final = "added"
NO_PARENT: Final = "no-parent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddField(Reshape):
    """What both kinds share: a value at a path, where it is missing."""

    path: FieldPath
    value: TypedValue | None = None

    def own_parameters(self) -> dict[str, Any]:
        """See :class:`Reshape`."""
        return {"path": self.path.json} | ({} if self.value is None else {"value": self.value.json})

    def added(self, document: bytes, places: Mapping[bytes, Place]) -> tuple[str, bytes | None]:
        """Return an outcome, and the document with the value where it was missing and there is one to write."""
        spot = find_spot(document, places, self.path)
        if spot.place is not None:
            return PRESENT, None
        if spot.parent is None:
            return NO_PARENT, None
        if self.value is None:
            return "missing", None
        new = element(self.path.steps[-1], self.value.kind, self.value.data)
        return ADDED, append_at(document, self.path, spot, new)

    def undo(self, name: CollectionName, document: bytes) -> bytes | None:  # noqa: ARG002
        """See the protocol."""
        return without_appended(document, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeDefault(AddField):
    """See the module docstring."""

    NAME = "reshape-default"
    name = NAME
    version = 1
    kind = "additive-optional"
    description = "Adds a default where a field is missing."

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        if not is_selected:
            return Change(tenant=tenant, outcome=NOT_SELECTED)
        outcome, new = self.added(document, places)
        return Change(tenant=tenant, outcome=outcome, document=new)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapeRequire(AddField):
    """See the module docstring."""

    tighten: bool = False

    NAME = "reshape-require"
    name = NAME
    version = 1
    kind = "additive-required"
    description = "Demands a field of every document."

    def own_parameters(self) -> dict[str, Any]:
        """See :class:`Reshape`."""
        return {**AddField.own_parameters(self), "tighten": self.tighten}

    def change(self, document: bytes, places: Mapping[bytes, Place], tenant: str, *, is_selected: bool) -> Change:
        """See :class:`Reshape`."""
        outcome, new = self.added(document, places)
        if outcome == PRESENT:
            return Change(tenant=tenant, outcome=PRESENT)
        if outcome == NO_PARENT or new is None:
            raise DocumentRefusedError(f"has no {self.path}, which every document must have")
        if not is_selected:
            raise DocumentRefusedError(f"has no {self.path} and is not selected; every document must have it")
        return Change(tenant=tenant, outcome=outcome, document=new)

    @property
    def is_whole(self) -> bool:
        """See the protocol: where some documents were left, not every document has the field."""
        return True

    @property
    def edits_metadata(self) -> bool:
        """See the protocol."""
        return self.tighten

    def edit_metadata(self, data: bytes) -> bytes | None:
        """See the protocol."""
        return metadata.require(data, self.path)

    def unedit_metadata(self, data: bytes) -> bytes | None:
        """See the protocol."""
        return metadata.release(data, self.path)
