"""Turns what a patch appends to the documents of one run into lines for a database: the work of a worker.

Pure: a function of its arguments. Laws: the documents are those that :func:`kit.engine.work.transform_run` changes, in
the order of the kit, and each is proven there before it becomes a line; a line that is parsed as Extended JSON and
encoded gives the exact bytes of ``_id`` and ``rawLinkset``; a document for which no safe line exists is left out and
named (schemas/online-changes.md, "Lines").

A line for mongosh also has what the document in the database must still match: its tenant and its content hash. The
hash is what distinguishes a revised observation from the one in the kit, so a document without one gets no line.
"""

from __future__ import annotations

import enum
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import bson
from bson.errors import BSONError

from kit.documents import Kind, Run, document_name, element, elements, find, index, string_at
from kit.documents.kinds import INT32
from kit.engine.checks import Refusals, cut
from kit.engine.work import RunWork, transform_run
from kit.errors import BsonError
from kit.transforms.allowance import Allowance
from kit.transforms.coverage import NO_TENANT, tenant_of
from kit.transforms.projections import RAW_LINKSET
from kit.transforms.raw_linkset.shape import OBSERVATION
from kit.verbs.extract.documents import extended_json

TENANT: Final = ".".join(OBSERVATION.tenant.paths[0])
HASHES: Final = tuple(".".join(path) for path in OBSERVATION.content_hash.paths)
"""The fields of which a line for mongosh states one, most usual first."""
MAX_LEFT = 1_000
"""The most documents without a line that a report names; all are counted."""
_MAX_REASON_LENGTH = 200


class DatabaseTool(enum.StrEnum):
    """The program that writes the changes into the database."""

    MONGOSH = "mongosh"
    MONGOIMPORT = "mongoimport"


class Fault(enum.StrEnum):
    """Why a document has no line."""

    NO_ID = "no-id"
    UNSTORABLE_ID = "unstorable-id"
    """No server stores a document of that ``_id``."""
    NO_CONTENT_HASH = "no-content-hash"
    NOT_IN_JSON = "not-in-json"
    """Extended JSON cannot represent it exactly."""
    NOT_IN_JAVASCRIPT = "not-in-javascript"
    """JavaScript would read another document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A document that a patch changes and that has no line."""

    ordinal: int
    """In its member, from 0."""
    document: str
    """Its ``_id`` as text."""
    tenant: str
    fault: Fault
    reason: str


@dataclass(slots=True, kw_only=True)
class ExportedRun:
    """The lines of one run."""

    lines: bytes = field(default=b"", repr=False)
    documents: int
    """The number of documents read."""
    changed: int
    """The number that a patch changes: those with a line and those that are left."""
    allowed: Mapping[str, int]
    """By tenant, how many of these, where a limit counts them."""
    refusals: Refusals
    tenants: Counter[str] = field(default_factory=Counter)
    """Lines by tenant."""
    left: list[Left] = field(default_factory=list)
    """The first :data:`MAX_LEFT`."""
    left_by_tenant: Counter[str] = field(default_factory=Counter)


