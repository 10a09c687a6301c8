"""What a server will demand of a collection: its name, and what ``<collection>.metadata.json`` states.

``mongorestore`` creates a collection with the options and indexes of that file before it inserts documents
(https://www.mongodb.com/docs/database-tools/mongorestore/). A validator refuses documents if its action is ``error``;
an insert is checked by the levels ``strict`` and ``moderate`` alike
(https://www.mongodb.com/docs/manual/core/schema-validation/). The file is the vendor's: whatever it holds, the outcome
is a rule, a note on what is not checked, or a fault of the collection.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bson.json_util import JSONOptions, object_hook

from kit.errors import ContentError, KitError
from kit.importing.indexes import UniqueIndex
from kit.importing.schema import evaluable
from kit.values import Codec, CollectionMember, CollectionName, Limits, MemberPath
from kit.values.strict_json import parse as parse_json

__all__ = ["Demands", "Rule", "metadata_of", "name_faults", "parse_metadata"]


class Rule(enum.StrEnum):
    """What a server refuses a document by, in the order in which a document is checked."""

    SIZE = "size"
    NESTING = "nesting"
    NAME = "name"
    VALIDATOR = "validator"
    INDEX = "index"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What is demanded of the documents of a collection, besides what every server demands."""

    collection: str = ""
    """The name of the collection, where the file has it; it is cut in the names of files that would be too long."""
    schemas: tuple[Mapping[str, Any], ...] = ()
    """Each is a ``$jsonSchema`` that a document must satisfy."""
    indexes: tuple[UniqueIndex, ...] = ()
    unchecked: tuple[str, ...] = ()
    """What else is demanded and not evaluated."""


_OPTIONS: Final = JSONOptions(tz_aware=False)
_ACTIONS: Final = frozenset({"error", "errorAndLog"})
_LEVELS: Final = frozenset({"strict", "moderate"})
MAX_DATABASE_BYTES = 63
"""https://www.mongodb.com/docs/manual/reference/limits/: fewer than 64 bytes."""
MAX_NAMESPACE_BYTES = 255
"""The same page: database, dot and collection."""
MAX_INDEXES = 64
"""The same page: of one collection."""
_FORBIDDEN_IN_DATABASE = re.compile(r'[/\\. "$\0]')
_SYSTEM: Final = ("system.js", "system.views")


def metadata_of(collection: CollectionMember) -> Iterator[tuple[MemberPath, Codec]]:
    """Yield where the metadata of a collection may be, each with its codec."""
    stem = collection.path.text.removesuffix(f".bson{collection.codec.value}")
    for codec in Codec:
        yield MemberPath(f"{stem}.metadata.json{codec.value}"), codec


def name_faults(name: CollectionName) -> Iterator[str]:
    """Yield what no server takes in the name of a database or a collection."""
    database, collection = name.database, name.collection
    if not database or _FORBIDDEN_IN_DATABASE.search(database):
        yield f"no database may be called {database!r}: it is empty, or has one of / \\ . $, a quote, a blank or a NUL"
    if len(database.encode()) > MAX_DATABASE_BYTES:
        yield f"the name of a database has at most {MAX_DATABASE_BYTES} bytes, and {database!r} has more"
    if not collection or "$" in collection or "\0" in collection:
        yield f"no collection may be called {collection!r}: it is empty, or has a $ or a NUL"
    if collection.startswith(".") or collection.endswith("."):
        yield f"no collection may be called {collection!r}: it begins or ends with a dot"
    if ".system." in collection or (collection.startswith("system.") and not collection.startswith(_SYSTEM)):
        yield f"no collection may be called {collection!r}: names with system. are the server's own"
    if len(str(name).encode()) > MAX_NAMESPACE_BYTES:
        yield f"database and collection have at most {MAX_NAMESPACE_BYTES} bytes together, and {name} has more"


def parse_metadata(data: bytes, *, limits: Limits, where: str) -> Demands:
    """Return what a metadata file demands.

    Raises:
        ContentError: It is not strict JSON, or its parts are not of the form that ``mongodump`` writes.
        LimitError: It is over a limit.
    """
    found = _relaxed(parse_json(data, limits=limits, where=where))
    if not isinstance(found, dict):
        raise _malformed(where)
    options, indexes = found.get("options", {}), found.get("indexes", [])
    if not isinstance(options, dict) or not isinstance(indexes, list):
        raise _malformed(where)
    name = found.get("collectionName", "")
    if not isinstance(name, str):
        raise _malformed(where)
    schemas, unchecked = _validator(options)
    unique: list[UniqueIndex] = []
    for one in indexes:
        if not isinstance(one, dict):
            raise _malformed(where)
        index = UniqueIndex.parse(one)
        if isinstance(index, str):
            unchecked.append(index)
        elif index is not None:
            unique.append(index)
    unchecked += (f"index {one.name!r}, beyond {MAX_INDEXES} of a collection" for one in unique[MAX_INDEXES:])
    del unique[MAX_INDEXES:]
    if "timeseries" in options:
        unchecked.append("the rules of a time series")
    return Demands(collection=name, schemas=tuple(schemas), indexes=tuple(unique), unchecked=tuple(unchecked))


def _malformed(where: str) -> KitError:
    return ContentError("is not the metadata of a collection: {options: {…}, indexes: [{…}, …]}", where=where)


def _validator(options: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the schemas of a validator that refuses documents, and what of it is not evaluated."""
    validator = options.get("validator")
    level, action = str(options.get("validationLevel", "strict")), str(options.get("validationAction", "error"))
    if not validator or level == "off" or action == "warn":
        return [], []
    if level not in _LEVELS or action not in _ACTIONS:
        return [], [f"validator, with validationLevel {level!r} and validationAction {action!r}"]
    schemas: list[Mapping[str, Any]] = []
    unchecked: list[str] = []
    _take(validator, schemas, unchecked)
    return schemas, unchecked


def _take(query: object, schemas: list[Mapping[str, Any]], unchecked: list[str]) -> None:
    """Take the schemas of a query, all of whose parts a document must satisfy."""
    if not isinstance(query, dict):
        unchecked.append("validator, which is no object")
        return
    for name, part in query.items():
        if name == "$jsonSchema":
            schema, left = evaluable(part)
            schemas.append(schema)
            unchecked += (f"validator {one}" for one in left)
        elif name == "$and" and isinstance(part, list):
            for one in part:
                _take(one, schemas, unchecked)
        else:
            unchecked.append(f"validator {name}")


def _relaxed(value: Any) -> Any:
    """Return a value of Extended JSON with its numbers and other types in place of the objects that spell them.

    An object that spells no type stays as it is: ``$jsonSchema`` and operators of queries begin with a dollar, too.
    """
    if isinstance(value, list):
        return [_relaxed(one) for one in value]
    if not isinstance(value, dict):
        return value
    inside = {name: _relaxed(one) for name, one in value.items()}
    try:
        return object_hook(inside, _OPTIONS)
    except Exception:  # noqa: BLE001  the library raises whatever its conversions raise
        return inside
