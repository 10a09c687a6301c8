"""The transforms that a migration file can name: their parameters as JSON, and the selection that is put into them.

A transform that no file can name (one that a program brings along) is described by the digest of its parameters, so
that it too has a place in the digest of its migration; such a description cannot be read back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kit.encryption import SHIPPED, FieldMap, Profile, RandomIv, SyntheticIv, platform_names, shipped
from kit.encryption.json_members import Members
from kit.errors import UsageError
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import CacheMap, RawLinkset, parse_cache_map
from kit.values import Sha256, strict_json

RAW_LINKSET, ENCRYPT_FIELDS = "raw-linkset", "encrypt-fields"
KNOWN = (RAW_LINKSET, ENCRYPT_FIELDS)
DESCRIPTIONS = {
    RAW_LINKSET: "Gives rawLinkset to the observations that lack it; readers that do not know it pass over it.",
    ENCRYPT_FIELDS: "Replaces the mapped plaintext fields by authenticated envelopes.",
}


_SEALS = "Replaces the mapped plaintext fields of NoteLett documents by envelopes of the profile"
_BY_PLAN = {
    Profile.COMPAT: f"{_SEALS} compat, which the platform's own reader opens.",
    Profile.BOUND: f"{_SEALS} bound, which the platform's own reader cannot open: for kits that nothing but kit reads.",
}


class ProductConflictError(UsageError):
    """A selection is of another product than the field map that it is put into."""


def slug(transform: Transform) -> str:
    """Name a transform in the id of a migration that no file names."""
    name = transform.name
    if isinstance(transform, EncryptFields):
        name = f"{transform.field_map.product}_encryption{f'_{transform.profile}' if _is_by_plan(transform) else ''}"
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_") or "transform"


def description(transform: Transform) -> str:
    """Describe what a transform does, for a migration that no file describes."""
    if isinstance(transform, EncryptFields) and _is_by_plan(transform):
        return _BY_PLAN[transform.profile]
    return DESCRIPTIONS.get(transform.name, "")


def _is_by_plan(transform: EncryptFields) -> bool:
    """Whether it is of NoteLett, and keeps the rules of its plan: as the migrations that ship for it."""
    return transform.field_map.product == platform_names.PRODUCT and not platform_names.advice(transform.field_map)


def tenants_of(transform: Transform) -> frozenset[str] | None:
    """Give the tenants that a transform is limited to."""
    if isinstance(transform, RawLinkset):
        return transform.tenants
    return transform.partitions if isinstance(transform, EncryptFields) else None


def stops_on_divergence(transform: Transform) -> bool:
    """Whether a transform stops at the first document that would diverge."""
    return isinstance(transform, RawLinkset) and transform.stop_on_divergence


def selecting(
    transform: Transform, tenants: frozenset[str] | None, product_id: str | None, *, stop_on_divergence: bool
) -> Transform:
    """Limit a transform to tenants and a product.

    Raises:
        UsageError: It cannot be, or is limited to another product already.
    """
    if isinstance(transform, EncryptFields):
        chosen = transform.field_map
        if product_id is not None:
            other = next((one for one in chosen.collections if one.product_id not in {None, product_id}), None)
            if other is not None:
                raise ProductConflictError(
                    f"the selection is productId {product_id!r}, but the field map limits {other.collection}"
                    f" to {other.product_id!r}",
                    hint="a selection narrows a field map: leave productId away, or map the other product by itself",
                )
            chosen = replace(chosen, collections=tuple(replace(c, product_id=product_id) for c in chosen.collections))
        return replace(transform, partitions=tenants, field_map=chosen)
    if product_id is not None:
        raise UsageError(
            f"{transform.name} cannot select by productId: its documents have none", hint="select by tenant"
        )
    if isinstance(transform, RawLinkset):
        return replace(transform, tenants=tenants, stop_on_divergence=stop_on_divergence)
    if tenants is not None:
        raise UsageError(f"{transform.name} cannot select by tenant")
    return transform


def advice(transform: Transform) -> tuple[str, ...]:
    """Return, in words, which rules of its product's own plan a transform does not keep."""
    if not isinstance(transform, EncryptFields):
        return ()
    found = platform_names.advice(transform.field_map)
    return (*found, "the shipped field map notelett-2 keeps these rules") if found else ()


