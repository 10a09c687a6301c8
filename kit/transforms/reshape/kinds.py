"""How the changes of a schema are named in migrations and recipes, and which of them are refused.

Every member is required unless the schema states otherwise, and an unknown one is refused (schemas/reshape.md). A
change of ``_id``, ``productId``, ``createdAt`` or the partition key is refused here, before any kit is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kit.encryption.field_map import FieldPath
from kit.errors import ContentError, UsageError
from kit.transforms.protocol import Transform
from kit.transforms.reshape.additive import ReshapeDefault, ReshapeRequire
from kit.transforms.reshape.mapping import ReshapeEnum, ReshapeOwner
from kit.transforms.reshape.projecting import ReshapeProject
from kit.transforms.reshape.rename import ReshapeCopy, ReshapeRemove
from kit.transforms.reshape.scope import TENANT, Reshape, protected
from kit.transforms.reshape.values import TypedValue
from kit.transforms.undoing import MOST_WAYS
from kit.values.fields import Members

if TYPE_CHECKING:
    Make = Callable[[Members, dict[str, Any], str], Reshape]

_MOST_VALUES = 1_000


class ReshapeKind:
    """See :class:`kit.transforms.registry.TransformKind`."""

    def __init__(self, name: str, make: Make) -> None:
        self.name, self._make = name, make

    def of_parameters(self, parameters: Mapping[str, Any]) -> Transform:
        """See the protocol."""
        if not parameters:
            raise UsageError(f"{self.name} needs parameters, which a migration has", hint="name it: --migration FILE")
        given = Members(dict(parameters), error=ContentError, where=f"parameters of {self.name}")
        product = given.take_any("productId") if "productId" in given else None
        tenants = given.take_any("tenants") if "tenants" in given else None
        made = self._read(given, f"parameters of {self.name}")
        if product is not None:
            product = given.text(product, "productId")
        if tenants is not None:
            tenants = frozenset(given.text(one, "tenants") for one in given.typed(tenants, list, "tenants"))
        return replace(made, product_id=product, partitions=tenants)

    def read(self, entry: Members, random: Callable[[int], bytes], where: str) -> Transform:  # noqa: ARG002
        """See the protocol."""
        if "parameters" not in entry:
            raise entry.refusal(f"{self.name} needs parameters (schemas/reshape.md)")
        return self._read(entry.object("parameters"), where)

    def _read(self, given: Members, where: str) -> Reshape:
        database = given.take_any("db") if "db" in given else None
        shared = {
            "collection": given.text(given.take("collection", str), "collection"),
            "database": None if database is None else given.text(database, "db"),
            "partition_key": _path(given, "partitionKey") if "partitionKey" in given else TENANT,
        }
        made = self._make(given, shared, where)
        given.done()
        return made

    def to_json(self, transform: Transform) -> dict[str, Any]:
        """See the protocol."""
        parameters = dict(transform.parameters())
        return {
            "name": self.name,
            "parameters": {name: value for name, value in parameters.items() if name not in {"productId", "tenants"}},
        }

    def candidates(self) -> Iterable[Transform]:
        """See the protocol: none can be guessed."""
        return ()


def _path(given: Members, name: str) -> FieldPath:
    value = given.take(name, object)
    steps = value.split(".") if isinstance(value, str) else value
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step for step in steps):
        raise given.refusal("is neither a dotted path nor a list of names", name)
    for step in steps:
        given.text(step, name)
        if step.startswith("$") or step == "*" or step.encode(errors="replace").decode() != step:
            raise given.refusal(f"has the step {step!r}, which is no name of an element", name)
    return FieldPath(tuple(steps))


def _changed(given: Members, name: str, partition_key: FieldPath) -> FieldPath:
    """Return a path at which documents are to change."""
    path = _path(given, name)
    if (why := protected(path, partition_key)) is not None:
        raise given.refusal(why, name)
    return path


def _value(value: Any, where: str, name: str) -> TypedValue:
    return TypedValue.of(value, where=f"{where}: {name}")


def _values(given: Members, name: str, where: str) -> tuple[TypedValue, ...]:
    found = tuple(_value(one, where, f"{name}/{at}") for at, one in enumerate(given.take(name, list)))
    if not found or len(found) > _MOST_VALUES or len(set(found)) < len(found):
        raise given.refusal(f"is not a list of 1 to {_MOST_VALUES:,} different values", name)
    return found


def _default(given: Members, shared: dict[str, Any], where: str) -> Reshape:
    path = _changed(given, "path", shared["partition_key"])
    if "value" not in given:
        raise given.refusal("has no 'value'")
    return ReshapeDefault(**shared, path=path, value=_value(given.take_any("value"), where, "value"))


def _required(given: Members, shared: dict[str, Any], where: str) -> Reshape:
    path = _changed(given, "path", shared["partition_key"])
    value = _value(given.take_any("value"), where, "value") if "value" in given else None
    return ReshapeRequire(**shared, path=path, value=value, tighten=_flag(given, "tighten"))


def _flag(given: Members, name: str) -> bool:
    value = given.take_any(name) if name in given else False
    if not isinstance(value, bool):
        raise given.refusal("is neither true nor false", name)
    return value


def _enum(given: Members, shared: dict[str, Any], where: str) -> Reshape:
    path = _changed(given, "path", shared["partition_key"])
    old, new = _values(given, "old", where), _values(given, "new", where)
    mapping: list[tuple[Any, Any]] = []
    for at, entry in enumerate(given.objects("mapping") if "mapping" in given else ()):
        pair = tuple(_value(entry.take_any(name), where, f"mapping/{at}/{name}") if name in entry else None
                     for name in ("from", "to"))  # fmt: skip
        entry.done()
        if pair[0] not in old or pair[0] in new or pair[1] not in new:
            raise entry.refusal("does not lead from a value that is only old to a new one")
        mapping.append((pair[0], pair[1]))
    if len({one for one, _ in mapping}) < len(mapping):
        raise given.refusal("maps a value twice", "mapping")
    readers = given.text(given.take("readers", str), "readers")
    return ReshapeEnum(**shared, path=path, old=old, new=new, mapping=tuple(mapping), readers=readers)


def _owner(given: Members, shared: dict[str, Any], where: str) -> Reshape:  # noqa: ARG001
    owners, workspaces = _table(given, "owners"), _table(given, "workspaces")
    if not owners and not workspaces:
        raise given.refusal("maps neither an owner nor a workspace")
    owner = _mapped_path(given, "ownerPath", "userId", shared["partition_key"] if owners else None)
    workspace = _mapped_path(given, "workspacePath", "workspaceId", shared["partition_key"] if workspaces else None)
    ways = [max(Counter(new for _, new in table).values(), default=0) + 1 for table in (owners, workspaces)]
    if ways[0] * ways[1] >= MOST_WAYS:
        raise given.refusal(f"leads from {ways[0]:,} owners and {ways[1]:,} workspaces to one: too many to be undone")
    if owner.overlaps(workspace):
        raise given.refusal("is the path of the workspace, too", "ownerPath")
    return ReshapeOwner(**shared, owner_path=owner, workspace_path=workspace, owners=owners, workspaces=workspaces)


def _mapped_path(given: Members, name: str, default: str, partition_key: FieldPath | None) -> FieldPath:
    """Return a path; where its values are to change, ``partition_key`` is given, and must be another."""
    path = _path(given, name) if name in given else FieldPath((default,))
    if partition_key is not None and (why := protected(path, partition_key)) is not None:
        raise given.refusal(why, name)
    return path


def _table(given: Members, name: str) -> tuple[tuple[str, str], ...]:
    table = given.take(name, dict) if name in given else {}
    for old, new in table.items():
        given.text(old, name)
        given.text(new, f"{name}/{old}")
        if new in table:
            raise given.refusal(f"leads to {new!r}, which it also leads from: a second run would go on", name)
    return tuple(sorted(table.items()))


def _names(given: Members, partition_key: FieldPath) -> tuple[FieldPath, FieldPath]:
    old, new = _changed(given, "from", partition_key), _changed(given, "to", partition_key)
    if old.overlaps(new):
        raise given.refusal(f"is {new}, which is {old}, or in it, or around it", "to")
    return old, new


def _copy(given: Members, shared: dict[str, Any], where: str) -> Reshape:  # noqa: ARG001
    old, new = _names(given, shared["partition_key"])
    return ReshapeCopy(**shared, old=old, new=new)


def _remove(given: Members, shared: dict[str, Any], where: str) -> Reshape:  # noqa: ARG001
    old, new = _names(given, shared["partition_key"])
    return ReshapeRemove(**shared, old=old, new=new)


def _project(given: Members, shared: dict[str, Any], where: str) -> Reshape:  # noqa: ARG001
    target = given.text(given.take("target", str), "target")
    if target == shared["collection"] or "/" in target or target.startswith((".", "system.")) or "$" in target:
        raise given.refusal(f"is {target!r}, which names no other collection", "target")
    fields = given.take_any("fields") if "fields" in given else None
    if fields is not None:
        names = [given.text(one, "fields") for one in given.typed(fields, list, "fields")]
        if not names or len(set(names)) < len(names):
            raise given.refusal("is empty, or names a field twice", "fields")
        fields = tuple(names)
    key = _path(given, "targetPartitionKey")
    validation = given.text(given.take("validation", str), "validation")
    return ReshapeProject(**shared, target=target, target_key=key, fields=fields, validation=validation)


DEFAULT: Final = ReshapeKind(ReshapeDefault.NAME, _default)
REQUIRE: Final = ReshapeKind(ReshapeRequire.NAME, _required)
ENUM: Final = ReshapeKind(ReshapeEnum.NAME, _enum)
OWNER: Final = ReshapeKind(ReshapeOwner.NAME, _owner)
COPY: Final = ReshapeKind(ReshapeCopy.NAME, _copy)
REMOVE: Final = ReshapeKind(ReshapeRemove.NAME, _remove)
PROJECT: Final = ReshapeKind(ReshapeProject.NAME, _project)
__all__ = ["COPY", "DEFAULT", "ENUM", "OWNER", "PROJECT", "REMOVE", "REQUIRE"]
