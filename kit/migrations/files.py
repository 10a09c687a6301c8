"""Parses migration files, strictly: a misspelt stop rule must not be one that never stops.

The migrations that come with the package are such files.
"""

from __future__ import annotations

import enum
import importlib.resources
from collections.abc import Callable
from typing import Any, TypeVar

from kit.engine.progress import BATCH_DOCUMENTS
from kit.errors import ArchiveError, ContentError, ManifestError, UsageError
from kit.manifest.rollback import DETAILS, PlanStep, RollbackDetails
from kit.migrations.migration import (
    SCHEMA_VERSION,
    SUPERSEDED,
    Decision,
    Kind,
    Migration,
    Rollback,
    StopRules,
    Validation,
)
from kit.transforms import registry
from kit.transforms.protocol import ProductConflictError, Transform
from kit.values import (
    NAMED,
    CollectionFormat,
    CollectionMember,
    CollectionName,
    CollectionPattern,
    Collections,
    MemberPath,
    declared_member,
)
from kit.values.fields import ManifestFields, Members

BUILT_IN = (
    "20251031_raw_linkset",
    "20251031_notelett_encryption_compat",
    "20251031_notelett_encryption_compat_1_note_agent_actions",
    "20251031_notelett_encryption_compat_2_note_prompts",
    "20251031_notelett_encryption_compat_3_note_artifacts",
    "20251031_notelett_encryption_compat_4_palace_memories",
    "20251031_notelett_encryption_compat_5_notes",
    "20251031_notelett_encryption_bound",
    SUPERSEDED,
)
_DEFAULT = StopRules()
_Word = TypeVar("_Word", bound=enum.StrEnum)


def parse_migration(data: bytes, *, random: Callable[[int], bytes], where: str = "migration") -> Migration:
    """Return the migration of a file.

    Args:
        data: The file.
        random: Source of initialisation vectors, if the file asks for random ones.
        where: Its name, for messages.

    Raises:
        ContentError: It is not strict JSON, not of schemas/migration.schema.json, or contradicts itself.
        UsageError: It selects another product than its field map.
    """
    top = Members.parse(data, error=ContentError, where=where)
    if (version := top.take("schemaVersion", str)) != SCHEMA_VERSION:
        raise top.refusal(f"is version {version!r} of the format, not {SCHEMA_VERSION!r}", "schemaVersion")
    try:
        found = Migration.made(
            id=top.take("id", str),
            kind=_word(top, "kind", Kind),
            description=top.take("description", str),
            transforms=tuple(_transform(entry, random, where) for entry in top.objects("transforms")),
            **_selection(top),
            batch_size=top.optional("batchSize", int, BATCH_DOCUMENTS),
            stop_rules=_stop_rules(top.object("stopRules")) if "stopRules" in top else _DEFAULT,
            validation=_validation(top),
            rollback=_rollback(top.object("rollback"), where),
            checklist=_checklist(top),
            collections=_collections(top) if "collections" in top else NAMED,
        )
    except ProductConflictError as error:
        raise error.inside(where) from error.__cause__
    except UsageError as error:
        raise ContentError(error.what, where=where, hint=error.hint) from error
    top.done()
    return found


def _transform(entry: Members, random: Callable[[int], bytes], where: str) -> Transform:
    name = entry.take("name", str)
    kind = registry.find(name)
    if kind is None:
        raise entry.refusal(f"is {name!r}, not one of {', '.join(registry.names())}", "name")
    found = kind.read(entry, random, where)
    entry.done()
    return found


def built_in(name: str, *, random: Callable[[int], bytes]) -> Migration:
    """Return a migration that comes with the package.

    Raises:
        UsageError: There is none with this id.
    """
    if name not in BUILT_IN:
        raise UsageError(f"no migration {name!r} comes with kit", hint=f"there are: {', '.join(BUILT_IN)}")
    resource = importlib.resources.files("kit.migrations") / f"{name}.json"
    return parse_migration(resource.read_bytes(), random=random, where=f"{name}.json")


