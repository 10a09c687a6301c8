"""How ``encrypt-fields`` is named: in migration files and recipes by field map, profile and initialisation vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kit.encryption import SHIPPED, FieldMap, Profile, RandomIv, SyntheticIv, shipped
from kit.transforms.encrypt_fields.transform import NAME, EncryptFields
from kit.transforms.protocol import Transform
from kit.values import strict_json

if TYPE_CHECKING:
    from kit.values.fields import Members


class EncryptFieldsKind:
    """See :class:`kit.transforms.registry.TransformKind`."""

    name: Final = NAME

    def of_parameters(self, parameters: Mapping[str, Any]) -> EncryptFields:
        """See the protocol; random initialisation vectors do not come out again, so the result has synthetic ones."""
        tenants = parameters["tenants"]
        return EncryptFields(
            field_map=FieldMap.parse(strict_json.canonical(parameters["fieldMap"])),
            profile=Profile[parameters["profile"].upper()],
            partitions=frozenset(tenants) if tenants is not None else None,
            rekeyed=frozenset(parameters.get("rekey", ())),
        )

    def read(self, entry: Members, random: Callable[[int], bytes], where: str) -> EncryptFields:
        """See the protocol."""
        if "parameters" not in entry:
            raise entry.refusal("encrypt-fields needs parameters with at least a fieldMap")
        given = entry.object("parameters")
        value = given.take("fieldMap", object)
        if isinstance(value, str):
            if value not in SHIPPED:
                raise given.refusal(
                    f"is {value!r}, not one of those that come with kit: {', '.join(SHIPPED)}", "fieldMap"
                )
            field_map = shipped(value)
        else:
            field_map = FieldMap.parse(strict_json.canonical(value), where=f"{where}: fieldMap")
        profile, iv = given.optional("profile", str, "bound"), given.optional("iv", str, "synthetic")
        profiles = {str(one): one for one in Profile}
        if profile not in profiles:
            raise given.refusal(f"is {profile!r}, not one of {', '.join(profiles)}", "profile")
        if iv not in {"synthetic", "random"}:
            raise given.refusal(f"is {iv!r}, neither synthetic nor random", "iv")
        rekeyed = frozenset(given.strings("rekey", optional=True))
        given.done()
        source = RandomIv(random) if iv == "random" else SyntheticIv()
        return EncryptFields(field_map=field_map, profile=profiles[profile], iv=source, rekeyed=rekeyed)

    def to_json(self, transform: Transform) -> dict[str, Any]:
        """See the protocol."""
        assert isinstance(transform, EncryptFields)  # noqa: S101  the registry found this kind by the transform's name
        return {
            "name": NAME,
            "parameters": {
                "fieldMap": transform.field_map.to_json(),
                "profile": str(transform.profile),
                "iv": "random" if isinstance(transform.iv, RandomIv) else "synthetic",
                **({"rekey": sorted(transform.rekeyed)} if transform.rekeyed else {}),
            },
        }

    def candidates(self) -> Iterable[EncryptFields]:
        """See the protocol."""
        return (EncryptFields(field_map=shipped(name), profile=one) for name in SHIPPED for one in Profile)


KIND: Final = EncryptFieldsKind()
