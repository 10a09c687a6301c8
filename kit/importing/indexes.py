"""The keys of unique indexes, as a server makes them of a document.

A path is followed through documents and arrays; an array gives a key for each of its items (a multikey index), fields
of one compound index may reach one array only, and a field that is missing is null
(https://www.mongodb.com/docs/manual/core/index-unique/, …/core/indexes/index-types/index-multikey/). Law: two documents
share a key here exactly if a server takes only one of them. An index for which a server decides by more than that (a
collation, a path with the place of an item, a filter with other operators than ``$eq``, ``$exists`` and ``$type``) is
not checked, and is listed as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Self

from kit.documents import Kind
from kit.errors import ContentError
from kit.importing.schema import BSON_TYPES, kind_of
from kit.importing.values import MISSING, UNDEFINED, Value, canonical, parse_value

KEY_BYTES: Final = 16
_PLAIN_IDS: Final = frozenset({Kind.STRING, Kind.BINARY, Kind.OBJECT_ID, Kind.BOOLEAN, Kind.DATETIME, Kind.TIMESTAMP})
"""Types whose values are equal exactly if their bytes are, and equal to none of another type."""
_ORDERS: Final = frozenset({1, -1})
_OPTIONS: Final = frozenset(
    {"v", "key", "name", "ns", "unique", "sparse", "partialFilterExpression", "background", "hidden", "prepareUnique"}
)
"""What the description of an index that is checked may have."""


class ParallelArraysError(ContentError):
    """Two fields of a compound index are arrays, which no server takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of ``partialFilterExpression``."""

    path: tuple[str, ...]
    equal: bytes | None = None
    """The canonical value that it asks for; None where any value of :attr:`kinds` will do."""
    kinds: frozenset[int] | None = None
    """The types that it asks for; None for any, of a field that is there."""

    def holds(self, document: Mapping[str, Value]) -> bool:
        """Return whether a document satisfies it."""
        found = list(_values(document, self.path))
        if self.equal is not None:
            return self.equal in map(canonical, found or [MISSING])
        return any(self.kinds is None or kind_of(one) in self.kinds for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueIndex:
    """A unique index of a collection."""

    name: str
    paths: tuple[tuple[str, ...], ...]
    sparse: bool = False
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, described: Mapping[str, Any]) -> Self | str | None:
        """Return the index that an entry of ``indexes`` describes; None where it is not unique or that of ``_id``.

        Where it is unique and cannot be checked, the reason is returned.
        """
        key, name = described.get("key"), str(described.get("name", ""))
        wanted = described.get("unique", False)
        if wanted is False or (isinstance(key, dict) and list(key) == ["_id"]):
            return None
        others = sorted(described.keys() - _OPTIONS) or ([] if wanted is True else ["unique, which is no boolean"])
        if others:
            return f"index {name!r}: {', '.join(others)}"
        if not isinstance(key, dict) or not key or not all(_is_order(one) for one in key.values()):
            return f"index {name!r}: its key"
        paths = tuple(tuple(path.split(".")) for path in key)
        if any(step == "" or step.isdigit() or step.startswith("$") for path in paths for step in path):
            return f"index {name!r}: a path with the place of an item, or without a name"
        conditions = _conditions(described.get("partialFilterExpression", {}))
        if conditions is None:
            return f"index {name!r}: its partialFilterExpression"
        return cls(name=name, paths=paths, sparse=described.get("sparse") is True, conditions=conditions)

    def keys(self, document: Mapping[str, Value], scope: bytes) -> set[bytes]:
        """Return the keys of a document, each once, as digests; none where the index leaves it out.

        Args:
            document: The document.
            scope: What distinguishes this index from all others.

        Raises:
            ParallelArraysError: Two of its fields are different arrays.
        """
        if not all(condition.holds(document) for condition in self.conditions):
            return set()
        found = _expand([(document, path) for path in self.paths])
        return {
            digest(scope, b"".join(map(canonical, key)))
            for key in found
            if not (self.sparse and all(one is MISSING for one in key))
        }


def digest(scope: bytes, key: bytes) -> bytes:
    """Return the digest of a key of the index that ``scope`` identifies."""
    return blake2b(scope + key, digest_size=KEY_BYTES).digest()


def id_key(kind: int, data: bytes, scope: bytes) -> bytes | None:
    """Return the key of an ``_id`` by its bytes alone; None of a type for which these do not decide."""
    return digest(scope, bytes([kind]) + data) if kind in _PLAIN_IDS else None


_Slot = tuple[Value, tuple[str, ...]]


def _expand(slots: Sequence[_Slot]) -> Iterator[tuple[Value, ...]]:
    """Yield the keys that fields have, each given as a value and the rest of the path from there."""
    walked = [_walk(value, path) for value, path in slots]
    arrays = {id(value): value for value, _ in walked if isinstance(value, list)}
    if not arrays:
        yield tuple(value for value, _ in walked)
        return
    if len(arrays) > 1:
        raise ParallelArraysError("two fields are different arrays")
    ((_, items),) = arrays.items()
    for item in items or [UNDEFINED]:
        yield from _expand_item([_enter(item, path) if value is items else (value, ()) for value, path in walked])


def _expand_item(slots: Sequence[_Slot]) -> Iterator[tuple[Value, ...]]:
    if any(path for _, path in slots):
        open_slots = [slot for slot in slots if slot[1]]
        for key in _expand(open_slots):
            rest = iter(key)
            yield tuple(next(rest) if path else value for value, path in slots)
    else:
        yield tuple(value for value, _ in slots)


def _walk(value: Value, path: tuple[str, ...]) -> _Slot:
    """Follow a path as far as the first array or the end."""
    while path and isinstance(value, dict):
        value, path = value.get(path[0], MISSING), path[1:]
    if path and not isinstance(value, list):
        return MISSING, ()
    return value, path


def _enter(item: Value, path: tuple[str, ...]) -> _Slot:
    """Return where a path continues within an item; an array in an array is not entered, and a value has no fields."""
    if path and not isinstance(item, dict):
        return MISSING, ()
    return item, path


def _values(value: Value, path: tuple[str, ...]) -> Iterator[Value]:
    """Yield what a query finds at a path: the value, and where it is an array, its items."""
    if not path:
        yield value
        if isinstance(value, list):
            yield from value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from _values(value[path[0]], path[1:])
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from _values(item, path)


def _is_order(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value in _ORDERS


def _conditions(filters: object) -> tuple[Condition, ...] | None:
    """Return the conditions of a filter; None where it has others than are evaluated."""
    if not isinstance(filters, dict):
        return None
    found: list[Condition] = []
    for name, wanted in filters.items():
        if name == "$and" and isinstance(wanted, list):
            for one in wanted:
                inner = _conditions(one)
                if inner is None:
                    return None
                found += inner
            continue
        path = tuple(name.split("."))
        if name.startswith("$") or any(step == "" or step.isdigit() for step in path):
            return None
        operators = wanted if _is_operators(wanted) else {"$eq": wanted}
        for operator, operand in operators.items():
            condition = _condition(path, operator, operand)
            if condition is None:
                return None
            found.append(condition)
    return tuple(found)


def _is_operators(wanted: object) -> bool:
    return isinstance(wanted, dict) and any(name.startswith("$") for name in wanted)


def _condition(path: tuple[str, ...], operator: str, operand: object) -> Condition | None:
    match operator:
        case "$eq":
            try:
                value = parse_value(operand)
            except ValueError:
                return None
            # A pattern is matched and not compared; a document may be compared by a collation of its own.
            return None if kind_of(value) == Kind.REGEX else Condition(path=path, equal=canonical(value))
        case "$exists":
            return Condition(path=path) if operand is True else None
        case "$type":
            names = [str(one) for one in (operand if isinstance(operand, list) else [operand])]
            if not BSON_TYPES.keys() >= set(names):
                return None
            return Condition(path=path, kinds=frozenset[int]().union(*(BSON_TYPES[one] for one in names)))
        case _:
            return None
