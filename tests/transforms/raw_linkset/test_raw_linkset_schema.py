from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import jsonschema
import pytest

from kit.transforms.raw_linkset import registry, shape
from kit.transforms.raw_linkset.projection import EMPTY, Projection, Reference, Relationship, encode_element

SCHEMAS = Path(__file__).parents[3] / "schemas"
SCHEMA = json.loads((SCHEMAS / "raw-linkset.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def decoded(projection: Projection) -> dict[str, Any]:
    element = encode_element(projection)
    document: dict[str, Any] = bson.decode((len(element) + 5).to_bytes(4, "little") + element + b"\0")
    found: dict[str, Any] = document[shape.RAW_LINKSET]
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_names_what_the_table_names_in_its_order() -> None:
    assert tuple(SCHEMA["properties"]) == shape.ELEMENTS


@pytest.mark.parametrize(
    "projection",
    [
        EMPTY,
        Projection(
            aliases=("A",),
            references=(Reference("u"), Reference("u", "t", "s")),
            scopes=("s",),
            relationships=(Relationship("t", "s", "o"),),
            notes={"a": "b"},
        ),
    ],
    ids=["empty", "full"],
)
def test_what_is_written_is_valid(projection: Projection) -> None:
    VALIDATOR.validate(decoded(projection))


@pytest.mark.parametrize(
    "change",
    [{"aliases": None}, {"aliases": [5]}, {"references": [{"type": "t"}]}, {"notes": {"a": 1}}, {"other": []}],
)
def test_what_is_not_of_the_shape_is_invalid(change: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(decoded(EMPTY) | change)


def test_the_page_names_every_root_and_family_of_the_built_ins() -> None:
    page = (SCHEMAS / "raw-linkset.md").read_text()
    for extractor in registry.assemble([]).extractors:
        for name in (*filter(None, extractor.needs), *(name for name in extractor.formats if not name[-1].isdigit())):
            assert f"`{name}`" in page, name
