"""Shape v1 of ``rawLinkset``: what the check takes is what is written, what the schema has, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.errors import BSONError
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from kit.documents import index
from kit.transforms import projections
from kit.transforms.projections import ELEMENTS, is_shape_v1, reason_of, state_of
from kit.transforms.raw_linkset import shape
from kit.transforms.raw_linkset.projection import Projection, Reference, Relationship, encode_element
from tests.kits import SOUND

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "schemas" / "raw-linkset.schema.json").read_text())
)
MEMBERS = {"references": ["type", "url", "source"], "relationships": ["type", "source", "target"]}
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
STRINGS = st.lists(TEXT, max_size=4).map(tuple)
PROJECTIONS = st.builds(
    Projection,
    *(STRINGS, STRINGS, STRINGS),
    st.lists(st.builds(Reference, TEXT, st.none() | TEXT, st.none() | TEXT), max_size=3).map(tuple),
    st.none() | STRINGS,
    st.none() | st.lists(st.builds(Relationship, TEXT, st.none() | TEXT, TEXT), max_size=3).map(tuple),
    STRINGS,
    st.dictionaries(TEXT.filter(lambda text: "\0" not in text), TEXT, max_size=2),
)
FULL = {
    "aliases": ["a", "a"],
    "purls": [str(number) for number in range(12)],
    "cpes": [""],
    "references": [{"type": "WEB", "url": "u", "source": "é"}, {"url": "u"}],
    "scopes": ["s"],
    "relationships": [{"type": "t", "source": "s", "target": "x"}, {"target": "x"}],
    "reconciled_from": ["/id"],
    "notes": {"a": "b", "": "c"},
}


def fits(document: bytes) -> bool:
    return is_shape_v1(document, 0, len(document))


def is_in_order(value: Any) -> bool:
    """Whether elements and members are in the order of the format, which JSON Schema cannot have."""
    if list(value) != [name for name in ELEMENTS if name in value]:
        return False
    return all(
        list(item) == [name for name in names if name in item]
        for element, names in MEMBERS.items()
        for item in value.get(element, ())
    )


def is_plain(value: Any) -> bool:
    """Whether there is no text of another type in it, which pymongo reads as a kind of ``str``."""
    if isinstance(value, dict | list):
        return all(map(is_plain, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, str) or type(value) is str


def is_by_oracle(document: bytes) -> bool:
    """Whether pymongo reads it, writes the very same bytes, and the schema has what it read."""
    try:
        value = bson.decode(document)
        return bson.encode(value) == document and is_plain(value) and SCHEMA.is_valid(value) and is_in_order(value)
    except (BSONError, UnicodeDecodeError, ValueError, TypeError, AttributeError, OverflowError):
        return False


@given(projection=PROJECTIONS)
def test_whatever_is_written_is_of_the_shape(projection: Projection) -> None:
    element = encode_element(projection)
    document = bson.encode({"linkset": {}})[4:-1] + element
    whole = (len(document) + 5).to_bytes(4, "little") + document + b"\0"
    assert state_of(whole, index(whole)) == projections.BOTH
    assert reason_of(whole, index(whole)) == ""


VALUES: list[Any] = [
    None,
    1,
    "x",
    [],
    {},
    ["x"],
    [1],
    [["x"]],
    {"a": 1},
    {"a": "b"},
    [{"url": "u"}],
    [{"type": "t"}],
    [{}],
]
CHANGES: list[Callable[[dict[str, Any]], Any]] = [
    *(lambda found, name=name: found.pop(name) for name in ELEMENTS),
    *(lambda found, name=name, value=value: found.update({name: value}) for name in ELEMENTS for value in VALUES),
    *(lambda found, name=name: found.update({name: found.pop(name)}) for name in ELEMENTS[:-1]),
    lambda found: found.update(more=[]),
    lambda found: found["references"].append({"source": "s", "url": "u"}),
    lambda found: found["references"].append({"url": "u", "more": "x"}),
    lambda found: found["references"].append({"url": None}),
    lambda found: found["relationships"].append({"target": "x", "type": "t"}),
    lambda found: found["purls"].append(bson.Code("x")),
    lambda found: found["purls"].append(b"x"),
    lambda found: found["purls"].extend(map(str, range(300))),
]


@pytest.mark.parametrize("start", [SOUND, FULL], ids=["empty", "full"])
def test_the_check_and_the_schema_agree_about_every_change(start: dict[str, Any]) -> None:
    judged = set()
    for number, change in enumerate(CHANGES):
        found = json.loads(json.dumps(start))
        try:
            change(found)
        except KeyError:
            continue
        encoded = bson.encode(found)
        assert fits(encoded) == is_by_oracle(encoded), (number, found)
        judged.add(fits(encoded))
    assert judged == {True, False}


@settings(deadline=None)
@given(data=st.data())
def test_of_any_bytes_the_check_takes_what_the_oracle_takes(data: st.DataObject) -> None:
    encoded = bytearray(bson.encode(FULL))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(encoded)
    assert fits(whole) == is_by_oracle(whole)


def test_every_single_byte_that_is_another_is_judged_as_the_oracle_does() -> None:
    encoded = bson.encode(FULL)
    assert fits(encoded)
    assert is_by_oracle(encoded)
    for at, byte in enumerate(encoded):
        for other in {0, 1, 2, 3, 4, 0x30, 0x7F, 0xFF, byte ^ 1} - {byte}:
            changed = encoded[:at] + bytes([other]) + encoded[at + 1 :]
            assert fits(changed) == is_by_oracle(changed), (at, other)


def test_no_beginning_of_it_is_of_the_shape() -> None:
    encoded = bson.encode(FULL)
    for end in range(len(encoded)):
        assert not is_shape_v1(encoded[:end], 0, end)
        assert not is_shape_v1(encoded, 0, end)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\x04cpes\0", b"\x04cpex\0", "it has an element 'cpex'"),
        (b"\x04cpes\0", b"\x03cpes\0", "'cpes' is a document"),
        (b"\x04cpes\0", b"\x04purl\0", "it has an element 'purl'"),
        (b"\x02\x30\0\x02\0\0\0a", b"\x0e\x30\0\x02\0\0\0a", "'aliases' holds what it may not"),
        (b"\x02\x30\0\x02\0\0\0a", b"\x02\x31\0\x02\0\0\0a", "'aliases' holds what it may not"),
        (b"\x02\x30\0\x02\0\0\0a", b"\x02\x30\0\x02\0\0\0\xff", "'aliases' holds what it may not"),
        (b"\x02type\0", b"\x02typo\0", "'references' holds what it may not"),
        (b"\x03notes\0", b"\x04notes\0", "'notes' is an array"),
    ],
    ids=[
        "a name",
        "a type",
        "a name that is shorter",
        "a symbol",
        "a key",
        "not UTF-8",
        "a member",
        "an array of notes",
    ],
)
def test_the_reason_names_what_differs(old: bytes, new: bytes, reason: str) -> None:
    document = bson.encode({"linkset": {}, "rawLinkset": FULL}).replace(old, new)
    assert reason_of(document, index(document)) == f"rawLinkset is not of shape v1: {reason}"


def test_the_reason_is_bounded_whatever_names_there_are() -> None:
    document = bson.encode({"linkset": {}, "rawLinkset": {"\x1b[2J" * 10_000: 1}})
    reason = reason_of(document, index(document))
    assert len(reason) < 400
    assert reason.isprintable()


def test_the_canonical_linkset_is_looked_for_where_the_table_has_it() -> None:
    assert shape.OBSERVATION.linkset.paths == ((projections.LINKSET,),)