def _selection(top: Members) -> dict[str, Any]:
    if "selection" not in top:
        return {"tenants": None, "product_id": None, "selected": None}
    given = top.object("selection")
    tenants = _nullable(given, "tenants", list)
    product_id = _nullable(given, "productId", str)
    collections = _nullable(given, "collections", list)
    if collections is not None:
        collections = frozenset(
            CollectionPattern.parse(given.text(item, f"collections/{at}")) for at, item in enumerate(collections)
        )
        if not collections:
            raise given.refusal("is empty and would select nothing", "collections")
    if tenants is not None:
        tenants = frozenset(given.text(item, f"tenants/{at}") for at, item in enumerate(tenants))
        if not tenants:
            raise given.refusal("is empty and would select nothing", "tenants")
    if product_id is not None:
        given.text(product_id, "productId")
    given.done()
    return {"tenants": tenants, "product_id": product_id, "selected": collections}


def _collections(top: Members) -> Collections:
    found: list[CollectionMember] = []
    for entry in top.objects("collections"):
        try:
            path = MemberPath.parse(entry.take("path", str))
        except ArchiveError as error:
            raise entry.refusal(error.what, "path") from error
        format_ = _word(entry, "format", CollectionFormat)
        database, collection = (entry.text(entry.take(part, str), part) for part in ("db", "collection"))
        name = CollectionName(database=database, collection=collection)
        found.append(declared_member(path, format_, name))
        entry.done()
    return Collections.of(found)


def _stop_rules(given: Members) -> StopRules:
    on_divergence = given.optional("onDivergence", str, "warn")
    if on_divergence not in {"warn", "stop"}:
        raise given.refusal(f"is {on_divergence!r}, neither warn nor stop", "onDivergence")
    divergent, unresolvable = (_nullable(given, name, int) for name in ("mostDivergent", "mostUnresolvable"))
    fraction, least = _DEFAULT.partition_key_fraction, _DEFAULT.partition_key_least
    if "withoutPartitionKey" in given:
        keys = given.object("withoutPartitionKey")
        fraction, least = (
            keys.take_any("fraction") if "fraction" in keys else fraction,
            keys.optional("atLeast", int, least),
        )
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise keys.refusal("is not a number from 0 to 1", "fraction")
        keys.done()
    for name, count in (("mostDivergent", divergent), ("mostUnresolvable", unresolvable), ("atLeast", least)):
        if count is not None and count < 0:
            raise given.refusal(f"{name} is negative")
    given.done()
    return StopRules(
        stop_on_divergence=on_divergence == "stop",
        most_divergent=divergent,
        most_unresolvable=unresolvable,
        partition_key_fraction=fraction,
        partition_key_least=least,
    )


def _validation(top: Members) -> frozenset[Validation]:
    words = top.strings("validation", optional=True)
    for at, word in enumerate(words):
        _known(top, word, f"validation/{at}", Validation)
    return frozenset(Validation(word) for word in words)


def _checklist(top: Members) -> tuple[PlanStep, ...]:
    words = enumerate(top.strings("checklist", optional=True))
    steps = tuple(_known(top, word, f"checklist/{at}", PlanStep) for at, word in words)
    if len(set(steps)) < len(steps):
        raise top.refusal("names a step twice", "checklist")
    return steps


def _rollback(given: Members, where: str) -> Rollback:
    decision, note = _word(given, "decision", Decision), given.optional("note", str, "")
    details = {name: given.take_any(name) for name in DETAILS if name in given}
    given.done()
    try:
        return Rollback(
            decision=decision, note=note, details=RollbackDetails.parse(ManifestFields.of(details, "rollback"))
        )
    except ManifestError as error:
        raise ContentError(error.what, where=where) from error


def _nullable(given: Members, name: str, kind: type[Any]) -> Any:
    value = given.take_any(name) if name in given else None
    return value if value is None else given.typed(value, kind, name)


def _word(given: Members, name: str, words: type[_Word]) -> _Word:
    return _known(given, given.take(name, str), name, words)


def _known(given: Members, text: str, name: str, words: type[_Word]) -> _Word:
    if text not in {word.value for word in words}:
        raise given.refusal(f"is {text!r}, not one of {', '.join(word.value for word in words)}", name)
    return words(text)
