"""The keywords of ``$jsonSchema`` for decoded documents, where BSON decides otherwise than JSON.

Each is a function as :mod:`jsonschema` calls it, and yields an error without a text: a text would have values in it.
Keywords that only count, or apply schemas to parts, are those of draft 4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from jsonschema import Draft4Validator, TypeChecker, ValidationError, validators

from kit.importing.schema import kind_of, rounded
from kit.importing.values import Value, canonical, leaf_number, text

Found = Iterator[ValidationError]


def _type(validator: Any, kinds: frozenset[int], value: Value, schema: Any) -> Found:  # noqa: ARG001
    if kind_of(value) not in kinds:
        yield ValidationError("type")


def _enum(validator: Any, values: frozenset[bytes], value: Value, schema: Any) -> Found:  # noqa: ARG001
    if canonical(value) not in values:
        yield ValidationError("enum")


def _minimum(validator: Any, least: Fraction, value: Value, schema: Mapping[str, Any]) -> Found:  # noqa: ARG001
    number = leaf_number(value)
    # NaN is in no order, and a server refuses it.
    if number is not None and not (number > least if schema.get("exclusiveMinimum") else number >= least):
        yield ValidationError("minimum")


def _maximum(validator: Any, most: Fraction, value: Value, schema: Mapping[str, Any]) -> Found:  # noqa: ARG001
    number = leaf_number(value)
    if number is not None and not (number < most if schema.get("exclusiveMaximum") else number <= most):
        yield ValidationError("maximum")


def _multiple(validator: Any, step: Fraction, value: Value, schema: Any) -> Found:  # noqa: ARG001
    number = leaf_number(value)
    if number is not None and (not math.isfinite(number) or rounded(value) % step):
        yield ValidationError("multipleOf")


def _least_length(validator: Any, least: int, value: Value, schema: Any) -> Found:  # noqa: ARG001
    found = text(value)
    if found is not None and len(found) < least:
        yield ValidationError("minLength")


def _most_length(validator: Any, most: int, value: Value, schema: Any) -> Found:  # noqa: ARG001
    found = text(value)
    if found is not None and len(found) > most:
        yield ValidationError("maxLength")


def _pattern(validator: Any, pattern: str, value: Value, schema: Any) -> Found:  # noqa: ARG001
    found = text(value)
    if found is not None and re.search(pattern, found) is None:
        yield ValidationError("pattern")


def _unique(validator: Any, wanted: bool, value: Value, schema: Any) -> Found:  # noqa: ARG001, FBT001
    if wanted and isinstance(value, list) and len(set(map(canonical, value))) < len(value):
        yield ValidationError("uniqueItems")


def _is_object(checker: object, value: Value) -> bool:  # noqa: ARG001
    return isinstance(value, dict)


def _is_array(checker: object, value: Value) -> bool:  # noqa: ARG001
    return isinstance(value, list)


_TAKEN: Sequence[str] = (
    *("allOf", "anyOf", "oneOf", "not", "items", "additionalItems", "properties", "patternProperties"),
    *("additionalProperties", "required", "dependencies", "minItems", "maxItems", "minProperties", "maxProperties"),
)
BsonValidator = validators.create(
    meta_schema={},
    validators={
        **{name: Draft4Validator.VALIDATORS[name] for name in _TAKEN},
        "bsonType": _type,
        "type": _type,
        "enum": _enum,
        "uniqueItems": _unique,
        "pattern": _pattern,
        "minimum": _minimum,
        "maximum": _maximum,
        "multipleOf": _multiple,
        "minLength": _least_length,
        "maxLength": _most_length,
    },
    type_checker=TypeChecker().redefine_many({"object": _is_object, "array": _is_array}),
)
"""A class of validators for documents that :func:`kit.importing.values.decode` returns."""
