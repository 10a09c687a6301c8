"""Strict JSON: one text, one meaning, or an error that says where (RFC 8259, RFC 7493).

Stock parsers differ on exactly the texts an attacker would choose: the last of two equal keys wins here and the first
there, ``NaN`` is a number for some, half a surrogate pair a character. What is signed must mean the same to every
reader, so all of these are refused. Laws: ``parse(canonical(v)) == v``; ``parse`` raises nothing but ``KitError``, on
any bytes.

A text of a few kilobytes, compressed, can ask for gigabytes once it is read: what its values will take is counted
before any of them is made, and held to the limits of the kit it comes from.

Stops at the text: what the values mean is for the caller.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from json.encoder import encode_basestring
from typing import Any

from kit.errors import ContentError, LimitError
from kit.values.limits import Held, Limits, Price

# The printer and the parser of the standard library recurse; past this depth they may exhaust the interpreter's stack
# whatever limit the user has set.
_DEEPEST = 256
# No 64-bit integer is longer; a longer one is padding or an attack on int().
_LONGEST_NUMBER = 40
# No double has more digits, written out: 2^-1074 has 1,074 behind the point.
_LONGEST_FRACTION = 1100
# 64-bit signed, not 53-bit: .NET and Go producers write sizes and counters as 64-bit integers and Python keeps them
# exact, while refusing above 2^53 would refuse sound kits. Beyond 64 bits those producers' own readers disagree.
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**63 - 1

_EXACT = 2**53 - 1  # up to here every whole double is one integer
_LONGEST_STEP = 200
_INDENT, _NEWLINE = "  ", "\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A string (closed or cut off: an open one swallows the rest, which keeps the scan linear) or a bracket. Possessive
# quantifiers, since backtracking over a long run of escapes would be quadratic.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_STRING_OR_VALUE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,]', re.DOTALL)
_WIDE = ((re.compile(rb"[\xf0-\xff]"), 4), (re.compile(rb"[\xc4-\xef]"), 2))
"""Bytes of UTF-8 that begin a character for which a string takes so many bytes for each of its characters (PEP 393)."""
_EXACTLY_FROM = 50_000
"""Values; below, those that are only commas in strings are counted, too."""
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Refused:
    """Stands in the parsed value for a part that is refused, since the parser's hooks do not know their place."""

    made = 0
    """How many there were in this process: whether a parse made one."""

    def __init__(self, why: str) -> None:
        self.why = why
        _Refused.made += 1


def parse(data: bytes, *, limits: Limits, where: str) -> Any:
    """Read one JSON text.

    Args:
        data: The whole text, UTF-8 without a byte order mark (RFC 8259 8.1).
        limits: ``json_bytes``, ``json_depth`` and ``json_values`` are kept; of a kit also what it may cost and hold.
        where: The file or member, for messages.

    Returns:
        What ``json`` makes of it; a whole number is an integer however it is spelled, up to 2^53 - 1 (:class:`Whole`).

    Raises:
        ContentError: Not UTF-8, not JSON, an object with a key twice (RFC 7493 2.3), NaN or Infinity, a lone
            surrogate (RFC 7493 2.1), an integer beyond 64 bits, or a fraction that a double cannot keep. The message
            has line and column where the grammar is broken, else the RFC 6901 pointer of the value refused.
        LimitError: Larger, of more values, or nested deeper than ``limits`` allow, or more than the kit may cost or
            hold.
    """
    limits.check("json_bytes", len(data), where=where)
    width = next((size for wide, size in _WIDE if not data.isascii() and wide.search(data)), 1)
    limits.spend(Price.JSON_BYTE * len(data), where=where)
    with limits.letting_go():
        limits.hold(2 * width * len(data), where=where)  # the text, and its strings as they are read
        text = _decoded(data, where)
        values, containers = _check_count(text, limits, where)
    _check_depth(text, limits, where)
    limits.spend(Price.JSON_VALUE * values, where=where)
    limits.hold(Held.JSON_VALUE * values + Held.JSON_CONTAINER * containers + width * len(data), where=where)
    refused, surrogates = _Refused.made, bool(_SURROGATE_ESCAPE.search(text))
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_fraction,
            parse_constant=lambda name: _Refused(f"{name} is not a JSON number"),
        )
    except json.JSONDecodeError as error:
        raise ContentError(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}", where=where) from error
    if surrogates or _Refused.made != refused:  # else there is nothing to find
        for way, why in _refusals(value, surrogates=surrogates):
            raise ContentError(f"at {_pointer(way) or 'the top'}: {why}", where=where)
    return value


def canonical(value: Any) -> bytes:
    """Print as schemas/offline-manifest.md "Bytes": sorted keys, two-space indent, UTF-8, one final newline.

    Keys are sorted by code point, which is also the order of their UTF-8 bytes. An iterator is printed as the list of
    what it gives, without ever holding that.

    Raises:
        ContentError: The value holds NaN, an infinity, or a string with a lone surrogate (as an undecodable command
            line argument has).
    """
    try:
        return f"{_printed(value, _NEWLINE)}\n".encode()
    except ValueError as error:  # UnicodeEncodeError is one
        raise ContentError(f"cannot be printed as JSON: {error}") from error


