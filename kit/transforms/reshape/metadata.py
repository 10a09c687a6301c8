"""The validator in a ``metadata.json``: a field is added to ``required`` of its ``$jsonSchema``, by splicing.

``mongodump`` writes the options of a collection there, as Extended JSON on one line. Nothing is parsed and printed
again: the name is inserted as the last of ``required``, and where there is no such list, the list as the first member
of the schema. Law: ``release(require(data, path), path) == data``.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from kit.encryption.field_map import FieldPath
from kit.errors import ContentError, KitError
from kit.values import Limits, strict_json

_WHERE = ("options", "validator", "$jsonSchema")
_HINT = "the publisher adds a $jsonSchema to the collection's validator; without tighten, documents alone are demanded"


def require(data: bytes, path: FieldPath) -> bytes | None:
    """Return a metadata file whose validator requires ``path``; None where it does already.

    Raises:
        ContentError: It is no strict JSON in UTF-8, or has no ``$jsonSchema`` that describes the documents on the way.
    """
    text = _text(data)
    schema = _schema(text, path)
    name = json.dumps(path.steps[-1])
    found = _member(text, schema, "required")
    if found is None:
        start = schema.start + 1
        rest = "" if text[start : schema.end].strip() == "}" else ","
        return (text[:start] + f'"required":[{name}]{rest}' + text[start:]).encode()
    names = json.loads(text[found.start : found.end])
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise ContentError("required of the validator is no list of at least one name", hint=_HINT)  # as of MongoDB
    if path.steps[-1] in names:
        return None
    before = text[: found.end - 1]
    return (before + f",{name}" + text[found.end - 1 :]).encode()


def release(data: bytes, path: FieldPath) -> bytes | None:
    """Return what :func:`require` made this of; None where it made no such thing.

    Raises:
        ContentError: As :func:`require`.
    """
    text = _text(data)
    schema = _schema(text, path)
    found = _member(text, schema, "required")
    if found is None:
        return None
    name = json.dumps(path.steps[-1])
    body = text[found.start : found.end]
    if body == f"[{name}]" and text.startswith('"required":', schema.start + 1):
        end = found.end + (text[found.end] == ",")
        candidate = (text[: schema.start + 1] + text[end:]).encode()
        if require(candidate, path) == data:
            return candidate
    if not body.endswith(tail := f",{name}]"):
        return None
    candidate = (text[: found.end - len(tail)] + text[found.end - 1 :]).encode()
    return candidate if require(candidate, path) == data else None


class _Span(NamedTuple):
    start: int
    end: int


def _text(data: bytes) -> str:
    try:
        strict_json.parse(data, limits=Limits(), where="")
        return data.decode()
    except (KitError, UnicodeDecodeError) as error:
        raise ContentError(f"cannot be edited: {getattr(error, 'what', error)}") from error


def _schema(text: str, path: FieldPath) -> _Span:
    """Return the place of the schema of the document that has the last step of ``path``."""
    found = _Span(*re.compile(r"\s*").match(text).span())  # type: ignore[union-attr]  # it matches nothing, too
    found = _Span(found.end, _end(text, found.end))
    steps = [*_WHERE, *(part for step in path.steps[:-1] for part in ("properties", step))]
    for number, step in enumerate(steps):
        inner = _member(text, found, step)
        if inner is None or text[inner.start] != "{":
            raise ContentError(f"has no {'.'.join(steps[: number + 1])} that could require {path}", hint=_HINT)
        found = inner
    return found


def _member(text: str, span: _Span, name: str) -> _Span | None:
    """Return the place of the value of a member of the object at ``span``; None where it has none."""
    if text[span.start] != "{":
        return None
    at = _skip(text, span.start + 1)
    while text[at] != "}":
        key, after = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, after) + 1)  # the colon
        end = _end(text, at)
        if key == name:
            return _Span(at, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return None


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def _skip(text: str, at: int) -> int:
    found: Any = _SPACE.match(text, at)
    return int(found.end())


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]
