"""Structural mutants of a JSON document: what a reader of it must refuse with an error of its own, or understand."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]
STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    2**63,
    2**53,
    "",
    "x",
    "\0\x1b[2J",
    [],
    [[]],
    {},
    {"a": 1},
)


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Return the place of each value, the whole first."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*at, name))


def value_at(whole: Any, at: Place) -> Any:
    """Return what stands at a place."""
    for name in at:
        whole = whole[name]
    return whole


def replaced(whole: Any, at: Place, value: Any) -> Any:
    """Return a copy with another value at a place."""
    if not at:
        return value
    made = copy.deepcopy(whole)
    value_at(made, at[:-1])[at[-1]] = value
    return made


def retyped(whole: Any) -> Iterator[tuple[str, Any]]:
    """Replace each value by one of every other kind, and each number and text by its neighbours."""
    for at in places(whole):
        value = value_at(whole, at)
        near = _near(value)
        for other in (*STRANGE, *near):
            if type(other) is not type(value) or other != value:
                yield f"{at} is {other!r}"[:200], replaced(whole, at, other)


def _near(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [int(value), str(value).lower()]
    if isinstance(value, int):
        return [value + 1, value - 1, float(value), value + 0.5, str(value)]
    if isinstance(value, str) and value:
        return [value.upper(), f" {value}", f"{value}\n", value[:-1], f"{value}a", value.encode().hex(), value[::-1]]
    return []


def rearranged(whole: Any) -> Iterator[tuple[str, Any]]:
    """Remove each member and item, double each item, reverse each list, and add a member to each object."""
    for at in places(whole):
        value = value_at(whole, at)
        if isinstance(value, dict):
            for name in value:
                yield f"{at} lacks {name}", replaced(whole, at, {k: v for k, v in value.items() if k != name})
            yield f"{at} has more", replaced(whole, at, value | {"more": 1})
        elif isinstance(value, list):
            for number in range(len(value)):
                yield f"{at} lacks {number}", replaced(whole, at, value[:number] + value[number + 1 :])
                yield f"{at} has {number} twice", replaced(whole, at, value[: number + 1] + value[number:])
            if value[::-1] != value:
                yield f"{at} is reversed", replaced(whole, at, value[::-1])


def respelled(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Spell the text in ways that strict JSON does not have, or that two readers read in two ways."""
    yield "a byte order mark", b"\xef\xbb\xbf" + text
    yield "UTF-16", text.decode().encode("utf-16")
    yield "not UTF-8", text.replace(b'"', b'"\xff', 1)
    yield "cut", text[: len(text) // 2]
    yield "two documents", text + text
    yield "a comma at the end", text.rstrip()[:-1] + b",}"
    yield "a comment", b"/**/" + text
    yield "nothing", b""
    yield "nested without end", b"[" * 100_000
    yield "nested objects without end", b'{"a":' * 100_000
    whole = json.loads(text)
    for name, value in whole.items() if isinstance(whole, dict) else ():
        pair = json.dumps({name: value}).encode()[1:-1]
        yield f"{name} twice", b"{" + pair + b"," + text.lstrip()[1:]
        for strange in (b"NaN", b"-Infinity", b"1e400", b"1" * 400, b"1" * 5000, b'"\\ud800"', b"01", b"1.", b"'x'"):
            yield f"{name} is {strange[:12].decode()}", _with_text(whole, name, strange)


def _with_text(whole: dict[str, Any], name: str, strange: bytes) -> bytes:
    return json.dumps(whole | {name: "@@"}).encode().replace(b'"@@"', strange, 1)