def has_superseded_map(transform: Transform) -> bool:
    """Whether a transform has the first map that shipped for NoteLett."""
    return isinstance(transform, EncryptFields) and transform.field_map == shipped("notelett")


def to_json(transform: Transform) -> dict[str, Any]:
    """Print a transform with its parameters, selection and stop rules left to the migration."""
    if isinstance(transform, RawLinkset):
        cache = CacheMap(collection=transform.cache_collection, places=transform.cache_shape)
        # Where a deployment keeps to the defaults, a file that says nothing and one that says so are one migration.
        is_default = transform == RawLinkset(tenants=transform.tenants, stop_on_divergence=transform.stop_on_divergence)
        return {"name": RAW_LINKSET, "parameters": {"cacheMap": None if is_default else cache.to_json()}}
    if isinstance(transform, EncryptFields):
        return {
            "name": ENCRYPT_FIELDS,
            "parameters": {
                "fieldMap": transform.field_map.to_json(),
                "profile": str(transform.profile),
                "iv": "random" if isinstance(transform.iv, RandomIv) else "synthetic",
            },
        }
    digest = Sha256.of(strict_json.canonical(dict(transform.parameters())))
    return {"name": transform.name, "version": transform.version, "parametersSha256": str(digest)}


def read(entry: Members, random: Callable[[int], bytes], where: str) -> Transform:
    """Read a transform without selection.

    Raises:
        ContentError: It is none that a file can name, or its parameters are not of the schema.
        UsageError: It names a field map that does not come with the package.
    """
    name = entry.take("name", str)
    if name not in KNOWN:
        raise entry.refusal(f"{name!r} is no transform; there are {', '.join(KNOWN)}", "name")
    given = entry.object("parameters") if "parameters" in entry else None
    entry.done()
    if name == RAW_LINKSET:
        found: Transform = _raw_linkset(given, where)
    elif given is None:
        raise entry.refusal("encrypt-fields needs parameters, a fieldMap at least")
    else:
        found = _encrypt_fields(given, random, where)
    if given is not None:
        given.done()
    return found


def _raw_linkset(given: Members | None, where: str) -> RawLinkset:
    if given is None or "cacheMap" not in given:
        return RawLinkset()
    value = given.taken("cacheMap")
    if value is None:
        return RawLinkset()
    return RawLinkset().with_cache(parse_cache_map(strict_json.canonical(value), where=f"{where}: cacheMap"))


def _encrypt_fields(given: Members, random: Callable[[int], bytes], where: str) -> EncryptFields:
    value = given.take("fieldMap", object)
    if isinstance(value, str):
        if value not in SHIPPED:
            raise given.refusal(f"{value!r} is no field map that comes with kit: {', '.join(SHIPPED)}", "fieldMap")
        field_map = shipped(value)
    else:
        field_map = FieldMap.parse(strict_json.canonical(value), where=f"{where}: fieldMap")
    profile, iv = given.optional("profile", str, "bound"), given.optional("iv", str, "synthetic")
    profiles = {str(one): one for one in Profile}
    if profile not in profiles:
        raise given.refusal(f"{profile!r} is no profile; there are {', '.join(profiles)}", "profile")
    if iv not in {"synthetic", "random"}:
        raise given.refusal(f"{iv!r} is neither synthetic nor random", "iv")
    source = RandomIv(random) if iv == "random" else SyntheticIv()
    return EncryptFields(field_map=field_map, profile=profiles[profile], iv=source)
