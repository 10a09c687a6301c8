"""Strict JSON: one text, one meaning, or an error that names the place (RFC 8259, RFC 7493).

Stock parsers differ on exactly the texts an attacker would choose: the first or the last of two equal keys wins,
``NaN`` is a number for some, half a surrogate pair a character. What is signed must mean the same to every reader, so
all of these are refused. Laws: ``parse(canonical(v)) == v``; ``parse`` raises nothing but ``KitError``, on any bytes.

A few compressed kilobytes can need gigabytes once parsed. So the memory for the values is estimated before any of them
is created, and checked against the limits of the kit.

Stops at the text: what the values mean is for the caller.

Text of small files that people pass on: undoes what editors, shells and mail change without changing the meaning.
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
from kit.values.limits import Limits, MemoryPrice, Price

# The printer and the parser of the standard library recurse; past this depth they may exhaust the interpreter's stack
# whatever limit the user has set.
_MAX_DEPTH = 256
# No 64-bit integer is longer; a longer one is padding or an attack on int().
_MAX_INTEGER_LENGTH = 40
# No double has more digits, written out: 2^-1074 has 1,074 behind the point.
_MAX_FRACTION_LENGTH = 1100
# 64-bit signed, not 53-bit: .NET and Go producers write sizes and counters as 64-bit integers and Python keeps them
# exact, while refusing above 2^53 would refuse sound kits. Beyond 64 bits those producers' own readers disagree.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1

_MAX_EXACT = 2**53 - 1  # up to here every whole double is one integer
_MAX_STEP_LENGTH = 200
_INDENT, _NEWLINE = "  ", "\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A string (closed or cut off: an open one swallows the rest, which keeps the scan linear) or a bracket. Possessive
# quantifiers, since backtracking over a long run of escapes would be quadratic.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_STRING_OR_VALUE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,]', re.DOTALL)
_WIDE = ((re.compile(rb"[\xf0-\xff]"), 4), (re.compile(rb"[\xc4-\xef]"), 2))
"""First bytes in UTF-8 of the characters that make a string take 4 or 2 bytes for each character (PEP 393)."""
_EXACTLY_FROM = 50_000
"""The number of values from which commas in strings are not counted as values."""
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Refused:
    """Replaces a refused part of the parsed value, since the parser's hooks do not know their place."""

    count = 0
    """The number created in this process, which shows whether a parse created one."""

    def __init__(self, why: str) -> None:
        self.why = why
        _Refused.count += 1


def parse(data: bytes, *, limits: Limits, where: str) -> Any:
    """Return the value of one JSON text.

    Args:
        data: The complete text, UTF-8 without a byte order mark (RFC 8259 8.1).
        limits: ``json_bytes``, ``json_depth`` and ``json_values`` apply, and the budget of a kit.
        where: The file or member, for messages.

    Returns:
        The value as ``json`` returns it; a whole number up to 2^53 - 1 is an integer in any spelling (:class:`Whole`).

    Raises:
        ContentError: Not UTF-8, not JSON, an object with a key twice (RFC 7493 2.3), NaN or Infinity, a lone
            surrogate (RFC 7493 2.1), an integer beyond 64 bits, or a fraction that a double cannot keep. The message
            has line and column where the grammar is broken, else the RFC 6901 pointer of the value refused.
        LimitError: Larger, of more values, or nested deeper than ``limits`` allow, or beyond the budget of the kit.
    """
    limits.check("json_bytes", len(data), where=where)
    width = next((size for wide, size in _WIDE if not data.isascii() and wide.search(data)), 1)
    limits.spend(Price.JSON_BYTE * len(data), where=where)
    with limits.release_at_exit():
        limits.hold(2 * width * len(data), where=where)  # the text, and its strings once parsed
        text = _decode(data, where)
        values, containers = _check_count(text, limits, where)
    _check_depth(text, limits, where)
    limits.spend(Price.JSON_VALUE * values, where=where)
    limits.hold(
        MemoryPrice.JSON_VALUE * values + MemoryPrice.JSON_CONTAINER * containers + width * len(data), where=where
    )
    refused, surrogates = _Refused.count, bool(_SURROGATE_ESCAPE.search(text))
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
    if surrogates or _Refused.count != refused:  # else there is nothing to find
        for path, why in _refusals(value, surrogates=surrogates):
            raise ContentError(f"at {_pointer(path) or 'the top'}: {why}", where=where)
    return value


def canonical(value: Any) -> bytes:
    """Return the bytes of schemas/offline-manifest.md "Bytes": sorted keys, two-space indent, UTF-8, a final newline.

    Keys are sorted by code point, which is also the order of their UTF-8 bytes. An iterator is printed as a list,
    without holding its items.

    Raises:
        ContentError: The value holds NaN, an infinity, or a string with a lone surrogate (as an undecodable command
            line argument has).
    """
    try:
        return f"{_spell(value, _NEWLINE)}\n".encode()
    except ValueError as error:  # UnicodeEncodeError is one
        raise ContentError(f"cannot be printed as JSON: {error}") from error


