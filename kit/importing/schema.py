"""Evaluates ``$jsonSchema`` as MongoDB does, with the machinery of :mod:`jsonschema` and the types of BSON.

MongoDB's dialect is JSON Schema draft 4 with ``bsonType``, without references, ``format`` and ``default``
(https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/). Law: a document is only refused for a rule
that was evaluated in full. What cannot be evaluated is cut out of the schema and listed; where that could make the rest
stricter (under ``not`` and ``oneOf``, or next to ``additionalProperties``), the rest is cut out, too.

Patterns: a server uses PCRE, and a hostile pattern can occupy a backtracking matcher for years. So only patterns that
mean the same everywhere and are matched in linear time are evaluated: anchored, without groups and alternatives, with
one repetition at most.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from kit.documents import Kind
from kit.importing.values import NUMBERS, Leaf, Value, canonical, leaf_number, parse_value

__all__ = ["evaluable", "find_violation"]

BSON_TYPES: Final[Mapping[str, frozenset[int]]] = {
    "double": frozenset({Kind.DOUBLE}),
    "string": frozenset({Kind.STRING}),
    "object": frozenset({Kind.DOCUMENT}),
    "array": frozenset({Kind.ARRAY}),
    "binData": frozenset({Kind.BINARY}),
    "undefined": frozenset({Kind.UNDEFINED}),
    "objectId": frozenset({Kind.OBJECT_ID}),
    "bool": frozenset({Kind.BOOLEAN}),
    "date": frozenset({Kind.DATETIME}),
    "null": frozenset({Kind.NULL}),
    "regex": frozenset({Kind.REGEX}),
    "dbPointer": frozenset({Kind.DB_POINTER}),
    "javascript": frozenset({Kind.CODE}),
    "symbol": frozenset({Kind.SYMBOL}),
    "javascriptWithScope": frozenset({Kind.CODE_WITH_SCOPE}),
    "int": frozenset({Kind.INT32}),
    "timestamp": frozenset({Kind.TIMESTAMP}),
    "long": frozenset({Kind.INT64}),
    "decimal": frozenset({Kind.DECIMAL128}),
    "minKey": frozenset({Kind.MIN_KEY}),
    "maxKey": frozenset({Kind.MAX_KEY}),
    "number": NUMBERS,
}
"""The aliases of ``bsonType`` and ``$type``."""
_JSON_TYPES: Final[Mapping[str, frozenset[int]]] = {
    "object": BSON_TYPES["object"],
    "array": BSON_TYPES["array"],
    "string": BSON_TYPES["string"],
    "number": BSON_TYPES["number"],
    "boolean": BSON_TYPES["bool"],
    "null": BSON_TYPES["null"],
}
_NOTES: Final = frozenset({"title", "description"})
_SCHEMAS: Final = frozenset({"not", "items", "additionalItems", "additionalProperties"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf"})
_MAPPINGS: Final = frozenset({"properties", "patternProperties", "dependencies"})
_SIMPLE: Final = frozenset(
    {
        *("bsonType", "type", "enum", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems"),
        *("minProperties", "maxProperties"),
    }
)
_PATTERN = re.compile(
    r"\^(?:(?:[A-Za-z0-9 _:;,@/=%&#~'\"<>!-]|\\[.*+?^$(){}|/\[\]-]|\.|\[\^?[A-Za-z0-9_ .:/@-]+\])"
    r"(?:\{\d{1,3}(?:,\d{0,3})?\}|[*+?])?)*+\$?"
)
MAX_PARTS: Final = 10_000
"""Values in a schema that is evaluated: each costs time for every document."""
_MAX_PATTERN = 200
_REPEATED = re.compile(r"(?<!\\)[*+?]|\{\d+,\d*\}")


def kind_of(value: Value) -> int:
    """Return the type byte of a value."""
    if isinstance(value, Leaf):
        return value.kind
    return Kind.DOCUMENT if isinstance(value, dict) else Kind.ARRAY


def evaluable(schema: object) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the part of a ``$jsonSchema`` that is evaluated, and what is not, each with its place.

    Numbers and constants are as :func:`bson.json_util.object_hook` makes them.
    """
    left: list[str] = []
    if not isinstance(schema, dict):
        return {}, ("$jsonSchema, which is no object",)
    if _count(schema) > MAX_PARTS:
        return {}, (f"$jsonSchema, which has more than {MAX_PARTS:,} parts",)
    found = _Cut(left).schema(schema, "$jsonSchema")
    from jsonschema import Draft4Validator  # noqa: PLC0415  only a kit with a validator loads it

    if not Draft4Validator(Draft4Validator.META_SCHEMA).is_valid(_plain(found)):
        return {}, ("$jsonSchema, which is malformed",)
    return found, tuple(left)


