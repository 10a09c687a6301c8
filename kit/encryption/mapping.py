"""The map of a collection, prepared for reading its documents: made once per run, and sent to the workers.

:mod:`kit.encryption.mapped` reads the documents.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.encryption.associated_data import CollectionPlace, FieldPlace
from kit.encryption.data_keys import Scope
from kit.encryption.envelope import Profile
from kit.encryption.field_map import CollectionMap, FieldPath
from kit.values import CollectionName


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedField:
    """One field of a map, with its place in one collection; made once per run."""

    place: FieldPlace
    steps: tuple[bytes, ...]

    @property
    def path(self) -> FieldPath:
        """The path in the map."""
        return self.place.path

    def __str__(self) -> str:
        return str(self.place.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedCollection:
    """The map of a collection, prepared for reading its documents."""

    map: CollectionMap
    place: CollectionPlace
    fields: tuple[MappedField, ...]
    partitions: frozenset[str] | None
    """Select documents of these partitions (``--tenant``); None for all."""
    partition_steps: tuple[bytes, ...]
    owner_steps: tuple[bytes, ...]

    @classmethod
    def of(
        cls,
        entry: CollectionMap,
        name: CollectionName,
        *,
        product: str,
        profile: Profile,
        partitions: frozenset[str] | None = None,
    ) -> MappedCollection:
        """Return a map prepared for the collection ``name``, which it matches."""
        place = CollectionPlace(product=product, name=name, version=profile.value)
        fields = tuple(
            MappedField(place=place.field(path, entry.context), steps=_encode(path)) for path in entry.fields
        )
        return cls(
            map=entry,
            place=place,
            fields=fields,
            partitions=partitions,
            partition_steps=_encode(entry.partition_key),
            owner_steps=_encode(entry.owner),
        )

    def scope(self, owner: str) -> Scope:
        """Return the purpose of the key that seals ``owner``'s values here."""
        return Scope(product=self.place.product, context=self.map.context, owner=owner)


def _encode(path: FieldPath) -> tuple[bytes, ...]:
    return tuple(step.encode() for step in path.steps)