def _printed(value: Any, newline: str) -> str:
    """Print as the standard library does with an indent, which it does in Python for each comma: a third of its time.

    Args:
        value: What is printed.
        newline: What a line begins with in the container around it, the line feed before it included.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    inner = newline + _INDENT
    if isinstance(value, dict) and value and all(type(key) is str for key in value):
        members = [f"{encode_basestring(key)}: {_printed(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(members)}{newline}}}"
    if isinstance(value, list | tuple | Iterator):
        items = f",{inner}".join([_printed(item, inner) for item in value])
        return f"[{inner}{items}{newline}]" if items else "[]"
    if type(value) is int:
        return str(value)
    if isinstance(value, Whole):
        return repr(value.spelled)
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text.replace("\n", newline) if isinstance(value, dict) else text


def is_one_spelling(data: bytes, value: Any) -> bool:
    """Whether ``data``, which parses to ``value``, is spelled as printers do: :func:`canonical`, or on one line.

    On one line there is no blank, or one behind each comma and colon. For documents that no signature covers, since
    they hold it: any blank more would be a second document with the same signatures. An object of two members has so
    many places for blanks that no single byte leads from one of these spellings to another.
    """
    lines = (json.dumps(value, separators=separators, allow_nan=False) for separators in ((",", ":"), (", ", ": ")))
    return data in {canonical(value), *(line.encode("ascii") for line in lines)}


def _decoded(data: bytes, where: str) -> str:
    if data.startswith(_BYTE_ORDER_MARK):
        raise ContentError("starts with a byte order mark, which JSON text must not have", where=where)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentError(f"not UTF-8 at byte {error.start:,}: {error.reason}", where=where) from error


def _check_depth(text: str, limits: Limits, where: str) -> None:
    # Up to its first lexical error this scan splits the text as the parser does, and the parser stops there.
    depth = deepest = 0
    # A value has at most two brackets, or a key and a string: more tokens than this is no JSON, or over the limit.
    most = 4 * limits.json_values
    for number, token in enumerate(_STRING_OR_BRACKET.finditer(text)):
        if number > most:
            limits.check("json_values", number // 4 + 1, where=where)
        first = token[0][0]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > _DEEPEST:
                raise LimitError(f"nested over {_DEEPEST} deep, more than any json_depth allows", where=where)
        elif first in "]}":
            depth -= 1
    limits.check("json_depth", deepest, where=where)


def _check_count(text: str, limits: Limits, where: str) -> tuple[int, int]:
    """Give numbers that values and containers are not above."""
    # Every value but the first of a container follows a comma, and the first one its bracket. Those inside of strings
    # are counted at first, and left out where that may decide.
    containers = text.count("[") + text.count("{")
    most = text.count(",") + containers + 1
    if most <= min(_EXACTLY_FROM, limits.json_values):
        return most, containers
    tokens = (token[0] for token in _STRING_OR_VALUE.finditer(text) if token[0][0] != '"')
    met = Counter(islice(tokens, limits.json_values))
    if met.total() >= limits.json_values:
        limits.check("json_values", most, where=where)
    return met.total() + 1, met["["] + met["{"]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return _Refused(f"the key {twice[:_LONGEST_STEP]!r} is there twice")


class Whole(int):
    """A whole number that is spelled as a fraction: an integer, as JSON Schema has it, and printed as the fraction.

    ``3.0`` is ``3`` to a schema (2020-12, 4.2.3) and to most readers; fields that nobody knows are kept as they are.
    """

    spelled: float


def _integer(text: str) -> int | _Refused:
    if len(text) <= _LONGEST_NUMBER and _SMALLEST_INTEGER <= int(text) <= _LARGEST_INTEGER:
        return int(text)
    return _Refused(f"the integer {text[:_LONGEST_NUMBER]} is beyond 64 bits")


def _fraction(text: str) -> float | Whole | _Refused:
    # Unknown fields are kept, so a number that a double cannot hold must not come out as another one.
    if len(text) <= _LONGEST_FRACTION:
        number = float(text)
        if math.isfinite(number) and _same_number(text, number):
            if not number.is_integer() or abs(number) > _EXACT:
                return number
            whole = Whole(number)
            whole.spelled = number
            return whole
    return _Refused(f"the number {text[:_LONGEST_NUMBER]} cannot be kept exactly")


def _same_number(text: str, number: float) -> bool:
    digits = text.lower().partition("e")[0]
    if number == 0:  # an underflow such as 1e-999 has other digits than zero, and an exponent Decimal may refuse
        return not digits.strip("-0.")
    return Decimal(text) == Decimal(repr(number))


_Way = tuple["_Way | None", str | int] | None
"""How a value is reached: the way to its container, and its key or index in there; None at the top."""


def _refusals(value: Any, *, surrogates: bool) -> Iterator[tuple[_Way, str]]:
    """Walk everything once, without recursion, in the order of the text."""
    # A pointer is spelled where it is needed: a key may be as long as the text, and its container as wide.
    stack: list[tuple[_Way, Any]] = [(None, value)]
    while stack:
        way, part = stack.pop()
        if isinstance(part, _Refused):
            yield way, part.why
        elif isinstance(part, dict):
            if surrogates and any(_SURROGATE.search(key) for key in part):
                yield way, "a key has a lone surrogate"
            stack.extend(((way, key), inner) for key, inner in reversed(part.items()))
        elif isinstance(part, list):
            stack.extend(((way, index), part[index]) for index in range(len(part) - 1, -1, -1))
        elif surrogates and isinstance(part, str) and _SURROGATE.search(part):
            yield way, "the string has a lone surrogate"


def _pointer(way: _Way) -> str:
    """Spell an RFC 6901 pointer."""
    steps: list[str] = []
    while way is not None:
        way, step = way
        steps.append(f"/{_step(str(step))}")
    return "".join(reversed(steps))


def _step(key: str) -> str:
    """One reference token of an RFC 6901 pointer, printable whatever the key holds; of a long key, its beginning."""
    shown = key if len(key) <= _LONGEST_STEP else f"{key[:_LONGEST_STEP]}…"
    escaped = shown.replace("~", "~0").replace("/", "~1")
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")
