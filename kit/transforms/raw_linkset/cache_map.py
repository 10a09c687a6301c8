"""Reads the file that says where a deployment keeps cached payloads: schemas/cache-map.md."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kit.errors import ContentError
from kit.transforms.raw_linkset import shape
from kit.values import Limits, strict_json

_FIELDS = frozenset({"tenant", "vendor", "upstreamId", "contentHash", "format", "payload"})
_NAMES = {"upstreamId": "upstream_id", "contentHash": "content_hash", "payload": "raw"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMap:
    """Which collection holds cached payloads, and where in its documents everything stands."""

    collection: str
    places: shape.DocumentShape

    def to_json(self) -> dict[str, Any]:
        """Print it with every field named; ``parse_cache_map`` reads it back."""
        names = {name: _NAMES.get(name, name) for name in sorted(_FIELDS)}
        places: dict[str, shape.Place] = {given: getattr(self.places, name) for given, name in names.items()}
        fields = {given: [".".join(path) for path in place.paths] for given, place in places.items()}
        return {"schemaVersion": "1", "collection": self.collection, "fields": fields}


def parse_cache_map(data: bytes, *, where: str) -> CacheMap:
    """Read a cache map; fields that it does not name stay where they are by default.

    Raises:
        ContentError: It is not strict JSON, or not of the form of schemas/cache-map.schema.json.
    """
    document = strict_json.parse(data, limits=Limits(), where=where)
    if not isinstance(document, dict) or document.get("schemaVersion") != "1":
        raise ContentError('not a cache map: an object with "schemaVersion": "1" is expected', where=where)
    unknown = sorted(set(document) - {"schemaVersion", "collection", "fields"})
    if unknown:
        raise ContentError(f"unknown member {unknown[0]!r}", where=where)
    collection, fields = document.get("collection", "dto"), document.get("fields", {})
    if not isinstance(collection, str) or not collection:
        raise ContentError('"collection" is not a name', where=where)
    if not isinstance(fields, dict):
        raise ContentError('"fields" is not an object', where=where)
    places: dict[str, Any] = {_NAMES.get(str(name), str(name)): _place(name, fields[name], where) for name in fields}
    return CacheMap(collection=collection, places=dataclasses.replace(shape.DTO, **places))


def _place(name: str, paths: Any, where: str) -> shape.Place:
    if name not in _FIELDS:
        raise ContentError(f"unknown field {name!r}; there are {', '.join(sorted(_FIELDS))}", where=where)
    listed = paths if isinstance(paths, list) else [paths]
    if not listed or not all(isinstance(path, str) and all(path.split(".")) for path in listed):
        raise ContentError(f"fields.{name}: dotted paths are expected", where=where)
    return shape.Place.parse(*listed)