def _count(value: object) -> int:
    """Return the number of values in a schema, itself included."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inside))


def find_violation(schema: Mapping[str, Any], document: Mapping[str, Value]) -> str | None:
    """Return the keyword that a document violates and where, without any value; None where it satisfies the schema."""
    from kit.importing.keywords import BsonValidator  # noqa: PLC0415  only a kit with a validator loads it

    error = next(BsonValidator(schema).iter_errors(document), None)
    if error is None:
        return None
    place = ".".join(map(str, error.absolute_path))[:200]
    shown = place.encode("utf-8", "backslashreplace").decode() if place else ""
    return f"{error.validator}{f' of {shown!r}' if shown else ''}"


class _Cut:
    """Cuts out of a schema what is not evaluated."""

    def __init__(self, left: list[str]) -> None:
        self._left = left

    def schema(self, schema: Mapping[str, Any], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for keyword, value in schema.items():
            place = f"{where}.{keyword}"
            if keyword in _NOTES:
                continue
            try:
                kept = self._keyword(keyword, value, place)
            except (TypeError, ValueError, AttributeError):
                kept = None
            if kept is None:
                self._left.append(place)
            else:
                found[keyword] = kept[0]
        if schema.keys() - found.keys() & {"properties", "patternProperties"} or len(
            found.get("patternProperties", {})
        ) < len(schema.get("patternProperties", {})):
            found.pop("additionalProperties", None)  # which would take what these name for additional
        for one, other in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if other not in found:
                found.pop(one, None)
        return found

    def _keyword(self, keyword: str, value: Any, place: str) -> tuple[Any] | None:
        """Return what is kept of a keyword's value, in a tuple; None where nothing is."""
        if keyword in {"not", "oneOf"}:
            return self._only_whole(keyword, value, place)
        if keyword in _SCHEMAS:
            return self._schemas(value, place)
        if keyword in _LISTS:
            return ([self.schema(one, f"{place}[{number}]") for number, one in enumerate(value)],)
        if keyword in _MAPPINGS:
            return (self._mapping(keyword, value, place),)
        return self._simple(keyword, value)

    def _only_whole(self, keyword: str, value: Any, place: str) -> tuple[Any] | None:
        before = len(self._left)
        kept = self.schema(value, place) if keyword == "not" else [self.schema(one, place) for one in value]
        if len(self._left) == before:
            return (kept,)
        del self._left[before:]
        return None

    def _schemas(self, value: Any, place: str) -> tuple[Any]:
        if isinstance(value, bool):
            return (value,)
        if isinstance(value, list):
            return ([self.schema(one, f"{place}[{number}]") for number, one in enumerate(value)],)
        return (self.schema(value, place),)

    def _mapping(self, keyword: str, value: Mapping[str, Any], place: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, one in value.items():
            if keyword == "patternProperties" and not is_simple_pattern(name):
                self._left.append(f"{place}.{name}")
            elif keyword == "dependencies" and isinstance(one, list):
                found[name] = one
            else:
                found[name] = self.schema(one, f"{place}.{name}")
        return found

    def _simple(self, keyword: str, value: Any) -> tuple[Any] | None:
        kept: tuple[Any] | None = None
        match keyword:
            case "bsonType" | "type":
                known = BSON_TYPES if keyword == "bsonType" else _JSON_TYPES
                names = value if isinstance(value, list) else [value]
                if known.keys() >= set(names):
                    kept = (frozenset[int]().union(*(known[name] for name in names)),)
            case "enum":
                kept = (frozenset(canonical(parse_value(one)) for one in value),)
            case "minimum" | "maximum":
                number = leaf_number(parse_value(value))
                kept = (number,) if isinstance(number, Fraction) else None
            case "multipleOf":
                step = rounded(parse_value(value))
                kept = (step,) if step > 0 else None
            case "pattern":
                kept = (value,) if is_simple_pattern(value) else None
            case _ if keyword in _SIMPLE:
                # An old shell writes whole numbers as doubles.
                kept = (int(value) if isinstance(value, float) and value.is_integer() else value,)
            case _:
                pass
        return kept


def is_simple_pattern(pattern: str) -> bool:
    """Return whether a pattern means the same to every matcher, and is matched in linear time."""
    if len(pattern) > _MAX_PATTERN or not _PATTERN.fullmatch(pattern) or len(_REPEATED.findall(pattern)) > 1:
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _plain(schema: Any) -> Any:
    """Return a schema with what represents values of BSON replaced, for the schema of schemas."""
    if isinstance(schema, dict):
        plain = {name: _plain(one) for name, one in schema.items() if name not in {"bsonType", "type", "enum"}}
        for name in ("minimum", "maximum", "multipleOf"):
            if isinstance(plain.get(name), Fraction | float):
                plain[name] = 1
        return plain
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def rounded(value: Value) -> Fraction:
    """Return a number as a server divides it: of a double, fifteen digits."""
    number = leaf_number(value)
    if isinstance(value, Leaf) and value.kind == Kind.DOUBLE and number is not None and math.isfinite(number):
        return Fraction(Decimal(f"{float(number):.15g}"))
    return Fraction(number or 0)
