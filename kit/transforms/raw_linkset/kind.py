"""How ``raw-linkset`` is named: in migration files by its cache map, in recipes by its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset.shape import CacheMap, DocumentShape, Place, parse_cache_map
from kit.transforms.raw_linkset.transform import NAME, RawLinkset
from kit.values import strict_json

if TYPE_CHECKING:
    from kit.values.fields import Members


class RawLinksetKind:
    """See :class:`kit.transforms.registry.TransformKind`."""

    name: Final = NAME

    def of_parameters(self, parameters: Mapping[str, Any]) -> RawLinkset:
        """See the protocol."""
        cache, tenants = parameters["cache"], parameters["tenants"]
        return RawLinkset(
            tenants=frozenset(tenants) if tenants is not None else None,
            stop_on_divergence=parameters["onDivergence"] == "stop",
            cache_collection=cache["collection"],
            cache_shape=DocumentShape(
                **{name: Place.parse(*text.split(" | ")) for name, text in cache["fields"].items()}
            ),
        )

    def read(self, entry: Members, random: Callable[[int], bytes], where: str) -> RawLinkset:  # noqa: ARG002
        """See the protocol."""
        given = entry.object("parameters") if "parameters" in entry else None
        value = given.take_any("cacheMap") if given is not None and "cacheMap" in given else None
        if given is not None:
            given.done()
        if value is None:
            return RawLinkset()
        return RawLinkset().with_cache(parse_cache_map(strict_json.canonical(value), where=f"{where}: cacheMap"))

    def to_json(self, transform: Transform) -> dict[str, Any]:
        """See the protocol."""
        assert isinstance(transform, RawLinkset)  # noqa: S101  the registry found this kind by the transform's name
        cache = CacheMap(collection=transform.cache_collection, places=transform.cache_shape)
        # A file that omits the defaults and one that spells them out are the same migration.
        is_default = transform == RawLinkset(tenants=transform.tenants, stop_on_divergence=transform.stop_on_divergence)
        return {"name": NAME, "parameters": {"cacheMap": None if is_default else cache.to_json()}}

    def candidates(self) -> Iterable[RawLinkset]:
        """See the protocol."""
        return (RawLinkset(),)


KIND: Final = RawLinksetKind()
