"""The fields by which NoteLett queries, sorts, routes and owns documents: the one table to adapt to the live platform.

The plan of the migration lists the kinds of fields that must stay plaintext, and names some of them. **Names marked as
a guess are this project's guess**: they translate the plan's words ("embeddings and Palace metadata", "state, actor,
workflow, idempotency, and correlation fields", "original source timestamps"), and were compared with no deployment. A
name that no document has costs nothing. The shipped map ``notelett-2`` declares all of them ``queryable``, so that a
copy of it that maps one is refused; for other maps of the product, :func:`advice` returns what they lack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kit.encryption.field_map import CollectionMap, FieldMap, FieldPath

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