def _spell(value: Any, newline: str) -> str:
    """Return what the standard library prints with an indent, in a third of its time: it runs Python for each comma.

    Args:
        value: The value.
        newline: The line feed and the indent of the enclosing container.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    inner = newline + _INDENT
    if isinstance(value, dict) and value and all(type(key) is str for key in value):
        members = [f"{encode_basestring(key)}: {_spell(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(members)}{newline}}}"
    if isinstance(value, list | tuple | Iterator):
        items = f",{inner}".join([_spell(item, inner) for item in value])
        return f"[{inner}{items}{newline}]" if items else "[]"
    if type(value) is int:
        return str(value)
    if isinstance(value, Whole):
        return repr(value.spelled)
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text.replace("\n", newline) if isinstance(value, dict) else text


def is_one_spelling(data: bytes, value: Any) -> bool:
    """Return whether ``data``, which parses to ``value``, is spelled as :func:`canonical` or on one line.

    On one line there is no blank, or one after each comma and colon. This is for documents that contain signatures and
    so are not covered by them: any other blank would make a second document with the same signatures. An object of two
    members has so many places for blanks that no change of one byte leads from one of these spellings to another.
    """
    lines = (json.dumps(value, separators=separators, allow_nan=False) for separators in ((",", ":"), (", ", ": ")))
    return data in {canonical(value), *(line.encode("ascii") for line in lines)}


def _decode(data: bytes, where: str) -> str:
    if data.startswith(_BYTE_ORDER_MARK):
        raise ContentError("starts with a byte order mark, which JSON text must not have", where=where)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentError(f"not UTF-8 at byte {error.start:,}: {error.reason}", where=where) from error


def _check_depth(text: str, limits: Limits, where: str) -> None:
    # This scan splits the text as the parser does, up to the first lexical error, at which the parser stops.
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
            if deepest > _MAX_DEPTH:
                raise LimitError(f"nested over {_MAX_DEPTH} deep, more than any json_depth allows", where=where)
        elif first in "]}":
            depth -= 1
    limits.check("json_depth", deepest, where=where)


def _check_count(text: str, limits: Limits, where: str) -> tuple[int, int]:
    """Return upper bounds of the number of values and of containers."""
    # Every value but the first of a container follows a comma, and the first one its bracket. Commas and brackets in
    # strings are counted, too, unless that may decide.
    containers = text.count("[") + text.count("{")
    most = text.count(",") + containers + 1
    if most <= min(_EXACTLY_FROM, limits.json_values):
        return most, containers
    tokens = (token[0] for token in _STRING_OR_VALUE.finditer(text) if token[0][0] != '"')
    counts = Counter(islice(tokens, limits.json_values))
    if counts.total() >= limits.json_values:
        limits.check("json_values", most, where=where)
    return counts.total() + 1, counts["["] + counts["{"]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return _Refused(f"the key {twice[:_MAX_STEP_LENGTH]!r} is there twice")


class Whole(int):
    """A whole number that is spelled as a fraction: an integer as in JSON Schema, printed as the fraction.

    ``3.0`` is ``3`` to a schema (2020-12, 4.2.3) and to most readers; unknown fields are kept as they are.
    """

    spelled: float


def _integer(text: str) -> int | _Refused:
    if len(text) <= _MAX_INTEGER_LENGTH and _MIN_INTEGER <= int(text) <= _MAX_INTEGER:
        return int(text)
    return _Refused(f"the integer {text[:_MAX_INTEGER_LENGTH]} is beyond 64 bits")


def _fraction(text: str) -> float | Whole | _Refused:
    # Unknown fields are kept, so a number that a double cannot hold must not come out as another one.
    if len(text) <= _MAX_FRACTION_LENGTH:
        number = float(text)
        if math.isfinite(number) and _same_number(text, number):
            if not number.is_integer() or abs(number) > _MAX_EXACT:
                return number
            whole = Whole(number)
            whole.spelled = number
            return whole
    return _Refused(f"the number {text[:_MAX_INTEGER_LENGTH]} cannot be kept exactly")


def _same_number(text: str, number: float) -> bool:
    digits = text.lower().partition("e")[0]
    if number == 0:  # an underflow such as 1e-999 has other digits than zero, and an exponent Decimal may refuse
        return not digits.strip("-0.")
    return Decimal(text) == Decimal(repr(number))


_Path = tuple["_Path | None", str | int] | None
"""The path to a value: that of its container, and its key or index there; None for the top."""


def _refusals(value: Any, *, surrogates: bool) -> Iterator[tuple[_Path, str]]:
    """Yield the refused parts in the order of the text, in one walk without recursion."""
    # A pointer is only built when needed: a key may be as long as the text, and its container as wide.
    stack: list[tuple[_Path, Any]] = [(None, value)]
    while stack:
        path, part = stack.pop()
        if isinstance(part, _Refused):
            yield path, part.why
        elif isinstance(part, dict):
            if surrogates and any(_SURROGATE.search(key) for key in part):
                yield path, "a key has a lone surrogate"
            stack.extend(((path, key), inner) for key, inner in reversed(part.items()))
        elif isinstance(part, list):
            stack.extend(((path, index), part[index]) for index in range(len(part) - 1, -1, -1))
        elif surrogates and isinstance(part, str) and _SURROGATE.search(part):
            yield path, "the string has a lone surrogate"


def _pointer(path: _Path) -> str:
    """Return a path as an RFC 6901 pointer."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(f"/{_step(str(step))}")
    return "".join(reversed(steps))


def _step(key: str) -> str:
    """Return one reference token of an RFC 6901 pointer, printable for any key; a long key is cut."""
    shown = key if len(key) <= _MAX_STEP_LENGTH else f"{key[:_MAX_STEP_LENGTH]}…"
    escaped = shown.replace("~", "~0").replace("/", "~1")
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def plain_text(data: bytes) -> bytes:
    r"""Return a text in UTF-8, without a byte order mark, its lines ended by ``\n`` alone.

    UTF-16 is recognised by its mark: ``>`` of PowerShell 5 writes it. Of bytes that are no text only line ends change.
    """
    coding = _UTF16.get(data[:2])
    if coding is not None:
        try:
            data = data[2:].decode(coding).encode("utf-8")
        except UnicodeError:
            return data
    return data.removeprefix(_UTF8_MARK).replace(b"\r\n", b"\n")
