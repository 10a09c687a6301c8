"""The field map: which fields of which collections are encrypted, for whom, and which must never be.

Format: schemas/field-map.md. A map is refused rather than repaired: a document whose ``_id``, partition key, owner or
``productId`` is encrypted can no longer be found by its owners, and an encrypted field matches no query. Law: in a map
from ``FieldMap.parse``, no field is, contains, or is in another field or one of those.

:class:`PlainNames` has the fields by which NoteLett queries, sorts, routes and owns documents: the one table to adapt
to the live platform. The plan of the migration lists the kinds of fields that must stay plaintext, and names some of
them. **Names marked as a guess are this project's guess**: they translate the plan's words ("embeddings and Palace
metadata", "state, actor, workflow, idempotency, and correlation fields", "original source timestamps"), and were
compared with no deployment. A name that no document has costs nothing. The shipped map ``notelett-2`` declares all of
them ``queryable``, so that a copy of it that maps one is refused; for other maps of the product, :func:`advice` returns
what they lack.
"""

from __future__ import annotations

import importlib.resources
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from kit.errors import ContentError, UsageError
from kit.values import CollectionName, CollectionPattern
from kit.values.fields import Members

SCHEMA_VERSION = "1"
IDENTITY = "_id"
PRODUCT_ID = "productId"
SHIPPED = ("concelier", "notelett", "notelett-2")
"""``notelett`` keeps its bytes, since provenances hold their digest; use ``notelett-2``."""
# Other tools write these for "every element of an array"; here they would be names, and match nothing.
_WILDCARDS = frozenset({"*", "$", "$[]", "[]"})


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A field by its path of names. Law: ``FieldPath.of(json.loads(p.json)) == p``."""

    steps: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.steps) if not any("." in step for step in self.steps) else json.dumps(self.steps)

    @property
    def json(self) -> str | list[str]:
        """The path as in a field map: dotted, or a list if a name has a dot of its own."""
        return str(self) if not any("." in step for step in self.steps) else list(self.steps)

    def overlaps(self, other: FieldPath) -> bool:
        """Return whether one of the two is the other, or is in it."""
        return all(mine == theirs for mine, theirs in zip(self.steps, other.steps, strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionMap:
    """The encrypted fields of one collection."""

    database: str | None
    """None for a collection with this name in any database."""
    collection: str
    partition_key: FieldPath
    fields: tuple[FieldPath, ...]
    context: str
    """The purpose of this collection's keys; part of every envelope's associated data."""
    owner: FieldPath
    """``userIdField``: the owner, whose key encrypts a document."""
    product_id: str | None
    """Select documents with this ``productId``; None for all."""
    skip_owners: frozenset[str]
    """Owners whose documents stay plaintext."""
    queryable: tuple[FieldPath, ...]
    order: int
    """Lowest risk first."""
    id_field: str | None = None
    """The name of what identifies documents; None for ``_id``, and in JSON for ``id`` where there is none."""

    def matches(self, name: CollectionName) -> bool:
        """Return whether the map is for that collection."""
        return name.collection == self.collection and self.database in {None, name.database}

    def is_within(self, pattern: CollectionPattern) -> bool:
        """Return whether a selection of ``pattern`` selects it, or a part of it."""
        of_any = self.database is None or not pattern.database
        return pattern.collection == self.collection and (of_any or self.database == pattern.database)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """The mapped collections of one product."""

    product: str
    collections: tuple[CollectionMap, ...]
    """In processing order: by ``order``, then as in the file."""

    @classmethod
    def parse(cls, data: bytes, *, where: str = "field map") -> Self:
        """Return the field map of a file.

        Raises:
            ContentError: It is not strict JSON or not of the schema; a field that must stay readable is mapped; fields
                overlap; a collection is mapped twice; nothing is mapped. Names the place in the file (RFC 6901).
        """
        top = Members.parse(data, error=ContentError, where=where)
        if (version := top.take("schemaVersion", str)) != SCHEMA_VERSION:
            raise top.refusal(f"is version {version!r} of the format, not {SCHEMA_VERSION!r}", "schemaVersion")
        product = top.text(top.take("product", str), "product")
        entries = top.objects("collections")
        top.done()
        if not entries:
            raise top.refusal("is empty and would encrypt nothing", "collections")
        maps = [_collection(entry) for entry in entries]
        for (first, one), (second, other) in itertools.combinations(enumerate(maps), 2):
            if one.collection == other.collection and (
                one.database == other.database or None in {one.database, other.database}
            ):
                raise top.refusal(
                    f"maps {other.collection!r} again, after /collections/{first}", f"collections/{second}"
                )
        return cls(product=product, collections=tuple(sorted(maps, key=lambda one: one.order)))

    def collection(self, name: CollectionName) -> CollectionMap | None:
        """Return the map of a collection, or None."""
        return next((entry for entry in self.collections if entry.matches(name)), None)

    def narrowed(self, collections: Collection[CollectionPattern]) -> Self:
        """Return the map of these collections alone.

        Raises:
            UsageError: It does not name one of them.
        """
        entries: dict[CollectionMap, None] = {}
        for pattern in sorted(collections):
            if pattern.database and replace(pattern, database="") in collections:
                continue
            found = [entry for entry in self.collections if entry.is_within(pattern)]
            if not found:
                names = ", ".join(dict.fromkeys(entry.collection for entry in self.collections))
                raise UsageError(f"the field map does not name {pattern}", hint=f"it names {names}")
            entries |= dict.fromkeys(replace(entry, database=pattern.database or entry.database) for entry in found)
        return replace(self, collections=tuple(sorted(entries, key=lambda entry: entry.order)))

    def to_json(self) -> dict[str, Any]:
        """Return the map as parsed, defaults included: the input of a digest of parameters."""
        return {
            "schemaVersion": SCHEMA_VERSION,
            "product": self.product,
            "collections": [_entry_to_json(entry) for entry in self.collections],
        }


def shipped(name: str) -> FieldMap:
    """Return one of the maps that come with this package.

    Raises:
        UsageError: There is none with this name.
    """
    if name not in SHIPPED:
        raise UsageError(f"there is no field map {name!r}", hint=f"there are: {', '.join(SHIPPED)}")
    resource = importlib.resources.files("kit.encryption") / "maps" / f"{name}.json"
    return FieldMap.parse(resource.read_bytes(), where=f"{name}.json")


def _collection(entry: Members) -> CollectionMap:
    database = entry.optional("database", str, "")
    collection = entry.text(entry.take("collection", str), "collection")
    for name, text in (("database", database), ("collection", collection)):
        if "/" in text or "\0" in text:
            raise entry.refusal(f"{text!r} cannot be the name of a {name} in a kit", name)
    fields = tuple(_path(entry, item, f"fields/{at}") for at, item in enumerate(entry.take("fields", list)))
    if not fields:
        raise entry.refusal("is empty and would encrypt nothing", "fields")
    product_id = entry.optional("productId", str, "")
    found = CollectionMap(
        database=database or None,
        collection=collection,
        partition_key=_path(entry, entry.take("partitionKey", object), "partitionKey"),
        fields=fields,
        context=entry.text(entry.take("context", str), "context"),
        owner=_path(entry, entry.take("userIdField", object), "userIdField"),
        product_id=product_id or None,
        skip_owners=frozenset(entry.strings("skipOwners", optional=True)),
        queryable=tuple(
            _path(entry, item, f"queryable/{at}") for at, item in enumerate(entry.optional("queryable", list, []))
        ),
        order=entry.optional("order", int, 0),
        id_field=_id_field(entry),
    )
    entry.done()
    _refuse_readable(entry, found)
    return found


def _id_field(entry: Members) -> str | None:
    name = entry.optional("idField", str, None)
    return None if name is None or name == IDENTITY else entry.text(name, "idField")


def _refuse_readable(entry: Members, found: CollectionMap) -> None:
    for at, field in enumerate(found.fields):
        for path, why in _readable(found):
            if field.overlaps(path):
                raise entry.refusal(f"{str(field)!r} cannot be encrypted: {str(path)!r} is {why}", f"fields/{at}")
        for earlier in range(at):
            if field.overlaps(found.fields[earlier]):
                raise entry.refusal(f"{str(field)!r} overlaps {entry.pointer}/fields/{earlier}", f"fields/{at}")


def _readable(found: CollectionMap) -> Iterator[tuple[FieldPath, str]]:
    yield FieldPath((IDENTITY,)), "the identity of documents"
    if found.id_field is not None:
        yield FieldPath((found.id_field,)), "the identity of documents (idField)"
    yield found.partition_key, "the partition key"
    yield found.owner, "the owner (userIdField), which decides the key"
    yield FieldPath((PRODUCT_ID,)), "what identifies the product"
    for path in found.queryable:
        yield path, "declared queryable, and encrypted values match no query"


def _path(entry: Members, value: Any, name: str) -> FieldPath:
    steps = value.split(".") if isinstance(value, str) else value
    if not isinstance(steps, list) or not steps:
        raise entry.refusal("is neither a dotted path nor a list of names", name)
    for step in steps:
        if not isinstance(step, str) or not step or "\0" in step:
            raise entry.refusal("has a step that is empty, contains NUL or is not a string", name)
        if step in _WILDCARDS:
            raise entry.refusal(f"has the step {step!r}; elements of arrays cannot be mapped", name)
    return FieldPath(tuple(steps))


def _entry_to_json(entry: CollectionMap) -> dict[str, Any]:
    printed: dict[str, Any] = {
        "collection": entry.collection,
        "partitionKey": entry.partition_key.json,
        "fields": [path.json for path in entry.fields],
        "context": entry.context,
        "userIdField": entry.owner.json,
        "skipOwners": sorted(entry.skip_owners),
        "queryable": [path.json for path in entry.queryable],
        "order": entry.order,
    }
    if entry.database is not None:
        printed["database"] = entry.database
    if entry.product_id is not None:
        printed["productId"] = entry.product_id
    if entry.id_field is not None:
        printed["idField"] = entry.id_field
    return printed


PRODUCT: Final = "notelett"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainNames:
    """Top-level fields that must stay plaintext.

    Attributes:
        stated: Named in the plan.
        guessed: Not named in the plan: a stated guess.
    """

    stated: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()


EVERYWHERE: Final = PlainNames(
    stated=("id", "workspaceId", "userId", "productId", "createdBy", "createdAt", "updatedAt"),
    guessed=("deletedAt", "sourceCreatedAt", "sourceUpdatedAt"),
)
"""Identity, partition keys, owners and timestamps, in every container."""

OF_CONTAINER: Final[Mapping[str, PlainNames]] = {
    "notes": PlainNames(),
    "palace_memories": PlainNames(
        guessed=("embedding", "embeddings", "embeddingModel", "metadata", "palaceId", "wing", "hall", "room")
    ),
    "note_artifacts": PlainNames(guessed=("noteId",)),
    "note_prompts": PlainNames(),
    "note_agent_actions": PlainNames(
        guessed=(
            *("state", "actor", "actorId", "actorType", "workflow", "workflowId", "workflowRunId"),
            *("idempotency", "idempotencyKey", "correlation", "correlationId", "noteId"),
        )
    ),
}
"""Additional fields of each container."""


def plain_names(container: str) -> tuple[str, ...]:
    """Return the fields of a NoteLett container that must stay plaintext; a shipped map lists them as ``queryable``."""
    own = OF_CONTAINER.get(container, PlainNames())
    return (*EVERYWHERE.stated, *EVERYWHERE.guessed, *own.stated, *own.guessed)


def advice(field_map: FieldMap) -> tuple[str, ...]:
    """Return a sentence for each rule of the product's own plan that a field map breaks; none for other products."""
    return tuple(_find_broken_rules(field_map)) if field_map.product == PRODUCT else ()


def _find_broken_rules(field_map: FieldMap) -> Iterator[str]:
    every = [entry.collection for entry in field_map.collections if entry.product_id is None]
    if every:
        yield f"documents of every productId are encrypted in {', '.join(every)}: the field map has no productId there"
    mapped = [f"{entry.collection} {field}" for entry in field_map.collections for field in _mapped_names(entry)]
    if mapped:
        yield f"fields are encrypted that are queried: {', '.join(mapped)}"
    unprotected = [entry.collection for entry in field_map.collections if _open_names(entry)]
    if unprotected:
        yield f"the field map declares not all that is queried in {', '.join(unprotected)}: queryable is short of names"


def _mapped_names(entry: CollectionMap) -> list[FieldPath]:
    names = [FieldPath((name,)) for name in plain_names(entry.collection)]
    return [field for field in entry.fields if any(field.overlaps(name) for name in names)]


def _open_names(entry: CollectionMap) -> list[str]:
    declared = (*entry.queryable, entry.partition_key, entry.owner, FieldPath(("productId",)))
    return [name for name in plain_names(entry.collection) if FieldPath((name,)) not in declared]
