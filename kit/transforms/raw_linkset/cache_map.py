"""Parses the file that locates a deployment's cached payloads: schemas/cache-map.md."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kit.errors import ContentError
from kit.transforms.raw_linkset import shape
from kit.values import Limits, strict_json
from kit.values.fields import Fields

_FIELDS = frozenset({"tenant", "vendor", "upstreamId", "contentHash", "format", "payload"})
_NAMES = {"upstreamId": "upstream_id", "contentHash": "content_hash", "payload": "raw"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMap:
    """The collection of cached payloads, and the places of the fields in its documents."""

    collection: str
    places: shape.DocumentShape

    def to_json(self) -> dict[str, Any]:
        """Return its JSON with every field named, for ``parse_cache_map``."""
        names = {name: _NAMES.get(name, name) for name in sorted(_FIELDS)}
        places: dict[str, shape.Place] = {given: getattr(self.places, name) for given, name in names.items()}
        fields = {given: [".".join(path) for path in place.paths] for given, place in places.items()}
        return {"schemaVersion": "1", "collection": self.collection, "fields": fields}


def parse_cache_map(data: bytes, *, where: str) -> CacheMap:
    """Return a cache map; fields that it does not name keep their default places.

    Raises:
        ContentError: It is not strict JSON, or not of the form of schemas/cache-map.schema.json.
    """
    try:
        return _read(Fields.of(strict_json.parse(data, limits=Limits(), where=where), "cache map"))
    except ContentError as error:
        raise (error if error.where else error.inside(where)) from error.__cause__


def _read(document: Fields) -> CacheMap:
    document.exactly(("schemaVersion",), ("collection", "fields"))
    if (version := document.text("schemaVersion")) != "1":
        raise document.refusal(f"is version {version!r}; this program reads '1'")
    collection = document.text("collection") if "collection" in document.members else "dto"
    fields = document.object("fields") if "fields" in document.members else Fields({}, "fields")
    places: dict[str, Any] = {_NAMES.get(name, name): _place(name, fields) for name in fields.members}
    return CacheMap(collection=collection, places=dataclasses.replace(shape.DTO, **places))


def _place(name: str, fields: Fields) -> shape.Place:
    if name not in _FIELDS:
        raise fields.refusal(f"unknown field {name!r}; the fields are {', '.join(sorted(_FIELDS))}")
    paths = fields.members[name]
    listed = paths if isinstance(paths, list) else [paths]
    if not listed or not all(isinstance(path, str) and all(path.split(".")) for path in listed):
        raise fields.refusal(f"{name}: dotted paths are expected")
    return shape.Place.parse(*listed)