class UnsafeError(Exception):
    """There is no safe line for a document."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


def export_run(work: RunWork, run: Run, allowance: Allowance | None, tool: DatabaseTool) -> ExportedRun:
    """Return the lines of a run, for the documents that ``allowance`` lets change.

    Raises:
        KitError: As :func:`kit.engine.work.transform_run`.
    """
    made = transform_run(work, run, allowance)
    result = ExportedRun(documents=len(run), changed=made.changed, allowed=made.allowed, refusals=made.refusals)
    lines: list[bytes] = []
    for ordinal, (document, is_changed) in enumerate(
        zip(cut(made.stored), made.selection.flags(), strict=True), run.first
    ):
        if not is_changed:
            continue
        tenant = tenant_of(document, index(document))
        try:
            lines.append(line_of(document, tool))
        except UnsafeError as error:
            result.left_by_tenant[tenant] += 1
            if len(result.left) < MAX_LEFT:
                result.left.append(
                    Left(
                        ordinal=ordinal,
                        document=document_name(document),
                        tenant=tenant,
                        fault=error.fault,
                        reason=str(error)[:_MAX_REASON_LENGTH],
                    )
                )
            continue
        result.tenants[tenant] += 1
    result.lines = b"".join(lines)
    return result


def line_of(document: bytes, tool: DatabaseTool) -> bytes:
    """Return the line of a document that has its ``rawLinkset``, with the line feed.

    Raises:
        UnsafeError: It has none.
    """
    places = index(document)
    if b"_id" not in places:
        raise UnsafeError(Fault.NO_ID, "it has no _id")
    kind, start, _ = places[b"_id"]
    if kind in _UNSTORABLE or (kind == Kind.DOCUMENT and _has_operator(document, start)):
        raise UnsafeError(Fault.UNSTORABLE_ID, "no server stores such an _id (an array, a pattern, or a name with $)")
    parts = [_copy(document, places, "_id")]
    if tool is DatabaseTool.MONGOSH:
        parts.append(element("match", Kind.DOCUMENT, _document(*_matches(document))))
    parts.append(_copy(document, places, RAW_LINKSET))
    made = _document(*parts)
    try:
        line = _plain_line(made) or extended_json(made)
    except BsonError as error:
        raise UnsafeError(Fault.NOT_IN_JSON, str(error)) from error
    if tool is DatabaseTool.MONGOSH and (name := _misread_name(line)) is not None:
        raise UnsafeError(Fault.NOT_IN_JAVASCRIPT, f"JavaScript would move or misread the name {name!r}")
    return line + b"\n"


def _plain_line(document: bytes) -> bytes | None:
    """Return what :func:`extended_json` does, in a fifth of the time; None unless all values are texts.

    Extended JSON has texts, lists and objects as they are, but for an object with a name that begins with ``$``.
    """
    try:
        decoded = bson.decode(document)
        if not _is_plain(decoded) or bson.encode(decoded) != document:
            return None
    except (BSONError, ValueError, RecursionError):
        return None
    return json.dumps(decoded, separators=(",", ":")).encode("ascii")


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return type(value) is str
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values())) and not any(name.startswith("$") for name in value)
    return False


_UNSTORABLE = frozenset({Kind.ARRAY, Kind.REGEX, Kind.UNDEFINED})


def _has_operator(document: bytes, start: int) -> bool:
    """Return whether a name in the document at ``start`` begins with ``$``: in a query it would be an operator."""
    waiting = [start]
    while waiting:
        for one in elements(document, waiting.pop()):
            if one.name.startswith(b"$"):
                return True
            if one.kind in {Kind.DOCUMENT, Kind.ARRAY}:
                waiting.append(one.value)
    return False


def _copy(document: bytes, places: dict[bytes, tuple[int, int, int]], name: str) -> bytes:
    kind, start, end = places[name.encode()]
    return element(name, kind, document[start:end])


def _document(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return INT32.pack(len(body) + 5) + body + b"\0"


def _matches(document: bytes) -> list[bytes]:
    """Return the elements that the document in the database must still have.

    Raises:
        UnsafeError: There is no content hash.
    """
    found: list[bytes] = []
    if (tenant := tenant_of(document, index(document))) != NO_TENANT:
        found.append(_string(TENANT, tenant))
    for path in OBSERVATION.content_hash.paths:
        try:
            place = find(document, path)
            if place is None or place.kind == Kind.NULL:
                continue
            if place.kind == Kind.STRING:
                return [*found, _string(".".join(path), string_at(document, place))]
        except BsonError as error:
            raise UnsafeError(Fault.NO_CONTENT_HASH, str(error)) from error
        break
    raise UnsafeError(Fault.NO_CONTENT_HASH, f"it has no text at {' or '.join(HASHES)}, so no revision can be noticed")


def _string(name: str, text: str) -> bytes:
    value = text.encode() + b"\0"
    return element(name, Kind.STRING, INT32.pack(len(value)) + value)


_SUSPECT = re.compile(rb'"(?:[0-9]+|_bsontype)":')
"""What a line must contain before :func:`_misread_name` looks at its names; a string value cannot match, since its
quotation marks are escaped."""
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_INDEX = 2**32 - 2


def _misread_name(line: bytes) -> str | None:
    """Return a name because of which JavaScript does not read the object that the line states; None if there is none.

    An object of JavaScript has the names that are array indexes first, in their numeric order (ECMA-262, 10.1.11.1), so
    that a name of that kind after another one moves. ``_bsontype`` is how its BSON library marks values of its own.
    """
    if _SUSPECT.search(line) is None:
        return None
    misread: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        first = sorted(filter(_is_index, names), key=int)
        misread.extend(there for here, there in zip(names, first, strict=False) if here != there)
        misread.extend(name for name in names if name == "_bsontype")

    json.loads(line, object_pairs_hook=look)
    return misread[0] if misread else None


def _is_index(name: str) -> bool:
    return _INDEX.fullmatch(name) is not None and int(name) <= _MAX_INDEX
